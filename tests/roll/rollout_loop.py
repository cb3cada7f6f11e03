"""ROLL's own queue and loop around an env manager on the CPU, with a scripted actor in place of the engine."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import ray
import torch
from omegaconf import DictConfig
from roll.configs import GeneratingArguments
from roll.distributed.scheduler.protocol import DataProto
from roll.distributed.scheduler.rollout_scheduler import GroupQueueManager
from roll.pipeline.agentic.agentic_config import AgenticConfig, EnvManagerConfig, EnvMonitorConfig, LLMProxyConfig
from roll.pipeline.agentic.llm_proxy.base_llm_proxy import BaseLLMProxy, register_llm_proxy

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.messages import AgentMessage
from tau_retail_env.roll.env_manager import TauRetailEnvManager
from tau_retail_env.sources import find_task

WAIT_S = 120
TAG = "retail"
LOGPROB = -0.25
"""The log-probability of a turn's first token; the next one's is a thousandth lower, and so on."""


def hermes(message: AgentMessage | str) -> str:
    """A message as the actor writes it."""
    if isinstance(message, str):
        return message
    calls = [{"name": call.name, "arguments": dict(call.arguments)} for call in message.tool_calls]
    texts = [f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>" for call in calls]
    return "\n".join([*([message.content] if message.content else []), *texts])


class Actor:
    """Answers in one episode after another; the script may be changed by a test.

    Args:
        env: the environment, which it watches.
        tokenizer: with which it writes.
    """

    def __init__(self, env: Any, tokenizer: Any) -> None:
        self.env, self.tokenizer = env, tokenizer
        self.agent: Any = None
        self.observation, self.info = "", {}
        self._reset, self._step = env.reset, env.step
        env.reset, env.step = self._watch_reset, self._watch_step

    def _watch_reset(self, *arguments: Any, **named: Any) -> Any:
        self.observation, self.info = self._reset(*arguments, **named)
        self.agent = OracleAgent(find_task(self.env.tasks, self.info["task_id"]))
        return self.observation, self.info

    def _watch_step(self, *arguments: Any, **named: Any) -> Any:
        answer = self._step(*arguments, **named)
        self.observation, self.info = answer[0], answer[4]
        return answer

    def turn(self) -> list[int] | None:
        """Tokens of the oracle's next message, end of turn included; None aborts the request."""
        return self.write(hermes(self.agent.act(self.observation, self.info)))

    def write(self, text: str, *, end: bool = True) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False) + [self.tokenizer.eos_token_id] * end


@register_llm_proxy("scripted_actor")
class ScriptedProxy(BaseLLMProxy):
    """The engine: notes what it gets and gives what the actor says."""

    make_actor: Callable[[Any, Any], Any] = Actor

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.actor = type(self).make_actor(self.env, self.tokenizer)
        self.requests: list[tuple[list[int], dict[str, Any]]] = []
        self.messages: list[list[dict[str, Any]]] = []
        self.replies: list[list[int] | None] = []

    def generate(self, messages: Any, lm_input: DataProto, generation_config: dict[str, Any]) -> DataProto | None:
        prompt = lm_input.batch["input_ids"][0].tolist()
        self.requests.append((prompt, generation_config))
        self.messages.append([dict(message) for message in messages])
        ids = self.actor.turn()
        ids = ids if ids is None else ids[: generation_config["max_new_tokens"]]
        self.replies.append(ids)
        if ids is None:
            return None
        logprobs = [0.0] * (len(prompt) - 1) + [LOGPROB - 0.001 * place for place in range(len(ids))]
        output = {"responses": torch.tensor([ids], dtype=torch.long), "infer_logprobs": torch.tensor([logprobs])}
        return DataProto.from_dict(output, meta_info={})


class Remote:
    """A method that is called as Ray's are."""

    def __init__(self, call: Callable[..., Future[Any]]) -> None:
        self.remote = call


class Queue:
    """ROLL's own GroupQueueManager without Ray: in an event loop on a thread."""

    def __init__(self, config: Any, manager_config: EnvManagerConfig, mode: str) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        plain = GroupQueueManager.__ray_metadata__.modified_class
        self.manager = self.do(self._later(plain, config, manager_config, mode))
        self.put = Remote(lambda *arguments: self._submit(self._later(self.manager.put, *arguments)))
        self.get_episode_id = Remote(lambda *arguments: self._submit(self.manager.get_episode_id(*arguments)))

    def step(self, step: int, batch_size: int) -> Future[list[DataProto]]:
        """One get_batch of ROLL's pipeline, under way."""
        self.do(self._later(self.manager.advance_step, step))
        return self._submit(self.manager.get_batch(batch_size, step))

    def clear(self) -> None:
        self.do(self._later(self.manager.clear))

    def shutdown(self) -> None:
        self.do(self._later(self.manager.shutdown))

    def do(self, coroutine: Any) -> Any:
        return self._submit(coroutine).result(WAIT_S)

    def _submit(self, coroutine: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    @staticmethod
    async def _later(call: Callable[..., Any], *arguments: Any) -> Any:
        return call(*arguments)


class RolloutLoop:
    """Env managers of one mode, as ROLL's EnvironmentWorker makes and runs them.

    Args:
        tokenizer: what the actor writes with.
        folder: the run's output.
        mode: "train" or "val".
        groups: num_env_groups.
        group_size: environments a group.
        episodes: max_traj_per_env.
        settings: env_config of the tag.
        env: more keys of the tag.
        pipeline: more keys of AgenticConfig.
        manager: more keys of EnvManagerConfig.
        cls: the class of the env managers.
        make_actor: the actor of one environment.
    """

    def __init__(
        self,
        tokenizer: Any,
        folder: Any,
        *,
        mode: str = "train",
        groups: int = 1,
        group_size: int = 1,
        episodes: int = 1,
        settings: Mapping[str, Any] | None = None,
        env: Mapping[str, Any] | None = None,
        pipeline: Mapping[str, Any] | None = None,
        manager: Mapping[str, Any] | None = None,
        cls: type = TauRetailEnvManager,
        make_actor: Callable[[Any, Any], Any] = Actor,
        base_seed: int = 0,
    ) -> None:
        defaults = {"source": "generated", "split": "train", "task_subset": "single", "prompt_style": "minimal"}
        block = {"env_type": "tau_retail", "env_config": defaults | dict(settings or {}), **(env or {})}
        size = groups * group_size * episodes
        self.config = SimpleNamespace(
            **{
                "custom_envs": DictConfig({TAG: block}),
                "sequence_length": 4096,
                "seed": 42,
                "rollout_batch_size": size,
                "val_batch_size": size,
                "async_generation_ratio": 0,
                "resume_from_checkpoint": False,
                "rollout_dump_dir": None,
                "output_dir": str(folder),
                "skip_mock_system_prompt": False,
                "env_monitor": EnvMonitorConfig(enable=False),
                **(pipeline or {}),
            }
        )
        keys = {
            "num_env_groups": groups,
            "group_size": group_size,
            "tags": [TAG],
            "num_groups_partition": [groups],
            "max_traj_per_env": episodes,
            "generating_args": GeneratingArguments(max_new_tokens=1024),
            "llm_proxy": LLMProxyConfig(proxy_type="scripted_actor"),
            **(manager or {}),
        }
        self.manager_config = EnvManagerConfig(**keys)
        AgenticConfig.make_env_configs(self.config, self.manager_config)
        self.queue = Queue(self.config, self.manager_config, mode)
        self.base_seed = base_seed
        self._threads: list[threading.Thread] = []
        self.errors: list[BaseException] = []
        ScriptedProxy.make_actor = make_actor
        self.managers = [
            cls(
                worker_config=self.manager_config,
                pipeline_config=self.config,
                env_config=env_config,
                tokenizer=tokenizer,
                processor=None,
                generate_scheduler=None,
                output_queue=self.queue,
                thread_lock=threading.Lock(),
                mode=mode,
                extra_data_provider=None,
            )
            for envs in self.manager_config.env_configs.values()
            for env_config in envs.values()
        ]

    def start(self, step: int) -> None:
        """Tell the env managers the step, and set them going where they are not."""
        for manager in self.managers:
            manager.update_step(step)
        if not self._threads:
            data = DataProto(meta_info={"seed": self.base_seed})
            self._threads = [threading.Thread(target=self._run, args=(one, data)) for one in self.managers]
            for thread in self._threads:
                thread.start()

    def play(self, step: int = 0, batch_size: int | None = None) -> list[DataProto]:
        """One step of ROLL's pipeline: its batch, episode by episode."""
        self.start(step)
        size = self.config.rollout_batch_size if batch_size is None else batch_size
        batch = self.queue.step(step, size)
        deadline = time.monotonic() + WAIT_S
        while not (batch.done() or self.errors) and time.monotonic() < deadline:
            time.sleep(0.01)
        if self.errors:
            raise self.errors[0]
        return batch.result(0)

    def close(self) -> None:
        """End as ROLL's shutdown does."""
        for manager in self.managers:
            manager.stop()
        self.queue.shutdown()
        self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(WAIT_S)
        self._threads = []
        if self.errors:
            raise self.errors[0]

    def _run(self, manager: Any, data: DataProto) -> None:
        try:
            manager.run_rollout_loop(data)
        except BaseException as error:
            self.errors.append(error)


def without_ray(monkeypatch: Any) -> None:
    """Have `ray.get` wait for the fake queue's futures."""
    monkeypatch.setattr(ray, "get", lambda future: future.result(WAIT_S))
