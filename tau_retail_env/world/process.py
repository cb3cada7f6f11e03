"""Process checks: whether the agent identified the customer, asked before it wrote, kept to one customer, and made
nothing up. The reward sees none of it."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tau_retail_env.messages import ProcessBreakdown, ToolCall
from tau_retail_env.tasks.writes import WRITE_TOOLS
from tau_retail_env.world.assertions import Called, Evidence, Said
from tau_retail_env.world.consent import is_in_earnest, is_yes, takes_back
from tau_retail_env.world.numbers import numbers_in

FIND = "find_user_id_by_"
"""How the names of the tools begin that tell who a customer is."""
PRIVATE_READS = ("get_user_details", "get_order_details")
VERBS: Mapping[str, str] = {
    "cancel_pending_order": r"\bcancel",
    "exchange_delivered_order_items": r"\bexchang|\bswap|\breplac",
    "modify_pending_order_address": r"\baddress|\bship|\bdeliver",
    "modify_pending_order_items": r"\bmodif|\bchang|\bupdat|\bswitch|\bupgrad|\bexchang|\bswap|\breplac",
    "modify_pending_order_payment": r"\bpay",
    "modify_user_address": r"\baddress",
    "return_delivered_order_items": r"\breturn|\brefund",
}
"""What a summary calls each write."""
ADDRESS_PARTS = ("address1", "address2", "city", "zip")
ADDRESS_WRITES = ("modify_pending_order_address", "modify_user_address")
REASONS = {"no longer needed": r"\bneed", "ordered by mistake": r"\bmistake"}
PAYMENTS = {
    "gift_card": r"\bgift[\s-]?card",
    "credit_card": r"\bcredit[\s-]?card|(?<!gift)(?<!gift[\s-])\b(?:card|visa|mastercard)\b",
    "paypal": r"\bpay ?pal\b",
}
DENIED = re.compile(
    r"(?:\b(?:not|never|without|instead of|rather than)\b|n['’]t\b)(?! need)(?:(?!\bbut\b)[^,;:.?!\n()])*",
    re.IGNORECASE,
)
"""What a clause denies; that something is not needed is a reason for it."""
DONE = re.compile(
    r"\b(?:have|has|['’]ve)\s+(?:already |just |now |been )*(?:cancell?ed|returned|exchanged|modified|changed|updated"
    r"|refunded"
    r"|replaced|swapped)\b(?:(?!\band\b)[^,;:.?!\n])*"
)
"""What a clause says was done before anybody was asked."""
ASKS = re.compile(r"\?|\bconfirm", re.IGNORECASE)
ASKS_FOR_A_YES = re.compile(
    r"\bconfirm(?! (?:me )?your (?:first |last |full )?(?:e-?mail|name|zip|identity|user|account))"
    r"|\b(?:proceed|go ahead|(?:go|move) forward|approve|are you sure)\b|\bagree\b|\b(?:shall|should|may) (?:i|we)\b"
    r"|\b(?:is|are|does|do) (?:this|that|it|these|those|everything|all)\b[^?]{0,200}"
    r"\b(?:correct|right|ok|okay|good|fine)\b"
    r"|\b(?:want|like) (?:me|us) to (?:do|process|submit|continue)\b"
    r"|(?:^|[,;])\W*(?:yes|ok|okay|right|correct|sounds good|all right|alright)\W*\?"
    r"|^\W*(?:(?:please|reply|answer|say|with)\W+)*yes\W+(?:or\W+)?no\W*$",
    re.IGNORECASE,
)
"""A question that asks for a yes to what was said before it."""
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
IDENTIFIER = re.compile(
    r"#?W\d{7}\b|\b(?:gift_card|credit_card|paypal)_\d+\b|\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.IGNORECASE
)
"""Orders, payment methods and email addresses, in any case: a customer may begin a sentence with one."""
STREET = re.compile(
    r"\b(\d{1,5} (?:[A-Z][\w'-]*\.? ){1,3})(?:Street|St|Avenue|Ave|Road|Rd|Drive|Dr|Lane|Ln|Court|Ct|Boulevard|Blvd"
    r"|Way|Place|Pl"
    r"|Terrace|Square|Parkway|Highway)\b|\b\d{1,5} Broadway\b"
)
"""A house and its street; the group, if there is one, leaves out what may be short."""
STREET_AS_HEARD = re.compile(STREET.pattern, re.IGNORECASE)
"""Customers also write in small letters."""
NUMBER = re.compile(r"(?<![\w#.])[$€£]?(\d[\d,]*(?:\.\d+)?)(?![\w]|\.\d)")
CURRENCY = re.compile(r"\s?(?:dollars?|bucks|euros?|pounds?|usd|eur|gbp|percent|[€£%])", re.IGNORECASE)
"""What makes money, or a share of it, of the number before it."""
SPELLED_MONEY = re.compile(r"[a-z](?:\s(?:dollar|buck|eur|pound|usd|gbp|percent)|\s?[€£%])", re.IGNORECASE)
"""Stands in every text that has a currency behind a number in letters; far faster to look for."""
PLAIN_WORDS = frozenset({"yes", "no", "none"})
"""Values of options that say nothing without the option's name."""
MOST_ITEMS = 12
"""Items of an order of which every sum is known: more would take long, and the shop has none."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in an episode: something said, or a call with its result."""

    said: Said
    """The message; of a call the result."""
    called: Called | None = None
    """The call, None for what was said."""


@dataclass(frozen=True, slots=True)
class Process:
    """How the agent went about it; each part from 0.0 to 1.0."""

    identified: float
    """1.0 unless private data was read or written before the customer said who it is."""
    confirmed: float
    """The share of the writes to which the customer said yes, after a summary that named them; 1.0 without any."""
    one_customer: float
    """1.0 unless data of somebody else was read or written."""
    nothing_invented: float
    """1.0 unless something that the agent proposed holds an id or a number that nobody has mentioned."""

    @property
    def value(self) -> float:
        """The product of the parts."""
        return self.identified * self.confirmed * self.one_customer * self.nothing_invented

    def breakdown(self) -> ProcessBreakdown:
        """The number and its parts under their names in a reward's breakdown."""
        return {
            "process": self.value,
            "process_identified": self.identified,
            "process_confirmed": self.confirmed,
            "process_one_customer": self.one_customer,
            "process_nothing_invented": self.nothing_invented,
        }


def check_process(evidence: Evidence, database: Mapping[str, Any], domain_policy: str = "") -> Process:
    """Look how an agent went about an episode.

    Args:
        evidence: all that was said and called.
        database: the shop as plain JSON: {"users", "orders", "products"}, as it was before the episode.
        domain_policy: the rules that the agent has read.
    """
    events = events_of(evidence)
    return Process(
        float(_is_identified(events)),
        _confirmed(events, database),
        float(_is_one_customer(events, database)),
        float(not list(inventions(events, database, domain_policy))),
    )


def events_of(evidence: Evidence) -> list[Event]:
    """What was said and called, in order; every call has one result among the messages."""
    calls = iter(evidence.calls)
    return [Event(said, next(calls) if said.role == "tool" else None) for said in evidence.conversation]


def _is_identified(events: Iterable[Event]) -> bool:
    """Whether a look-up with the customer's own words identified it before anything private was touched."""
    said = ""
    for event in events:
        if event.said.role == "user":
            said += f"\n{event.said.content}".casefold()
        if event.called is None or event.called.failed:
            continue
        call = event.called.call
        if call.name.startswith(FIND) and all(str(value).casefold() in said for value in call.arguments.values()):
            return True
        if call.name in PRIVATE_READS or call.name in WRITE_TOOLS:
            return False
    return True


def _is_one_customer(events: Iterable[Event], database: Mapping[str, Any]) -> bool:
    """Whether all that was read and written belongs to whom the last look-up found."""
    found: str | None = None
    owners = set()
    for event in events:
        if event.called is None or event.called.failed:
            continue
        call = event.called.call
        if call.name.startswith(FIND):
            found = (event.said.content or "").strip()
        elif (owner := _owner(call, database)) is not None:
            owners.add(owner)
            if found is not None and owner != found:
                return False
    return len(owners) < 2


def _owner(call: ToolCall, database: Mapping[str, Any]) -> str | None:
    """Whose data a call is about."""
    order = database["orders"].get(call.arguments.get("order_id"))
    user_id = order.get("user_id") if order else call.arguments.get("user_id")
    return user_id if isinstance(user_id, str) else None


def _confirmed(events: Sequence[Event], database: Mapping[str, Any]) -> float:
    """The share of the successful writes that were confirmed."""
    writes = [
        place
        for place, event in enumerate(events)
        if event.called is not None and event.called.call.name in WRITE_TOOLS and not event.called.failed
    ]
    if not writes:
        return 1.0
    calls = [event.called.call for event in events if event.called is not None]
    moves = frozenset().union(*(_streets_of(call.arguments) for call in calls if call.name in ADDRESS_WRITES))
    return sum(_is_confirmed(events[:place], events[place].called, moves, database) for place in writes) / len(writes)


def _is_confirmed(
    before: Sequence[Event], write: Called | None, moves: frozenset[str], database: Mapping[str, Any]
) -> bool:
    """Whether the last question about a write was answered with a yes; `moves` are the streets of address writes."""
    assert write is not None, "a write is a call"
    confirmed = False
    for one, answer in itertools.pairwise(before):
        text = one.said.content or ""
        if one.said.role != "assistant" or answer.said.role != "user":
            continue
        is_for_it = is_in_earnest(text) and _asks_about(text, write.call) and names_write(text, write.call, database)
        if not is_for_it or _other_streets(text, write.call, database) - moves:
            confirmed = confirmed and (_proposes(text) or bool(answer.said.agrees) or not takes_back(_words(answer)))
        elif _agrees(answer.said):
            confirmed = True
        elif ASKS.search(text):
            confirmed = False
    return confirmed


def _other_streets(text: str, write: ToolCall, database: Mapping[str, Any]) -> frozenset[str]:
    """The streets that a text names which are neither the customer's home nor where an order that it names goes."""
    named = frozenset(_streets(DENIED.sub("", text)))
    if not named:
        return frozenset()
    orders = [database["orders"].get(f"#{one.upper().removeprefix('#')}", {}) for one in IDENTIFIER.findall(text)]
    home = database["users"].get(_owner(write, database), {})
    return named - frozenset().union(*(_streets_of(one.get("address", {})) for one in (home, *orders)))


def _streets_of(address: Mapping[str, Any]) -> frozenset[str]:
    """The street of an address in the form of `_streets`."""
    return frozenset(_streets(str(address.get("address1", ""))))


def _words(event: Event) -> str:
    return event.said.content or ""


def _asks_about(text: str, write: ToolCall) -> bool:
    """Whether what a text asks, if it asks anything, is for a yes or about a write."""
    questions = [sentence for sentence in SENTENCE_END.split(text) if ASKS.search(sentence)]
    verb = VERBS[write.name]
    return not questions or any(ASKS_FOR_A_YES.search(one) or re.search(verb, one, re.IGNORECASE) for one in questions)


def _proposes(text: str) -> bool:
    """Whether a text asks for a yes to a change of the shop."""
    return bool(ASKS.search(text)) and any(re.search(verb, text, re.IGNORECASE) for verb in VERBS.values())


def _agrees(answer: Said) -> bool:
    """Whether a customer says yes: by its own account where it gives one, else by its words."""
    return is_yes(answer.content or "") if answer.agrees is None else answer.agrees


def names_write(text: str, write: ToolCall, database: Mapping[str, Any]) -> bool:
    """Whether a text names what a write does: what kind, to which order, and with what.

    Args:
        text: the agent's.
        write: a call of one of `WRITE_TOOLS`.
        database: the shop as plain JSON.
    """
    low, given = text.casefold(), write.arguments
    meant = DENIED.sub("", DONE.sub("", low))
    order = database["orders"].get(given.get("order_id"), {})
    if not re.search(VERBS[write.name], meant):
        return False
    if "order_id" in given and not _holds(meant, str(given["order_id"]).removeprefix("#")):
        return False
    if not re.search(REASONS.get(given.get("reason", ""), ""), low):
        return False
    if not all(_holds(meant, str(given[part])) for part in ADDRESS_PARTS if given.get(part)):
        return False
    return _names_payment(meant, given.get("payment_method_id"), order) and _names_items(low, meant, given, database)


def _holds(text: str, words: str) -> bool:
    """Whether a text holds some words one after another, whole, whatever stands between them."""
    return f" {_bare(words)} " in f" {_bare(text)} "


def _bare(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _names_payment(meant: str, payment: str | None, order: Mapping[str, Any]) -> bool:
    if payment is None or _holds(meant, payment):
        return True
    kind = payment.rpartition("_")[0]
    if kind not in PAYMENTS or re.search(rf"\b{kind}_\d", meant):
        return False
    original = any(paid["payment_method_id"] == payment for paid in order.get("payment_history", ()))
    return bool(re.search(PAYMENTS[kind], meant)) or (original and bool(re.search(r"\boriginal", meant)))


def _names_items(low: str, meant: str, given: Mapping[str, Any], database: Mapping[str, Any]) -> bool:
    """Whether a text (in lower case, and without what it denies) names every item, and what becomes of it."""
    old, new = given.get("item_ids", ()), given.get("new_item_ids")
    rows = {row["item_id"]: row for row in database["orders"].get(given.get("order_id"), {}).get("items", ())}
    whole = len(old) == len(rows) and bool(re.search(r"\b(?:all|every|entire|whole|both)\b", meant))
    for place, item_id in enumerate(old):
        row = rows.get(item_id)
        if row is None:
            return _holds(meant, item_id)
        noun = row["name"].casefold().split()[-1].removesuffix("s")
        if not (whole or _holds(meant, item_id) or re.search(rf"\b{re.escape(noun)}", meant)):
            return False
        if new is not None and not _names_variant(low, row, new[place], database):
            return False
    return True


def _names_variant(low: str, row: Mapping[str, Any], new_id: str, database: Mapping[str, Any]) -> bool:
    """Whether a text names a new item, by its id or by the options that become different."""
    if _holds(low, new_id):
        return True
    variant = database["products"].get(row["product_id"], {}).get("variants", {}).get(new_id)
    if variant is None:
        return False
    changed = {name: value for name, value in variant["options"].items() if row["options"].get(name) != value}
    return all((name if value in PLAIN_WORDS else value.casefold()) in low for name, value in changed.items())


def inventions(events: Iterable[Event], database: Mapping[str, Any], domain_policy: str = "") -> Iterator[str]:
    """Ids and numbers in the agent's proposals that stand nowhere in what it has read or heard.

    A proposal asks the customer for a yes to a change of the shop. Money that follows counts as mentioned: the
    difference of two known amounts, and the sum of items of an order that is known. So do whole numbers below 100
    without a currency, such as counts and days.

    Args:
        events: what was said and called.
        database: the shop as plain JSON.
        domain_policy: the rules that the agent has read.
    """
    known, unread = _Known(database), [domain_policy]
    for event in events:
        text = event.said.content or ""
        if event.said.role != "assistant":
            unread.append(text)
        elif _proposes(text):
            # Read as late as this: in most messages an agent proposes nothing.
            while unread:
                known.learn(unread.pop())
            yield from known.missing(text)


class _Known:
    """What an agent has read and heard so far.

    Args:
        database: the shop as plain JSON.
    """

    def __init__(self, database: Mapping[str, Any]) -> None:
        self._database = database
        self._ids: set[str] = set()
        self._numbers: set[Decimal] = set()
        self._streets: set[str] = set()
        self._orders: set[str] = set()

    def learn(self, text: str) -> None:
        """Take note of a text."""
        ids, numbers = _held(text)
        self._ids |= ids
        self._orders |= {f"#{one.upper()}" for one in ids} & self._database["orders"].keys()
        self._numbers |= numbers
        self._streets |= _streets(text, STREET_AS_HEARD).keys()

    def missing(self, text: str) -> Iterator[str]:
        """What a text holds that does not follow from anything known."""
        parts = re.split(f"({IDENTIFIER.pattern})", text, flags=re.IGNORECASE)
        yield from (one for one in parts[1::2] if one.casefold().removeprefix("#") not in self._ids)
        yield from (words for street, words in _streets(text).items() if street not in self._streets)
        for found in NUMBER.finditer(" ".join(parts[::2])):
            amount = _amount(found[1])
            is_money = not found.group()[0].isdigit() or CURRENCY.match(found.string, found.end())
            is_count = amount < 100 and amount == int(amount) and not is_money
            if not is_count and not self._follows(amount):
                yield found.group()
        for words, amount in _spelled_money(text):
            if not self._follows(amount):
                yield words

    def _follows(self, amount: Decimal) -> bool:
        if amount in self._numbers or any(amount in _sums(self._prices(order_id)) for order_id in self._orders):
            return True
        return any(known + amount in self._numbers for known in self._numbers)

    def _prices(self, order_id: str) -> tuple[str, ...]:
        return tuple(str(item["price"]) for item in self._database["orders"][order_id]["items"])[:MOST_ITEMS]


@functools.lru_cache(maxsize=1024)
def _held(text: str) -> tuple[frozenset[str], frozenset[Decimal]]:
    """The ids and the numbers that a text holds; the domain policy and the shop's answers come again and again."""
    ids = frozenset(found.casefold().removeprefix("#") for found in IDENTIFIER.findall(text))
    written = frozenset(_amount(found) for found in re.findall(r"\d[\d,]*(?:\.\d+)?", text))
    return ids, written | {amount for _, amount in _spelled_money(text)}


@functools.lru_cache(maxsize=1024)
def _streets(text: str, street: re.Pattern[str] = STREET) -> Mapping[str, str]:
    """The streets that a text holds with their houses: without "Street" or "St", and as they stand there."""
    return {(found[1] or found.group()).casefold(): found.group() for found in street.finditer(text)}


def _spelled_money(text: str) -> Iterator[tuple[str, Decimal]]:
    """Amounts written in letters, such as "five hundred dollars"."""
    # Most texts are the shop's answers, full of digits, of which not one need be read.
    for number in numbers_in(text) if SPELLED_MONEY.search(text) else ():
        words = text[number.start : number.end]
        if words[0].isalpha() and CURRENCY.match(text, number.end):
            yield words, number.value


@functools.lru_cache(maxsize=1024)
def _sums(prices: tuple[str, ...]) -> frozenset[Decimal]:
    """All sums of some items of an order."""
    sums = {Decimal(0)}
    for price in prices:
        sums |= {total + Decimal(price) for total in sums}
    return frozenset(sums)


def _amount(digits: str) -> Decimal:
    return Decimal(digits.replace(",", "").rstrip("."))
