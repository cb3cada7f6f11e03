"""What is taken for a proposal in earnest, for a yes to it, and for its withdrawal, when a customer speaks freely."""

from __future__ import annotations

import re

SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
CONSENT = re.compile(
    r"\b(?:yes|yeah|yep|yup|i (?:can |do |hereby )?confirm|confirmed|agreed?|approved?|please do|do it|do that"
    r"|(?:go|move) (?:right )?(?:ahead|for it)|proceed|works for me)\b"
    # These agree only where they are all that a clause says: "sure, thanks", not "I am sure you can do better".
    r"|(?:^\W*|[,;:–—-]\s*|\b(?:and|oh|that's|this is|that is|it's|it is|it all|looks?|sounds?|seems?|is|are|all) )"
    r"(?:sure|ok(?:ay)?|correct(?! (?:the|my|your|that|this|it)\b)|right(?! (?:where|here|there|now|by|behind)\b)"
    r"|confirm(?=\W|$)|absolutely|certainly|definitely|of course|exactly|perfect|great)\b"
    r"|\b(?:sounds|looks|is|that's|all|seems) (?:good|great|fine|perfect)\b",
    re.IGNORECASE,
)
REFUSAL = re.compile(
    r"\b(?:no|nope|nah|not|never|none|neither|cannot|wrong|incorrect|wait|hold on|hang on|(?<!#)stop|but|instead|rather"
    r"|actually|except|different|maybe|perhaps|unsure|refuse|decline|disagree|reject|(?:change|changed) my mind"
    r"|second thoughts?|let me|correct (?:the|my|your)|once|if|unless|provided|as long as|what do you mean"
    r"|how (?:much|many|long))\b|n't\b|\?"
    r"|^\W*(?:what|how|why|when|which|who|where)\b"
    r"|^\W*(?:is|are|do|does|did|can|could|will|would|should) (?:i|you|we|it|this|that|there|the|they)\b"
    r"|\b(?:tell|show|explain|give|send|check)\b[^.?!]*\bfirst\b"
    r"|\bahead and (?:tell|show|explain|give|remind)\b",
    re.IGNORECASE,
)
HARMLESS = re.compile(
    r"\bno(?:t a)? (?:problem|rush|hurry|worries|issues?|longer|need|questions?|concerns?|changes)\b|\bnot? at all\b"
    r"|\b(?:let me know|tell me) (?:if|once|when)\b|\bif (?:there|possible)\b|\b(?:instead of|rather than)\b"
    r"|\b(?:not|n't) need(?:ed)?\b|n't (?:need|want) (?:it|them|this|that) any ?(?:more|longer)\b"
    r"|\b(?:because|since)\b.*",
    re.IGNORECASE | re.DOTALL,
)
"""Words that only look like a refusal, and the reasons for a wish."""
WITHDRAWAL = re.compile(
    r"(?:^[^\w#]*|[,;.!?]\s*|\bno )(?:wait|stop|hold on|hang on)\b|\bchanged? my mind\b|\bsecond thoughts?\b"
    r"|\b(?:do not|don't|won't|never) (?:do (?:it|that|this)|go|proceed|cancel|return|exchange|change|touch|send)\b"
    r"|\bi (?:do not|don't|no longer) (?:want|agree)\b(?![^.?!]* any ?(?:more|longer)\b)",
    re.IGNORECASE,
)
RESERVATION = re.compile(r"^\W*(?:but|actually|instead)\b|\binstead\b(?! of)|\bwhat do you mean\b", re.IGNORECASE)
"""What spoils a yes right before it; later it may be about something else."""

SUPPOSED = re.compile(
    r"\b(?:hypothetical(?:ly)?|theoretically|in theory|for the sake of argument|(?<!i )suppos(?:e|ing)|imagine"
    r"|pretend(?:ing)?|if (?:i|we) (?:were|was) to|were (?:i|we) to)\b"
    r"|\b(?:only|just|merely) (?:a (?:test|joke|game)|testing|joking|kidding)\b"
    r"|\b(?:won't|will not|not going to) (?:really|actually)\b|\b(?:not|n't) (?:serious|binding|for real)\b"
    r"|\b(?:none|nothing) of (?:this|that|it|these|the above)\b",
    re.IGNORECASE,
)
DONE = re.compile(
    r"\b(?:already|just|have|has|'ve|'s)\b(?: been| just| already)* (?:done|processed|submitted|completed|made|executed"
    r"|carried out|cancell?ed|returned|exchanged|modified|changed|updated|placed|charged)\b(?: all(?: of)?)?"
    r" (?:so|this|it|that|these|those|them|everything|the following|what follows)\b",
    re.IGNORECASE,
)
BLANK = re.compile(
    r"\b(?:as|whatever|anything) (?:i|we) (?:see fit|like|want|please|choose)\b|\bat (?:my|our) (?:own )?discretion\b"
    r"|\bif you (?:say nothing|(?:do not|don't) (?:answer|reply|object|say)|stay silent)\b"
    r"|\bto (?:my|some(?:one|body) else's|(?:my|our|a) \w+'s)(?: own)?(?: \w+)? (?:account|card|wallet|paypal)\b",
    re.IGNORECASE,
)
"""What nobody can agree to: a free hand, a silence that counts as a yes, money or goods for somebody else."""


def is_in_earnest(proposal: str) -> bool:
    """Whether a proposal says what will be done if the customer agrees, and leaves nothing open.

    Not so where it is only supposed ("hypothetically"), is said to be done already, or is a blank cheque.

    Args:
        proposal: the agent's words.
    """
    words = proposal.replace("’", "'")
    return not (SUPPOSED.search(words) or DONE.search(words) or BLANK.search(words))


def is_yes(answer: str) -> bool:
    """Whether an answer to "shall I?" is a yes.

    The first sentence that agrees or refuses decides: it has to agree without refusing, correcting, asking or making
    conditions ("Absolutely, please do.", not "Sounds good, but wait"). What follows may add anything but a withdrawal.
    """
    sentences = _sentences(answer)
    for place, sentence in enumerate(sentences):
        if REFUSAL.search(HARMLESS.sub("", sentence)):
            return False
        if CONSENT.search(sentence):
            return not any(WITHDRAWAL.search(later) or RESERVATION.search(later) for later in sentences[place + 1 :])
    return False


def takes_back(said: str) -> bool:
    """Whether words that answer no question about it take an earlier yes back: "No, wait! I changed my mind." """
    return any(WITHDRAWAL.search(sentence) for sentence in _sentences(said))


def _sentences(text: str) -> list[str]:
    return [part for part in SENTENCE_END.split(text.replace("’", "'").strip()) if part]
