"""What is taken for a yes: the scripted customer's, and that of a customer who speaks freely."""

from __future__ import annotations

import re

YES = re.compile(r"\b(?:yes|yeah|yep|sure|correct|confirm|go ahead|right|ok|okay)\b", re.IGNORECASE)
NO = re.compile(r"\b(?:no|not|isn't|wrong|wait|stop)\b(?! longer)", re.IGNORECASE)
FIRST_SENTENCE = re.compile(r"(?<=[.!?])\s")
CONSENT = re.compile(
    r"\b(?:yes|yeah|yep|yup|sure|ok(?:ay)?|correct|right|confirm(?:ed)?|absolutely|certainly|definitely|of course"
    r"|exactly|perfect|great|agreed?|approved?|please do|do it|do that|(?:go|move) (?:ahead|for it)|proceed"
    r"|(?:sounds|looks|is|that's|all|seems) (?:good|great|fine|perfect)|works for me)\b",
    re.IGNORECASE,
)
REFUSAL = re.compile(
    r"\b(?:no|nope|not|never|cannot|wrong|incorrect|wait|hold on|stop|instead|rather|actually|except|different"
    r"|but first|change my mind|changed my mind)\b|n't\b|n’t\b|\?",
    re.IGNORECASE,
)
NO_REFUSAL = re.compile(
    r"\bno(?:t a)? (?:problem|rush|worries|issues?|longer|need|questions?|concerns?|changes)\b|\bnot? at all\b",
    re.IGNORECASE,
)
"""Words that only look like a refusal."""


def is_yes(answer: str) -> bool:
    """Whether an answer to "shall I?" begins with a plain yes, whatever follows, or consents in other words."""
    first_words = FIRST_SENTENCE.split(answer, maxsplit=1)[0]
    return bool(YES.search(first_words) and not NO.search(first_words)) or consents(answer)


def consents(answer: str) -> bool:
    """Whether an answer to "shall I?" agrees somewhere, and neither refuses, corrects nor asks anything.

    "Absolutely, please do." agrees; "Sounds good, but wait" does not.
    """
    return bool(CONSENT.search(answer)) and not REFUSAL.search(NO_REFUSAL.sub("", answer))
