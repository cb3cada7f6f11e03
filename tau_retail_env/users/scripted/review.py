"""Whether what the agent says it will do is what the customer wants: a summary held against a request."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tau_retail_env.users.scripted.address import right_address
from tau_retail_env.users.scripted.agenda import Agenda
from tau_retail_env.users.scripted.listening import Fact
from tau_retail_env.users.scripted.proposal import (
    ORDER_ID,
    meant,
    order_ids,
    other_orders,
    other_payments,
    other_writes,
    payment_ids,
)
from tau_retail_env.users.scripted.request import ITEM_KINDS, PROSE, Item, Kind, PaymentMethod, Request
from tau_retail_env.users.scripted.riders import riders

KIND_WORDS: tuple[tuple[str, tuple[Kind, ...]], ...] = (
    (r"\bcancel", (Kind.CANCEL,)),
    (r"\breturn", (Kind.RETURN,)),
    (r"\bexchang|\bswap|\breplac", (Kind.EXCHANGE, Kind.MODIFY_ITEMS)),
    (r"\baddress|\bship(?:ped|ping)? to|\bdeliver(?:ed|y)? to", (Kind.ORDER_ADDRESS, Kind.DEFAULT_ADDRESS)),
    (r"\bpayment|\bpay\b", (Kind.PAYMENT,)),
    (
        r"\bmodif|\bchang|\bupdat|\bswitch",
        (Kind.EXCHANGE, Kind.MODIFY_ITEMS, Kind.PAYMENT, Kind.ORDER_ADDRESS, Kind.DEFAULT_ADDRESS),
    ),
)
REASONS = {
    "no longer needed": r"no(?:t| longer) need|don't need|not needed",
    "ordered by mistake": r"\bmistake|\baccident",
}
SOURCE_WORDS = {"paypal": r"\bpay ?pal\b", "gift_card": r"\bgift[\s-]?card", "credit_card": r"\bcredit[\s-]card"}
PATTERNS_KEPT = 1_000
"""Compiled names of products and nouns that are kept; the shop sells 50 products."""
LONG_WORD = re.compile(r"[a-z0-9]{4,}")
GENERIC_HEADS = ("set", "kit", "bed", "mat", "bulb", "charger")


@dataclass(frozen=True, slots=True)
class Review:
    """What a text says of a request."""

    right: frozenset[Fact]
    """Facts stated as wanted."""
    wrong: frozenset[Fact]
    """Facts stated differently from what is wanted."""
    right_kind: bool
    """Whether the wanted kind of action is named."""
    wrong_kind: bool
    """Whether another kind of action is named and the wanted one is not."""
    unasked: tuple[str, ...] = ()
    """What is proposed besides, as the customer names it: other orders, payment methods, kinds of action, riders."""

    @property
    def matches(self) -> bool:
        """Nothing that is said differs from what is wanted, and nothing is proposed besides."""
        return not (self.wrong or self.wrong_kind or self.unasked)

    def covers(self, facts: Iterable[Fact]) -> bool:
        """Whether it states some facts, and states nothing differently."""
        return self.matches and self.right_kind and self.right >= frozenset(facts)

    @property
    def says_something(self) -> bool:
        """Whether the text is about the request at all."""
        return bool(self.right or self.wrong or self.right_kind or self.wrong_kind)


def review(text: str, request: Request, agenda: Agenda, others: Sequence[Request] = ()) -> Review:
    """Hold a text against a request.

    Args:
        text: what the agent says it will do, or has done.
        request: what the customer wants.
        agenda: what the customer knows.
        others: further requests that the text may be about as well; what belongs to them is not wrong here.
    """
    verdicts = {
        Fact.ORDER: _order(text, request, agenda, others),
        Fact.ITEMS: _items(text, request, agenda, others),
        Fact.OPTIONS: _options(text, request),
        Fact.PAYMENT: _payment(text, request, agenda, others),
        Fact.REASON: _reason(text, request),
        Fact.ADDRESS: right_address(text, request.address) if request.address else None,
    }
    kinds = _kinds(text)
    misplaced = (request.kind is Kind.DEFAULT_ADDRESS and _is_for_an_order(text)) or (
        request.kind is Kind.ORDER_ADDRESS and _is_for_the_profile(text)
    )
    right_kind = request.kind in kinds and not misplaced
    wrong_kind = bool(kinds) and not right_kind and request.kind not in PROSE
    return Review(
        right=frozenset(fact for fact, verdict in verdicts.items() if verdict is True),
        wrong=frozenset(fact for fact, verdict in verdicts.items() if verdict is False),
        right_kind=right_kind,
        wrong_kind=wrong_kind,
        unasked=() if wrong_kind or request.kind in PROSE else _unasked(text, request, agenda, others),
    )


def _unasked(text: str, request: Request, agenda: Agenda, others: Sequence[Request]) -> tuple[str, ...]:
    """What a text proposes besides some requests; of orders and payment methods, only those beside the right one."""
    wanted = (request, *others)
    orders, payments = other_orders(text, wanted), other_payments(text, wanted)
    if request.order_id and request.order_id not in order_ids(text):
        orders = set()
    if request.payment and request.payment.id not in payment_ids(text):
        payments = set()
    named = [
        *(f"order {order_id}" if agenda.may_say(order_id) else "another order" for order_id in sorted(orders)),
        *(name if agenda.may_say(name) else "another payment method" for name in sorted(payments)),
        *other_writes(text, wanted, agenda.products),
        *riders(text, wanted),
    ]
    return tuple(dict.fromkeys(named))


def _kinds(text: str) -> set[Kind]:
    return {kind for pattern, kinds in KIND_WORDS if re.search(pattern, text, re.IGNORECASE) for kind in kinds}


def _is_for_an_order(text: str) -> bool:
    return bool(ORDER_ID.search(text)) and not re.search(r"default|profile|account|\buser", text, re.IGNORECASE)


def _is_for_the_profile(text: str) -> bool:
    beside = re.search(r"\b(?:default|profile|account)\b.{0,20}\baddress", text, re.IGNORECASE)
    return bool(beside) and not ORDER_ID.search(text)


def names_an_action(text: str) -> bool:
    """Whether a text speaks of anything that changes the shop."""
    return bool(_kinds(text))


def offers(text: str, request: Request) -> bool:
    """Whether a text names what the customer wants instead of one of its items, with every option that changes."""
    return any(
        item.changes and all(_states(text, name, value) for name, value in item.changes.items())
        for item in request.items
    )


def relates(text: str, wish: str) -> bool:
    """Whether a text speaks of a wish that was told in words only: of two things at least that it names."""
    named, wished = (set(LONG_WORD.findall(words.casefold())) for words in (text, wish))
    return len(named & wished) > 1


def _order(text: str, request: Request, agenda: Agenda, others: Sequence[Request]) -> bool | None:
    if request.order_id is None:
        return None
    stated = order_ids(text)
    if not stated:
        return False if _describes_another_order(text, request, agenda, others) else None
    if request.order_id not in stated:
        return False
    return not other_orders(text, (request, *others))


def _describes_another_order(text: str, request: Request, agenda: Agenda, others: Iterable[Request]) -> bool:
    """Whether a text tells the order by something that is not in it; of single items `_items` judges."""
    if request.kind in ITEM_KINDS or request.kind in PROSE:
        return False
    elsewhere = {item.product for other in others for item in (*other.items, *other.other_items)}
    return bool(_foreign_products(meant(text.casefold(), actions=False), request, agenda) - elsewhere)


def _items(text: str, request: Request, agenda: Agenda, others: Iterable[Request]) -> bool | None:
    if request.kind not in ITEM_KINDS:
        return None
    low = text.casefold()
    whole = re.search(
        r"\b(?:all|every|entire|whole|everything)\b (?:of )?(?:the |your )?(?:items?|products?|order|in\b|from\b)", low
    )
    elsewhere = {item.product for other in others for item in other.items}
    values = _option_words(request.items)  # "compartment laptop" of a backpack is not the order's laptop
    beside = [item for item in request.other_items if not set(item.product.casefold().split()) <= values]
    wanted = {item.product for item in request.items}
    named = {item.product for item in request.items if _names(low, item, request)}
    proposed = meant(low, actions=False)
    named |= {item.product for item in beside if _names(proposed, item, request)}
    foreign = _foreign_products(proposed, request, agenda) - elsewhere
    if not named:
        return False if foreign else None if not whole else not request.other_items
    if foreign or named - wanted - elsewhere or (wanted - named and not (whole and not request.other_items)):
        return False
    return all(_right_namesake(text, item, request) for item in request.items)


def _foreign_products(low: str, request: Request, agenda: Agenda) -> set[str]:
    """Products that a text (in lower case) names though the order does not hold them, an option's words aside."""
    every = (*request.items, *request.other_items)
    own = {item.product for item in every}
    options = _option_words(every)
    return {
        product
        for product in agenda.products - own
        if all(word in low for word in _words_of(product.casefold()))
        and _name_pattern(product.casefold()).search(low)
        and not set(product.casefold().split()) <= options
        and not any(product.casefold() in name.casefold() for name in own)
    }


def _names(low: str, item: Item, request: Request) -> bool:
    """Whether a text (in lower case) names an item, by its full name or by the noun that tells it from the rest."""
    name = item.product.casefold()
    if _name_pattern(name).search(low):
        return True
    every = {other.product.casefold() for other in (*request.items, *request.other_items)}
    short = _noun(name)
    values = _option_words((*request.items, *request.other_items))
    if short in values or short == name or sum(short in other.split() for other in every) > 1:
        return False
    return bool(_name_pattern(short).search(low))


def names_product(text: str, product: str) -> bool:
    """Whether a text (in lower case) names a product, in full or by its noun alone."""
    name = product.casefold()
    return any(_name_pattern(words.removesuffix("s")).search(text) for words in (name, _noun(name)))


def _noun(name: str) -> str:
    """The word of a product's name that calls it alone."""
    words = name.split()
    return words[0] if words[-1] in GENERIC_HEADS else words[-1]


def _option_words(items: Iterable[Item]) -> set[str]:
    values = [value for item in items for value in (*item.options.values(), *(item.new_options or {}).values())]
    return {word for value in values for word in value.casefold().split()}


@functools.lru_cache(maxsize=PATTERNS_KEPT)
def _words_of(name: str) -> tuple[str, ...]:
    return tuple(re.split(r"[\s-]+", name))


@functools.lru_cache(maxsize=PATTERNS_KEPT)
def _name_pattern(name: str) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)" + r"[\s-]*".join(re.escape(word) for word in _words_of(name)) + r"(?:e?s)?(?!\w)")


def _right_namesake(text: str, item: Item, request: Request) -> bool:
    """Whether, of several items of one name, the text does not describe only another than the wanted one."""
    for other in request.other_items:
        if other.product != item.product or other.options == item.options:
            continue
        telling = [name for name in item.options if item.options[name] != other.options.get(name)]
        own = any(_states(text, name, item.options[name]) for name in telling)
        alien = any(_states(text, name, other.options[name]) for name in telling if name in other.options)
        if alien and not own:
            return False
    return True


def _options(text: str, request: Request) -> bool | None:
    if request.kind not in (Kind.EXCHANGE, Kind.MODIFY_ITEMS):
        return None
    verdicts = [
        _option(text, _passage(text, item, request), name, item, _namesakes(item, request))
        for item in request.items
        for name in item.options
    ]
    if False in verdicts:
        return False
    return True if True in verdicts else None


def _namesakes(item: Item, request: Request) -> list[Item]:
    """The other items of a request that are of the same product."""
    return [other for other in request.items if other is not item and other.product == item.product]


def _option(text: str, passage: str, name: str, item: Item, namesakes: Sequence[Item]) -> bool | None:
    wanted = (item.new_options or item.options).get(name, "")
    if _gives_another(passage, name, item, namesakes):
        return False
    if _states(passage, name, wanted):
        return True if name in item.changes else None
    elsewhere = {value for key, value in (*item.options.items(), *(item.new_options or {}).items()) if key != name}
    elsewhere |= {value for other in namesakes for key, value in (other.new_options or {}).items() if key == name}
    others = [value for value in (item.choices or {}).get(name, ()) if value != wanted and value not in elsewhere]
    if any(_states(passage, name, value) for value in others):
        return False
    return True if name in item.changes and _states(text, name, wanted) else None


def _gives_another(text: str, name: str, item: Item, namesakes: Sequence[Item]) -> bool:
    """Whether another value than the wanted one stands right behind an option's name ("lens color brown").

    The value so far may stand there as well, of the item as it is, unless another option is to have the wanted value,
    whose mention then proves nothing.
    """
    new = item.new_options or item.options
    wanted = new.get(name, "")
    stated = _values_behind(text, name, item)
    if wanted in stated or {"no", "none"} & {wanted, *stated}:  # "color: no change"
        return False
    shared = any(value == wanted for other, value in new.items() if other != name)
    allowed = set() if shared else {item.options.get(name)}
    allowed |= {options.get(name) for other in namesakes for options in (other.options, other.new_options or {})}
    return bool(stated - allowed)


def _values_behind(text: str, name: str, item: Item) -> set[str]:
    """The values that stand right behind an option's name and are neither replaced nor one of a list."""
    choices = tuple(sorted((item.choices or {}).get(name, ()), key=len, reverse=True))
    longer = tuple(other for other in item.options if other.endswith(f" {name}"))
    return {choices[match.lastindex - 1] for match in _behind(name, choices, longer).finditer(text) if match.lastindex}


@functools.lru_cache(maxsize=PATTERNS_KEPT)
def _behind(name: str, choices: tuple[str, ...], longer: tuple[str, ...]) -> re.Pattern[str]:
    """A pattern of an option's name, not as the end of a longer one's, and one of its values, each in a group."""
    alone = "".join(rf"(?<!{re.escape(other.removesuffix(name))})" for other in longer)
    values = [_spaced(value) for value in choices]
    groups = "|".join(f"({value})" for value in values)
    more = rf"\W{{1,5}}(?:(?:to|into|or|and)\W+)?(?:{'|'.join(values)})\b"
    return re.compile(rf"\b{alone}{_spaced(name)}\W{{1,4}}(?:{groups})(?![\w%]|\.\d)(?!{more})", re.IGNORECASE)


@functools.lru_cache(maxsize=PATTERNS_KEPT)
def _spaced(words: str) -> str:
    """A pattern of some words, written with spaces, hyphens or neither, a unit apart from its number or not."""
    pattern = r"[\s-]*".join(re.escape(part) for part in re.split(r"[\s-]+", words))
    return re.sub(r"^(\d+)(?=[a-z])", r"\1\\s*", pattern)


def _passage(text: str, item: Item, request: Request) -> str:
    """The parts of a text that are about one item; the whole text where the request has only one."""
    products = {other.product for other in request.items}
    if len(products) == 1:
        return text
    starts = sorted(
        (match.start(), product)
        for product in products
        for match in _name_pattern(product.casefold()).finditer(text.casefold())
    )
    ends = [*(start for start, _ in starts), len(text)][1:]
    own = [text[start:end] for (start, product), end in zip(starts, ends, strict=True) if product == item.product]
    return " ".join(own) if own else text


def _states(text: str, name: str, value: str) -> bool:
    """Whether a text states an option's value; "yes", "no" and "none" only beside the option's name."""
    key = r"[\s-]*".join(re.escape(word) for word in re.split(r"[\s-]+", name))
    denied = rf"\b(?:no|not|non|without)[\s-]+(?:\w+ )?{key}|{key}\W{{1,4}}(?:no|none|false|not?)\b"
    if value in ("no", "none"):
        return bool(re.search(denied, text, re.IGNORECASE))
    if value == "yes":
        return bool(re.search(rf"\b{key}", text, re.IGNORECASE)) and not re.search(denied, text, re.IGNORECASE)
    if value in re.split(r"\W", name):  # "bagged/bagless bagged" says "bagless" in the option's name only
        text = re.sub(re.escape(name), "", text, flags=re.IGNORECASE)
    flags = 0 if len(value) <= 3 and value.isalpha() else re.IGNORECASE
    return bool(re.search(rf"(?<![\w.#-]){_spaced(value)}(?![\w%]|\.\d)", text, flags))


def _payment(text: str, request: Request, agenda: Agenda, others: Iterable[Request]) -> bool | None:
    if request.payment is None:
        return None
    allowed = {request.payment.id} | {other.payment.id for other in others if other.payment}
    if ids := payment_ids(text):
        return request.payment.id in ids and not other_payments(text, (request, *others))
    described = {method.id for method in agenda.payment_methods if _describes(text, method, agenda.payment_methods)}
    if re.search(r"\boriginal (?:method|payment|form)", text, re.IGNORECASE) and request.original_payment_id:
        described.add(request.original_payment_id)
    if not described:
        return False if any(re.search(word, text, re.IGNORECASE) for word in SOURCE_WORDS.values()) else None
    return bool(described & allowed)


def _describes(text: str, method: PaymentMethod, methods: Iterable[PaymentMethod]) -> bool:
    """Whether a text points at a payment method without its id."""
    digits = set(
        re.findall(r"(?:ending|ends|last four|last 4)\D{0,25}(\d{4})\b|[*x•]{2,}\s?(\d{4})\b", text, re.IGNORECASE)
    )
    endings = {ending for pair in digits for ending in pair if ending}
    if method.source == "credit_card":
        if endings:
            return method.last_four in endings
        brands = {
            other.brand for other in methods if other.brand and re.search(rf"\b{re.escape(other.brand)}\b", text, re.I)
        }
        if brands:
            return method.brand in brands
    return bool(re.search(SOURCE_WORDS[method.source], text, re.IGNORECASE))


def _reason(text: str, request: Request) -> bool | None:
    if request.reason is None:
        return None
    stated = {reason for reason, pattern in REASONS.items() if re.search(pattern, text, re.IGNORECASE)}
    if not stated:
        return None
    return request.reason in stated
