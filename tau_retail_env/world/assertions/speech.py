"""Whether an agent asserts what it mentions: not asked, denied, supposed, doubted, another's words or no longer so.

Only the words around a place are looked at; what it is about is told by `subjects`.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

WIDEST = 400
"""Most characters of a sentence on each side of a mention that are looked at: what is longer was not said."""
FARTHEST = 1500
"""Most characters before a mention in which its subject is looked for."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text mentions something, and the words around it."""

    text: str
    """The whole message, see `plain`."""
    start: int
    """Where the mention begins."""
    end: int
    """Where it ends."""

    @property
    def sentence(self) -> str:
        """The sentence around it."""
        first, last = bounds(_SENTENCE, self.text, self.start)
        return self.text[first:last]

    @property
    def clause(self) -> str:
        """The clause around it."""
        first, last = bounds(_CLAUSE, self.text, self.start)
        return self.text[first:last]

    @property
    def clause_before(self) -> str:
        """What its clause says before it."""
        first, _ = bounds(_CLAUSE, self.text, self.start)
        return self.text[first : self.start].rstrip("$# ")

    @property
    def stretch_before(self) -> str:
        """What its sentence says before it, from the last turn ("but", "it is", a comma after "as you said") on."""
        first, _ = bounds(_SENTENCE, self.text, self.start)
        stretch = self.text[first : self.start].rstrip("$# ")
        turns = [found.end() for found in _TURN.finditer(stretch)]
        return stretch[turns[-1] :] if turns else stretch

    @property
    def clause_after(self) -> str:
        """What its clause says behind it."""
        _, last = bounds(_CLAUSE, self.text, self.end - 1)
        return self.text[self.end : max(last, self.end)]

    @property
    def sentence_before(self) -> str:
        """What its sentence says before it."""
        first, _ = bounds(_SENTENCE, self.text, self.start)
        return self.text[first : self.start]

    @property
    def sentence_after(self) -> str:
        """What its sentence says behind it."""
        _, last = bounds(_SENTENCE, self.text, self.end - 1)
        return self.text[self.end : max(last, self.end)]

    @property
    def next_sentence(self) -> str:
        """The sentence that follows its own."""
        _, last = bounds(_SENTENCE, self.text, self.start)
        rest = self.text[last:].lstrip(" \n;|—–")
        return rest[: bounds(_SENTENCE, rest, 0)[1]] if rest else ""


def bounds(separator: re.Pattern[str], text: str, place: int) -> tuple[int, int]:
    """Where the part of a text between two separators begins and ends in which a place lies, `WIDEST` away at most.

    Args:
        separator: what divides the text.
        text: the whole.
        place: an index into it.
    """
    starts, ends = _cuts(separator, text)
    before, behind = bisect_right(ends, place) - 1, bisect_left(starts, place)
    first = ends[before] if before >= 0 else 0
    last = starts[behind] if behind < len(starts) else len(text)
    return max(first, place - WIDEST), min(last, place + WIDEST)


def sentences_before(place: Place) -> list[str]:
    """The sentences, lines and rows before the one of a place, the nearest first; as far back as `FARTHEST`.

    Args:
        place: the mention.
    """
    text = place.text[max(0, place.start - FARTHEST) : place.start]
    return sentences(text)[-2::-1]


def sentences(text: str) -> list[str]:
    """The sentences, lines and rows of a message.

    Args:
        text: the message, see `plain`.
    """
    return [part for part in _SENTENCE.split(text) if part.strip()]


@functools.lru_cache(maxsize=64)
def _cuts(separator: re.Pattern[str], text: str) -> tuple[list[int], list[int]]:
    """Where the separators of a text begin and where they end."""
    found = [place.span() for place in separator.finditer(text)]
    return [start for start, _ in found], [end for _, end in found]


def plain(text: str) -> str:
    """A message without the marks of Markdown: a table's cells become lines that name row and column.

    Args:
        text: the message.
    """
    lines: list[str] = []
    header: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.lstrip().startswith("|"):
            header = []
            lines.append(line)
        elif all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            continue
        elif not header:
            header = cells
        else:
            names = [*([""] * len(header) if _SUMMED_UP.search(cells[0]) else header), *[""] * len(cells)]
            lines += [f"{cells[0]} {name}: {cell}" for name, cell in zip(names[1:], cells[1:], strict=False)]
            lines += [cells[0]] if len(cells) == 1 else []
    return re.sub(r"[*_`]+", "", "\n".join(lines)).replace("’", "'")


def is_asserted(place: Place, kind: str, *, is_one_of_several: bool) -> bool:
    """Whether the agent says so in its own voice, and leaves it at that.

    Args:
        place: the mention.
        kind: of the value, see `values.Value`. A proposal ("Shall I refund $10?") tells its amount, other things it
            only asks for; what counts or measures may be a bound ("at least 10").
        is_one_of_several: the assertion wants a list, so "or" joins what holds together.
    """
    return not (
        _is_asked(place, kind == "amount")
        or _is_denied(place)
        or (kind in ("amount", "count", "quantity") and _is_bounded(place))
        or (kind in ("amount", "count") and bool(_LIMIT.search(place.clause_before)))
        or (not is_one_of_several and _is_one_of_two(place))
        or _is_somebody_elses(place)
        or _is_supposed_or_doubted(place)
        or _is_past_or_future(place, kind == "amount")
        or (kind != "amount" and bool(_OFFER.search(place.clause_before)))
    )


def says_yes(text: str) -> bool:
    """Whether a message affirms what was asked.

    Args:
        text: the agent's.
    """
    return _YES.match(text) is not None


def takes_back(text: str) -> int | None:
    """Where a message takes back something that was said before; None where it does not.

    Args:
        text: the agent's, see `plain`.
    """
    found = _TAKEN_BACK.search(text)
    return found.start() if found else None


def is_introduced(place: Place, known: frozenset[str]) -> bool:
    """Whether the word before a number, if there is one, is one behind which something is asserted.

    Args:
        place: the mention.
        known: words of the subject, behind which its value may stand: "battery life 10 hours".
    """
    last = _LAST_WORD.search(place.clause_before)
    word = last[1].lower() if last else ""
    return (
        not word
        or word in _INTRODUCING
        or word in known
        or word[0].isdigit()
        or word.endswith("ly")
        or _PRAISED.search(place.clause_before) is not None
    )


def _is_asked(place: Place, is_amount: bool) -> bool:
    """Whether it stands in a question, not in a statement before one or in what a proposal takes for granted."""
    sentence = place.sentence.rstrip()
    if not sentence.endswith("?"):
        return False
    if _TAG.search(sentence):
        return True
    first, _ = bounds(_SENTENCE, place.text, place.start)
    asked = next((found.start() for found in _QUESTION.finditer(sentence)), None)
    if asked is None:
        return True
    before = sentence[asked : max(place.start - first, asked)]
    if place.start - first < asked or _GRANTED.search(before):
        return False
    return not (is_amount and _PROPOSAL.match(before) and not _WHETHER.search(before))


def _is_denied(place: Place) -> bool:
    clause, stretch = _DENIED_BEFORE.split(place.clause_before)[-1], place.stretch_before
    return bool(
        _NEGATION.search(clause)
        or _EXCEPTION.search(clause)
        or _IGNORANCE.search(_DENIED_BEFORE.split(stretch)[-1])
        or _WITHDRAWN.search(stretch)
        or _DENIAL.match(place.sentence_after)
        or _DENIED_BEHIND.match(place.clause_after)
        or _DENIED_LATER.match(place.sentence_after)
        or _DENIED_NEXT.match(place.next_sentence)
    )


def _is_bounded(place: Place) -> bool:
    """Whether it is a bound or the end of a range, not the thing itself."""
    stretch = place.clause_before
    return bool(
        _BOUND_BEFORE.search(stretch)
        or _BOUND_BEHIND.match(place.clause_after)
        or _RANGE_BEFORE.search(place.stretch_before)
        or (place.text[place.end - 1].isdigit() and _RANGE_BEHIND.match(place.sentence_after))
    )


def _is_one_of_two(place: Place) -> bool:
    return bool(
        (_EITHER.search(place.stretch_before) and _OR.search(place.sentence))
        or _OR_BEFORE.search(place.clause_before)
        or _OR_BEHIND.match(place.clause_after)
        or _ONE_OF.search(place.clause_before)
        or _OR_LATER.match(place.sentence_after)
    )


def _is_somebody_elses(place: Place) -> bool:
    """Whether it is the customer's claim or wish, or concerns somebody else; unless the agent adds that it is right."""
    if _OTHER_PERSON.search(place.sentence):
        return True
    before = place.clause_before
    claimed = _CLAIM_BEFORE.search(_WANTED_ONE.sub(" ", before)) or _CLAIM_BEHIND.match(place.clause_after)
    said = any(found["trusted"] is None for found in _SAYING.finditer(before))
    return (said or bool(claimed)) and not _RIGHT.search(f"{place.sentence_after} {place.next_sentence}")


def _is_supposed_or_doubted(place: Place) -> bool:
    condition = _IF.search(place.clause_before)
    if condition and not _OUTCOME.search(place.clause_before, condition.end()):
        return True
    return bool(
        _SUPPOSED.search(place.stretch_before)
        or _DOUBT_BEFORE.search(place.stretch_before)
        or _DOUBT_BEHIND.search(place.sentence_after)
    )


def _is_past_or_future(place: Place, is_amount: bool) -> bool:
    time = _ANOTHER_TIME.match(place.clause_before) or _FRONTED_TIME.match(place.sentence_before)
    changed = _CHANGED_BEHIND.match(place.clause_after) or _CHANGED_BEFORE.match(place.sentence)
    return bool(
        _NOT_NOW.search(place.stretch_before)
        or (time and not (is_amount and time["arrives"]))
        or _NO_LONGER_BEHIND.search(place.clause_after)
        or (changed and _PAST.search(place.clause_before))
    )


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_SENTENCE = re.compile(r"(?<=[.!?])(?<!\bSt\.)(?<!\bDr\.)(?<!Ave\.)\s+(?=[A-Z$*#\-•\d\"'(])|\n+|;\s+|\s+[—–|]\s+")
_CLAUSE = re.compile(
    rf"{_SENTENCE.pattern}|[()]|,\s+(?!\d{{3}}\b)"
    r"|\s(?:and|while|(?<!anything )(?<!nothing )but|whereas|though|although|so)\s|:\s+(?=I\b)"
)
_SUMMED_UP = _words(r"\b(?:total|sum|refund|difference)\b")
"""How a row begins that is of another sort than its column: a total under "Price" is no price."""
_TURN = _words(
    r"(?<!anything )(?<!nothing )\b(?:but|given that|since|because|considering that|however|instead|actually"
    r"|although|though|while|whereas)\b,?\s*|^as (?:you|I) [^,]*,\s*"
    r"|^(?:if|when|since|because|as|although) [^,]*,\s*|^no(?: problem| worries)?,\s*"
    r"|\bnot (?:\S+\s){1,3}?but\s+|,\s+(?:so|hence|therefore)\s+|,\s+(?=(?:it|that|this|they)(?:'s|'re|\s(?:is"
    r"|are|was|were|comes))\b)"
)
_QUESTION = _words(
    r"(?:^|(?<=[,:—–]\s)|(?<=\band\s)|(?<=\bso\s))\W*(?:is|are|was|were|do|does|did|would|could|can|should|will|shall"
    r"|may|have|has|which|what|how|who|where|when|why|are)\b"
)
_TAG = _words(r"[,;]\s*(?:right|correct|isn't it|aren't they|am I right|or not)\?$")
_PROPOSAL = _words(
    r"\W*(?:would you (?:like|want|prefer)|do you (?:want|wish|confirm|agree)|(?:shall|should|may|can|could) (?:I|we)"
    r"|(?:can|could) you (?:please )?confirm|are you (?:okay|ok|happy|ready|sure|fine))\b"
)
_GRANTED = _words(r"\b(?:given that|since|considering that|because|now that)\b")
_WHETHER = _words(r"\b(?:whether|if)\b")
_NEGATION = _words(
    r"\b(?:not(?! a problem| including| counting)|no(?! problem| worries| doubt| trouble| \w+ included)|never"
    r"|nowhere|nothing"
    r"|none|neither|nor|cannot|\w+n't|instead of|in place of|in lieu of|rather than|as opposed to"
    r"|contrary to|opposite of|unlike|anything but|far from|hardly|differs? from|different from|than)\b"
    r"(?:\W+\w+){0,5}?\W*$|\b(?:reject|declin|deni|refus|block|void)(?:e?[sd])?\b(?:\W+\w+){0,5}?\W*$"
)
_EXCEPTION = _words(
    r"\b(?:without|except|other than|besides|apart from|excluding)\b(?:\W+(?!(?:at|for|is|are|comes?"
    r"|costs?)\b)\w+){0,5}?\W*$"
)
"""What is left out; it ends where the value is named: "the one without a light at $10"."""
_DENIED_BEFORE = re.compile(r"(?<!not)(?<!n't):\s+(?=\S*[A-Za-z])")
"""A colon behind which a statement begins, which what is denied before it does not reach."""
_IGNORANCE = _words(
    r"\b(?:cannot|can't|couldn't|could not|unable to|not able to|don't|do not|didn't|am not|not|isn't|n't) "
    r"(?:\w+ )?(?:confirm|verify|say|tell|see|find|know|think|believe|sure|certain|guarantee|promise)\b"
    r"|\b(?:doubt|deny|dispute|disagree|refuse|question|hesitate|hard to (?:say|believe|tell))\b"
    r"|\b(?:won't|will not|wouldn't) (?:confirm|say|promise|guarantee|claim)\b"
    r"|\bno (?:idea|information|record|evidence|proof|sign|indication)\b|\bwhether\b"
)
_WITHDRAWN = _words(r"\b(?:disregard|ignore|forget|scratch)\b")
_DENIAL = _words(
    r"\W*(?:\w+ )?(?:is|are|was|were|would be|will be|seems?|sounds?|looks?)(?:n't| not| never| wrong"
    r"| incorrect| off| false)\b"
    r"(?! only)(?!.*\bbut\b)"
    r"|\W*(?:\w+ )?(?:was|is|were|must have been) (?:just |only )?(?:my|a|an|our) "
    r"(?:mistake|error|typo|slip|mix-up|misprint|glitch|misunderstanding)"
    r"|\W*(?:doesn't|does not|didn't|did not|can't|cannot) (?:apply|hold|match|exist|appear|fit|be right|be correct)"
)
_DENIED_BEHIND = _words(
    r"(?: \w+){0,5} (?:is|are|was|were)(?:n't| not| wrong| incorrect| outdated| invalid)\b|.*\bnowhere\b"
    r"|(?: \w+){0,4} (?:was|were|is|has been|got|could not be|couldn't be) (?:declined|refused|rejected"
    r"|reversed|failed)\b"
    r"|(?: \w+){0,3} (?:by mistake|in error|wrongly|erroneously|mistakenly)\b|(?: \w+){0,5} (?:is|are|was|were|has"
    r"|have) never\b"
)
_DENIED_LATER = _words(
    r".*\bbut (?:(?:it|that|this|they)(?: (?:is|are|was|were|does|do|did))?(?:n't| not)\b\W*$|no\b|.*\b(?:lie|untrue"
    r"|not true|false)\b)"
)
_DENIED_NEXT = _words(
    r"(?:but |sadly,? |unfortunately,? )?(?:it|we|they|that|this|i|you)(?:'m|'re|'s)?(?: \w+)?(?:n't| not)\W*$"
    r"|(?:sadly|unfortunately|alas),? (?:i|we)(?: have no|n't| do not| don't) "
)
_LAST_WORD = re.compile(r"([\w'$€£]+)[\s\"'$#]*$")
_PRAISED = _words(
    r"\b(?:a|an|the|your|this|that) (?!supposed|alleged|hypothetical|so-called|possible|potential|maximum|minimum"
    r"|rumou?red)[a-z]+$"
)
_INTRODUCING = frozenset(
    "is are was were be been being it's that's they're there's here's what's s equals equal totals total "
    "totaling comes "
    "come amounts amount remains remain stays leaves leaving left makes making costs cost costing priced price "
    "pay paid "
    "paying pays get gets got getting receive receives received back refund refunded refunds charged charge charges "
    "credited credit save saves saving saved owe owes has have had having with of from for at by to in on under "
    "as via using "
    "just now still again therefore indeed about around the a an your our one its this that these which among "
    "all and plus "
    "or usd full first available different found find see sees count counted counts list lists carry offer "
    "offers show "
    "shows stock contains contain includes include turns out down runs run lasts last holds hold provides number id "
    "answer value yes so but while i you we they it both balance difference note please words between either "
    "than over another extra additional further "
    "below above exceeds beyond not no never isn't aren't wasn't weren't neither nor".split()
)
"""Words behind which a value may be asserted; those that deny or bound it are heard by the other rules."""
_BOUND_BEFORE = _words(
    r"\b(?:sets?|packs?|boxes|bundles|pairs?) of$|\b(?:half|twice|part|a third|a quarter|a fraction"
    r"|double)(?: of| as much as)?(?: the)?$|\b(?:(?:more|less|fewer|greater|higher|lower|better|cheaper) than"
    r"|at (?:least|most)|over|under|below|above"
    r"|exceed\w*|beyond|short of|(?:a )?(?:maximum|minimum) of|no more than|nearly|almost)(?: the)?$"
)
_LIMIT = _words(r"(?<!\badd )(?<!\badds )(?<!\badding )(?<!\badded )\b(?:up to|as (?:many|much|few|little) as)$")
_BOUND_BEHIND = _words(r"\s*(?:or (?:more|less|fewer|so)\b|at (?:least|most)\b|\+|and up\b)")
_RANGE_BEFORE = _words(
    r"\bbetween(?: \S+ and)?$|\bbetween \S+(?: \w+)? and$|\bfrom \S+ to$|(?<!#)(?<!\w)[\d,.]+(?: (?:dollars|USD|GB"
    r"|hours?|hrs?|minutes?))? (?:to|-|–)$"
)
_RANGE_BEHIND = _words(r"(?:[-–]|\s+(?:to|[-–])\s+)\$?\d")
_EITHER, _OR = _words(r"\beither\b"), _words(r"\bor\b")
_OR_BEFORE = _words(r"\S\s+or(?: the| an?| in)?$")
_OR_BEHIND = _words(r"(?: \w+)?\s+or (?!more\b|less\b|so\b|yes\b|no\b|not\b)(?:the |an? |in )?\$?\w")
_ONE_OF = _words(r"\bone of (?:these|those|the following|two|three|several)\b|(?<!est )(?<!ive )\bone of them\b")
_OR_LATER = re.compile(r"(?:,\s+(?:or )?\$?\d[\d,.]*)+\s+or\s+\$?\d")
_CLAIM_BEFORE = _words(
    r"(?<!what )\byou(?:'ve| have|'d| had| would| were| are|'re| also| just| first)* (?:said|say|mention|told"
    r"|tell|wrote|writ|claim"
    r"|think|thought|believ|expect|assum|quot|want|ask(?!\w* about)|prefer|rather|gave|giv|wish|hop(?:e|ed"
    r"|ing)\b|mean|meant"
    r"|insist|argu|stat(?:e|ed|ing)\b|suggest|estimat|calculat|remember|recall|guess|wonder|look(?:ed|ing)? for|aim"
    r"|request|report|had in mind|have in mind)\w*(?!.*:\s*\W*$)"
    r"|\byou(?:'d| would) (?:like|love|prefer)\b|\b(?:I was|we were|I've been) (?:told|promised|asked)\b"
    r"|\bI (?:was |am |'m |had |'d )?(?:hop(?:e|ed|ing)|wish(?:ed)?|expect(?:ed|ing)?|thought|assumed)\b"
    r"|\baccording to you\b|\byour (?:message|claim|wish|request|preference|estimate|guess|budget|limit)\b"
)
_WANTED_ONE = _words(
    r"\b(?!(?:refund|amount|total|price|sum|balance|figure|number|value|answer|as|if|when|what|and|so|but|that"
    r"|which)\b)\w+ "
    r"(?:that |which )?"
    r"you(?:'ve| have|'d| had|'re| are)? (?:just )?"
    r"(?:want|wanted|ask(?:ed)? for|request|requested|chose|picked|prefer|looking for|would like|like)"
    r"(?: to (?!(?:be|hear|see|get|have|pay)\b)\w+)?"
    r"(?= (?:is|are|was|were|comes?|costs?|has|have|would|runs?|adds?|makes?|totals?|will)\b)"
)
"""The customer's wish names a thing here, and claims nothing."""
_SAYING = _words(
    r"(?P<trusted>\b(?:I|we|our|us|system|systems|records?|page|database|screen|listing|description|it|which"
    r"|let me|that)"
    r"(?:'d|'ll|'ve|'m)?(?: \w+){0,3}? )?\b(?:say|says|said|claims?|claimed|thinks?|thought|believes?|believed"
    r"|tells?|heard|hears?)\b"
)
"""Somebody says so: the agent and what it looks at are trusted."""
_CLAIM_BEHIND = _words(r"\W*(?:that |which |as )?you(?:'ve| have)? (?:quoted|mentioned|said|told|gave|wanted|asked)\b")
_OFFER = _words(
    r"\b(?:I|we)(?: can| could| may| might| would be able to|'d be able to) (?:\w+ )?(?:change|switch|swap|turn|make"
    r"|send|ship|have|set|move|deliver|exchange|modify|update|redirect|upgrade)\b"
    r"|\bwe also (?:have|offer|carry|sell|stock)\b|\bthere(?:'s| is| are) also\b"
)
"""What the agent can do is not done, what the shop has besides is not the thing that was asked about."""
_RIGHT = _words(
    r"(?<!whether )(?<!if )\b(?:that|it|this|which|and)(?:'s| is| was)? (?:right|correct|true)\b|\byou(?:'re"
    r"| are) right\b"
)
_OTHER_PERSON = _words(
    r"\b(?:another|other|different|previous|someone else's|somebody else's) (?:customer|user|person|client|shopper"
    r"|account|shop|store)|\bcompetitor"
)
_IF = _words(r"\b(?:if|unless)\b")
_OUTCOME = _words(r"\b(?:will|would|gets?|receives?|pays?|saves?|costs?|comes?)\b|'ll\b|'d\b")
_SUPPOSED = _words(
    r"\bplease (?:send|tell|choose|pick|give|show|provide|let me know|select|check|upload)\b"
    r"|\b(?:suppos(?:e|ing)|imagine|let's say|for example|for instance|(?:would|could|should) have (?:been|cost)"
    r"|in case|assuming)\b"
)
_DOUBT_BEFORE = _words(
    r"\b(?:maybe|perhaps|possibly|I guess)\b|\b(?:may|might|could) (?:well |also |still )?(?:be|have|cost|come)\b"
)
_DOUBT_BEHIND = _words(
    r"\b(?:not|n't) (?:\w+ )?(?:sure|certain)\b|\b(?:have|need|would have|'d have) to (?:check|verify|look)\b"
    r"|\b(?:can't|cannot) (?:tell which|confirm (?:that|it)|verify)|\bif the \w+ still\b"
)
_NOT_NOW = _words(r"\b(?:used to|formerly|previously|no longer|next order|back then)\b")
_ANOTHER_TIME = _words(
    r"\W*(?:(?:and|but|so|until) )?(?:last (?:year|month|week|season)|(?:last|next) time"
    r"|(?P<arrives>next (?:year|month|week|season)))\b(?!')"
)
_FRONTED_TIME = _words(f"{_ANOTHER_TIME.pattern},")
"""A time before all else: "Last year there were 7". Money may still arrive then: "Next week you will see your $10"."""
_PAST = _words(r"\b(?:was|were|had)\b")
_CHANGED_BEHIND = _words(r"\W*(?:before|until|till)\b")
_CHANGED_BEFORE = _words(r"\W*(?:before|until|till) (?:you|we|they|it|that|the|this|your)\b")
_NO_LONGER_BEHIND = _words(r"\b(?:until (?:last|yesterday|recently)|last (?:year|month|season))\b")
_YES = _words(
    r"\W*(?:yes|yep|yeah)\b(?:\W+(?:(?:that|this)(?:'s| is| was)|it(?:'s| is| was| does| has)?|exactly|correct"
    r"|indeed|you(?:'re| are) right|there are|they (?:are|do)|we do|right)\b|\W*$)"
    r"|\W*(?:exactly|correct|indeed|(?:that|this)(?:'s| is) (?:right|correct|true|it))\b"
)
_TAKEN_BACK = _words(
    r"\b(?:I|we)(?:'ve| have| was| am| had|'m)? (?:was |am |been |made a |so )?(?:mistaken|wrong|mistake|error|typo"
    r"|misspoke|misspoken|misread|miscounted|misunderstood|mixed|looked at the wrong|looking at the wrong"
    r"|read the wrong|gave you the wrong)\b"
    r"|\b(?:my|our) (?:mistake|error|slip|bad)\b|\bcorrection\b|\b(?:that|it) was (?:wrong|incorrect|an? (?:mistake"
    r"|error|typo|slip"
    r"|mix-up)|my mistake|the wrong)"
    r"|\bscratch that\b|\blet me correct\b|\b(?:disregard|ignore)\b|\bactually\b"
    r"|\b(?:look|check|count|calculat|add|read|go(?:ne)? over)\w* (?:\w+ ){0,2}(?:again|once more|twice)\b"
    r"|\b(?:re-?|double-)(?:check|calculat|count|read)\w*|\bon (?:a )?(?:closer|second) (?:look|inspection|thought)"
)
