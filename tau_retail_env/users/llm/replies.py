"""What a model's text says as the customer: its reply without thoughts, whether it can be sent, or stops early."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from tau_retail_env.sources.base import REPLY, THOUGHT
from tau_retail_env.users.base import STOP

MAX_CHARACTERS = 2000
"""The longest message of a customer; beyond, a model plays both sides or repeats itself."""
MAX_VERBATIM_WORDS = 12
"""As many words of the prompt in a row, "you" or "your" among them, are a leak and no customer's own words."""

_TITLE_OF_REPLY = re.compile(rf"^[ \t>*_#]*{REPLY}[\s*_]*:[\s*_]*", re.IGNORECASE | re.MULTILINE)
_REPLY_INLINE = re.compile(rf"\b{REPLY}[*_]*:[\s*_]*")
_NEXT_TITLE = re.compile(rf"^[ \t>*_#]*(?:{THOUGHT}|{REPLY})[\s*_]*:|[*_]{{0,3}}\b(?:{THOUGHT}|{REPLY}):", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[.!?\n])")
_ANYTHING_ELSE = re.compile(
    r"\b(?:(?:anything|something|what) (?:else|more|further)|anything (?:I|we) can|need anything"
    r"|any (?:other|further|more|additional|questions?|concerns?)|further (?:help|assistance|questions?)"
    r"|(?:help|assist) you further)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\?|\byes\b|\bconfirm|\blet me know\b|\bneed (?:your|the|to know)\b"
    r"|\bplease (?!note|allow|expect|remember|wait|reach|be aware|feel free|do(?: not|n't) hesitate)",
    re.IGNORECASE,
)
_DEED = (
    r"(?:rather )?(?:cancel|return|exchange|change|modify|update|swap|replace|send|make|use|check|proceed|go ahead)\b"
)
_WANTS = re.compile(
    r"\?|#\w|\d{3}|@|\bplease\b|\b(?:can|could|would|will) you\b|\bhas to be\b"
    r"|(?<!all )(?<!everything )\bI(?:'d| would)?(?: also)? (?:like|need|want)\b"
    rf"|(?:^|[.!,;:]\s*|\b(?:then|and|so|also|now|I'd|I'll|I will)\s+){_DEED}",
    re.IGNORECASE,
)
_REFUSES = re.compile(r"\W*(?:no|nope|nah|never ?mind|don'?t|do not|cancel that|forget it)\b", re.IGNORECASE)
_CLOSES = re.compile(
    r"\W*(?:(?:great|perfect|wonderful|excellent|awesome|lovely|ok(?:ay)?|alright|all right)\W+)*"
    r"(?:(?:no|nope|nah|never ?mind)\b(?!\?)|thank|(?:good)?bye\b"
    r"|that(?:'s| is| was| will be)? (?:exactly|all|everything|it)\b)",
    re.IGNORECASE,
)
_ASKS_FOR_MORE = re.compile(
    rf"\?|\b(?:yes|also|as well|instead|but|another|one more)\b|\b(?:then|now)\W+(?:please|I|{_DEED})", re.IGNORECASE
)
_AGENTS_PART = re.compile(r"^[ \t*_]*(?:(?:customer service )?(?:agent|assistant|representative))[*_]*:", re.I | re.M)


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote, as the customer's reply and as the model's own history keeps it."""

    reply: str
    """The customer's words, stripped."""
    kept: str
    """What the model is shown of it later: of a ReAct message the thought, too; reasoning in tags never."""
    is_stop_held: bool = False
    """Whether it ended the conversation too soon and no longer does."""

    def without_stop(self) -> Written:
        """The same without ###STOP###."""
        return Written(without_stop(self.reply), without_stop(self.kept), is_stop_held=True)


def without_reasoning(text: str) -> str:
    """What a model wrote but for its reasoning in `<think>` tags, stripped.

    What stands before a first `</think>` is dropped, too (its opening tag was part of the prompt), and what follows an
    unclosed `<think>`.
    """
    *closed, rest = text.split("</think>")
    said: list[str] = []
    for piece in closed:
        before, opening_tag, _ = piece.partition("<think>")
        if opening_tag:
            said.append(before)
        else:
            said.clear()
    return "".join([*said, rest.partition("<think>")[0]]).strip()


def read(text: str, *, with_thought: bool) -> Written | None:
    """Tell the customer's reply from what the model only thought.

    A ReAct message is read part by part: the reply is what follows its title, up to the next title.

    Args:
        text: the model's text; its reasoning is dropped.
        with_thought: whether the message has the two parts of a ReAct message.

    Returns:
        The reply, which may be empty; None where a ReAct message has no part under the title of a reply.
    """
    said = without_reasoning(text)
    if not with_thought or not said:
        return Written(said, said)
    title = _TITLE_OF_REPLY.search(said) or _last(_REPLY_INLINE.finditer(said))
    if title is None:
        return None
    following = _NEXT_TITLE.search(said, title.end())
    end = following.start() if following else len(said)
    return Written(said[title.end() : end].strip(), said[:end].strip())


def fault_of(reply: str, *, prompt: str, is_opening: bool, stop_tokens: Collection[str]) -> str | None:
    """Why a reply cannot be sent, in words for the model that wrote it; None if it can.

    Args:
        reply: the customer's words.
        prompt: the system prompt of the customer's model, which the reply must not recite.
        is_opening: whether these are the customer's first words, which cannot end the conversation.
        stop_tokens: what ends the conversation.
    """
    if not reply:
        return "it was empty"
    if len(reply) > MAX_CHARACTERS:
        return f"it was longer than {MAX_CHARACTERS} characters"
    if any("\ud800" <= character <= "\udfff" for character in reply):
        return "it was not valid Unicode"
    if is_opening and any(token in reply for token in stop_tokens):
        return "it ended the conversation before you had said what you want"
    if _AGENTS_PART.search(reply):
        return "it went on with the agent's part"
    if recites(reply, prompt):
        return "it repeated your instructions word for word"
    return None


def recites(reply: str, prompt: str) -> bool:
    """Whether a reply holds `MAX_VERBATIM_WORDS` words of the prompt in a row, "you" or "your" among them.

    A prompt speaks to its reader as "you"; a customer who says the same in words of its own says "I". Stretches
    without either, such as an address or a list of options, may be repeated as they stand.
    """
    said = set(_stretches(_words(reply)))
    return bool(said) and not said.isdisjoint(_stretches(_words(prompt)))


def stops_too_soon(reply: str, agent_said: str, stop_tokens: Collection[str], *, held_at: str | None = None) -> bool:
    """Whether a reply ends the conversation with the very words that the agent still has to act upon.

    Beside ###STOP### there is something for the agent to act upon where the reply says or asks for something new, or
    answers, other than by a refusal, an agent who asked for something other than whether there is anything else. What a
    refusal or thanks tell in answer to that question is no wish, unless they ask for more. The other tokens say that
    the agent has nothing left to do.

    After a stop that was held back the next one stands where the customer declines or thanks, where the agent asked for
    nothing either time, and where it only said the same again: nobody is kept in a conversation that is over.

    Args:
        reply: the customer's reply.
        agent_said: the agent's message that it answers.
        stop_tokens: what ends the conversation.
        held_at: the agent's message that the customer's last one answered, if that one's stop was held back.
    """
    if STOP not in reply or any(token in reply for token in stop_tokens if token != STOP):
        return False
    answer = without_stop(reply)
    if not answer:
        return False
    asked = _asks(agent_said)
    closes = _CLOSES.match(answer) and not _ASKS_FOR_MORE.search(answer)
    if held_at is not None and (closes or agent_said == held_at or not (asked or _asks(held_at))):
        return False
    if closes and not asked and _ANYTHING_ELSE.search(agent_said):
        return False
    return bool(_WANTS.search(answer)) or (asked and not _REFUSES.match(answer))


def without_stop(reply: str) -> str:
    """The reply without ###STOP###."""
    return reply.replace(STOP, "").strip()


def is_accepted(verdict: str) -> bool:
    """Whether a supervisor's answer says that a draft can be sent: "true" and no denial; all else is a rejection."""
    words = set(_words(without_reasoning(verdict)))
    return "true" in words and not words & {"false", "not", "isn't", "cannot", "untrue"}


def _asks(agent_said: str) -> bool:
    """Whether an agent asks for something other than whether there is anything else."""
    sentences = _SENTENCE_END.split(agent_said)
    return any(_ASKS.search(sentence) and not _ANYTHING_ELSE.search(sentence) for sentence in sentences)


def _last(matches: Iterator[re.Match[str]]) -> re.Match[str] | None:
    return max(matches, key=lambda match: match.start(), default=None)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+(?:['-]\w+)*", text.lower())


def _stretches(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every `MAX_VERBATIM_WORDS` words in a row that speak to somebody."""
    for start in range(len(words) - MAX_VERBATIM_WORDS + 1):
        stretch = tuple(words[start : start + MAX_VERBATIM_WORDS])
        if "you" in stretch or "your" in stretch:
            yield stretch
