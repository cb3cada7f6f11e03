"""TauRetailEnvManager: ROLL's loop around one environment, with our tokens, tasks, ends and numbers."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import ray
import torch
from roll.distributed.scheduler.protocol import DataProto
from roll.pipeline.agentic.env_manager.base_env_manager import RolloutCache
from roll.pipeline.agentic.env_manager.traj_env_manager import TrajEnvManager
from roll.utils.constants import GenerateStopReason

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.episodes.encoders import make_encoder
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.token_episode import TokenEpisode
from tau_retail_env.errors import InvalidValueError, UserSetupError
from tau_retail_env.models.checks import eos_token_ids
from tau_retail_env.roll import engine_proxy  # noqa: F401 — ROLL finds it by its name once it is imported
from tau_retail_env.roll.batch import learns, row, to_batch
from tau_retail_env.roll.group_plan import group_plan
from tau_retail_env.roll.metrics import asked, earned, episode_metrics, named
from tau_retail_env.roll.registration import ENVIRONMENT_ID, plain_value, register_environment
from tau_retail_env.roll.rollout import Clock, own_tokens
from tau_retail_env.roll.tracing import open_span
from tau_retail_env.roll.trajectory_writer import is_chosen, trajectories_folder, writer_for
from tau_retail_env.users import UserError

register_environment()
for _client in ("httpx", "httpx2"):  # ROLL shows what every library says: here a line for each request of a customer
    logging.getLogger(_client).setLevel(logging.WARNING)

MAX_TRIES = 3
"""How often an episode is played whose customer fails, before it is left out of the training."""
MAX_UNSCORABLE_IN_A_ROW = 3
"""After how many such episodes of one environment the run stops: nobody can be reached."""
MAX_EMPTY_REPLIES = 8
"""How many replies without a token the engine may give in a row."""
TEMPLATES = ("agent_system_template", "agent_template")
"""Keys that ROLL's constructor demands and that mean nothing here."""
SHARE_KEY = "trajectory_share"
"""Key under custom_envs.<tag>: which share of the groups is written to disk, 1 if it is not there."""


class TauRetailEnvManager(TrajEnvManager):
    """Plays tau_retail episodes in ROLL's loop.

    ROLL's `run_rollout_loop` stays as it is; docs/roll.md says what is done otherwise here, and why. Named in YAML as
    `env_manager_cls: tau_retail_env.roll.env_manager.TauRetailEnvManager`.

    Args:
        worker_config: ROLL's EnvManagerConfig of this mode.
        pipeline_config: ROLL's AgenticConfig.
        env_config: what ROLL made of one block under custom_envs, with ids and tag.
        tokenizer: this environment's own copy.
        generate_scheduler: handed on to ROLL's proxy of the engine.
        output_queue: where finished episodes go.
        thread_lock: ROLL's lock for `use_thread_lock`.
        mode: "train" or "val".

    Raises:
        InvalidValueError: keys that contradict each other, a tokenizer that cannot be used, more validation groups
            than tasks.
    """

    def __init__(
        self,
        worker_config: Any,
        pipeline_config: Any,
        env_config: Any,
        tokenizer: Any,
        generate_scheduler: Any,
        output_queue: Any,
        thread_lock: Any,
        mode: str = "train",
        *args: Any,
        **kwargs: Any,
    ) -> None:
        for key in TEMPLATES:
            pipeline_config.custom_envs[env_config["tag"]].setdefault(key, "")
        super().__init__(
            worker_config,
            pipeline_config,
            env_config,
            tokenizer,
            generate_scheduler,
            output_queue,
            thread_lock,
            mode,
            *args,
            **kwargs,
        )
        self.env_config = plain_value(env_config)  # OmegaConf takes long to look a key up
        settings = self.env_config["config"]
        _check_limits(self.env_config, settings)
        self._encoder = _encoder(tokenizer, settings)
        self.env.tool_format = self._encoder.tool_format
        self._plan = group_plan(
            mode,
            self.env.tasks,
            group_id=self.env_config["group_id"],
            worker_config=worker_config,
            pipeline_config=pipeline_config,
        )
        self._generating_args = worker_config.generating_args.to_dict()
        self._share = float(self.env_config.get(SHARE_KEY, 1.0))
        self._writer = writer_for(trajectories_folder(pipeline_config), mode) if self._share > 0 else None
        self._tries: list[TokenEpisode] = []
        self._clock = Clock()
        self._began = (0.0, 0.0)
        self._customer_before_s = 0.0
        self._slot = (-1, 0)
        self._empty_replies = 0
        self._unscorable_in_a_row = 0
        self._engine_tells_logprobs = True

    def run_rollout_loop(self, data: DataProto) -> None:
        """ROLL's loop; whatever ends it, the trace is closed and the trajectories are on disk.

        Args:
            data: `meta_info["seed"]`, which decides nothing here.
        """
        try:
            super().run_rollout_loop(data)
        finally:
            # ROLL closes the span of an episode that it hands over; an unfinished one's stays open.
            if (stack := getattr(self, "trace_stack", None)) is not None:
                stack.close()
            if self._writer is not None:
                self._writer.flush()

    def reset(self) -> RolloutCache | None:
        """Begin ROLL's next episode of this group.

        Returns:
            ROLL's record of it; None when there is nothing left to play.
        """
        self.episode_id = ray.get(
            self.output_queue.get_episode_id.remote(self.env_config["group_id"], self.env_config["env_id"])
        )
        request = None if self.episode_id is None else self._plan.request(self.episode_id)
        if request is None:
            return None
        times = self._slot[1] + 1 if self._slot[0] == self.episode_id else 0
        self._slot = (self.episode_id, times)
        self._clock, self._tries = Clock(), []
        self._began = (time.perf_counter(), time.thread_time())
        self._customer_before_s = self.env.customer_s
        self._trace()
        return self._begin(replace(request, sampling_seed=self.env_config["env_id"]))

    def make_decision(self, rollout_cache: RolloutCache) -> DataProto:
        """Have the engine say the actor's next turn.

        Args:
            rollout_cache: ROLL's record of the episode.

        Returns:
            The engine's answer; its `stop_reason` is MAX_LENGTH where the episode is over, ABORT where the same turn is
            to be asked for again.

        Raises:
            RuntimeError: the engine keeps answering without a single token.
        """
        episode = self._episode
        if not episode.over:
            self._clock.chat(episode.listen)
        if episode.over:
            return _stopped(GenerateStopReason.MAX_LENGTH)
        step = self.current_step  # the weights may change before the answer is there
        output = self._clock.proxy(
            self.llm_proxy.generate,
            messages=[dict(message) for message in episode.messages],
            lm_input=self.format_messages(rollout_cache),
            generation_config=self._generation_config(episode.room),
        )
        if output is None:
            return _stopped(GenerateStopReason.ABORT)
        batch = output.batch  # made anew each time it is asked for
        response_ids = batch["responses"][0].tolist()
        if not response_ids:
            return self._empty_reply()
        self._empty_replies = 0
        own, stopped = own_tokens(response_ids, self.tokenizer.pad_token_id, self._encoder.stop_ids)
        self._asked_at.append((step, len(own)))
        logprobs = self._logprobs(batch, len(response_ids), len(own))
        self._text = self._clock.chat(episode.speak, own, logprobs, stopped=stopped)
        if episode.over:
            return _stopped(GenerateStopReason.MAX_LENGTH)
        output.meta_info["stop_reason"] = GenerateStopReason.FINISH
        return output

    def format_messages(self, history: RolloutCache) -> DataProto:
        """The prompt of the actor's next turn: all tokens so far, then what came back since.

        Args:
            history: ROLL's record of the episode, unused.

        Returns:
            `input_ids`, `attention_mask`, `position_ids` (from 0), each [1, length] int64. Asked again, it is the same.
        """
        input_ids = row(self._episode.prompt_ids, np.int64)
        columns = {
            "input_ids": input_ids,
            "attention_mask": torch.ones_like(input_ids),
            "position_ids": torch.arange(input_ids.shape[1]).unsqueeze(0),
        }
        return DataProto.from_dict(columns, meta_info={"src_rank": self.env_config["env_id"]})

    def step(self, llm_output: DataProto) -> RolloutCache:
        """Play the actor's turn in the environment.

        Args:
            llm_output: what `make_decision` returned.

        Returns:
            ROLL's record; `terminated` is set however the episode ended, for that is what ROLL's loop asks.
        """
        episode = self._episode
        with self.thread_lock, self.env_step_limiter:
            observed = self._clock.environment(self.env.step, self._text)
        self._clock.steps += 1
        episode.hear(*observed[1:])
        self.rollout_cache.step += 1
        if not episode.scorable and self._may_try_again():
            self._dump(episode)
            return self._begin(episode.request)
        self.rollout_cache.terminated = episode.over
        self.rollout_cache.truncated = episode.truncated
        return self.rollout_cache

    def formulate_rollouts(self, rollout_cache: RolloutCache) -> DataProto:
        """The finished episode as a batch of one, with its metrics.

        Args:
            rollout_cache: ROLL's record of the episode.

        Returns:
            See `tau_retail_env.roll.batch.to_batch`; `meta_info["metrics"]` holds the episode's numbers.

        Raises:
            UserSetupError: the customer has failed in every try of so many episodes that there is nothing to learn
                from any more.
        """
        episode = self._episode
        self._count_unscorable(episode)
        episode.with_logprobs = self._engine_tells_logprobs
        env_id, group_id, tag = (self.env_config[name] for name in ("env_id", "group_id", "tag"))
        if not learns(episode):
            # ROLL names the group after this: a group of its own keeps the 0 out of its siblings' baseline.
            rollout_cache.group_id = f"{group_id}.unscorable.{env_id}"
        batch = to_batch(
            episode,
            env_id=env_id,
            group_id=group_id,
            tag=tag,
            sequence_length=self.pipeline_config.sequence_length,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        seconds = time.perf_counter() - self._began[0], time.thread_time() - self._began[1]
        self._clock.customer_s = self.env.customer_s - self._customer_before_s
        metrics = episode_metrics(self._tries, self._clock, *seconds)
        named_metrics = named(metrics, tag, int(batch.batch["response_mask"].sum()))
        asked_at = asked(self._asked_at) if self.mode == "train" else {}
        batch.meta_info = {"metrics": named_metrics | earned(metrics, self.env.task) | asked_at}
        self._dump(episode)
        return batch

    @property
    def _episode(self) -> TokenEpisode:
        return self._tries[-1]

    def _begin(self, request: EpisodeRequest) -> RolloutCache:
        """Begin a try at the episode; if the customer cannot even open it, try again or end it unscored."""
        times = self._slot[1]
        env_id = self.env_config["env_id"]
        self._asked_at: list[tuple[int, int]] = []
        self.rollout_cache = RolloutCache(
            env_id=f"{env_id}.{times}" if times else env_id,
            group_id=self.env_config["group_id"],
            tag=self.env_config["tag"],
        )
        while True:
            episode = TokenEpisode(
                request=request,
                policy_version=self.current_step,
                encoder=self._encoder,
                sequence_length=self.pipeline_config.sequence_length,
                max_own_tokens=self.env_config.get("max_tokens_per_episode"),
            )
            self._tries.append(episode)
            try:
                with self.thread_lock, self.env_step_limiter:
                    _, info = self._clock.environment(self.env.reset, request.task_id, request.seed)
            except UserError as error:
                episode.fail_to_open(error, str(getattr(self.env, "user_strategy", "")))
                if not self._may_try_again():
                    return self.rollout_cache
                self._dump(episode)
                continue
            episode.open(info)
            return self.rollout_cache

    def _count_unscorable(self, episode: TokenEpisode) -> None:
        self._unscorable_in_a_row = 0 if episode.scorable else self._unscorable_in_a_row + 1
        if self._unscorable_in_a_row >= MAX_UNSCORABLE_IN_A_ROW:
            self._dump(episode)
            raise UserSetupError(
                f"The customer failed in {MAX_UNSCORABLE_IN_A_ROW} episodes in a row of environment "
                f"{self.env_config['env_id']} ({self.env_config['tag']}), {MAX_TRIES} times each; the last time: "
                f"{episode.customer_error}. Fix it (tau-retail review --customer), then go on from the last checkpoint"
            )

    def _may_try_again(self) -> bool:
        return self.running and len(self._tries) < MAX_TRIES

    def _generation_config(self, room: int) -> dict[str, Any]:
        limits = [self.env_config.get("max_tokens_per_step"), self._generating_args["max_new_tokens"], room]
        return self._generating_args | {"max_new_tokens": min(limit for limit in limits if limit is not None)}

    def _logprobs(self, batch: Any, length: int, own: int) -> list[float] | None:
        # A TensorDict refuses `in`.
        self._engine_tells_logprobs = "infer_logprobs" in batch.keys()  # noqa: SIM118
        return batch["infer_logprobs"][0][-length:].tolist()[:own] if self._engine_tells_logprobs else None

    def _empty_reply(self) -> DataProto:
        self._empty_replies += 1
        if self._empty_replies >= MAX_EMPTY_REPLIES:
            raise RuntimeError(
                f"The engine answered {MAX_EMPTY_REPLIES} times in a row without a single token (task "
                f"{self._episode.request.task_id}, {len(self._episode.prompt_ids)} tokens of prompt); look at the "
                "rollout worker's log"
            )
        return _stopped(GenerateStopReason.ABORT)

    def _trace(self) -> None:
        """Open the span that ROLL's loop closes at the end of the episode."""
        group = f"{self.env_config['tag']}_{self.env_config['group_id']}_{self.episode_id}_{self.group_seed}"
        attributes = {name: self.env_config[name] for name in ("env_id", "group_id")}
        attributes |= {
            "episode_id": self.episode_id,
            "traj_group_id": group,
            "traj_id": f"{group}_{self.env_config['env_id']}",
        }
        self.trace_stack = open_span(getattr(self, "trace_meta", None), attributes)

    def _dump(self, episode: TokenEpisode) -> None:
        if self._writer is None or not is_chosen(f"{episode.request.tag}/{episode.request.group}", self._share):
            return
        timings = {
            "environment_s": self._clock.environment_s,
            "generation_s": self._clock.generation_s,
            "chat_cpu_s": self._clock.chat_cpu_s,
        }
        self._writer.add(episode.trajectory(timings))


def _stopped(reason: Any) -> DataProto:
    return DataProto(meta_info={"stop_reason": reason})


def _encoder(tokenizer: Any, settings: Mapping[str, Any]) -> ChatEncoder:
    """The encoder of one environment's settings."""
    source, style = settings.get("source", "tau2"), settings.get("prompt_style", "full")
    return make_encoder(
        tokenizer,
        source,
        style,
        task_version=settings.get("task_version"),
        eos_token_ids=eos_token_ids(tokenizer.name_or_path),  # ROLL loads it from the model's folder
        needs_own_padding=True,
    )


def _check_limits(env_config: Any, settings: dict[str, Any]) -> None:
    """ROLL's max_steps must say what the environment's max_turns says, or nothing."""
    if env_config["env_type"] != ENVIRONMENT_ID:
        raise InvalidValueError(
            f"custom_envs.{env_config['tag']}.env_type is {env_config['env_type']!r}, but this env manager plays "
            f"{ENVIRONMENT_ID!r} alone"
        )
    steps, turns = env_config.get("max_steps"), settings.get("max_turns")
    if steps is not None and steps != turns:
        raise InvalidValueError(
            f"custom_envs.{env_config['tag']}.max_steps is {steps}, but env_config.max_turns is {turns}; "
            "set both from the top with max_turns"
        )
