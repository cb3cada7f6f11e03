"""How the scripted customer understands an agent's text: what is asked, what is stated, what became of a request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

HEARD_CHARACTERS = 8_000
"""A longer message is heard from its beginning and its end, half of this each."""


class Fact(StrEnum):
    """A thing the agent can ask the customer for."""

    EMAIL = "email"
    NAME = "name"
    ZIP = "zip code"
    USER_ID = "user id"
    ORDER = "order id"
    REASON = "reason"
    PAYMENT = "payment method"
    ITEMS = "items"
    OPTIONS = "options"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class Heard:
    """What an agent's text means to the customer."""

    text: str
    """The text as far as it was heard."""
    asks: frozenset[Fact]
    """The facts it asks for."""
    confirmation: bool
    """Whether it asks the customer to confirm an action."""
    what_next: bool
    """Whether it asks what it can do, or whether there is anything else."""
    question: bool
    """Whether it asks anything at all."""
    done: bool
    """Whether it reports something done."""
    refused: bool
    """Whether it says that something cannot be done, or hands the customer over."""
    promised: bool
    """Whether it only says that something is about to be done."""


def _pattern(expression: str) -> re.Pattern[str]:
    return re.compile(expression, re.IGNORECASE)


SENTENCE_END = re.compile(r"(?<=[.!?])[\s*_\"')]+|\n+")
BULLET = re.compile(r"\s*(?:[-*•–]|\(?\d{1,2}[.)])\s")
REQUESTING = _pattern(
    r"\?|\b(?:please (?:\w+ ){0,2}(?:provide|share|give|tell|specify|send|enter|state|choose|select|list|indicate|include"
    r"|clarify|let me know|confirm|verify|say|type|supply)|(?:could|can|would|will) you|may i|i(?:'ll| will| would|'d)? "
    r"(?:also )?(?:still )?(?:need|require)|we need|let me know|provide|tell me|give me|share|specify|missing|required"
    r"|need (?:your|the)|what(?:'s| is| are)|which)\b"
)
CONFIRMING = _pattern(
    r"\byes ?(?:/|or) ?no\b|\bconfirm(?:ation)?\s*(?:\?|:|\(|$)|\b(?:do|can|could|would|will) you (?:please )?(?:\w+ )?confirm\b"
    r"|\bplease (?:\w+ )?(?:confirm|verify|review)\b|\b(?:is|are|does) (?:this|that|it|these|those|the|all|everything)\b"
    r"[^?]{0,200}\b(?:correct|right|ok|okay|accurate|good|fine|sound|look|acceptable|what you)\b|\b(?:shall|should|may|can|could) i "
    r"(?:now |then |please )?(?:proceed|go ahead|continue|process|submit|do|cancel|return|exchange|modify|change|update|place)\b"
    r"|\b(?:would|do) you (?:like|want) (?:me )?to (?:now |then )?(?:proceed|go ahead|continue|process|submit|do (?:this|that|it)"
    r"|confirm|cancel|return|exchange|modify|change|update|make)\b|\b(?:reply|respond|say|answer|type|enter|with) "
    r"(?:with )?[\"'“*]*yes\b|\bare you sure\b|\b(?:correct|right|ok|okay|proceed|agree|confirm) ?\?|\bready to (?:proceed|go ahead)\b"
    r"|\bawait(?:ing)? your confirmation\b|\bconfirm (?:that|if|whether|to proceed|by)\b|\bonce you confirm\b|\bif (?:this|that|everything) "
    r"(?:is|looks|sounds)\b"
)
WHAT_NEXT = _pattern(
    r"\b(?:any|some)(?:thing| thing) (?:else|more|further|i can)\b|\bany (?:other|further|more|additional)\b|\bwhat else\b|"
    r"\bhow (?:can|may|could|else|would) (?:i|we) (?:be of |further |else )?(?:help|assist|service)|"
    r"\bwhat (?:can|may|could|should) (?:i|we) (?:do|help)|\bwhat (?:would|do) you (?:like|want|need)(?: me)?(?: to do| help| assistance)?"
    r" ?(?:\?|$|today|with)|\bhow (?:would|do) you (?:like|want) to proceed\b|\bwhat (?:is|'s) your (?:request|issue|question)\b"
)
REFUSING = _pattern(
    r"\b(?:cannot|can ?not|can'?t|can’t|unable|not able|(?:not|isn't|isn’t) (?:be )?(?:possible|allowed|permitted|eligible|supported|valid)"
    r"|impossible|against (?:our |the |store )?polic(?:y|ies)|won'?t be able|won’t be able|couldn'?t|couldn’t|could not|did not work|fail(?:ed|s|ure)?"
    r"|not (?:currently )?available|unavailable|deny|denied|declined?|refused?|outside (?:of )?(?:my|the) (?:scope|capabilit)"
    r"|beyond (?:my|the) (?:scope|capabilit)|only (?:be )?(?:cancel|return|exchange|modif)\w+ (?:if|when))\b|\berror\b"
    r"|\b(?:being )?transferr?(?:ed|ing) (?:you |to )|\btransfer (?:you )?to (?:a |an )?(?:human|agent|colleague|live)|\bhuman agent\b"
)
DONE = _pattern(
    r"\b(?:done|all set|complete|completed|successful|successfully|taken care of|good to go)\b|\b(?:has|have|been|was|were|is|are|i've|i’ve|just|now)"
    r" (?:now |just |successfully |been |already ){0,3}(?:cancell?ed|returned|exchanged|modified|changed|updated|processed|submitted|initiated"
    r"|requested|placed|refunded|set up|switched|swapped|replaced|recorded|approved)\b|^\W*(?:cancell?ed|returned|exchanged|modified|changed|updated"
    r"|processed|submitted|refunded)\b"
)
NOT_YET = _pattern(
    r"\b(?:not|cannot|can'?t|unable|won'?t|will|would|can|could|may|once|before|after|if|when|until|to be|shall|should|must|ready)\b|n't\b"
)
PROMISING = _pattern(
    r"\b(?:i'll|i’ll|i will|i am going to|i'm going to|let me|one moment|just a moment|a moment|please wait|hold on|hang on|bear with|proceeding|processing"
    r"|looking (?:it|that|this|into|up)|checking|allow me|working on)\b"
)
MENTIONS: dict[Fact, re.Pattern[str]] = {
    Fact.EMAIL: _pattern(r"\be-?mail"),
    Fact.NAME: _pattern(
        r"\b(?:first|last|full|your|and|or|,) ?(?:and last )?(?:name|surname)s?\b|^\W*(?:\d\W+)?(?:full |first |last )?name\b|\bwho (?:are|am)\b"
    ),
    Fact.ZIP: _pattern(r"\b(?:zip|postal|post ?code)"),
    Fact.USER_ID: _pattern(r"\b(?:user|customer|account) ?(?:id|name|number)\b|\busername\b"),
    Fact.ORDER: _pattern(
        r"\border'?s? ?(?:\(s\) )?(?:id|number|no\b|#)|\b(?:which|what) (?:\w+ )?order|\border (?:would|do) you|\b(?:id|number) of (?:the|your) order"
        r"|\border\?"
    ),
    Fact.REASON: _pattern(r"\breasons?\b|\bwhy\b|\bno longer needed\b.{0,20}\bor\b|\bmistake\b.{0,20}\bor\b"),
    Fact.PAYMENT: _pattern(
        r"\bpayment\b|\b(?:which|what|another|other) (?:card|account)\b|\bhow (?:would|do|should|shall) .{0,40}\b(?:pay|refund)|\bwhere .{0,40}\brefund"
        r"|\brefund(?:ed)? to\b|\brefund method|\bpay(?:ing)? with\b|\b(?:gift card|credit card|paypal)\b.{0,60}\bor\b|\bpay(?:ing)? (?:for )?the (?:price )?difference"
    ),
    Fact.ITEMS: _pattern(
        r"(?<!new )(?<!replacement )\b(?:items?|products?)\b|\bentire order\b"
        r"|\bwhat (?:would|do) you (?:like|want) to (?:return|exchange|modify|change)\b"
    ),
    Fact.OPTIONS: _pattern(
        r"\b(?:options?|variants?|colou?rs?|sizes?|versions?|replacements?|new items?|new products?|specifications?|specs|features?|preferences?|prefer"
        r"|configurations?|styles?|materials?|desired)\b|\bexchange (?:it|them|the \w+(?: \w+)?) (?:for|to)\b|\bchange (?:it|them) to\b|\binstead\b|\bwhat .{0,40}\bfor\?"
    ),
    Fact.ADDRESS: re.compile(
        r"(?<!email )(?<!e-mail )\baddress\b|\b(?:street|city)\b|\bwhere (?:should|would|do|to)\b.{0,30}\b(?:ship|send|deliver)",
        re.IGNORECASE,
    ),
}
IDENTITY = _pattern(
    r"\b(?:verify|confirm|authenticate|establish) (?:\w+ )?(?:your )?(?:identity|account)\b|\bidentify you|\bidentity\b|\bwho (?:are you|am i)\b|\blocate your (?:account|profile)\b"
    r"|\bfind your (?:account|profile)\b"
)
VALUES = re.compile(
    r"#?W\d{5,}|(?:credit_card|gift_card|paypal)_\d+|[\w.+-]+@[\w-]+\.\w+|\b\d{5}\b|\b(?:no longer needed|ordered by mistake)\b(?! or)",
    re.I,
)


def listen(text: str) -> Heard:
    """Understand an agent's text.

    Args:
        text: any text, of any length; time grows with at most its first `HEARD_CHARACTERS`.
    """
    half = HEARD_CHARACTERS // 2
    if len(text) > HEARD_CHARACTERS:
        text = f"{text[:half]}\n{text[-half:]}"
    text = text.replace("’", "'").strip()
    sentences = [part for part in SENTENCE_END.split(text) if part.strip()]
    confirmation = any(_confirms(sentence) for sentence in sentences)
    asks = _asks(sentences)
    what_next = any(WHAT_NEXT.search(sentence) and REQUESTING.search(sentence) for sentence in sentences)
    return Heard(
        text=text,
        asks=asks,
        confirmation=confirmation,
        what_next=what_next,
        question="?" in text or bool(asks) or confirmation,
        done=any(_reports_done(sentence) for sentence in sentences),
        refused=any(REFUSING.search(sentence) for sentence in sentences),
        promised=any(PROMISING.search(sentence) for sentence in sentences),
    )


def _confirms(sentence: str) -> bool:
    """Whether a sentence asks to confirm an action, not a fact such as the email."""
    if not CONFIRMING.search(sentence):
        return False
    if WHAT_NEXT.search(sentence) and not re.search(r"\byes\b|\bproceed\b|\bgo ahead\b", sentence, re.IGNORECASE):
        return False
    return not (_asks_to_confirm_fact(sentence) or _asks_to_choose(sentence))


def _asks_to_confirm_fact(sentence: str) -> bool:
    """ "Could you confirm your email?", without a value that could be confirmed."""
    asked = re.search(
        r"\b(?:confirm|verify) (?:me )?(?:with )?(?:your|the|which|what) (?:\w+ ){0,3}(?:e-?mail|name|zip|identity|account|order (?:id|number)|order\b"
        r"|reason|payment|items?|address)",
        sentence,
        re.IGNORECASE,
    )
    return (
        bool(asked)
        and not VALUES.search(sentence)
        and not re.search(r"\byes\b|details|following|above", sentence, re.I)
    )


def _asks_to_choose(sentence: str) -> bool:
    """ "Do you want to return all items or only some?"."""
    return bool(
        re.search(r"\b(?:which|what|how would|where)\b", sentence, re.IGNORECASE)
        and not re.search(r"\byes\b|\bproceed\b|\bcorrect\b", sentence, re.IGNORECASE)
    ) or bool(re.search(r"\ball\b.{0,40}\bor\b.{0,20}\b(?:some|specific|certain|only|just)\b", sentence, re.IGNORECASE))


def _asks(sentences: list[str]) -> frozenset[Fact]:
    """The facts asked for, in questions, in polite commands and in the lists that follow them."""
    found: set[Fact] = set()
    listing = False
    for sentence in sentences:
        bullet = bool(BULLET.match(sentence))
        requesting = bool(REQUESTING.search(sentence)) and not _confirms(sentence)
        if requesting and not (WHAT_NEXT.search(sentence) and "?" in sentence):
            found |= _mentioned(sentence)
            listing = sentence.rstrip(" *_").endswith((":", "following")) or (listing and bullet)
        elif listing and bullet:
            if not VALUES.search(sentence):
                found |= _mentioned(sentence)
        elif not bullet:
            listing = False
    return frozenset(found)


def _mentioned(sentence: str) -> set[Fact]:
    found = {fact for fact, pattern in MENTIONS.items() if pattern.search(sentence)}
    if IDENTITY.search(sentence) and not found & {Fact.EMAIL, Fact.NAME, Fact.ZIP, Fact.USER_ID}:
        found |= {Fact.EMAIL, Fact.NAME, Fact.ZIP}
    return found


def _reports_done(sentence: str) -> bool:
    if "?" in sentence and not re.search(r"\b(?:done|successfully)\b", sentence, re.IGNORECASE):
        return False
    match = DONE.search(sentence)
    return bool(match) and not NOT_YET.search(sentence[: match.start()] if match else "")
