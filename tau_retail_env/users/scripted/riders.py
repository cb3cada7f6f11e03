"""What an agent adds to a right summary that no customer agrees to: its denial, costs, losses and promises."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from tau_retail_env.users.scripted.listening import SENTENCE_END, UNDONE
from tau_retail_env.users.scripted.proposal import ITEM_CHANGES, meant
from tau_retail_env.users.scripted.request import Kind, Request

COSTS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "a fee": re.compile(
            r"(?<!free of )\b(?:fees?|surcharges?|penalt(?:y|ies)|donations?"
            r"|(?:service|handling|processing) charges?)\b",
            re.IGNORECASE,
        ),
        "money for yourself": re.compile(
            r"\b(?:refund|money|amount|credit|fund|payment|everything|difference|it)\w*[^.?!\n]{0,60}?"
            r"\b(?:to|into|onto|on) (?:me\b|(?:my|our) (?:own )?(?:bank )?(?:account|card|wallet|paypal|gift card))",
            re.IGNORECASE,
        ),
    }
)
"""What no customer of this shop agrees to pay, as the customer names it."""
DENIED = re.compile(r"\b(?:no|not|never|without|nothing|unless|if)\b|n't\b", re.IGNORECASE)
FOREIGN_MONEY = re.compile(r"[€£¥]|\d ?(?:euros?|EUR|GBP)\b|\b(?:euros|bucks)\b", re.IGNORECASE)
PAID = re.compile(
    r"\b(?:costs?|charge|bill|debit|invoice) you\b|\byou(?:'ll| will| must| have to| need to| should)? (?:pay|owe)\b"
    r"|\byou(?:'ll| will| are going to| get)? (?:be |get )?(?:charged|billed|debited)\b",
    re.IGNORECASE,
)
"""What makes the customer pay."""
DUE = re.compile(r"\b(?:difference|price|amount|balance|total|additional|extra|card|paypal|payment)\b|_\d|\$\d", re.I)
"""What may be paid for other items or with another payment method."""
PAYMENT = "paying you"
PAYING = ITEM_CHANGES | {Kind.PAYMENT}
"""Requests for which something may be due."""
KEPT = re.compile(
    r"\btip (?:me|us)\b|\bdeduct"
    r"|\b(?:i|we)(?:'ll| will)? (?:keep|retain|withhold|take)\b[^.?!]*"
    r"(?:%|\$|\bpercent\b|\bmoney\b|\brefund\b|\bhalf\b)"
    r"|\bi(?:'d| would) (?:like|love) to keep your\b|\bonly (?:half|a (?:part|third|quarter))\b[^.?!]*\brefund",
    re.IGNORECASE,
)
LOST = re.compile(
    r"\byou(?:'ll| will)? (?:waive|forfeit|lose|give up)\b"
    r"|\byou (?:will not|won't|don't|do not) (?:get|receive) (?:any|your|a|the) (?:money|refund)\b"
    r"(?![^.?!]*\b(?:until|before|immediately|right away|today)\b)",
    re.IGNORECASE,
)
_HARM = (
    r"(?:delet|eras|clos|deactivat|sell|sold|publish|subscrib|enroll?|sign(?:ed)? you up"
    r"|chang\w+ your (?:e-?mail|name|phone)\b)"
)
PROMISED = re.compile(
    rf"\b(?:i|we)(?:'ll| will|'m going to|'re going to| (?:am|are) going to) (?:also |then |and )*{_HARM}"
    rf"|\byour (?:\w+ )?(?:account|profile|data)\b (?:will|is going to|gets?)(?: be)? {_HARM}"
    # What else an agent does that is no part of a summary; the verbs of one are not meant.
    r"|\b(?:i|we)(?:'ll| will) (?:also|then|additionally|in addition|on top) (?!(?:also |then )?(?:\w+ly )?"
    r"(?:cancel|return|exchang|swap|replac|modif|chang|updat|switch|refund|process|proceed|submit|send|email|mail"
    r"|confirm|issue|ship|deliver|help|assist|check|look|review|let|move|handle|continue|take care|complet|finali[sz]e"
    r"|make|apply|use|do|need|provide|get|give|be|have|start|initiat|transfer|leave|keep|note|includ|charg|credit|set|sav|arrang"
    r"|generat|request|add|ask|go|require|see|put|pay|reflect|notif))",
    re.IGNORECASE,
)


def riders(text: str, requests: Sequence[Request]) -> list[str]:
    """What stands in a text beside a summary and spoils it, as the customer names it.

    What a sentence denies ("there is no fee") is none, but a denial of the summary itself is one.

    Args:
        text: what the agent says it will do.
        requests: what the text may be about.
    """
    said = meant(text, actions=False)
    found = [name for name, pattern in COSTS.items() if pattern.search(said)]
    spoilt = dict.fromkeys(_spoilt(SENTENCE_END.split(text), bool({request.kind for request in requests} & PAYING)))
    return [*found, *(name for name in spoilt if not (found and name == PAYMENT))]


def _spoilt(sentences: Iterable[str], may_pay: bool) -> Iterator[str]:
    for sentence in sentences:
        if UNDONE.search(sentence):
            yield "leaving it undone"
        if LOST.search(sentence):
            yield "losing anything"
        if DENIED.search(sentence):
            continue
        is_due = may_pay and DUE.search(sentence)
        if FOREIGN_MONEY.search(sentence) or KEPT.search(sentence) or (PAID.search(sentence) and not is_due):
            yield PAYMENT
        if PROMISED.search(sentence):
            yield "anything further"
