"""What a told value is about: whether the words around it name the assertion's subject, another one, or none."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tau_retail_env.world.assertions.speech import Place, sentences_before

REFUND, PAY, BALANCE, DIFFERENCE, PRICE, TOTAL, FEE = "refund", "pay", "balance", "difference", "price", "total", "fee"


@dataclass(frozen=True, slots=True)
class Subject:
    """What an assertion is about."""

    stems: frozenset[str]
    """Stems of all words that say so."""
    goods: frozenset[str]
    """Those of them that are goods or numbers of orders."""
    aspects: frozenset[str]
    """What an amount is: a refund, a price and so on."""
    is_other: bool
    """Whether it is about "the other" of two."""
    words: frozenset[str]
    """The words that say so, behind which a value may stand."""
    is_new: bool
    """Whether it is about what the customer will have, not what it has."""

    @staticmethod
    def of(claim: str) -> Subject:
        """The subject of a claim.

        Args:
            claim: upstream's sentence without its values.
        """
        goods = goods_in(claim) | frozenset(_ORDER.findall(claim))
        words = frozenset(word for word in re.findall(r"[a-z-]+", claim.lower()) if word not in _IDLE)
        is_other, is_new = (re.search(rf"\b{word}\b", claim) is not None for word in ("other", "new"))
        return Subject(stems_of(claim), goods, aspects_of(claim), is_other, words, is_new)

    def widened(self, asked: Sequence[str]) -> frozenset[str]:
        """Its stems, and those of what the customer asked about it.

        Args:
            asked: the customer's messages.
        """
        heard = [stems_of(words) for words in asked]
        return self.stems.union(*(stems for stems in heard if stems & self.stems))

    def is_named(self, words: str, known: frozenset[str], itself: frozenset[str], *, is_common: bool) -> bool | None:
        """Whether words name it: True, False where they name another subject, None where they name none.

        Args:
            words: a clause or a sentence.
            known: see `widened`.
            itself: stems of the told value, which name nothing.
            is_common: any other noun before the verb names another subject, not just goods and other amounts.
        """
        goods = goods_in(words) - itself
        if any(one.startswith("#") for one in self.goods):
            goods |= frozenset(_ORDER.findall(words))
        own = self.goods or (known & _GOODS if is_common else frozenset())
        if goods and own and not goods & own:
            return False
        aspects = aspects_of(words)
        if aspects and self.aspects and not _go_together(self.aspects, aspects):
            return False
        if any(_stem(word) in self.stems and opposite.search(words) for word, opposite in _OPPOSITES.items()):
            return False
        if (stems_of(words) - itself) & known or (aspects & self.aspects):
            return True
        names = _names_before_the_verb(words)
        return False if is_common and names and not names & itself else None


def is_about(place: Place, subject: Subject, asked: Sequence[str], itself: str, *, is_common: bool) -> bool:
    """Whether a mention is about a subject: told by its clause, its sentence, what was said before it, what was asked.

    The nearest words that name a subject decide; the customer's decide on common values only. Where none does, a value
    that is rarely found by chance counts.

    Args:
        place: the mention.
        subject: of the assertion.
        asked: the customer's messages until then.
        itself: the words of the value.
        is_common: see `values.Value`.
    """
    if not subject.is_other and _ANOTHER.search(place.clause):
        return False
    before = place.sentence_before if _RELATIVE.match(place.clause_before) else place.clause_before
    is_new = subject.is_new or (asked and _NEW.search(asked[-1]) and _NEW.search(place.text, place.end))
    if is_new and _OWNED_NOW.search(before) and not _NEW.search(before):
        return False
    offered = goods_in(place.sentence_before) if _OFFERED.search(place.sentence_before) else frozenset()
    if subject.goods and offered and not offered & subject.goods:
        return False
    if REFUND in subject.aspects and _PAID_BEHIND.match(place.clause_after):
        return False
    label = aspects_of(found[0]) if (found := _LABELLED.search(place.clause_before)) else frozenset()
    if label and subject.aspects and not _go_together(subject.aspects, label):
        return False
    if _YOURS_BEHIND.match(f"{place.sentence_after}; {place.next_sentence}"):
        return False
    known, own = subject.widened(asked), stems_of(itself)
    for words in (place.clause, place.sentence, *sentences_before(place)):
        named = subject.is_named(words, known, own, is_common=is_common)
        if named is not None:
            return named
    if not is_common:
        return True
    heard = [subject.is_named(words, subject.stems, own, is_common=False) for words in reversed(asked)]
    return bool(next((named for named in heard if named is not None), False))


def counts_them(place: Place, subject: Subject, asked: Sequence[str]) -> bool:
    """Whether a number counts what is asked for, of those that can be had.

    Args:
        place: the mention.
        subject: what is counted.
        asked: the customer's messages until then.
    """
    if _SOLD_OUT.search(place.clause) or _OF_WHICH.search(place.sentence_after) or _OWNED.search(place.clause):
        return False
    tail = re.match(r"[\s,]*((?:[\w'-]+\s*){0,4})", place.clause_after)
    words = [word for word in (tail[1].lower().split() if tail else []) if word not in _ADJECTIVES]
    if not words or words[0] in _FUNCTION_WORDS:
        return True
    known = subject.widened(asked)
    return any(_COUNTED.match(word) or _stem(word) in known or stems_of(word) & known for word in words[:3])


@functools.lru_cache(maxsize=4096)
def stems_of(text: str) -> frozenset[str]:
    """What a text is about: its words without their endings, and the stems that other words stand for.

    Args:
        text: in any case.
    """
    lower = text.lower()
    words = re.findall(r"[a-z]+(?:-[a-z]+)*", lower)
    stems = {_stem(word) for word in words if word not in _IDLE}
    stems |= {_stem(part) for word in words for part in word.split("-") if len(part) > 2 and part not in _IDLE}
    return frozenset(stems | {_stem(stem) for stem, others in _SAME.items() if re.search(rf"\b(?:{others})\b", lower)})


def goods_in(text: str) -> frozenset[str]:
    """Stems of the goods that a text names.

    Args:
        text: in any case.
    """
    return stems_of(text) & _GOODS


def things_in(text: str) -> frozenset[str]:
    """Stems of the goods, and the numbers of the orders, that a text names.

    Args:
        text: in any case.
    """
    return goods_in(text) | frozenset(_ORDER.findall(text))


@functools.lru_cache(maxsize=4096)
def aspects_of(text: str) -> frozenset[str]:
    """What the amounts of a text are: refunds, prices, totals and so on; "total" only where nothing else is said.

    Args:
        text: in any case.
    """
    balance = {BALANCE} if _BALANCE.search(text) else set()
    words = _NAMES_OF_PAYMENT.sub("", text)
    found = balance | ({DIFFERENCE} if _DIFFERENCE.search(words) else set())
    words = _DIFFERENCE.sub("", words)
    found |= {aspect for aspect, pattern in _ASPECTS.items() if pattern.search(words)}
    return frozenset(found or ({TOTAL} if _TOTAL.search(words) else ()))


def _go_together(wanted: frozenset[str], said: frozenset[str]) -> bool:
    """Whether an amount that is `said` to be something may be the `wanted` one; money goes in one direction."""
    if (REFUND in wanted) != (PAY in wanted):
        direction, other = (REFUND, PAY) if REFUND in wanted else (PAY, REFUND)
        if other in said and direction not in said:
            return False
    if FEE in said and FEE not in wanted:
        return False
    if said == {TOTAL}:
        return True
    return bool(wanted & said) or any(frozenset((one, other)) in _ALIKE for one in wanted for other in said)


def _names_before_the_verb(words: str) -> frozenset[str]:
    """Stems of the nouns before the first verb or colon of a clause: what it is about."""
    found = _VERB.search(words)
    if found is None or not (_NAMING.match(words) or _LABEL.match(words)):
        return frozenset()
    return stems_of(words[: found.start()]) - frozenset(map(_stem, _NOT_NAMES))


def _stem(word: str) -> str:
    for ending in ("iest", "est", "ing", "es", "s", "ed", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_GOODS = frozenset(
    _stem(word)
    for word in (
        "camera purifier backpack bicycle speaker bookshelf coffee helmet lamp kettle toothbrush espresso "
        "jacket mouse hose grill headphone boot puzzle bulb laptop luggage makeup keyboard notebook chair "
        "umbrella perfume bed charger shoe skateboard thermostat smartphone phone sneaker sunglass t-shirt "
        "hoodie tablet vacuum clock bottle earbud wristwatch watch mat e-reader rug desk mug vase "
    ).split()
)
"""Stems of the things that a shop sells; a clause that names one of them is about it."""
_ORDER = re.compile(r"#W\d{7}")
_IDLE = frozenset(
    "a an the their there that they them user users customer agent should tell told is are was were be will to "
    "of for "
    "with in on at and or by this item items order orders recent most amount available option options price prices "
    "get gets give gives new one two other same all its it you your we i number need would".split()
)
_NOT_NAMES = frozenset(
    "our my me us now here sure ok okay yes no as well thank thanks please can could let see check found find "
    "confirm "
    "so then also still just about concern regard total sum result answer what which who how much many that "
    "these those "
    "variant choice styl kind version variation model product selection according record system show value "
    "figure data information detail he she sorry good great certain certainly course".split()
)
_SAME = {
    "expensive": "most expensive|priciest|costliest|dearest|highest[- ]priced?|costs? the most|most costly",
    "cheap": "cheapest|least expensive|lowest[- ]priced?|most affordable|costs? the least",
    "material": "made (?:of|from|out of)|fabric",
    "backlight": "backlit|backlighting|light",
    "battery": "playtime|playback|lasts|per charge|(?:one|a|single|full) charge",
    "storage": "holds|capacity",
    "paid": "payment|pay|charged|card",
    "t-shirt": "tshirt|t shirts?|shirts?|tees?|t-shirts",
    "shipp": "sent|went|delivered|delivery|dispatched|shipping|mailed|address",
    "track": "tracking|parcel|package|shipment",
}
"""Other words for what an assertion is about, by its stem."""
_NAMES_OF_PAYMENT = _words(r"\b(?:credit|gift) cards?|\bpayment method|\boriginal payment")
_BALANCE = _words(
    r"\bbalance\b|\b(?:left|remaining|remains?) on\b|\bgift card (?:currently )?(?:has|holds|contains|is worth)\b"
)
_DIFFERENCE = _words(r"\b(?:price )?differen(?:ce|t)\b(?: in price)?|\bdiffer\b")
_TOTAL = _words(r"\b(?:totals?|altogether|sum|in all|overall)\b")
_ASPECTS = {
    REFUND: _words(
        r"\b(?:refund\w*|back|credit(?:ed)?|reimburs\w*|sav(?:e|es|ed|ing|ings)|(?<!no )less(?! than)|cheaper"
        r"|lower)\b"
    ),
    PAY: _words(
        r"\b(?:pay|paid|(?<!no )charg(?:e|ed|es|ing)|owe|due|additional|extra|costs? more|more expensive)\b|\d more\b"
    ),
    PRICE: _words(
        r"\b(?:costs?|prices?|priced|sells? for|worth|came to|order total|order(?: #W?\d+)? comes to)\b(?! more)"
    ),
    FEE: _words(
        r"\b(?:coupon|voucher|discount|budget|deposit|limit)\b|(?<!no )(?<!free )(?<!including )\b(?:fees?"
        r"|shipping|delivery|handling|tax(?:es)?)\b(?! address)"
    ),
}
_ALIKE = frozenset(
    frozenset(pair)
    for pair in (
        (REFUND, DIFFERENCE),
        (PAY, DIFFERENCE),
        (PAY, PRICE),
        (TOTAL, PAY),
        (TOTAL, PRICE),
        (TOTAL, REFUND),
    )
)
"""Amounts that may be the same one under two names."""
_CHEAPEST = _words(r"\b(?:cheapest|least expensive|lowest|most affordable)\b|\b(?:second|third|next)[ -]most\b")
_DEAREST = _words(r"\b(?:most expensive|priciest|dearest|highest)\b|\b(?:second|third|next)[ -](?:cheapest|lowest)\b")
_GIVEN_BACK = _words(r"^(?!.*\b(?:keep\w*|remain\w*|left|rest|stay\w*)\b).*\breturn(?:ing|ed|s)?\b")
_KEPT = _words(r"^(?!.*\b(?:refund\w*|back|return\w*)\b).*\b(?:keep\w*|kept|remaining)\b")
_OPPOSITES = {"expensive": _CHEAPEST, "cheap": _DEAREST, "remaining": _GIVEN_BACK, "refund": _KEPT}
_ANOTHER = _words(
    r"\border before (?:that|this|it)\b|\b(?:another|(?:the|an|your) (?:other|older|previous|earlier|former|old"
    r"|different)) (?:\w+ )?(?:order"
    r"|purchase|parcel"
    r"|package|shipment|model|version|item|one|" + "|".join(sorted(_GOODS)) + r")(?:e?s?)\b"
)
_OWNED_NOW = _words(
    r"\b(?:current|old|original|existing|previous|present)\b|\byou (?:now |currently |already )?(?:have|own|bought"
    r"|ordered)\b"
)
_RELATIVE = _words(r"\W*(?:which|that)\b")
_LABELLED = _words(r"\b\w+(?: \w+)? of(?: about| around)?$")
"""What an amount is called right before it: "the price difference of $87 is less than the balance"."""
_PAID_BEHIND = _words(r"\W*(?:that |which )?you(?:'ve| have)? (?:paid|spent)\b")
_OFFERED = _words(r"\binstead\b(?! of)")
_NEW = _words(r"\b(?:new|replacement|instead)\b")
_YOURS_BEHIND = _words(r"[^.!?;]*[,;](?: but| while)? yours (?:has|is|was)\b")
_NAMING = _words(
    r"\W*(?:(?:but|and|so|while|though|however|also),? )?(?:(?:the|an?|your|our|this|that|its|my|their|each"
    r"|every|both|all|some)\b|\w+ing\b|delivery|warranty|returns?\b)"
)
"""How the words begin that name something, rather than "To repeat" or "In short"."""
_LABEL = _words(r"\s*[-•] (?:\w+ ){0,5}?\w+: ")
"""A line of a list that says what it is about."""
_VERB = _words(
    r"\b(?:is|are|was|were|has|have|had|will|would|costs?|comes?|came|takes?|weighs?|lasts?|runs?|needs?"
    r"|gets?)\b|'s\b|:|="
)
_SOLD_OUT = _words(
    r"\b(?:unavailable|sold out|out of stock|discontinued|(?:not|aren't|isn't) (?:available|in stock))\b"
)
_OF_WHICH = _words(
    r"\b(?:of which|of them|of those|of these|but|only)\W+(?:only |just )?(?:\d+|one|two|three|four|five|six"
    r"|seven|eight"
    r"|nine|ten|eleven|twelve|some|none|a few)\b"
    r"(?: (?:of (?:them|those|these|which)|options?|variants?))?(?: (?:are|is))?(?: currently)? (?:available"
    r"|in stock)"
)
_OWNED = _words(
    r"\bin (?:your|the|this|that) (?:order|orders|cart|basket|account|package)\b|\byou (?:ordered|bought)\b"
    r"|\byour (?:order|orders|cart|basket|package)(?: \S+)? (?:has|have|contains?|includes?)\b"
)
_COUNTED = _words(
    r"(?:option|variant|choice|style|kind|type|version|variation|model|item|product|one|selection|possibilit)"
)
_ADJECTIVES = frozenset(
    "available different distinct unique separate various possible current currently more such in-stock".split()
)
_FUNCTION_WORDS = frozenset(
    "of in are is that which to left now altogether for you we can at and with overall total here on were as".split()
)
