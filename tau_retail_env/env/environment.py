"""TauRetailEnv: `reset` opens a conversation, `step` plays one turn of it, and its end is judged."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import index
from types import TracebackType
from typing import Any, Self

from tau_retail_env.chat.parsing import MalformedMessageError
from tau_retail_env.chat.tool_formats import FORMS, ToolFormat
from tau_retail_env.env import copies, reading
from tau_retail_env.env.episode import METRICS, Episode, Limits
from tau_retail_env.env.gymnasium import Base, note_seed, text_space
from tau_retail_env.env.reading import Action, MultipleCalls
from tau_retail_env.env.user_reply import checked_reply, own_user
from tau_retail_env.errors import EpisodeStateError, InvalidValueError, SnapshotChangedError, member, unknown
from tau_retail_env.messages import JUDGE_FAILED, AgentMessage, Message, ResetInfo, StepInfo, StopReason
from tau_retail_env.sources import find_task, get_source
from tau_retail_env.sources.load import given_or_shared, version_of
from tau_retail_env.sources.prompts import PromptStyle, system_prompt
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.seeding import shuffled
from tau_retail_env.users import make_user
from tau_retail_env.users.base import UserError, UserMessage, UserSimulator, UserStrategy
from tau_retail_env.users.judges import make_judge
from tau_retail_env.users.usage import USER_METRICS, user_metrics
from tau_retail_env.world import Reward, verdict
from tau_retail_env.world.assertions import Called, Said, play_gold
from tau_retail_env.world.settings import RewardSettings
from tau_retail_env.world.tool_errors import error_kind

DEBUG_VARIABLE = "TAU_RETAIL_DEBUG"
OWN_CUSTOMER = "own"
"""The name of a customer that was given as `user` and does not say its strategy."""
MIXED = "mixed"
"""The name of a mixture before the first episode has drawn from it."""
FAILED = "The customer cannot be reached."
"""What an agent reads when the customer failed; why stands in info, for the customer's words are not to leak."""

OWN = frozenset(("_in_use", "action_space", "observation_space"))
"""Attributes that a copy makes anew."""

Observation = str
Turn = tuple[Observation, float, bool, bool, StepInfo]
Metrics = dict[str, float]


class TauRetailEnv(Base):
    """τ-bench retail as an agentic environment: `reset`, `step`, `close` as in Gymnasium.

    It is a `gymnasium.Env` where gymnasium is installed. `copy.deepcopy` and `pickle` take it in the middle of an
    episode: the copy continues byte for byte as the original would.

    An episode follows upstream's orchestrator: what is said, what is counted and what is scored are upstream's; what
    differs on purpose is listed in docs/environment.md. Episodes of different environments share nothing that
    changes; one environment belongs to one thread at a time. With TAU_RETAIL_DEBUG=1 in the process's environment the
    database that all episodes share is checked at the end of each, which takes some 100 ms.

    Args:
        source: where tasks come from: "tau2", "tau_bench" or "generated".
        split: a split of that source.
        task_subset: an expression over subset names, see `tau_retail_env.tasks.SUBSETS`.
        user_strategy: who plays the customer, one of `tau_retail_env.users.USER_STRATEGIES`; or weights by name, such
            as {"scripted": 0.7, "llm": 0.3}: then the episode's seed draws one.
        user: a user simulator of your own instead (`tau_retail_env.users.UserSimulator`); it may return plain strings.
        user_config: settings of the customer that `user_strategy` names.
        user_model: name of the model behind an API customer.
        max_turns: agent messages after which the episode is truncated; None for upstream's own count of steps.
        max_errors: failed tool calls after which the episode is truncated; None for upstream's own.
        prompt_style: which system prompt the agent sees: "full" (upstream's), "compressed" or "minimal".
        multiple_calls: several tool calls in one message: "error" (refused) or "upstream" (as upstream runs them).
        tasks: tasks to play instead of loading them by source, split and subset.
        exclude_tasks: ids of tasks that are left out, see `load_tasks`.
        task_file: a file of tasks of that source and split, from `tau-retail generate`, in place of the source's own.
        task_version: which edition of the source's tasks, such as "1.0" of tau2; None for that of `tasks`, else for the
            source's default.
        nl_judge: who judges the assertions of tasks whose reward names NL_ASSERTION: "rules" (deterministic, needs no
            model) or "openai" (a model, asked as upstream asks it).
        nl_judge_model: name of the model behind "openai"; None for upstream's default.
        nl_judge_config: everything else about it, such as `base_url` and `cassette`, named as for API customers.
        reward: which reward `step` returns, by `kind` ("official", upstream's; or "corrected") and `require_process`
            (true: 0 where a process check fails); None for upstream's. docs/rewards.md explains all three.
        tool_format: how the calls in a model's text are written, one of `tau_retail_env.chat.tool_formats.ToolFormat`;
            a call in another format is speech, and counted.

    Raises:
        InvalidValueError: an unknown name, an empty subset, a limit below one.
        MissingDependencyError: the source's data or packages are not installed.
    """

    _episode: Episode | None = None
    _next_seed = 0

    def __init__(
        self,
        source: str = "tau2",
        split: str = "train",
        task_subset: str = "all",
        *,
        user_strategy: str | Mapping[str, float] = UserStrategy.SCRIPTED,
        user: UserSimulator | None = None,
        user_config: Mapping[str, Any] | None = None,
        user_model: str | None = None,
        max_turns: int | None = None,
        max_errors: int | None = None,
        prompt_style: str = PromptStyle.FULL,
        multiple_calls: str = MultipleCalls.ERROR,
        tasks: Sequence[Task] | None = None,
        exclude_tasks: Sequence[str] = (),
        task_file: str | None = None,
        task_version: str | float | None = None,
        nl_judge: str = "rules",
        nl_judge_model: str | None = None,
        nl_judge_config: Mapping[str, Any] | None = None,
        reward: RewardSettings | Mapping[str, Any] | None = None,
        tool_format: str = ToolFormat.HERMES,
    ) -> None:
        self._reward = RewardSettings.of(reward)
        self.tool_format: ToolFormat = member("tool_format", tool_format, ToolFormat)
        """How the calls in a model's text are written; whoever plays a model sets it to what its template writes."""
        prompt_style = member("prompt_style", prompt_style, PromptStyle)
        self._multiple_calls = member("multiple_calls", multiple_calls, MultipleCalls)
        task_version = task_version if tasks is None else version_of(tasks, source, task_version)
        self._origin = origin = get_source(source, task_version)
        self.task_version = origin.version
        """The edition of the source's tasks; None where the source has none."""
        self._shop = origin.shop()
        self._limits = Limits(self._shop.episode_rules, max_turns, max_errors)
        self._selection = (split, task_subset, tuple(exclude_tasks)) if tasks is None and task_file is None else None
        self.tasks = given_or_shared(tasks, source, split, task_subset, task_version, exclude_tasks, task_file)
        self._judge = make_judge(nl_judge, nl_judge_model, nl_judge_config, origin, self.tasks)
        make = functools.partial(make_user, user_strategy, user_config, self._shop.database)
        self._customer = make(model=user_model, source=origin) if user is None else own_user(user)
        self._strategy = (
            OWN_CUSTOMER if user is not None else user_strategy if isinstance(user_strategy, str) else MIXED
        )
        shown = self._shop.domain_policy, self._shop.tools
        self.system_prompt = sys.intern(system_prompt(prompt_style, source, *shown, task_version=origin.version))
        """The first message that the agent sees, in every episode; one text for all environments of a process."""
        self.customer_s = 0.0
        """Wall-clock seconds that the customer has taken in this environment so far, all episodes together."""
        self._in_use = threading.Lock()
        self._digest = self._shop.snapshot_digest() if os.environ.get(DEBUG_VARIABLE) == "1" else None

    @property
    def user_strategy(self) -> str:
        """Who plays the customer in this episode; of a mixture the one that was drawn for it."""
        return str(getattr(self._customer, "strategy", None) or self._strategy)

    @property
    def task(self) -> Task | None:
        """The task of this episode, None before the first."""
        return None if self._episode is None else self._episode.task

    @property
    def tools(self) -> list[Mapping[str, Any]]:
        """The agent's tools as OpenAI schemas, in every episode; read only."""
        return list(self._shop.tools)

    metadata: Mapping[str, Any] = {"render_modes": []}
    """For Gymnasium: there is nothing to render."""
    render_mode = None
    spec = None

    @functools.cached_property
    def action_space(self) -> Any:
        """Gymnasium's space of what `step` takes: any text."""
        return text_space()

    @functools.cached_property
    def observation_space(self) -> Any:
        """Gymnasium's space of what comes back: any text."""
        return text_space()

    @property
    def unwrapped(self) -> TauRetailEnv:
        """Itself."""
        return self

    def __repr__(self) -> str:
        """Its source, version, customer and task."""
        version = f" {self.task_version}" if self.task_version else ""
        where = "no episode" if self.task is None else f"task {self.task.id}"
        return f"<TauRetailEnv {self._origin.name}{version}, {len(self.tasks)} tasks, {self.user_strategy}, {where}>"

    def reset(
        self, task_id: str | None = None, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, ResetInfo]:
        """Begin an episode.

        Args:
            task_id: which task; None picks by seed, so that seeds 0, 1, 2 … visit every task once before any twice
                (each round through the tasks is shuffled by its own number).
            seed: the customer's wording, and the task where `task_id` is None; None takes the environment's own
                count of its resets.
            options: {"task_id": …} for who can give no `task_id`, such as Gymnasium's wrappers.

        Returns:
            The customer's first words, and info, see `tau_retail_env.messages.ResetInfo`.

        Raises:
            InvalidValueError: unknown task id or option.
            UserError: the customer could not open the conversation; the episode says nothing about the agent.
            UserSetupError: no customer is available until something is fixed (key, model, budget).
            EpisodeStateError: another thread is inside this environment.
        """
        chosen = dict(options or {})
        task_id = chosen.pop("task_id", task_id)
        if chosen:
            raise unknown("option of reset", f"{next(iter(chosen))}", ("task_id",))
        with self._alone():
            return self._begin(task_id, seed)

    def _begin(self, task_id: str | None, seed: int | None) -> tuple[Observation, ResetInfo]:
        if seed is None:
            seed = self._next_seed
        if not hasattr(seed, "__index__") or index(seed) < 0:
            raise InvalidValueError(f"seed must be a whole number, at least 0, or None, found {seed!r}")
        self._next_seed = seed + 1
        note_seed(self, index(seed))
        task = self._task_of_seed(seed) if task_id is None else find_task(self.tasks, task_id)
        self._episode = None
        words = self._ask(self._customer.reset, task, seed=seed)
        if words.stop:
            raise UserError("the customer ended the conversation with its first words", usage=words.usage)
        greeting = self._shop.episode_rules.greeting
        opening: list[Message] = [{"role": "assistant", "content": greeting}] if greeting else []
        self._episode = Episode(task, self._shop.open(), [greeting] if greeting else [], steps=len(opening))
        opened: list[Message] = [*opening, {"role": "user", "content": words.content}]
        self._episode.evidence.conversation += [Said(**message) for message in opened]
        info: ResetInfo = {
            "task_id": task.id,
            "source": task.source,
            "task_version": task.version,
            "split": task.split,
            "user_strategy": self.user_strategy,
            "role": "user",
            "tools": list(self._shop.tools),
            "system_prompt": self.system_prompt,
            "messages": opened,
        }
        if words.usage is not None:
            self._episode.unreported_usage.append(words.usage)
            info["customer_usage"] = dict(words.usage)
        return words.content, info

    def step(self, action: Action) -> Turn:
        """Play one turn: the agent's message and what comes back.

        Args:
            action: the model's text (tool calls in `tool_format`, end-of-turn tokens and reasoning are taken out), an
                `AgentMessage`, or an assistant message in OpenAI's form.

        Returns:
            (observation, reward, terminated, truncated, info). The reward is 0.0 until the customer ends the episode.
            For info see `tau_retail_env.messages.StepInfo`.

        Raises:
            EpisodeStateError: before the first reset, after the end of the episode, or while another thread is inside
                this environment.
            UserSetupError: no customer is available until something is fixed (key, model, budget).
            InvalidValueError: an action that is no message.
        """
        with self._alone():
            return self._play(reading.unpacked(action))

    def _play(self, action: str | AgentMessage) -> Turn:
        episode = self._episode
        if episode is None:
            raise EpisodeStateError("step before reset: call reset() to begin an episode")
        if episode.over:
            raise EpisodeStateError(f"step after the end of episode {episode.task.id}: call reset() to begin another")
        episode.turns += 1
        metrics = dict.fromkeys(METRICS, 0.0) | {"turns": 1.0}
        try:
            message = reading.read(action, self.tool_format, self._multiple_calls, self._shop)
        except MalformedMessageError as error:
            metrics["unparsed_calls"] = reading.foreign_calls(
                action if isinstance(action, str) else None, self.tool_format, self._shop
            )
            return self._refuse(episode, action, error, metrics)
        metrics["unparsed_calls"] = reading.foreign_calls(message.content, self.tool_format, self._shop)
        if message.content and (not message.tool_calls or self._shop.episode_rules.hears_text_beside_calls):
            episode.spoken.append(message.content)
        episode.evidence.conversation.append(Said("assistant", message.content))
        if message.tool_calls:
            return self._run_tools(episode, message, metrics)
        return self._ask_user(episode, message, metrics)

    def close(self) -> None:
        """Forget the episode; nothing else is held."""
        self._episode = None

    def __enter__(self) -> Self:
        """For `with`, which closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __copy__(self) -> Self:
        """The same as a deep copy: two environments never play one episode."""
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """An environment of its own in the same state, an episode under way included."""
        with self._alone():
            return copies.made(type(self), copies.copied(self._state(), self._shared(self.tasks), memo))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the state; source, shop and loaded tasks by their names."""
        with self._alone():
            origin = self._origin
            place = self.tasks.index(self._episode.task) if self._episode and self._selection else None
            names = (origin.name, origin.version, origin.domain), self._selection, place
            tasks = self.tasks if self._selection else None
            return copies.unpickled, (type(self), *names, copies.to_bytes(self._state(), self._shared(tasks)))

    def _state(self) -> dict[str, Any]:
        """What makes this environment what it is."""
        return {name: value for name, value in vars(self).items() if name not in OWN}

    def _shared(self, tasks: Sequence[Task] | None) -> dict[str, Any]:
        """What copies share with it."""
        shared = {"source": self._origin, "shop": self._shop, "database": self._shop.database}
        if tasks is not None:
            shared |= {"tasks": tasks} | ({"task": self._episode.task} if self._episode is not None else {})
        return shared

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._in_use.acquire(blocking=False):
            raise EpisodeStateError(
                "two threads are in one environment at once: an environment belongs to one thread at a time, "
                "so make one TauRetailEnv for each (they share what never changes)"
            )
        try:
            yield
        finally:
            self._in_use.release()

    def _task_of_seed(self, seed: int) -> Task:
        epoch, place = divmod(seed, len(self.tasks))
        # This text, not `order_of`: recorded runs got their tasks by it.
        return self.tasks[shuffled(len(self.tasks), f"tau-retail/epoch/{epoch}")[place]]

    def _refuse(
        self, episode: Episode, action: str | AgentMessage, error: MalformedMessageError, metrics: Metrics
    ) -> Turn:
        """A message that cannot be parsed: nothing is run, the agent reads why; counts as one error of the agent's."""
        metrics["malformed"] = 1.0
        episode.errors += 1
        episode.steps += 2  # τ² counts the message, and what comes back
        text = f"Error: {error}"
        if isinstance(action, AgentMessage) and action.tool_calls:
            back = [_tool_message(call.name, call.id, text) for call in action.tool_calls]
        elif isinstance(action, str) and FORMS[self.tool_format].tag.search(action):
            back = [_tool_message("", "", text)]
        else:
            back = [{"role": "user", "content": text}]
        return self._turn(episode, text, back, metrics)

    def _run_tools(self, episode: Episode, message: AgentMessage, metrics: Metrics) -> Turn:
        results = [episode.world.call(call) for call in message.tool_calls]
        called = [Called(call, result.error) for call, result in zip(message.tool_calls, results, strict=True)]
        failed = [one.call for one in called if one.failed]
        episode.evidence.calls += called
        episode.evidence.conversation += [Said("tool", result.content) for result in results]
        metrics["tool_calls"] = float(len(results))
        metrics["tool_errors"] = float(len(failed))
        for call in failed:
            metrics[f"tool_errors_{error_kind(call, self._shop.tools)}"] += 1.0
        metrics["transfers"] = float(sum(call.name == "transfer_to_human_agents" for call in message.tool_calls))
        episode.errors += len(failed)
        episode.steps += 2  # τ² counts the message, and all its results as one
        back = [
            _tool_message(call.name, call.id, result.content)
            for call, result in zip(message.tool_calls, results, strict=True)
        ]
        text = "\n".join(result.content for result in results)
        transferred = message.tool_calls[0].name in self._shop.episode_rules.ending_tools
        ended_by = StopReason.AGENT_TRANSFER if transferred else None
        return self._turn(episode, text, back, metrics, ended_by)

    def _ask_user(self, episode: Episode, message: AgentMessage, metrics: Metrics) -> Turn:
        episode.steps += 1
        # τ² looks at its limits after each message: past one, the customer is not asked any more.
        if limit := self._limits.upstreams(episode):
            return self._turn(episode, "", [], metrics, ended_by=limit)
        try:
            words = self._ask(self._customer.respond, message)
        except UserError as error:
            metrics["customer_failures"] = 1.0
            why = str(error)
            return self._turn(
                episode, FAILED, [], metrics, StopReason.USER_ERROR, usage=error.usage, customer_error=why
            )
        episode.steps += 1
        episode.evidence.conversation.append(Said("user", words.content, words.agrees))
        back = [{"role": "user", "content": words.content}]
        ended_by = StopReason.USER_STOP if words.stop else None
        return self._turn(episode, words.content, back, metrics, ended_by, usage=words.usage)

    def _turn(
        self,
        episode: Episode,
        text: str,
        back: list[Message],
        metrics: Metrics,
        ended_by: StopReason | None = None,
        *,
        usage: Mapping[str, float] | None = None,
        customer_error: str | None = None,
    ) -> Turn:
        """Close a turn: limits, reward, info."""
        if ended_by is not StopReason.USER_ERROR:
            # In this order: upstream's τ² limits win over a stop, and a stop over a limit of turns.
            ended_by = self._limits.upstreams(episode) or ended_by or self._limits.turns(episode)
        episode.unreported_usage += [usage] if usage is not None else []
        metrics = user_metrics(episode.unreported_usage) | metrics
        episode.unreported_usage = []
        modes = dict(METRICS) if USER_METRICS.keys().isdisjoint(metrics) else METRICS | USER_METRICS
        role = back[-1]["role"] if back else "user"
        info: StepInfo = {"role": role, "messages": back, "metrics": metrics, "metrics_agg_mode": modes}
        if usage is not None:
            info["customer_usage"] = dict(usage)
        if customer_error is not None:
            info["customer_error"] = customer_error
        if ended_by is None:
            return text, 0.0, False, False, info
        reward, ended_by = self._end(episode, ended_by, info)
        return text, reward, ended_by.is_termination, not ended_by.is_termination, info

    def _end(self, episode: Episode, ended_by: StopReason, info: StepInfo) -> tuple[float, StopReason]:
        """Judge an episode that is over; returns its reward, and how it ended after all."""
        episode.over = True
        info["reward_breakdown"], info["user_strategy"] = {}, self.user_strategy
        reward = 0.0
        if ended_by.is_termination:
            try:
                judged = self._verdict(episode)
            except UserError as error:  # the judge failed: as after a customer that did, nothing is known
                ended_by = StopReason.USER_ERROR
                info["metrics"]["judge_failures"] = 1.0
                info["metrics_agg_mode"] = {**info["metrics_agg_mode"], "judge_failures": "sum"}
                info["customer_error"] = f"{JUDGE_FAILED}{error}"
            else:
                breakdown = info["reward_breakdown"] = judged.breakdown
                reward = self._reward.chosen(breakdown)
                info["metrics"]["success"] = float(judged.value == 1.0)
                info["reward_corrected"], info["process"] = breakdown["corrected"], breakdown["process"]
        info["stop_reason"], info["scorable"] = ended_by, ended_by.is_scorable
        self._check_snapshot(episode)
        return reward, ended_by

    def _verdict(self, episode: Episode) -> Reward:
        """All three numbers; assertions are judged only where the task's reward names them.

        Raises:
            UserError: the judge failed.
        """
        task, unmet = episode.task, None
        if "NL_ASSERTION" in task.reward_basis:
            episode.evidence.gold = functools.partial(play_gold, self._shop, task)
            unmet = self._judge.unmet(task, episode.evidence)
        return verdict(self._shop, task, episode.world, episode.evidence, episode.spoken, unmet)

    def _check_snapshot(self, episode: Episode) -> None:
        if self._digest is not None and self._shop.snapshot_digest() != self._digest:
            raise SnapshotChangedError(
                f"The shared database has changed by the end of episode {episode.task.id}: something writes to what "
                "`Shop.database` or an upstream object hands out; copy before changing"
            )

    def _ask(self, call: Callable[..., UserMessage | str], *arguments: Any, **named: Any) -> UserMessage:
        start = time.perf_counter()
        try:
            return checked_reply(call(*arguments, **named), self._shop.episode_rules.stop_tokens)
        finally:
            self.customer_s += time.perf_counter() - start


def _tool_message(name: str, call_id: str, content: str) -> Message:
    message = {"role": "tool", "name": name, "content": content}
    return message | {"tool_call_id": call_id} if call_id else message
