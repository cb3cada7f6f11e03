"""Judging what upstream's sentences want of a conversation, without a model: NL_ASSERTION of τ² 1.0's retail tasks.

A sentence is compiled once, from its text. It wants either that the agent told the customer something, which is looked
for in the agent's messages, or that it did something, which is read from its writes. docs/judge.md says how well this
agrees with a reader.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.messages import ToolCall
from tau_retail_env.tasks.task import Task
from tau_retail_env.world.numbers import numbers_in
from tau_retail_env.world.shop import Shop

CANCEL = "cancel_pending_order"
EXCHANGE = "exchange_delivered_order_items"
MODIFY_ITEMS = "modify_pending_order_items"
MODIFY_ADDRESS = "modify_pending_order_address"
MODIFY_PROFILE = "modify_user_address"


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a conversation."""

    role: str
    """"assistant" (the agent), "user" (the customer) or "tool"."""
    content: str | None
    """Its text; None for a message that only calls tools."""
    agrees: bool | None = None
    """Whether the customer says that it agrees with it; None where its words are all there is."""


@dataclass(frozen=True, slots=True)
class Called:
    """One tool call of the agent's, and how it went."""

    call: ToolCall
    """Name and arguments."""
    failed: bool
    """Whether the shop refused it."""


@dataclass(slots=True)
class Evidence:
    """What an assertion is judged by."""

    conversation: list[Said] = field(default_factory=list)
    """All messages in order, the agent's greeting included."""
    calls: list[Called] = field(default_factory=list)
    """The agent's tool calls in order."""
    gold: Callable[[], Sequence[Called]] = tuple
    """Plays the gold actions in a fresh shop and tells how they go; asked only where a deed is judged."""


def play_gold(shop: Shop, task: Task) -> list[Called]:
    """Play a task's gold actions in a fresh world.

    Args:
        shop: where.
        task: whose.
    """
    world = shop.open()
    calls = [(ToolCall(action.name, action.arguments), action.requestor) for action in task.actions]
    return [Called(call, world.call(call, requestor=requestor).error) for call, requestor in calls]


class Assertion(Protocol):
    """A sentence of upstream's, compiled."""

    def holds(self, evidence: Evidence, rivals: frozenset[str]) -> bool:
        """Whether it holds.

        Args:
            evidence: the conversation.
            rivals: words that stand for the subjects of the task's other assertions.
        """
        ...

    @property
    def subject(self) -> frozenset[str]:
        """Stems of the words that say what a told number is about; empty for a deed."""
        ...


class AssertionJudge(Protocol):
    """Who says which assertions of an episode hold."""

    def unmet(self, task: Task, evidence: Evidence) -> list[str]:
        """Those of a task's assertions that do not hold."""
        ...


class RulesJudge:
    """The judge of this file: it asks nobody."""

    def unmet(self, task: Task, evidence: Evidence) -> list[str]:
        """Those of a task's assertions that do not hold.

        Raises:
            InvalidValueError: a sentence of a form that is not known.
        """
        return unmet(task.assertions, evidence)


def unmet(assertions: Sequence[str], evidence: Evidence) -> list[str]:
    """Those of a task's assertions that do not hold.

    Args:
        assertions: upstream's sentences.
        evidence: the conversation.

    Raises:
        InvalidValueError: a sentence of a form that is not known.
    """
    compiled = {text: compile_assertion(text) for text in assertions}
    missing = []
    for text, assertion in compiled.items():
        others = [other.subject for name, other in compiled.items() if name != text]
        rivals = frozenset().union(*others) - assertion.subject
        if not assertion.holds(evidence, rivals):
            missing.append(text)
    return missing


@functools.lru_cache(maxsize=1024)
def compile_assertion(text: str) -> Assertion:
    """Read one of upstream's sentences.

    Args:
        text: such as "Agent should tell the user …" or "Agent should cancel …".

    Raises:
        InvalidValueError: its form is not known, so nothing can be said about a conversation.
    """
    told = _TELLING.fullmatch(text.strip())
    if told is not None:
        parts = _values(told["claim"])
        if parts:
            return Told(parts, _stems(_subject(told["claim"])), _direction(told["claim"]))
    elif (done := _DOING.fullmatch(text.strip())) is not None:
        tools = _tools(done["deed"])
        if tools:
            return Did(tools)
    raise InvalidValueError(
        f"The assertion {text!r} has a form that the judge 'rules' does not know; it knows that the agent should tell "
        "the user a number, a name or a list, and that it should cancel, exchange or modify. Take nl_judge: openai"
    )


_TELLING = re.compile(
    r"(?:the )?agent should (?:(?:tell|inform) the (?:user|customer)|provide)(?: that)? (?P<claim>.+?)\.?",
    re.IGNORECASE,
)
_DOING = re.compile(
    r"(?:the )?agent should (?P<deed>(?:cancel|exchange|process|modify|make changes to)\b.+?)\.?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Value:
    """One thing that must be found in what the agent said."""

    find: Callable[[str], Iterator[tuple[int, int]]]
    """Where a text says it."""
    needs_subject: bool
    """Whether it must stand beside what it is about: true of common words and small numbers."""


@dataclass(frozen=True, slots=True)
class Told:
    """The agent told the customer some values."""

    values: tuple[Value, ...]
    """All of them must be told."""
    subject: frozenset[str]
    """Stems of the words that say what they are about."""
    direction: str
    """Whether an amount goes "back" to the customer, has to be "paid", or neither ("")."""

    def holds(self, evidence: Evidence, rivals: frozenset[str]) -> bool:
        """Whether every value stands in a message of the agent's, beside what it is about."""
        return all(self._is_told(value, evidence, rivals) for value in self.values)

    def _is_told(self, value: Value, evidence: Evidence, rivals: frozenset[str]) -> bool:
        asked = ""
        for said in evidence.conversation:
            if said.role == "user":
                asked += f"\n{said.content}"
            elif said.role == "assistant" and said.content:
                text = _plain(said.content)
                if any(self._counts(value, text, asked, start, end, rivals) for start, end in value.find(text)):
                    return True
        return False

    def _counts(self, value: Value, text: str, asked: str, start: int, end: int, rivals: frozenset[str]) -> bool:
        sentence, offset = _around(_SENTENCE, text, start)
        before = text[offset:start]
        if _NEGATION.search(before[-30:]) or _DENIAL.match(text, end):
            return False
        if _TAKEN_BACK.search(text, end) or (_EITHER.search(before) and _OR.match(text, end)):
            return False
        if value.needs_subject:
            if _YES_NO_QUESTION.match(sentence) and sentence.rstrip().endswith("?"):
                return False
            if _OTHER_NOUN.match(text, end) or _SOMEBODY_ELSES.search(before):
                return False
            return bool(self.subject & _stems(f"{asked} {text}"))
        if self.direction and _direction(sentence) not in ("", self.direction, "both"):
            return False
        words = _stems(_around(_CLAUSE, text, start)[0])
        return not self.subject or not words & rivals or bool(words & self.subject)


@dataclass(frozen=True, slots=True)
class Did:
    """The agent did what the gold actions do with some tools."""

    tools: frozenset[str]
    """Which tools."""

    @property
    def subject(self) -> frozenset[str]:
        """None: nothing has to be told."""
        return frozenset()

    def holds(self, evidence: Evidence, rivals: frozenset[str]) -> bool:
        """Whether the last successful call about each order or customer is the gold one.

        Where the shop refuses the gold call itself, asking for it is all that can be done.
        """
        gold = [called for called in evidence.gold() if called.call.name in self.tools]
        done = {_about(called.call): _canonical(called.call) for called in evidence.calls if not called.failed}
        tried = [_canonical(called.call) for called in evidence.calls]
        return bool(gold) and all(
            wanted in tried if called.failed else done.get(_about(called.call)) == wanted
            for called in gold
            for wanted in (_canonical(called.call),)
        )


_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z$*\-•\d])|\n+")
_CLAUSE = re.compile(r"(?<=[.!?])\s+|\n+|[;()]|,\s+(?!\d)|\s(?:and|while|but|whereas)\s", re.IGNORECASE)
_NEGATION = re.compile(
    r"\b(?:not|no|never|isn't|aren't|wasn't|won't|doesn't|cannot|can't|without|instead of|rather than|unlike)\W+"
    r"(?:\w+\W+){0,2}$",
    re.IGNORECASE,
)
_DENIAL = re.compile(r"\W*(?:is|are|was|were)(?: not|n't)\b", re.IGNORECASE)
_TAKEN_BACK = re.compile(
    r"\b(?:I was (?:mistaken|wrong)|my mistake|correction|I misspoke)\b[^.!?\n]*?\d", re.IGNORECASE
)
_EITHER, _OR = re.compile(r"\beither\b", re.IGNORECASE), re.compile(r"[^.!?\n]*?\bor\b", re.IGNORECASE)
_SOMEBODY_ELSES = re.compile(r"\byou (?:said|say|want|wanted|asked|mentioned|told)\b", re.IGNORECASE)
_YES_NO_QUESTION = re.compile(r"\W*(?:is|are|was|were|do|does|did|would|could|can|should|will|shall)\b", re.IGNORECASE)
_OTHER_NOUN = re.compile(r"\s+(?:refund|amount|price|name|balance|details?|credit)\b", re.IGNORECASE)
_BACK = re.compile(r"\b(?:refund\w*|back|credit(?:ed)?|sav(?:e|es|ed|ing|ings)|less|cheaper)\b", re.IGNORECASE)
_PAID = re.compile(
    r"\b(?:pay|charg(?:e|ed)|owe|due|additional|extra|costs? more|more expensive)\b|\d more\b", re.IGNORECASE
)
_NAMES_OF_PAYMENT = re.compile(r"\b(?:credit|gift) card|\bpayment method|\boriginal payment", re.IGNORECASE)

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
_UNITS = {
    "gb": r"\s*-?(?:gb|gigabytes?)\b",
    "hour": r"[\s-]*(?:hours?|hrs?|h)\b",
    "minute": r"[\s-]*(?:minutes?|min)\b",
}
_COUNTS_SOMETHING_ELSE = re.compile(
    r"\s*(?:%|dollars?|(?:to|-|–)\s*\d|(?:business )?(?:days?|hours?|weeks?|years?)\b)", re.IGNORECASE
)
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
_STATES = {"IL": "Illinois", "TX": "Texas", "NY": "New York", "CA": "California", "FL": "Florida", "WA": "Washington"}
_SAME = {
    "expensive": "most expensive|priciest|costliest|highest[- ]priced?|costs the most",
    "cheap": "cheapest|least expensive|lowest[- ]priced?|most affordable",
    "material": "made (?:of|from|out of)|fabric",
    "backlight": "backlit|backlighting|light",
    "paid": "payment|pay|charged|card",
    "t-shirt": "tshirt|t shirt|shirt|tee",
}
"""Other words for what an assertion is about, by its stem."""
_IDLE = frozenset(
    "a an the their there that they them user users customer agent should tell told is are was were be will to of for "
    "with in on at and or by this item items order orders recent most amount available option options price prices "
    "get gets give gives new one two other same all its it you your we i number need".split()
)


def _plain(text: str) -> str:
    """A text without the marks of Markdown."""
    return re.sub(r"[*_`]+", "", text)


def _around(separator: re.Pattern[str], text: str, place: int) -> tuple[str, int]:
    """The part of a text between two separators in which a place lies, and where it begins."""
    start = max((found.end() for found in separator.finditer(text) if found.end() <= place), default=0)
    end = min((found.start() for found in separator.finditer(text) if found.start() >= place), default=len(text))
    return text[start:end], start


def _stems(text: str) -> frozenset[str]:
    """What a text is about: its words without their endings, and the stems that other words stand for."""
    lower = text.lower()
    words = re.findall(r"[a-z]+(?:-[a-z]+)*", lower)
    stems = {_stem(word) for word in words if word not in _IDLE}
    stems |= {_stem(part) for word in words for part in word.split("-") if len(part) > 2 and part not in _IDLE}
    return frozenset(stems | {stem for stem, others in _SAME.items() if re.search(rf"\b(?:{others})\b", lower)})


def _stem(word: str) -> str:
    for ending in ("iest", "est", "ing", "es", "s", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _direction(text: str) -> str:
    """Whether an amount goes back to the customer or has to be paid: "back", "paid", "both" or ""."""
    plain = _NAMES_OF_PAYMENT.sub("", text)
    back, paid = bool(_BACK.search(plain)), bool(_PAID.search(plain))
    return "both" if back and paid else "back" if back else "paid" if paid else ""


def _subject(claim: str) -> str:
    """What a claim is about: all of it but the values."""
    if found := _WORDS.search(claim):
        return claim[: found.start("words")]
    return re.sub(r"#?W?\$?\d[\d,.]*(?:GB|\s?hours?)?", " ", _ADDRESS.sub("", claim))


def _values(claim: str) -> tuple[Value, ...]:
    """What must be found for a claim to have been told; empty where its form is not known."""
    if found := _ADDRESS.search(claim):
        return tuple(Value(_finder(part), needs_subject=False) for part in _address_patterns(found["address"]))
    if amounts := _MONEY.findall(claim):
        numbers = [Decimal(amount.replace(",", "")) for amount in amounts]
        return tuple(Value(_number_finder(number), needs_subject=number == int(number)) for number in numbers)
    if long_numbers := _LONG_NUMBER.findall(claim):
        return tuple(
            Value(_finder(rf"(?<!\d){_GAP.join(number)}(?!\d)"), needs_subject=False) for number in long_numbers
        )
    if found := _QUANTITY.search(claim):
        unit = _UNITS.get((found["unit"] or "").lower().rstrip("s"), "")
        finder = _number_finder(Decimal(found[1]), unit) if unit else _count_finder(Decimal(found[1]))
        return (Value(finder, needs_subject=not unit),)
    if found := _WORDS.search(claim):
        words = re.split(r", and |, | and ", found["words"])
        return tuple(Value(_finder(_word_pattern(word)), needs_subject=True) for word in words)
    return ()


def _address_patterns(address: str) -> list[str]:
    """Street, suite, city, state and zip code of an address, each as a pattern."""
    parts = [part for part in re.split(r",\s*", address) if part]
    last = re.fullmatch(r"([A-Z]{2}) (\d{5})", parts[-1])
    names = parts[:-1] if last else parts
    patterns = [r"\s+".join(_word_pattern(word) for word in part.split()) for part in names]
    if last:
        patterns += [rf"\b(?:{last[1]}|{_STATES.get(last[1], last[1])})\b", rf"\b{last[2]}\b"]
    return patterns


def _word_pattern(word: str) -> str:
    other = _SHORT_FORMS.get(word.lower())
    return rf"\b(?:{re.escape(word)}s?{f'|{other}' if other else ''})\b\.?"


def _finder(pattern: str) -> Callable[[str], Iterator[tuple[int, int]]]:
    """Finds a pattern, whatever its case."""
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda text: (found.span() for found in compiled.finditer(text))


def _number_finder(value: Decimal, unit: str = "") -> Callable[[str], Iterator[tuple[int, int]]]:
    """Finds a number, however it is written, before its unit if it has one."""
    behind = re.compile(unit, re.IGNORECASE)
    return lambda text: (
        (number.start, number.end)
        for number in numbers_in(text)
        if number.value == value and (not unit or behind.match(text, number.end))
    )


def _count_finder(value: Decimal) -> Callable[[str], Iterator[tuple[int, int]]]:
    """Finds a number that counts things: no amount of money, no days."""
    return lambda text: (
        (number.start, number.end)
        for number in numbers_in(text)
        if number.value == value
        and text[: number.start].rstrip()[-1:] != "$"
        and not _COUNTS_SOMETHING_ELSE.match(text, number.end)
    )


def _tools(deed: str) -> frozenset[str]:
    """The tools that do what a sentence says; empty where it says nothing that is known."""
    wanted = set()
    if re.match(r"cancel\b", deed, re.IGNORECASE):
        wanted.add(CANCEL)
    if re.search(r"\bexchanges?\b", deed, re.IGNORECASE):
        wanted.add(EXCHANGE)
    if re.match(r"(?:modify|make changes to)\b", deed, re.IGNORECASE):
        if re.search(r"\baddress\b.*\border\b|\baddress as requested", deed, re.IGNORECASE):
            wanted.add(MODIFY_ADDRESS)
        if re.search(r"\buser (?:profile|address)\b", deed, re.IGNORECASE):
            wanted.add(MODIFY_PROFILE)
        if re.search(r"\bitems\b|\bmodify the pending order", deed, re.IGNORECASE):
            wanted.add(MODIFY_ITEMS)
    return frozenset(wanted)


def _about(call: ToolCall) -> tuple[str, Any]:
    """What a write is about: its tool, and the order or else the customer."""
    return call.name, call.arguments.get("order_id") or call.arguments.get("user_id")


def _canonical(call: ToolCall) -> tuple[str, Mapping[str, Any]]:
    """A call in a form in which the order of its items does not count."""
    given = dict(call.arguments)
    items, new = given.pop("item_ids", None), given.pop("new_item_ids", None)
    if isinstance(items, list):
        pairs = zip(items, new, strict=False) if isinstance(new, list) else ((item, None) for item in items)
        given["items"] = sorted((str(item), str(other)) for item, other in pairs)
    return call.name, given
