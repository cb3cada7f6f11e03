"""An oracle's conversation with what a model has to practise: second thoughts of customers, slips, reasoning."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from tau_retail_env.agents.oracle import CONFIRMATION, OracleAgent
from tau_retail_env.agents.questions import REASON_WORDS
from tau_retail_env.agents.reasoning import Reasoner
from tau_retail_env.agents.second_thoughts import second_thoughts
from tau_retail_env.agents.slips import Slip, slip, slipped_call
from tau_retail_env.chat.parsing import render_message
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.local.mistyping import mistyped
from tau_retail_env.messages import AgentMessage, ResetInfo, StepInfo, ToolCall
from tau_retail_env.tasks import WRITE_TOOLS
from tau_retail_env.tasks.task import Action
from tau_retail_env.users import UserError
from tau_retail_env.world.consent import is_yes

UNKNOWN_ARGUMENT = "unexpected keyword"
"""In the tools' error about an argument that they do not know."""
SLIPS_IN_A_ROW = 2
"""Most wrong proposals before the right one."""
SAME_AGAIN = 0.3
"""Share of the first slips that are said once more, as a model does that does not hear the objection."""


@dataclass(frozen=True)
class Practice:
    """What conversations show beside the straight way."""

    second_thoughts: int = 0
    """Most times that a customer changes its mind about a new variant."""
    slips: float = 0.0
    """Share of the proposals that are wrong at first; of the calls that change the shop half as many are."""
    reasons: bool = False
    """Whether the agent writes down what a product's list has in stock, and what a proposal rests on, between `<think>`
    and `</think>`."""
    mistypes: bool = False
    """Whether the customer mistypes some words. The environment hears of it no more than the agent's choices do: only
    what is learnt from has them."""
    seed: str = ""
    """Decides where, and what is said."""


class Conversation:
    """What is said between an agent and its environment, with second thoughts, slips and reasoning in between.

    Second thoughts are written between a proposal and its yes; the environment hears of the last proposal alone. Slips
    are said to the customer and given to the tools.
    """

    def __init__(self, env: TauRetailEnv, opening: ResetInfo, practice: Practice) -> None:
        self._env = env
        self._tools = opening["tools"]
        self._practice = practice
        self.parts: list[list[dict[str, str]]] = [self._as_typed(opening["messages"])]
        """Messages: the opening, then in turn what the agent and what the others said."""
        self.slips: set[int] = set()
        """The parts that are wrong on purpose."""
        self.unlearnt: set[int] = set()
        """Further parts that are not to be learnt."""
        self.reward: float | None = None
        """What it earned, once it is over."""
        self._slips_in_a_row: list[Slip] = []
        self._proposed: Action | None = None
        self._has_written = False
        """Whether a change was made that the agent has not spoken since."""

    def play(self, observation: str, opening: ResetInfo, agent: OracleAgent) -> None:
        """Let an agent play from what `reset` told.

        Raises:
            UserError: the customer failed.
        """
        info: ResetInfo | StepInfo = opening
        reasoner = Reasoner(agent, self._typed) if self._practice.reasons else None
        while self.reward is None:
            message = agent.act(observation, info)
            self._slip_in_call(message)
            if self.reward is not None:  # a slip was the last message that the agent may send
                break
            wrong = self._wrong_proposal(agent)
            if wrong is not None:
                observation, info = self._err(agent, wrong, observation, reasoner)
                if agent.proposed or self.reward is not None:  # it proposes again, while an answer has yet to be said
                    continue
            text = self._reasoned(reasoner, agent, message, observation)
            if self._is_unfounded(agent, message, text):
                self.unlearnt.add(len(self.parts))
            self._has_written = any(call.name in WRITE_TOOLS or self._has_written for call in message.tool_calls)
            self._say(text)
            self._proposed = agent.proposed
            self._hesitate(agent, reasoner)
            observation, info = self._answer_to(text)

    def _typed(self, words: str) -> str:
        """A customer's words as they stand in the conversation."""
        return mistyped(words, seed=self._practice.seed) if self._practice.mistypes else words

    def _as_typed(self, messages: list[dict[str, str]]) -> list[dict[str, str]]:
        return [
            {**message, "content": self._typed(message["content"])} if message["role"] == "user" else message
            for message in messages
        ]

    def _seed(self, what: str) -> str:
        return f"{self._practice.seed}/{len(self.parts)}/{what}"

    def _render(self, message: AgentMessage) -> str:
        return render_message(message, self._env.tool_format, self._tools)

    def _reasoned(self, reasoner: Reasoner | None, agent: OracleAgent, message: AgentMessage, heard: str) -> str:
        """A message as a model that reasons writes it, after what it writes down."""
        words = self._render(message)
        if reasoner is None:
            return words
        call = message.tool_calls[0] if message.tool_calls else None
        if agent.proposed and call is None:
            thought = reasoner.before_proposal(agent.proposed, heard, self._proposed)
        else:
            thought = reasoner.before_call(call, heard) if call else reasoner.before_words(heard)
        if agent.attends or (call and call.name in WRITE_TOOLS):
            reasoner.done()
        return _thought(thought, words)

    def _is_unfounded(self, agent: OracleAgent, message: AgentMessage, text: str) -> bool:
        """Whether a model that reads the same could not know that this is to be said or called now.

        That holds for a story's own words for a proposal, which have nothing written down before them; for an oracle
        that hurries, and goes on before the customer has said what it wants, or brought the next change up; and for a
        proposal that it makes again though the customer has objected, because that was about another matter.
        """
        call = message.tool_calls[0] if message.tool_calls else None
        looks_up = call is not None and call.name not in WRITE_TOOLS
        runs_ahead = self._has_written and bool(call or agent.proposed)
        runs_ahead = runs_ahead or ((looks_up or agent.proposed is not None) and _guesses(agent))
        says_it_again = agent.proposed is not None and agent.proposed == self._proposed and not call
        own_words = self._practice.reasons and agent.proposed is None and CONFIRMATION in text
        return runs_ahead or says_it_again or own_words

    def _say(self, text: str) -> None:
        self.parts.append([{"role": "assistant", "content": text}])

    def _slip_in_call(self, message: AgentMessage) -> None:
        """Make a call that is refused before a right one; one that were not refused spoils the conversation.

        The agent then reads the order again, if it may be the order that it has got wrong: what it needs stands right
        before the next call, and the next thing that it says is not its last one.
        """
        wrong = slipped_call(message, share=self._practice.slips / 2, seed=self._seed("call"))
        if wrong is None or self.reward is not None:
            return
        refusal, _ = self._make_wrong_call(wrong.tool_calls[0])
        if self.reward is None and UNKNOWN_ARGUMENT not in refusal:
            self._read_again(message.tool_calls[0])

    def _make_wrong_call(self, call: ToolCall) -> tuple[str, StepInfo]:
        self.slips.add(len(self.parts))
        heard = self._step(self._render(AgentMessage(None, (call,))))
        if self.reward is None and not heard[0].startswith("Error"):
            self.reward = 0.0
        return heard

    def _read_again(self, call: ToolCall) -> tuple[str, StepInfo] | None:
        """Read the order that a call is about, if it is about one."""
        order_id = call.arguments.get("order_id")
        look_up = ToolCall("get_order_details", {"order_id": order_id})
        return self._step(self._render(AgentMessage(None, (look_up,)))) if order_id else None

    def _wrong_proposal(self, agent: OracleAgent) -> Slip | None:
        """A wrong proposal in place of what is right, at most two in a row, which may be the same."""
        before = self._slips_in_a_row
        again = random.Random(self._seed("again")).random() < SAME_AGAIN
        if len(before) == SLIPS_IN_A_ROW:
            wrong = None
        elif before and again and agent.proposed:
            wrong = before[-1]
        else:
            wrong = slip(agent, share=self._practice.slips, seed=self._seed("proposal"))
        self._slips_in_a_row = [] if wrong is None else [*before, wrong]
        return wrong

    def _err(self, agent: OracleAgent, wrong: Slip, before: str, reasoner: Reasoner | None) -> tuple[str, StepInfo]:
        """Make a wrong proposal, which is not learnt, and hear the objection.

        A customer who does not notice says yes. Then the tool refuses the call, the agent reads the order again, and is
        going to propose anew: a model that has seen only calls refused whose proposal was right makes the refused one
        again. A call that is not refused spoils the conversation.
        """
        self.slips.add(len(self.parts))
        thought = reasoner.before_proposal(wrong.write, before, self._proposed) if reasoner else ""
        if reasoner and not agent.proposed:
            # the answer that it stands for says itself what was asked for and what is meant
            reasoner.done(slipped=True)
        heard = self._step(wrong.said(_thought(thought, agent.proposal(wrong.write))))
        self._proposed = Action(wrong.call.name, wrong.call.arguments) if agent.proposed else None
        if self.reward is not None or not is_yes(heard[0]):
            return heard
        refused = self._make_wrong_call(wrong.call)
        if self.reward is not None:
            return refused
        right = agent.proposed or wrong.write
        return self._read_again(ToolCall(right.name, right.arguments)) or refused

    def _hesitate(self, agent: OracleAgent, reasoner: Reasoner | None) -> None:
        rounds = second_thoughts(agent, most=self._practice.second_thoughts, seed=self._seed("thoughts"))
        for wish, write, from_last in rounds:
            self.parts.append(self._as_typed([{"role": "user", "content": wish}]))
            last = self._proposed
            thought = reasoner.before_proposal(write, wish, last, from_last=from_last) if reasoner else ""
            self._say(_thought(thought, agent.proposal(write)))
            self._proposed = write

    def _step(self, text: str) -> tuple[str, StepInfo]:
        self._say(text)
        return self._answer_to(text)

    def _answer_to(self, text: str) -> tuple[str, StepInfo]:
        """Let the environment hear a text that is written down already."""
        observation, reward, terminated, truncated, answer = self._env.step(text)
        if not (terminated or truncated):
            self.parts.append(self._as_typed(answer["messages"]))
        elif not answer["scorable"]:
            raise UserError(answer["customer_error"])
        else:
            self.reward = reward
        return observation, answer


def _guesses(agent: OracleAgent) -> bool:
    """Whether an oracle that hurries goes on without what the customer has yet to say of its next change."""
    write = agent.step.write
    if not agent.hurries or write is None or not agent.user_id:
        return False
    given, said = write.arguments, agent.matter.casefold()
    needed = [given[name] for name in ("order_id", "payment_method_id", "address1") if name in given]
    needed += [row["name"] for row in agent.rows(write)]
    for row, new in agent.chosen(write):
        needed += [value for name, value in new["options"].items() if row["options"].get(name) != value]
    reason = REASON_WORDS.get(given.get("reason", ""), "")
    return any(value.casefold() not in said for value in needed) or not re.search(reason, said)


def _thought(thought: str, words: str) -> str:
    return f"<think>{thought}</think>\n{words}" if thought else words


def converse(
    env: TauRetailEnv, observation: str, opening: ResetInfo, agent: OracleAgent, practice: Practice | None = None
) -> Conversation:
    """Let an agent play from what `reset` told.

    Raises:
        UserError: the customer failed.
    """
    conversation = Conversation(env, opening, practice or Practice())
    conversation.play(observation, opening, agent)
    return conversation
