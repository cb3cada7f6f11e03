"""Where a customer's model falls out of its part: it speaks as the agent, or goes round in circles.

Such a message can be sent, as upstream sends it; but it says nothing about the agent. What is looked for is what no
customer of a shop says; the patterns are this package's own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tau_retail_env.users.base import STOP

LONG_WORDS = 8
"""Words from which on a message is no short answer that may be given twice, such as "Yes, please go ahead."."""

_AGENT_SAYS = re.compile(
    r"\bhow (?:can|may|could) I (?:help|assist) you\b"
    r"|\b(?:anything|something) else (?:that )?I (?:can|could|may) (?:help|assist|do(?! to (?!help|assist)))\b"
    r"|\bI(?:'d| would| will|'ll|'m| am)?(?: be)?(?: happy| glad| pleased| here)? "
    r"(?:to |can (?:certainly |definitely )?)(?:help|assist) you\b"
    r"|\b(?:provide|give|share|tell|send|confirm|verify)(?: me| us)?(?: with)? your "
    r"(?:(?:full|first|last) name|name and (?:your )?(?:e-?mail|zip|address|order)"
    r"|e-?mail|zip|user id|account|identity|order (?:id|number))"
    r"|\b(?:what would you|(?:let me know what|anything specific) you(?: would|'d)) like to (?:know|do)\b"
    r"(?! about me\b|[^.?!\n]*\bmy\b)"
    r"|(?:^|[.!?,]\s+|\bso (?:that )?)I can (?:initiate|process) (?:the|your)\b"
    r"|\b(?:about|for|of|what|with|describe|resolve) (?:the |this |any )?(?:issue|problem)s? you(?:'re| are) "
    r"(?:facing|having|experiencing)\b(?![^.?!\n]*\bmy\b)"
    r"|\bI(?:'ve| have)(?: now| successfully| just)* "
    r"(?:(?:processed|initiated) (?:the|your|an?)|(?:submitted|completed) your)\b"
    r"|(?<![\"'“‘])\byour (?:orders?|return|exchange|refund|cancellation|request|address) (?:has|have) been\b",
    re.IGNORECASE | re.MULTILINE,
)
_CALLS = re.compile(
    r"</?(?:tool_call|tools|function)\b|\{\s*\"name\"\s*:.{0,200}\"(?:arguments|parameters)\"", re.DOTALL
)
_NEAR_STOP = re.compile(
    r"#+\s*(?:stop|transfer|out[- _]of[- _]scope)\b|\b(?:stop|transfer|out[- _]of[- _]scope)\s*#+|^\W*STOP\W*$",
    re.IGNORECASE | re.MULTILINE,
)
_FAREWELL = re.compile(r"\W*(?:.{0,40}\b)?(?:thank(?:s| you)|(?:good)?bye|have a (?:great|good|nice))\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Slip:
    """How a message falls out of its part."""

    count: str
    """What it counts as: "role_flips" or "loops"."""
    reason: str
    """In words for the model that wrote it."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An earlier message of the customer's, and what it answered."""

    agent_said: str
    replied: str


def slip_of(reply: str, agent_said: str, before: Sequence[Exchange], stop_tokens: Collection[str]) -> Slip | None:
    """How a reply falls out of its part, None where it does not.

    Args:
        reply: the customer's words.
        agent_said: the agent's message that it answers.
        before: all exchanges before, the opening first.
        stop_tokens: what ends the conversation.
    """
    if _CALLS.search(reply):
        return Slip("role_flips", "it held a tool call, and the customer has no tools")
    if _AGENT_SAYS.search(reply):
        return Slip("role_flips", "it spoke as the agent, and you are the customer")
    if any(token in reply for token in stop_tokens):
        return None
    if _NEAR_STOP.search(reply):
        return Slip("loops", f"it misspelt what ends the conversation: write exactly {STOP}")
    if _repeats(reply, agent_said, before):
        return Slip("loops", f"it said again what you had said before; if nothing is left to be said, write {STOP}")
    return None


def _repeats(reply: str, agent_said: str, before: Sequence[Exchange]) -> bool:
    """Whether a reply says an earlier one again, though the agent said something else: a farewell, or a long one."""
    words = _words(reply)
    is_longer = len(words) >= LONG_WORDS or bool(_FAREWELL.match(reply))
    same = [one for one in before if _words(one.replied) == words]
    return bool(words) and is_longer and any(one.agent_said != agent_said for one in same)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
