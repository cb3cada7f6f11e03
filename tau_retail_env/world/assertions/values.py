"""What an assertion wants to be told, and where a text says it: amounts, counts, quantities, words, addresses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tau_retail_env.world.numbers import numbers_in

Places = Iterator[tuple[int, int]]
"""Beginnings and ends in a text."""
Finder = Callable[[str], Places]


@dataclass(frozen=True, slots=True)
class Value:
    """One thing that the agent must tell."""

    kind: str
    """"amount", "count", "quantity", "word", "address" or "number" (of a parcel)."""
    find: Finder
    """Where a text says it."""
    others: Finder
    """Where a text says something of the same sort, the value itself included: what a correction puts in its place."""
    is_common: bool = False
    """Whether it is found by chance in many texts: a word, or a whole number."""


def values_of(claim: str) -> tuple[Value, ...]:
    """What must be found for a claim to have been told; empty where its form is not known.

    Args:
        claim: what upstream's sentence wants to be told.
    """
    if found := _ADDRESS.search(claim):
        find = _address_finder(found["address"])
        return (Value("address", find, _finder(r"\b\d{5}\b")),)
    if amounts := _MONEY.findall(claim):
        numbers = [Decimal(amount.replace(",", "")) for amount in amounts]
        return tuple(Value("amount", _amount_finder(number), _amounts, number == int(number)) for number in numbers)
    if long_numbers := _LONG_NUMBER.findall(claim):
        patterns = [rf"(?<!\d){_GAP.join(number)}(?!\d)" for number in long_numbers]
        return tuple(Value("number", _finder(pattern), _finder(r"\b\d{6,}\b")) for pattern in patterns)
    if found := _QUANTITY.search(claim):
        unit = _UNITS.get((found["unit"] or "").lower().rstrip("s"), "")
        if unit:
            return (Value("quantity", _unit_finder(unit, Decimal(found[1])), _unit_finder(unit)),)
        return (Value("count", _count_finder(Decimal(found[1])), _count_finder(None), is_common=True),)
    if found := _WORDS.search(claim):
        words = re.split(r", and |, | and ", found["words"])
        return tuple(Value("word", _finder(word_pattern(word)), _finder(r"\w+"), is_common=True) for word in words)
    return ()


def says_more(claim: str) -> bool:
    """Whether a claim denies, bounds, leaves a choice, or goes on to something else.

    Args:
        claim: what upstream's sentence wants to be told or done.
    """
    return _UNREAD.search(claim) is not None


def is_read_whole(claim: str, values: Sequence[Value]) -> bool:
    """Whether a claim says nothing that its values leave out: another number, another thing, a bound, a denial.

    Args:
        claim: as for `values_of`.
        values: what that found in it.
    """
    if says_more(claim):
        return False
    numbers = _A_NUMBER.findall(_ADDRESS.sub("", claim))
    if (values[0].kind == "word" or len(values) > 1) and len(_SAYS.findall(claim)) > 1:
        return False
    return len(numbers) == (0 if values[0].kind in ("word", "address") else len(values))


def without_values(claim: str) -> str:
    """What a claim is about: all of it but the values.

    Args:
        claim: as for `values_of`.
    """
    if _MONEY.search(claim) is None and (found := _WORDS.search(claim)):
        return claim[: found.start("words")]
    return re.sub(r"#?W?\$?\d[\d,.]*(?:GB|\s?hours?)?", " ", _ADDRESS.sub("", claim))


def word_pattern(word: str) -> str:
    """A pattern that finds a word, its plural and what it is called besides.

    Args:
        word: in any case.
    """
    other = _SHORT_FORMS.get(word.lower())
    return rf"\b(?:{re.escape(word)}s?{f'|{other}' if other else ''})\b\.?(?!-(?:free|like|less|look)\b)"


_GAP = r"[ -]?"
"""What may stand between the digits of a long number."""
_MONEY = re.compile(r"\$(\d[\d,]*(?:\.\d+)?)")
_LONG_NUMBER = re.compile(r"\b(\d{6,})\b")
_QUANTITY = re.compile(r"\b(?:there are|is|are|has|have) (\d+)(?:\s?(?P<unit>GB|hours?|minutes?|inch(?:es)?))?\b")
_ADDRESS = re.compile(r"\b(?:shipped|sent|delivered) to (?P<address>\d.+)$")
_WORDS = re.compile(
    r"\b(?:is|are|was|were)(?: paid with)?(?: an?| the)? (?P<words>[a-z]+(?:(?:, (?:and )?| and )[a-z]+)*)$",
    re.IGNORECASE,
)
_UNREAD = re.compile(
    r"\b(?:not|no|never|nothing|none|neither|nor|cannot|without|or|either|if|unless|(?:more|less|fewer) than"
    r"|at (?:least|most)|over|under|about|around|between|up to|approximately|almost)\b|n't\b|\d\s*%|[.!?;]\s|\n"
    r"|\b(?:and|but|then) (?:then |also )?(?:cancel|exchange|return|refund|modify|change|update|tell|inform|process"
    r"|provide|make|offer|ask|transfer|send|ship|confirm|apologi[sz]e)\b",
    re.IGNORECASE,
)
"""What makes another claim of one: a denial, a choice, a bound, a condition, a share, a second sentence or request."""
_A_NUMBER = re.compile(r"(?<![#\w.,])\$?\d[\d,.]*\w*")
_SAYS = re.compile(r"\b(?:is|are|was|were|has|have|costs?|gives?)\b", re.IGNORECASE)
_UNITS = {
    "gb": r"\s*-?(?:gb|gigabytes?)\b(?!\s*(?:of )?(?:RAM|memory)\b)",
    "hour": r"[\s-]*(?:hours?|hrs?|h)\b(?! ago)",
    "minute": r"[\s-]*(?:minutes?|min)\b(?! ago)",
}
_SHORT_FORMS = {
    "drive": "dr",
    "street": "st",
    "avenue": "ave",
    "road": "rd",
    "lane": "ln",
    "boulevard": "blvd",
    "court": "ct",
    "suite": "ste|unit|apt",
    "mastercard": "master card",
}
_STATES = dict(
    pair.split(":")
    for pair in (
        "AZ:Arizona CA:California CO:Colorado FL:Florida IL:Illinois IN:Indiana NC:North_Carolina NY:New_York "
        "OH:Ohio "
        "PA:Pennsylvania TX:Texas WA:Washington DC:District_of_Columbia"
    ).split()
)
"""Where the shop's customers live."""
_FOREIGN_MONEY = re.compile(r"\s*(?:€|£|euros?\b|eur\b|pounds?\b|gbp\b|points?\b|%|percent\b|cents?\b)", re.IGNORECASE)
_COUNTED = r"option|variant|choice|style|kind|type|version|variation|model|item|product|one|selection|design|possibilit"
_NOT_COUNTED = re.compile(
    r"\s*[-–]?\s*(?:%|percent|dollars?|colou?rs?|sizes?|materials?|(?:business |working )?"
    r"(?:days?|hours?|minutes?|weeks?|months?|years?)|units?|pieces?|orders?|stars?|reviews?|to\b|[-–]\s*\d)",
    re.IGNORECASE,
)
_A_LABEL = re.compile(
    r"(?:\b(?:number|no\.?|size|option|item|step|page|top|first|last|next|level|version|order)|#|\$|€|£)\s*$",
    re.IGNORECASE,
)
_LONGEST_LABEL = 30
"""Characters before a number in which a label is looked for."""
_WHOLE_ADDRESS = 200
"""Most characters from the first to the last part of an address."""


def _finder(pattern: str) -> Finder:
    """Finds a pattern, whatever its case."""
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda text: (found.span() for found in compiled.finditer(text))


def _amounts(text: str) -> Places:
    """Every amount of money in a text, and every number that may be one."""
    for number in numbers_in(text):
        before = text[max(0, number.start - 1) : number.start]
        if before not in ("€", "£") and not _FOREIGN_MONEY.match(text, number.end):
            yield number.start, number.end


def _amount_finder(value: Decimal) -> Finder:
    """Finds an amount, however it is written."""

    def find(text: str) -> Places:
        equal = {number.start for number in numbers_in(text) if number.value == value}
        return (place for place in _amounts(text) if place[0] in equal)

    return find


def _unit_finder(unit: str, value: Decimal | None = None) -> Finder:
    """Finds a number before its unit, any where none is given."""
    behind = re.compile(unit, re.IGNORECASE)
    return lambda text: (
        (number.start, number.end)
        for number in numbers_in(text)
        if value in (None, number.value) and behind.match(text, number.end)
    )


def _count_finder(value: Decimal | None) -> Finder:
    """Finds a number that counts things: no money, time, label, share or property."""
    return lambda text: (
        (number.start, number.end)
        for number in numbers_in(text)
        if value in (None, number.value)
        and not _A_LABEL.search(text[max(0, number.start - _LONGEST_LABEL) : number.start])
        and not _NOT_COUNTED.match(text, number.end)
    )


def _address_finder(address: str) -> Finder:
    """Finds the place of the street where all other parts stand around it, and no other zip code."""
    street, *others = [re.compile(part, re.IGNORECASE) for part in _address_patterns(address)]
    zip_code = address[-5:]

    def find(text: str) -> Places:
        for found in street.finditer(text):
            first = max(0, found.start() - _WHOLE_ADDRESS // 2)
            around = text[first : found.end() + _WHOLE_ADDRESS]
            spans = [place.span() for part in others if (place := _nearest(part, around, found.group()))]
            if len(spans) == len(others):
                spans.append((found.start() - first, found.end() - first))
                inside = around[min(start for start, _ in spans) : max(end for _, end in spans)]
                if all(other == zip_code for other in re.findall(r"\b\d{5}\b", inside)):
                    yield found.start(), first + max(end for _, end in spans)

    return find


def _nearest(part: re.Pattern[str], text: str, street: str) -> re.Match[str] | None:
    """The first part of an address behind its street, or else the last before it."""
    place = text.find(street)
    return part.search(text, place) or next(iter([*part.finditer(text)][::-1]), None)


def _address_patterns(address: str) -> list[str]:
    """Street, suite, city, state and zip code of an address, each as a pattern."""
    parts = [part for part in re.split(r",\s*", address) if part]
    last = re.fullmatch(r"([A-Z]{2}) (\d{5})", parts[-1])
    names = parts[:-1] if last else parts
    patterns = [r"\s+".join(_address_word(word) for word in part.split()) for part in names]
    if last:
        state = _STATES.get(last[1], last[1]).replace("_", " ")
        patterns += [rf"\b(?:{last[1]}|{state})\b", rf"\b{last[2]}\b"]
    return patterns


def _address_word(word: str) -> str:
    other = _SHORT_FORMS.get(word.lower())
    return rf"\b(?:{re.escape(word)}{f'|{other}' if other else ''})\b\.?"
