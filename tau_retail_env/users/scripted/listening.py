"""How the scripted customer understands an agent's text: what is asked, what is stated, what became of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

HEARD_CHARACTERS = 8_000
"""A longer message is heard from its beginning and its end, half of this each."""


class Fact(StrEnum):
    """A thing the agent can ask the customer for; the customer gives several in this order."""

    EMAIL = "email"
    NAME = "name"
    ZIP = "zip code"
    USER_ID = "user id"
    ORDER = "order id"
    ITEMS = "items"
    OPTIONS = "options"
    PAYMENT = "payment method"
    REASON = "reason"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class Heard:
    """What an agent's text means to the customer."""

    text: str
    """The text as far as it was heard."""
    plan: str
    """The text without the clauses that say what cannot be done."""
    asks: frozenset[Fact]
    """The facts it asks for."""
    confirmation: bool
    """Whether it asks the customer to confirm an action."""
    what_next: bool
    """Whether it asks what it can do, or whether there is anything else."""
    question: bool
    """Whether it asks anything at all."""
    report: str
    """Its sentences that report something done, each as far as it promises nothing."""
    refused: bool
    """Whether it says that something cannot be done, or hands the customer over."""
    unavailable: bool
    """Whether it says that something is not in stock or does not exist."""
    promised: bool
    """Whether it only says that something is about to be done."""
    transferred: bool
    """Whether it says that the customer is being handed over."""
    offers_transfer: bool
    """Whether it asks if it shall hand the customer over."""

    @property
    def done(self) -> bool:
        """Whether it reports something done."""
        return bool(self.report)


def _words(*alternatives: str) -> re.Pattern[str]:
    """A pattern of alternatives that begin and end at word boundaries."""
    return re.compile(rf"\b(?:{'|'.join(alternatives)})\b", re.IGNORECASE)


def _either(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_ACT = (
    r"(?:now |then |please )?"
    r"(?:proceed|go ahead|continue|process|submit|do|cancel|return|exchange|modify|change|update)"
)
ACTED = (
    r"(?:cancell?ed|returned|exchanged|modified|changed|updated|processed|submitted|initiated|refunded|switched|swapped"
    r"|replaced|recorded|approved)"
)

SENTENCE_END = re.compile(r"(?<=[.!?])[\s*_\"')]+|\n+")
CLAUSE_START = re.compile(r"(?<=[,;.!?\n])|(?=\b(?:but|instead of)\b)", re.IGNORECASE)
BULLET = re.compile(r"\s*(?:[-*•–]|\(?\d{1,2}[.)])\s")
VALUES = re.compile(
    r"#?W\d{5,}|(?:credit_card|gift_card|paypal)_\d+|[\w.+-]+@[\w-]+\.\w+|\b\d{5}\b"
    # Both with "or" between them are a question, one of them a value.
    r"|\b(?:no longer needed|ordered by mistake)\b(?! or)",
    re.IGNORECASE,
)
REQUESTING = _either(
    r"\bplease (?:\w+ ){0,2}(?:provide|share|give|tell|specify|send|enter|state|choose|select|list|indicate|include"
    r"|clarify|confirm|verify|say|type|supply)\b",
    r"\b(?:could|can|would|will) you\b",
    r"\bmay i\b",
    r"\b(?:i|we)(?:'ll| will| would|'d)? (?:also |still |just ){0,2}(?:need|require)\b",
    r"\b(?:provide|share|specify|tell me|give me|let me know|missing|required|which|what(?:'s| is| are)?)\b",
)
CONFIRMING = _either(
    r"\byes ?(?:/|or) ?no\b",
    r"\bconfirm(?:ation)?\W*(?:\?|:|\(|$)",
    r"\b(?:do|can|could|would|will) you (?:please )?(?:\w+ )?confirm\b",
    r"\bplease (?:\w+ )?(?:confirm|verify|review)\b",
    r"\bconfirm (?:that|if|whether|to proceed|by|below)\b",
    r"\b(?:once|when|if) you confirm\b",
    r"\bawait(?:ing)? your (?:confirmation|approval)\b",
    r"\b(?:is|are|does|do) (?:this|that|it|these|those|the|all|everything)\b[^?]{0,200}"
    r"\b(?:correct|right|ok|okay|accurate|good|fine|sound|look|acceptable|what you)\b",
    rf"\b(?:shall|should|may|can|could) i {_ACT}\b",
    rf"\b(?:would|do) you (?:like|want) (?:me |us )?to {_ACT}\b",
    r"\b(?:reply|respond|say|answer|type|enter|with)(?: with)? ?[\"'“*]*yes\b",
    r"\bare you sure\b",
    r"\b(?:correct|right|ok|okay|proceed|agree|confirm) ?\?",
    r"\bready to (?:proceed|go ahead)\b",
)
CONFIRMING_A_FACT = _either(
    r"\b(?:confirm|verify) (?:me )?(?:with )?(?:your|the|which|what) (?:\w+ ){0,3}(?:e-?mail|name|zip|identity|account"
    r"|order (?:id|number)|order\b|reason|payment|items?|address)",
)
CHOOSING = _either(
    r"\ball\b.{0,40}\bor\b.{0,20}\b(?:some|specific|certain|only|just)\b",
)
WHAT_NEXT = _either(
    r"\b(?:any|some) ?thing (?:else|more|further|i can)\b",
    r"\bany (?:other|further|more|additional)\b",
    r"\bwhat else\b",
    r"\bhow (?:can|may|could|else|would) (?:i|we) (?:be of |further |else )?(?:help|assist|service)",
    r"\bwhat (?:can|may|could|should) (?:i|we) (?:do|help)",
    r"\bwhat (?:would|do) you (?:like|want|need)(?: me)?(?: to do| help| assistance)? ?(?:\?|$|today|with)",
    r"\bhow (?:would|do) you (?:like|want) to proceed\b",
    r"\bwhat (?:is|'s) your (?:request|issue|question)\b",
    r"\b(?:more|some) (?:details|information|specifics)\b|\btell me more\b",
)
REFUSING = _either(
    r"\b(?:can ?not|can'?t|unable|not able|impossible|won'?t be able|could(?:n't| not)|fail(?:ed|s|ure)?)\b",
    r"\b(?:not|isn't|aren't) (?:currently |be )?(?:possible|allowed|permitted|eligible|supported|valid|available)\b",
    r"\b(?:unavailable|deny|denied|decline[sd]?|refuse[sd]?|did not work|error)\b",
    r"\bagainst (?:our |the |store )?polic(?:y|ies)\b",
    r"\b(?:outside|beyond) (?:of )?(?:my|the) (?:scope|capabilit)",
    r"\bonly (?:be )?(?:cancel|return|exchange|modif)\w+ (?:if|when)\b",
    r"\btransferr(?:ed|ing)\b|\btransfer (?:you )?to (?:a |an )?(?:human|agent|colleague|live)",
    r"\bhuman agent\b",
)
UNDONE = _either(
    # Not "I won't do this until you confirm" and "none of this can be undone".
    r"\b(?:i|we)(?: (?:will|wo|shall|am|are|do|would)|'ll|'m|'re)?(?: not|n't| never) (?:going to |actually )?"
    r"(?:do|make|carry out|perform)\b(?![^.?!]*\b(?:until|unless|without|before|if)\b)",
    r"\b(?:none|nothing) of (?:this|that|it|these|them|what you \w+)\b"
    r"(?: (?:will|shall|is going to)\b|\W+(?:happens|takes place|gets))"
    r"(?! (?:be )?(?:undone|reversed|reverted|affect))",
    r"\b(?:i|we)(?:'ll| will)? (?:\w+ )?(?:refuse|decline) to (?:do|make|carry|perform|the|this|that|any)\b",
    r"\bthe (?:exact )?opposite\b|\b(?:i|we)(?:'ll| will) ignore (?:all|any|this|that|it|your)\b",
)
"""What takes back the whole of a summary."""
UNAVAILABLE = _either(
    r"\b(?:no|none|nothing)\b[^.?!\n]{0,100}\b(?:available|in stock|exists?|options?)\b",
    r"\b(?:out of stock|sold out|no longer (?:available|sold))\b",
    r"\b(?:do|does|did)(?:n't| not) (?:currently |actually )?"
    r"(?:have|offer|sell|carry|exist|come|see|allow|support|permit)\b",
    r"\b(?:isn't|aren't|is not|are not) (?:\w+ ){0,3}(?:available|in stock)\b",
    # "It must go back to the original card" says that what the customer wants is not available.
    r"\b(?:must|has to|have to|only) (?:be )?(?:go|use|refund\w*|return\w*|cancel\w*|exchang\w*|modif\w*|paid)\b",
)
NOT_IDENTIFIED = _either(
    r"(?:\b(?:no|not|unable|cannot)\b|n't\b)[^.?!\n]{0,25}\b(?:find|found|locate|match\w*|verif\w+|identif\w+)\b"
    r"[^.?!\n]{0,40}\b(?:accounts?|profile|users?|you|identity|customer)\b",
    r"\b(?:account|profile|user|customer)\b[^.?!\n]{0,30}(?:\bnot|n't) (?:be )?(?:found|exist)",
)
TRANSFERRED = _either(
    r"\byou (?:are|have|will) (?:now )?(?:be )?(?:being |been )?transferred\b",
    r"\byou(?:'re|'ve|'ll be) (?:now )?(?:being |been )?transferred\b",
    r"\b(?:i(?:'m| am)|we(?:'re| are)) (?:now )?transferring\b",
    r"\b(?:i(?:'ve| have)|we(?:'ve| have)) (?:now |just )?transferred\b",
)
HANDING_OVER = _either(r"\btransfer|\bhuman\b|\bcolleague|\bsupervisor|\bspecialist|\bhand you over|\bconnect you")
DONE = _either(
    r"\b(?:done|all set|completed?|success(?:ful(?:ly)?)?|taken care of|good to go)\b",
    rf"\b(?:has|have|been|was|were|i've|just|now) (?:now |just |successfully |been |already ){{0,3}}{ACTED}\b",
    r"\b(?:is|are) (?:now |already )?(?:cancell?ed|updated|changed|modified)\b",
    rf"^\W*{ACTED}\b",
)
NOT_YET = _either(
    r"\b(?:not|cannot|can'?t|unable|won'?t|will|would|can|could|may|once|before|after|if|when|until|to be|shall|should"
    r"|must|ready)\b|n't\b",
)
PROMISING = _words(
    r"i'll|i will|i(?: am|'m) going to|let me|allow me",
    r"(?:one|just a|a) moment|please wait|hold on|hang on|bear with",
    r"before (?:i |we )?(?:proceed|go|do)|proceeding|processing|checking|working on|looking (?:it|that|this|into|up)",
)
IDENTITY = _either(
    r"\bidentity\b|\bidentify you|\bwho (?:are you|am i)\b",
    r"\b(?:verify|confirm|authenticate|locate|find|access|look up) (?:your |the )?(?:account|profile)\b",
)
MENTIONS: Mapping[Fact, re.Pattern[str]] = {
    Fact.EMAIL: _either(r"\be-?mail"),
    Fact.NAME: _either(
        r"\b(?:first|last|full|your) (?:and last )?(?:name|surname)s?\b",
        r"(?:\band|\bor|,) (?:name|surname)\b",
        r"\bname (?:and|\+|&|plus|with) (?:your )?zip",
        # A line of a list, "1. Full name"; but "name of the product" is another thing.
        r"^\W*(?:\d\W+)?(?:\w+ )?name\b(?! of)",
        r"\bwho (?:are you|am i)\b",
    ),
    Fact.ZIP: _either(r"\b(?:zip|postal|post ?code)"),
    Fact.USER_ID: _words(r"(?:user|customer|account) ?(?:id|name|number)|username"),
    Fact.ORDER: _either(
        r"\border(?:'s|s|\(s\))? ?(?:id|number|no\b|#(?!W?\d))",
        r"\b(?:which|what) (?:\w+ )?order",
        r"\border (?:would|do) you",
        r"\b(?:id|number) of (?:the|your) order",
        r"\border\?",
        r"\bwhich (?:one|of (?:these|them|those|your))\b",
    ),
    Fact.ITEMS: _either(
        # "the new item" asks for an option, not for an item of the order.
        r"(?<!new )(?<!replacement )\b(?:items?|products?)\b(?! id)",
        r"\bentire order\b",
        r"\bwhich (?:one|of (?:these|them|those|the))\b",
        r"\bwhat (?:would|do) you (?:like|want) to (?:return|exchange|modify|change)\b",
    ),
    Fact.OPTIONS: _either(
        r"\b(?:options?|variants?|colou?rs?|sizes?|versions?|replacements?|new items?|new products?|desired)\b",
        r"\b(?:specifications?|specs|features?|preferences?|prefer|configurations?|styles?|materials?|instead)\b",
        r"\b(?:exchange|change|swap|modify) (?:it|them|this|the \w+(?: \w+)?) (?:for|to|into)\b",
        r"\bwhat .{0,40}\bfor\?",
    ),
    Fact.PAYMENT: _either(
        r"\bpayment\b",
        r"\b(?:which|what|another|other) (?:card|account)\b",
        r"\b(?:how|where) .{0,40}\b(?:pay|refund)",
        r"\brefund(?:ed)? (?:to|method)\b|\bpay(?:ing)? (?:with|for the|the)\b",
        r"\b(?:gift card|credit card|paypal)\b.{0,60}\bor\b",
        r"\buse (?:your |the |a |another )?(?:\w+ )?(?:card|paypal)\b",
    ),
    Fact.REASON: _either(
        r"\breasons?\b|\bwhy\b",
        r"\bno longer needed\b.{0,20}\bor\b|\bmistake\b.{0,20}\bor\b",
    ),
    Fact.ADDRESS: _either(
        # "email address" asks for the email.
        r"(?<!email )(?<!e-mail )\baddress\b",
        r"\b(?:street|city)\b",
        r"\bwhere (?:should|would|do|to)\b.{0,30}\b(?:ship|send|deliver)",
    ),
}


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
    if not asks and any(NOT_IDENTIFIED.search(sentence) for sentence in sentences):
        asks = frozenset({Fact.EMAIL, Fact.NAME, Fact.ZIP})
    what_next = any(_asks_what_next(sentence) for sentence in sentences)
    return Heard(
        text=text,
        plan="".join(
            clause for clause in CLAUSE_START.split(text) if UNDONE.search(clause) or not REFUSING.search(clause)
        ),
        asks=asks,
        confirmation=confirmation,
        what_next=what_next,
        question="?" in text or bool(asks) or confirmation,
        report=" ".join(_before_a_promise(sentence) for sentence in sentences if _reports_done(sentence)),
        refused=any(REFUSING.search(sentence) for sentence in sentences),
        unavailable=any(UNAVAILABLE.search(sentence) for sentence in sentences),
        promised=any(PROMISING.search(sentence) for sentence in sentences),
        transferred=any("?" not in sentence and TRANSFERRED.search(sentence) for sentence in sentences),
        offers_transfer=any("?" in sentence and HANDING_OVER.search(sentence) for sentence in sentences),
    )


def _confirms(sentence: str) -> bool:
    """Whether a sentence asks to confirm an action, not a fact such as the email."""
    if not CONFIRMING.search(sentence):
        return False
    if WHAT_NEXT.search(sentence) and not re.search(r"\byes\b|\bproceed\b|\bgo ahead\b", sentence, re.IGNORECASE):
        return False
    return not (_asks_to_confirm_fact(sentence) or _asks_to_choose(sentence))


def _asks_to_confirm_fact(sentence: str) -> bool:
    """Whether it is "Could you confirm your email?", without a value that could be confirmed."""
    if VALUES.search(sentence) or re.search(r"\byes\b|details|following|above", sentence, re.IGNORECASE):
        return False
    return bool(CONFIRMING_A_FACT.search(sentence))


def _asks_what_next(sentence: str) -> bool:
    return bool(WHAT_NEXT.search(sentence)) and ("?" in sentence or bool(REQUESTING.search(sentence)))


def _asks_to_choose(sentence: str) -> bool:
    """Whether it is "Which of these?" or "Do you want to return all items or only some?"."""
    if CHOOSING.search(sentence):
        return True
    if re.search(r"\b(?:yes|proceed)\b|\b(?:correct|right) ?\?", sentence, re.IGNORECASE):
        return False
    return bool(re.search(r"\b(?:which|what|why|how would|where)\b", sentence, re.IGNORECASE))


def _asks(sentences: list[str]) -> frozenset[Fact]:
    """The facts asked for, in questions, in polite commands and in the lists that follow them."""
    found: set[Fact] = set()
    listing = False
    for sentence in sentences:
        bullet = bool(BULLET.match(sentence))
        if _requests(sentence):
            found |= _mentioned(sentence)
            listing = sentence.rstrip(" *_").endswith((":", "following")) or (listing and bullet)
        elif listing and bullet:
            if not VALUES.search(sentence):
                found |= _mentioned(sentence)
        elif not bullet:
            listing = False
    return frozenset(found)


def _requests(sentence: str) -> bool:
    """Whether a sentence asks for something to be told; "Cancel #W123?" does not, "#W123 or #W456?" does."""
    if _confirms(sentence):
        return False
    if "?" not in sentence:
        return bool(REQUESTING.search(sentence))
    if WHAT_NEXT.search(sentence):
        return False
    if VALUES.search(sentence) and not re.search(r"\bor\b", sentence):
        return bool(REQUESTING.search(sentence))
    return True


def _mentioned(sentence: str) -> set[Fact]:
    found = {fact for fact, pattern in MENTIONS.items() if pattern.search(sentence)}
    if IDENTITY.search(sentence) and not found & {Fact.EMAIL, Fact.NAME, Fact.ZIP, Fact.USER_ID}:
        found |= {Fact.EMAIL, Fact.NAME, Fact.ZIP}
    # "One of these options: email, or name and zip" names no option of a product.
    if found & {Fact.EMAIL, Fact.NAME}:
        return found - {Fact.OPTIONS}
    # The zip code is part of the address here, and identifies nobody.
    return found - {Fact.ZIP} if Fact.ADDRESS in found else found


def _reports_done(sentence: str) -> bool:
    if "?" in sentence and not re.search(r"\b(?:done|successfully)\b", sentence, re.IGNORECASE):
        return False
    match = DONE.search(sentence)
    # "Once it is cancelled": what stands before the word decides.
    return bool(match) and not NOT_YET.search(sentence[: match.start()] if match else "")


def _before_a_promise(sentence: str) -> str:
    """ "#W1 is cancelled, and now I will cancel #W2" reports the first alone."""
    promise = PROMISING.search(sentence)
    before = sentence[: promise.start()] if promise else sentence
    return before if _reports_done(before) else sentence
