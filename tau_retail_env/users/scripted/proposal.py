"""What an agent's words propose besides what the customer wants: other orders, payment methods and kinds of action."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tau_retail_env.users.scripted.listening import ACTED, BULLET, SENTENCE_END
from tau_retail_env.users.scripted.request import PROSE, Kind, Request

ORDER_ID = re.compile(r"#?\bW\d{5,}\b", re.IGNORECASE)
PAYMENT_ID = re.compile(r"\b(?:credit_card|gift_card|paypal)_\d+\b", re.IGNORECASE)
CLAUSE_START = re.compile(
    r"(?<=[,;:.!?\n()–—])|(?= - )|(?=\b(?:but|instead of|rather than|as well as)\b)"
    r"|(?=\b(?:and|plus) (?:i|we|also|then|to)\b)|(?<!and )(?=\bthen\b)",
    re.IGNORECASE,
)
DENIED = re.compile(
    # "no longer needed" is a reason and "order no. W123" a number: neither denies anything.
    r"\b(?:not|never|without|neither|nor|instead of|rather than)\b(?! need)|n't\b(?! need)"
    r"|(?<!yes or )(?<!yes/)\bno\b(?! longer need|[.:]? ?#?W?\d)"
    r"|\b(?:remains?|stays?|keeps?|leave|unchanged|unaffected|untouched)\b"
    r"|\b(?:unless|in case|otherwise|should you|whether you|whenever|until|in (?:the )?future)\b"
    r"|\bif (?!(?:you (?:confirm|agree|approve|say|reply|are)|you(?:'d| would) like me to (?:proceed|go)"
    r"|this|that|it|everything|all|so|correct|yes)\b)",
    re.IGNORECASE,
)
"""A clause that denies something or makes it depend on something; so do the clauses behind it in its sentence."""
RESUMED = re.compile(r"\W*(?:but|and (?:also|then|i|we|to)|plus|then|just|only|as well as)\b", re.IGNORECASE)
"""The start of a clause that a denial before it does not reach."""
ACTION = re.compile(
    r"\b(?:cancel|return|refund|exchang|swap|chang|updat|modif|switch|replac|ship|sav|mak|set\b|add\b|pay\b)",
    re.IGNORECASE,
)
REPORTED = re.compile(
    rf"(?:\b(?:has|have|had|was|were|been|just)|'ve) (?:\w+ ){{0,3}}?{ACTED}\b|\b(?:already|previously|earlier)\b",
    re.IGNORECASE,
)
"""A clause about what is done."""
LISTED = re.compile(
    r"\byou (?:currently |also )?have\b(?! (?:asked|requested|chosen|told|said|confirmed))"
    r"|\bi (?:can )?(?:also )?(?:see|found|find)\b(?=[^.?!]*\borders\b)"
    r"|\b(?:orders|payment methods?) (?:\w+ ){0,3}(?:on file|available|are|include)\b|\bavailable payment"
    r"|\baddress\b[^.?!\n:]{0,40} (?:is|was)\b",
    re.IGNORECASE,
)
"""A sentence about what the customer has; with a colon at its end, so are the bullets under it."""
TAKEN_UP = re.compile(
    r"\b(?:both|all|each|every one)\b (?:of )?(?:these|those|them|orders)\b|\bthese (?:\w+ )?orders\b", re.I
)
"""Words that make of a list a proposal."""
NUMBERED = re.compile(r"^\s*\(?\d{1,2}[.)]\s", re.MULTILINE)
SOURCE = re.compile(
    r"\b(?:match\w*|same (?:\w+ )?as|used|stored|found)\b[^.?!\n]{0,40}#?W\d{5,}"
    r"|\baddress from [^.?!\n]{0,20}#?W\d{5,}",
    re.IGNORECASE,
)
"""An order that only lends its address or payment method."""
LEFT_TO_THE_CUSTOMER = re.compile(
    r"\byou(?:'ll| (?:will|can|may|might|could|must|should|need))\b|\b(?:can|may|could|must) (?:\w+ )?be\b"
    r"|\b(?:how to|instructions?|labels?|eligible|policy)\b",
    re.IGNORECASE,
)
"""A clause about what the customer may or must do."""


def _gap(most: int, *barred: str) -> str:
    """A pattern of a few words within a sentence, none of which begins like a barred one."""
    others = rf"(?!{'|'.join(barred)})" if barred else ""
    return rf"(?:[^\w.?!\n]+{others}\w+(?:['-]\w+)*){{0,{most}}}?[^\w.?!\n]+"


_CHANGE = (
    # "switch type" is an option of keyboards.
    r"\b(?:chang(?:e|ing)|updat(?:e|ing)|modify(?:ing)?|switch(?:ing)?(?! type)|redirect(?:ing)?|replac(?:e|ing))\b"
)
_WHOLE = r"(?:#?W\d{5,}|orders?|everything|rest|remaining|remainder)"
_GOODS = rf"(?:{_WHOLE}|all|both|others?|items?|products?|PRODUCT)"
_MONEY = ("amount", "money", "refund", "fund", "payment", "balance", "difference", "card", "paypal", "gift")
_NOT_MONEY = rf"(?!{_gap(2)}(?:{'|'.join(_MONEY)}))(?![^\w\n]*\$)"
_PROFILE = r"(?:default|profile|account)"


@dataclass(frozen=True, slots=True)
class Write:
    """A kind of action as an agent proposes it."""

    name: str
    """How the customer names it."""
    kinds: frozenset[Kind]
    """The kinds of request that it is part of."""
    pattern: str
    """Its words, in a text without asides; PRODUCT stands for the name of any product."""


ITEM_CHANGES = frozenset({Kind.EXCHANGE, Kind.MODIFY_ITEMS})
RETURNS = frozenset({Kind.RETURN})
WRITES = (
    Write(
        "a cancellation",
        frozenset({Kind.CANCEL}),
        # "noise-cancelling" is an option of headphones.
        rf"(?<!noise[ -])\bcancel(?:l?ing|lation)?\b"
        rf"{_gap(3, 'request', 'exchange', 'return', 'change', 'modif', 'update', 'process')}(?:{_GOODS}|it|them)\b"
        rf"|\b(?:{_WHOLE}|it)\b{_gap(3)}(?:will|to|gets?|and|then|also) (?:\w+ )?(?:be )?cancell?ed\b",
    ),
    Write(
        "a return",
        RETURNS | ITEM_CHANGES,  # of an exchange, the old items are returned
        rf"\b(?:return(?:ing)?|send(?:ing)? back)\b{_NOT_MONEY}{_gap(3)}{_GOODS}\b"
        rf"|\b{_GOODS}{_gap(3)}(?:will|to|gets?) (?:\w+ )?(?:be )?returned\b",
    ),
    Write("a return", RETURNS, rf"\breturn(?:ing)?{_gap(3, 'item', 'product', 'original', 'old')}{_WHOLE}\b"),
    Write(
        "an exchange",
        ITEM_CHANGES,
        rf"(?:\b(?:exchang|swap|upgrad)\w*|{_CHANGE}){_gap(3, 'payment', 'address', 'shipping', 'status', 'default')}"
        r"(?:items?|products?|everything|options?|variants?|PRODUCT)\b"
        rf"|\bexchang(?:e|ing)\b{_gap(2)}{_WHOLE}\b",
    ),
    Write(
        "another payment method",
        frozenset({Kind.PAYMENT, Kind.RETURN}) | ITEM_CHANGES,
        rf"{_CHANGE}{_gap(5, 'address')}payment\b|\bpayment(?: method)?[^\w.?!\n]+chang",
    ),
    Write(
        "another address",
        frozenset({Kind.ORDER_ADDRESS, Kind.DEFAULT_ADDRESS}),
        rf"{_CHANGE}{_gap(5, 'payment', 'email')}address(?:es)?\b",
    ),
    Write(
        "a new default address",
        frozenset({Kind.DEFAULT_ADDRESS}),
        rf"\b(?:(?:sav|us|stor)(?:e|ing)|set(?:ting)?|mark){_gap(4, *_MONEY)}as (?:(?:your|the|new) )*{_PROFILE}\b"
        rf"|\b(?:(?:sav|stor)(?:e|ing)|add(?:ing)?){_gap(4, *_MONEY)}(?:in|on|to) (?:your|the) {_PROFILE}\b"
        rf"|\bmak(?:e|ing){_gap(4)}(?:your|the|my|a) (?:new )?{_PROFILE}\b"
        rf"|{_CHANGE}{_gap(4, 'to', 'with', 'from')}{_PROFILE}\b"
        rf"|\b{_PROFILE} address (?:will|is|gets|to) (?:\w+ )?(?:be )?(?:updat|chang|set|replac)"
        rf"|(?:\b(?:and|also|plus)|[+&])(?: as)?(?: your| the)?(?: new)? {_PROFILE} address",
    ),
    Write(
        "the address of an order",
        frozenset(Kind) - {Kind.DEFAULT_ADDRESS},  # no other request is taken for one of all orders
        r"\b(?:for|of|on|in|to|and|also|redirect|reroute|ship|send|change|update) "
        r"(?:(?:all|both|each|every|of|the|your|any|other|current) )*"
        r"(?:pending|open|existing|active|unshipped) (?:\w+ )?orders?\b",
    ),
)


def order_ids(text: str) -> set[str]:
    """The order ids in a text, with their number sign."""
    return {f"#{match.lstrip('#').upper()}" for match in ORDER_ID.findall(text)}


def payment_ids(text: str) -> set[str]:
    """The ids of payment methods in a text."""
    return {match.casefold() for match in PAYMENT_ID.findall(text)}


def other_orders(text: str, requests: Iterable[Request]) -> set[str]:
    """The orders that a text wants to touch, beyond those of some requests."""
    if not ORDER_ID.search(text):
        return set()
    return order_ids(SOURCE.sub("", meant(text, actions=True))) - {request.order_id for request in requests}


def other_payments(text: str, requests: Iterable[Request]) -> set[str]:
    """The payment methods that a text wants to use, beyond those of some requests and of their orders so far."""
    if not PAYMENT_ID.search(text):
        return set()
    known = {request.original_payment_id for request in requests}
    known |= {request.payment.id for request in requests if request.payment}
    return payment_ids(meant(text, actions=False)) - known


def other_writes(text: str, requests: Sequence[Request], products: frozenset[str]) -> list[str]:
    """The kinds of action that a text proposes, beyond those of some requests, as the customer names them.

    Args:
        text: what the agent says.
        requests: what the text may be about.
        products: names of everything the shop sells.
    """
    kinds = {request.kind for request in requests}
    if kinds & PROSE:
        return []
    return list(dict.fromkeys(write.name for write in _writes(text, products) if not write.kinds & kinds))


@functools.lru_cache(maxsize=64)
def _writes(text: str, products: frozenset[str]) -> tuple[Write, ...]:
    """The kinds of action that a text proposes; it is held against one request after another."""
    proposed = meant(text, actions=True)
    return tuple(write for write in WRITES if _pattern(write.pattern, products).search(proposed))


@functools.lru_cache(maxsize=100)
def _pattern(pattern: str, products: frozenset[str]) -> re.Pattern[str]:
    names = "|".join(rf"{re.escape(name)}s?" for name in sorted(products)) or "product"
    return re.compile(pattern.replace("PRODUCT", f"(?:{names})"), re.IGNORECASE)


@functools.lru_cache(maxsize=64)
def meant(text: str, *, actions: bool) -> str:
    """A text without its asides: what is denied, conditional, done already, or a list of what the customer has.

    Args:
        text: what the agent says.
        actions: whether to leave out what the customer may or must do as well.
    """
    listing, kept = False, []
    taken_up = bool(TAKEN_UP.search(text))
    for sentence in SENTENCE_END.split(NUMBERED.sub("- ", text)):
        listing = listing and (bool(BULLET.match(sentence)) or not sentence.strip())
        if LISTED.search(sentence) and not taken_up:
            listing = sentence.rstrip(" *_").endswith(":")
        elif not listing:
            kept.append("".join(_clauses_meant(sentence, actions)))
    return "\n".join(kept)


def _clauses_meant(sentence: str, actions: bool) -> list[str]:
    """The clauses of a sentence that propose something; of "the lamp, the desk and the bed stay" none does."""
    denied, kept = False, list[str]()
    for clause in CLAUSE_START.split(sentence):
        denied = bool(DENIED.search(clause)) or (denied and not RESUMED.match(clause))
        if denied and not ACTION.search("".join(kept)):
            kept = []
        if not (denied or REPORTED.search(clause) or (actions and LEFT_TO_THE_CUSTOMER.search(clause))):
            kept.append(clause)
    return kept
