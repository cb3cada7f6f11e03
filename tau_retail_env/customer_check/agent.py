"""The oracle for customers of free speech: it understands a consent in other words than the scripted customer's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tau_retail_env.chat.messages import AgentMessage
from tau_retail_env.episodes.agents import OracleAgent
from tau_retail_env.tasks import Task

CONFIRMATION = "Confirm (yes/no)?"
"""How the oracle asks for a yes."""
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


class AttentiveOracle(OracleAgent):
    """Hears a yes wherever a person would: "Absolutely, please do." is one, "Sounds good, but wait" is none.

    Args:
        task: its gold actions are played, as `OracleAgent` plays them.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._awaits_yes = False

    def act(self, observation: str, info: Mapping[str, Any]) -> AgentMessage:
        """Say or call the next thing.

        Args:
            observation: what `reset` or the last `step` returned.
            info: the info returned with it.
        """
        if self._awaits_yes and info.get("role") == "user" and consents(observation):
            observation = f"Yes. {observation}"
        message = super().act(observation, info)
        self._awaits_yes = not message.tool_calls and (message.content or "").endswith(CONFIRMATION)
        return message


def consents(answer: str) -> bool:
    """Whether an answer to "shall I?" agrees and neither refuses, corrects nor asks anything."""
    return bool(CONSENT.search(answer)) and not REFUSAL.search(NO_REFUSAL.sub("", answer))
