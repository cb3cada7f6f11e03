"""Whether an agent tells of a world that is not: what would be, is hoped for, aimed at, recommended or made up."""

from __future__ import annotations

import re

from tau_retail_env.world.assertions.speech import Place


def is_unreal(place: Place, kind: str) -> bool:
    """Whether a mention tells of what is not, or need not be, so.

    Args:
        place: the mention.
        kind: of the value, see `values.Value`.
    """
    return bool(
        _WISHED.search(place.clause_before)
        or _AIMED_AT.search(place.stretch_before)
        or _WISHED_BEHIND.search(place.clause_after)
        or _TOO_GOOD.search(place.sentence)
        or _MADE_UP.search(place.clause_before)
        or _REQUIRED.search(place.clause_before)
        or _IN_GENERAL.search(place.clause_before.split(": ")[-1])
        or _IN_GENERAL_BEHIND.search(place.clause_after)
        or _EXAMPLE_BEHIND.search(place.sentence_after)
        or _is_against_fact(place)
        or (kind != "amount" and _is_a_taste(place))
    )


def _is_against_fact(place: Place) -> bool:
    """Whether its sentence supposes what is not so: "Had you kept it, you would get $10"."""
    before, after = place.sentence_before, place.sentence_after
    if _INVERTED.search(before) and (_WOULD.search(place.clause_before) or "," not in before):
        return True
    supposed = _AGAINST_FACT.search(before)
    if supposed and ("," not in before[supposed.start() :] or _WOULD.search(f"{place.clause_before} {after}")):
        return True
    return bool(_WOULD.search(place.clause_before) and _AGAINST_FACT.search(after))


def _is_a_taste(place: Place) -> bool:
    return bool(_RECOMMENDED.search(place.clause_before) or _RECOMMENDED_BEHIND.match(place.clause_after))


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_WISHED = _words(
    r"\bhop(?:e|ed|es|ing) (?:for|to)\b|\bhopefully\b|\blet(?:'s| me| us) (?:hope|dream|guess|imagine|suppose"
    r"|pretend)\b"
    r"|\b(?:dream|wish)(?:t|s|ed|ing)?\b|\btrying to (?:reach|get)\b|^\W*(?:assume|say|picture|pretend|imagine)\b"
    r"|\b(?:for the sake of argument|hypothetical(?:ly)?|theoretically|in theory)\b|\blooks? like$"
    r"|\b(?:I|we)(?:'d| would)? (?:love|like|want|wish|prefer) to (?:give|offer|refund|pay|send|let)\b|\b(?:may"
    r"|might) (?!take)\w+(?: you)?$"
)
_AIMED_AT = _words(r"\b(?:goal|target|aim)s? (?:is|are|was|to|at|for)\b")
_WISHED_BEHIND = _words(
    r"^\W*(?:\w+ ){0,4}?(?:is|was) (?:what|a figure|an amount|the figure) (?:\S+ )*?(?:hope|wish|dream|expect|like"
    r"|want|love)"
    r"|\bin an? (?:better|ideal|perfect|other|different|parallel) world\b|^\W*(?:is|was) (?:out of the question"
    r"|impossible)"
)
_TOO_GOOD = _words(
    r"\b(?:would|'d|might|could) (?:\w+ )?be (?:an? )?(?:\w+ )?(?:nice|great|steal|bargain|lovely|ideal|perfect"
    r"|wonderful"
    r"|dream|good|awesome|fantastic)\b"
)
_MADE_UP = _words(r"\b(?:ma[dk]e up|invent(?:ed)?|fake|sample|dummy|placeholder)\b")
_REQUIRED = _words(
    r"\b(?:needs?|has|have|had|ought|supposed) to (?:be|come to|have|cost|reach|hold)\b|\bsupposed to\b"
    r"|\buntil (?:\w+ ){1,4}(?:is|are|reaches|hits|comes to)$|\bmight as well\b"
)
_IN_GENERAL = _words(
    r"\b(?:most|many|some|other|few) (?:people|customers|users|shoppers|buyers)\b|\b(?:an? customer|customers|people"
    r"|shoppers|every(?:one|body)"
    r"|some(?:one|body)|nobody|no one) \w+|\b(?:sometimes|usually|typically|often|normally|generally"
    r"|on average)\b(?! takes?\b)"
)
_IN_GENERAL_BEHIND = _words(
    r"\b(?:some(?:one|body) else's|another customer's)\b|\b(?:elsewhere|sometimes|usually|typically|on average)\b"
    r"|\bper (?:order|customer|person|household)\b"
    r"|^\W*(?:would be |is |was )?(?:just |only )?(?:my|our|a|your) (?:best )?(?:guess|estimate|bet|assumption)\b"
    r"|^\W*(?:\w+ ){0,3}?depends\b"
)
_EXAMPLE_BEHIND = _words(r"^\W*(?:for (?:instance|example)|say|hypothetically|in theory)\b")
_INVERTED = _words(r"(?:^|,)\W*(?:had|were|should) (?:you|we|it|they|i|he|she|the \w+|this|that|your \w+)\b(?![^?]*\?)")
_AGAINST_FACT = _words(r"\bif (?:only )?(?:\w+ ){1,4}?(?:were|had|could)\b|\bif only\b")
_WOULD = _words(r"\b(?:would|might|should|could)\b|'d\b")
_RECOMMENDED = _words(
    r"\b(?:recommend|suggest|advise|prefer|go for)\b|\b(?:I|we|customers?|people|shoppers|most)(?:'d"
    r"| would) (?:\w+ )?(?:pick"
    r"|choose|take|like|love)\b"
)
_RECOMMENDED_BEHIND = _words(
    r"\W*(?:\w+ )?(?:is|are|would be) (?:what (?:I|we|most)(?:'d| would)? \w+|(?:the|our|a) (?:most popular|best"
    r"|favou?rite)"
    r"|(?:currently |all )?(?:out of stock|sold out|unavailable|discontinued|popular)\b)"
)
