"""Random episodes go as on τ²'s own environment and in its own orchestrator: texts, errors, end, shop, reward.

TAU_RETAIL_FUZZ_EPISODES=10000 plays more of them; with -s the counts are shown.
"""

from __future__ import annotations

import copy
import functools
import json
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from tau_retail_env import load_tasks
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.sources import open_shop
from tau_retail_env.sources.tau2.tasks import data_folder
from tau_retail_env.tasks import Task
from tau_retail_env.users import OUT_OF_SCOPE, STOP, TRANSFER
from tests.sources.fuzzing import READING, Ours, Outcome, Script, Tally, compare, scripts_of

STOP_TOKENS = (STOP, TRANSFER, OUT_OF_SCOPE)
GREETING = "Hi! How can I help you today?"
NO_LIMIT = 10**9
FULL_EVALUATION_EVERY = 20
"""How often upstream's own environment evaluator, which replays the episode and hashes two whole databases, judges as
well. Every time, what the episode changed is held against what the gold actions change, in the form that is hashed."""


class Upstream:
    """Plays scripts on upstream's environment, each on a database of its own, and judges by upstream's rule."""

    def __init__(self) -> None:
        open_shop("tau2")  # upstream is imported without its side effects
        from tau2.domains.retail.environment import get_environment, get_tasks

        self._get_environment = get_environment
        self._tasks = {f"tau2/{task.id}": task for task in get_tasks("base")}
        self._database = (data_folder() / "db.json").read_bytes()
        self._forms = _forms(self._environment().tools.db.model_dump())
        self._played = 0

    def play(self, script: Script) -> Outcome:
        """Play a script to its end, which no limit cuts short."""
        environment = self._environment()
        heard: list[list[str]] = []
        failed: list[list[bool]] = []
        trajectory = [_said(AgentMessage(GREETING)), _answered("Hello")]
        for message in script.messages:
            said = _said(message)
            answers = [environment.get_response(call) for call in said.tool_calls or ()]
            reply = script.last_words if message is script.messages[-1] else script.reply
            heard.append([answer.content for answer in answers] or [reply])
            failed.append([answer.error for answer in answers])
            trajectory += [said, *(answers or [_answered(reply)])]
        return self._outcome(script, environment, trajectory, heard, failed, "user_stop")

    def _outcome(
        self,
        script: Script,
        environment: Any,
        trajectory: list[Any],
        heard: list[list[str]],
        failed: list[list[bool]],
        ended: str,
    ) -> Outcome:
        changed = self._changed_forms(environment)
        reward = 0.0
        if ended == "user_stop":
            from tau2.evaluator.evaluator_communicate import CommunicateEvaluator

            said = CommunicateEvaluator.calculate_reward(self._tasks[script.task.id], trajectory).reward
            reward = float(changed == self._gold_forms(script.task.id)) * said
            self._played += 1
            if self._played % FULL_EVALUATION_EVERY == 0:
                assert self._evaluators_verdict(script.task, trajectory) * said == reward
        shown = {place: self._shown(environment, *place) for place in changed}
        return Outcome(heard, failed, shown, reward, ended)

    def _environment(self) -> Any:
        from tau2.domains.retail.data_model import RetailDB

        return self._get_environment(RetailDB.model_validate_json(self._database))

    def _changed_forms(self, environment: Any) -> dict[tuple[str, str], str]:
        """What upstream hashes of every entry that is not as it was."""
        forms = _forms(environment.tools.db.model_dump())
        assert forms.keys() == self._forms.keys()
        return {place: form for place, form in forms.items() if form != self._forms[place]}

    def _shown(self, environment: Any, table: str, key: str) -> str:
        tool, argument = READING[table]
        return environment.get_response(_call(ToolCall(tool, {argument: key}))).content

    @functools.cache  # noqa: B019
    def _gold_forms(self, task_id: str) -> dict[tuple[str, str], str]:
        environment = self._environment()
        for action in self._tasks[task_id].evaluation_criteria.actions or ():
            environment.get_response(_call(ToolCall(action.name, action.arguments)))
        return self._changed_forms(environment)

    def _evaluators_verdict(self, task: Task, trajectory: list[Any]) -> float:
        from tau2.evaluator.evaluator_env import EnvironmentEvaluator

        return EnvironmentEvaluator.calculate_reward(self._get_environment, self._tasks[task.id], trajectory).reward


class OrchestratedUpstream(Upstream):
    """Lets upstream's orchestrator lead the conversation, with its limits."""

    def play(self, script: Script) -> Outcome:
        """Play a script until upstream ends it."""
        from tau2.orchestrator.orchestrator import Orchestrator

        speakers = _Speakers(script)
        orchestrator = Orchestrator(
            "retail", speakers.agent, speakers.user, self._environment(), self._tasks[script.task.id]
        )
        ended = orchestrator.run().termination_reason.value
        heard: list[list[str]] = []
        failed: list[list[bool]] = []
        for message in orchestrator.trajectory[2:]:
            if message.role == "assistant":
                heard.append([])
                failed.append([])
            else:
                heard[-1].append(message.content)
                failed[-1] += [message.error] if message.role == "tool" else []
        return self._outcome(script, orchestrator.environment, orchestrator.trajectory, heard, failed, ended)


class _Speakers:
    """The script's agent and its customer behind upstream's interfaces."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._messages = iter(script.messages)
        self._last: AgentMessage | None = None
        self.agent = _Speaker(self._next_message)
        self.user = _Speaker(self._words)

    def _next_message(self) -> Any:
        self._last = next(self._messages)
        return _said(self._last)

    def _words(self) -> Any:
        if self._last is None:
            return _answered("Hello")
        return _answered(self._script.last_words if self._last is self._script.messages[-1] else self._script.reply)


class _Speaker:
    """Says the next thing, whatever it hears."""

    def __init__(self, speak: Any) -> None:
        self._speak = speak

    def get_init_state(self, message_history: Any = None) -> None:
        return None

    def generate_next_message(self, message: Any, state: Any) -> tuple[Any, Any]:
        return self._speak(), state

    def is_stop(self, message: Any) -> bool:
        return False

    def stop(self, message: Any = None, state: Any = None) -> None:
        return None


def _forms(dump: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Every entry as upstream's hash sees it."""
    return {
        (table, key): json.dumps(entry, sort_keys=True, default=str)
        for table, entries in dump.items()
        for key, entry in entries.items()
    }


def _call(call: ToolCall) -> Any:
    from tau2.data_model.message import ToolCall as UpstreamCall

    return UpstreamCall(id="1", name=call.name, arguments=copy.deepcopy(dict(call.arguments)))


def _said(message: AgentMessage) -> Any:
    from tau2.data_model.message import AssistantMessage

    calls = [_call(call) for call in message.tool_calls]
    return AssistantMessage(role="assistant", content=message.content, tool_calls=calls or None)


def _answered(words: str) -> Any:
    from tau2.data_model.message import UserMessage

    return UserMessage(role="user", content=words)


def fuzz(upstream: Upstream, ours: Ours, lengths: tuple[int, int]) -> Tally:
    tools = [tool["function"]["name"] for tool in open_shop("tau2").tools]
    scripts = scripts_of(load_tasks("tau2", "base"), open_shop("tau2"), STOP_TOKENS, lengths=lengths)
    with warnings.catch_warnings(action="ignore"):
        tally = compare(scripts, upstream, ours, tools)
    print(f"\n{tally}")
    return tally


def test_random_episodes_go_as_on_upstreams_environment() -> None:
    tally = fuzz(Upstream(), Ours("tau2", max_errors=NO_LIMIT), lengths=(1, 14))
    assert tally.successful_writes > tally.episodes / 2
    assert tally.rewards[1.0] > 0


def test_random_conversations_end_as_in_upstreams_orchestrator(litellm: ModuleType) -> None:
    tally = fuzz(OrchestratedUpstream(), Ours("tau2"), lengths=(40, 60))
    assert min(tally.ends[end] for end in ("user_stop", "max_steps", "too_many_errors")) > 0
