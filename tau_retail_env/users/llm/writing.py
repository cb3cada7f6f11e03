"""One message of an API customer in the making: drafts, what a supervisor says about them, and what they take."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

from tau_retail_env.sources.base import REPLY, Message
from tau_retail_env.users.base import UserError, UserStrategy
from tau_retail_env.users.llm.completion import CUT_OFF, Completion
from tau_retail_env.users.llm.prompts import advised, asked_again, judge_prompt, reflect_prompt
from tau_retail_env.users.llm.replies import Written, fault_of, is_accepted, read, stops_too_soon, without_reasoning
from tau_retail_env.users.llm.slips import Exchange, Slip, slip_of
from tau_retail_env.users.usage import Usage

MAX_DRAFTS = 5
"""How often the model writes one draft until it can be sent: not empty, not too long …"""
MAX_REMINDERS = 2
"""How often the model is asked again for a message that falls out of its part, before that is sent and counted."""
MAX_VERIFICATIONS = 3
"""How many drafts of one message `verify` has judged; upstream's number."""
OPENING_LENGTH = 2
"""Messages before the customer's first words: the system prompt and the agent's greeting."""

COUNTED = ("asked_again", "rejected", "unapproved", "held_stops", "role_flips", "loops")
"""What is counted beside the numbers of `Usage`."""

Ask = Callable[[Sequence[Message]], Completion]
"""One call of the model."""


class Writing:
    """What happens between an agent's message and the customer's.

    Args:
        ask: calls the model.
        history: the model's prompt and messages so far, the agent's message at the end.
        with_thought: whether the model writes the two parts of a ReAct message.
        stop_tokens: what ends the conversation.
        held_at: the agent's message that the customer's last one answered, if that one's stop was held back.
        before: what the customer has answered so far.
    """

    def __init__(
        self,
        ask: Ask,
        history: Sequence[Message],
        *,
        with_thought: bool,
        stop_tokens: Collection[str],
        held_at: str | None = None,
        before: Sequence[Exchange] = (),
    ) -> None:
        self.history = history
        self._ask = ask
        self._with_thought = with_thought
        self._stop_tokens = stop_tokens
        self._held_at = held_at
        self._before = before
        self._spent = Usage()
        self._counts = dict.fromkeys(COUNTED, 0)

    @property
    def is_opening(self) -> bool:
        """Whether these are the customer's first words."""
        return len(self.history) == OPENING_LENGTH

    def usage(self, more: Mapping[str, float] | None = None) -> Mapping[str, float]:
        """What this message took so far.

        Args:
            more: what a call took that failed.

        Returns:
            The numbers of `Usage` summed over every call, and `asked_again` (drafts that could not be sent),
            `rejected` (drafts that the supervisor rejected), `unapproved` (1 if none was approved), `held_stops`
            (stops taken out of drafts, for they came too soon), `role_flips` and `loops` (1 if the message was sent
            although it falls out of its part).
        """
        total = self._spent + Usage.read(more or {})
        return {**total.as_mapping(), **{name: float(count) for name, count in self._counts.items()}}

    def draft(self, messages: Sequence[Message]) -> Written:
        """Have the model write a message that can be sent; one that falls out of its part is sent after reminders.

        Args:
            messages: the history, or the history and advice.

        Raises:
            UserError: it wrote none in `MAX_DRAFTS` attempts, or its server failed.
        """
        faults: list[str] = []
        reminders = 0
        for _ in range(MAX_DRAFTS):
            found = self._read(self._call(asked_again(messages, faults[-1]) if faults else messages))
            if isinstance(found, Written):
                slip = self.slip(found)
                if slip is None or reminders == MAX_REMINDERS:
                    return self._with_timely_stop(found)
                reminders, found = reminders + 1, slip.reason
            faults.append(found)
            self._counts["asked_again"] += 1
        raise UserError(
            f"The customer's model wrote nothing that could be sent in {MAX_DRAFTS} attempts ({'; '.join(faults)}); "
            "a stronger model, or a greater max_tokens, may help"
        )

    def slip(self, written: Written) -> Slip | None:
        """How a message falls out of the customer's part, None where it does not."""
        return slip_of(written.reply, self.history[-1]["content"], self._before, self._stop_tokens)

    def sent(self, written: Written) -> Slip | None:
        """Note how the message that is sent falls out of its part, if it does; returns it."""
        if (slip := self.slip(written)) is not None:
            self._counts[slip.count] = 1
        return slip

    def approves(self, draft: Written) -> bool:
        """Ask the supervisor whether a draft can be sent."""
        accepted = is_accepted(self._call(judge_prompt(self.history, draft.reply)).content)
        if not accepted:
            self._counts["rejected"] += 1
        return accepted

    def give_up(self) -> None:
        """Note that the supervisor approved no draft, and that one is sent all the same."""
        self._counts["unapproved"] += 1

    def reflection(self, draft: Written) -> str:
        """Ask the supervisor what is wrong with a draft, and for a better one."""
        return without_reasoning(self._call(reflect_prompt(self.history, draft.reply)).content)

    def _read(self, completion: Completion) -> Written | str:
        """What can be sent, or why nothing can."""
        if completion.finish_reason == CUT_OFF:
            return "it was too long and cut off"
        written = read(completion.content, with_thought=self._with_thought)
        if written is None:
            return f"it had no part under the title '{REPLY}:'"
        prompt = self.history[0]["content"]
        fault = fault_of(written.reply, prompt=prompt, is_opening=self.is_opening, stop_tokens=self._stop_tokens)
        return fault or written

    def _with_timely_stop(self, written: Written) -> Written:
        """The draft without its stop, where that would keep the agent from acting; judged and sent is the same."""
        agent_said = self.history[-1]["content"]
        if not stops_too_soon(written.reply, agent_said, self._stop_tokens, held_at=self._held_at):
            return written
        self._counts["held_stops"] += 1
        return written.without_stop()

    def _call(self, messages: Sequence[Message]) -> Completion:
        completion = self._ask(messages)
        self._spent += completion.usage
        return completion


def write_once(writing: Writing) -> Written:
    """`llm` and `react`: the first draft that can be sent."""
    return writing.draft(writing.history)


def write_verified(writing: Writing) -> Written:
    """`verify`: the first draft that the supervisor approves, the last one where it approves none, as upstream."""
    for _ in range(MAX_VERIFICATIONS):
        draft = writing.draft(writing.history)
        if writing.approves(draft):
            return draft
    writing.give_up()
    return draft


def write_reflected(writing: Writing) -> Written:
    """`reflection`: the draft, or one after the supervisor's advice; if it approves neither, the first, as upstream."""
    first = writing.draft(writing.history)
    if writing.approves(first):
        return first
    second = writing.draft(advised(writing.history, first.reply, writing.reflection(first)))
    if writing.approves(second):
        return second
    writing.give_up()
    return first


WRITERS: Mapping[str, Callable[[Writing], Written]] = MappingProxyType(
    {
        UserStrategy.LLM: write_once,
        UserStrategy.REACT: write_once,
        UserStrategy.VERIFY: write_verified,
        UserStrategy.REFLECTION: write_reflected,
    }
)
"""How each strategy writes a message."""
