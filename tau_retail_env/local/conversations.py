"""Oracle conversations as tokens: played through the environment and encoded as the model will see them."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from tau_retail_env.agents.oracle import BoastingAgent, OracleAgent
from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.chat.parsing import render_message
from tau_retail_env.config.environments import EnvironmentConfig
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local.config.sft import ConversationArgs
from tau_retail_env.local.identifiers import redraw_identifiers
from tau_retail_env.messages import ResetInfo, StepInfo
from tau_retail_env.sources import find_task
from tau_retail_env.sources.prompts import show_tools
from tau_retail_env.tasks.seeding import order_of, seed_of
from tau_retail_env.users import UserError

CHUNK = 50
"""Conversations that a worker plays before it hands them back."""


@dataclass(frozen=True)
class EncodedConversations:
    """Encoded conversations, end to end in flat arrays."""

    token_ids: np.ndarray
    """Tokens of all conversations ``[tokens]``."""
    response_mask: np.ndarray
    """1 on the agent's own tokens ``[tokens]``."""
    starts: np.ndarray
    """Where each conversation starts, and where the last one ends ``[conversations + 1]``."""
    num_failed: int
    """Conversations left out because the oracle did not earn the reward."""
    num_unscorable: int
    """Conversations left out because the customer failed."""
    num_long: int
    """Conversations left out because they are longer than sequence_length."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each conversation ``[conversations]``."""
        return np.diff(self.starts)


@dataclass(frozen=True)
class Encoded:
    """One conversation as tokens."""

    token_ids: list[int]
    """The tokens, as the model sees and produces them."""
    response_mask: list[int]
    """1 on the agent's own tokens."""
    as_meant: bool
    """Whether it earned what its agent is to earn: the reward, or none if a boasting one played."""
    scorable: bool = True
    """False if the customer failed."""


def encode(
    env: TauRetailEnv,
    tokenizer: Any,
    *,
    task_id: str,
    seed: int,
    show_tools: bool,
    redraw: str | None = None,
    boasting: bool = False,
) -> Encoded:
    """Let the oracle play a task and encode the conversation turn by turn.

    Args:
        env: the environment.
        tokenizer: the model's tokenizer.
        task_id: the task.
        seed: the customer's wording.
        show_tools: whether the chat template shows the tools.
        redraw: seed from which every long number is drawn anew, None keeps the shop's own.
        boasting: whether a boasting agent plays in the oracle's place.
    """
    try:
        observation, info = env.reset(task_id=task_id, seed=seed)
        tools = info["tools"] if show_tools else None
        encoder = ChatEncoder(tokenizer, system_prompt=info["system_prompt"], tools=tools)
        env.tool_format = encoder.tool_format
        parts, reward = _converse(env, observation, info, task_id, BoastingAgent if boasting else OracleAgent)
    except UserError:
        return Encoded([], [], as_meant=False, scorable=False)
    if redraw is not None:
        messages = iter(redraw_identifiers([message for part in parts for message in part], redraw))
        parts = [[next(messages) for _ in part] for part in parts]
    opening, *turns = parts
    token_ids = encoder.opening(opening)
    response_mask = [0] * len(token_ids)
    for place, part in enumerate(turns):
        speaks = place % 2 == 0
        more = encoder.reply(part[0]["content"]) if speaks else encoder.following(part)
        token_ids += more
        response_mask += [int(speaks)] * len(more)
    return Encoded(token_ids, response_mask, reward == (0.0 if boasting else 1.0))


def conversation_texts(config: EnvironmentConfig, num: int, *, seed: int) -> list[str]:
    """What is said in oracle conversations, message by message, for learning a tokenizer.

    Args:
        config: the environment that the oracle plays in.
        num: conversations.
        seed: decides the order of tasks and the customers' wording.
    """
    env = TauRetailEnv(**vars(config))
    order = order_of(len(env.tasks), seed, "tokenizer", 0)
    texts = []
    for number in tqdm(range(num), desc="conversations for the tokenizer", unit="episode", mininterval=1):
        try:
            task = env.tasks[order[number % len(order)]]
            opened = env.reset(task_id=task.id, seed=seed_of(seed, "tokenizer wording", number))
            parts, _ = _converse(env, *opened, task.id)
        except UserError:
            continue
        texts += [message["content"] for part in parts for message in part]
    return texts


def make_conversations(
    envs: Mapping[str, EnvironmentConfig], tokenizer: Any, wanted: ConversationArgs, *, seed: int, longest: int
) -> EncodedConversations:
    """Play and encode oracle conversations in several processes.

    Args:
        envs: the environments that the oracle plays in, by tag.
        tokenizer: the model's tokenizer.
        wanted: how many in which environment, and how.
        seed: decides the order of tasks and the customers' wording.
        longest: tokens beyond which a conversation is left out.

    Returns:
        The conversations of one environment after those of another, in the mixture's order.

    Raises:
        InvalidValueError: not one conversation can be used.
    """
    bar = tqdm(total=wanted.num, desc="oracle conversations", unit="episode", mininterval=1)
    rows: list[Encoded] = []
    for tag, num in wanted.by_tag().items():
        chunks = [range(start, min(start + CHUNK, num)) for start in range(0, num, CHUNK)]
        for part in _parts(_Worker(envs[tag], tokenizer, wanted, seed), chunks, wanted.num_workers):
            rows += part
            bar.update(len(part))
    bar.close()
    scored = [row for row in rows if row.scorable]
    earned = [row for row in scored if row.as_meant]
    kept = [row for row in earned if len(row.token_ids) <= longest]
    if not kept:
        raise InvalidValueError(
            f"None of {wanted.num} oracle conversations can be used: {len(rows) - len(scored)} whose customer failed, "
            f"{len(scored) - len(earned)} without the reward, {len(earned)} longer than sequence_length {longest}"
        )
    return EncodedConversations(
        token_ids=np.concatenate([np.asarray(row.token_ids, dtype=np.int32) for row in kept]),
        response_mask=np.concatenate([np.asarray(row.response_mask, dtype=np.uint8) for row in kept]),
        starts=np.cumsum([0, *(len(row.token_ids) for row in kept)]),
        num_failed=len(scored) - len(earned),
        num_unscorable=len(rows) - len(scored),
        num_long=len(earned) - len(kept),
    )


def _converse(
    env: TauRetailEnv, observation: str, opening: ResetInfo, task_id: str, kind: type[OracleAgent] = OracleAgent
) -> tuple[list[list[dict[str, str]]], float]:
    """Let an agent play from what `reset` told: the opening, then in turn what it and the others said; the reward.

    Raises:
        UserError: the customer failed.
    """
    agent = kind(find_task(env.tasks, task_id))
    parts: list[list[dict[str, str]]] = [opening["messages"]]
    info: ResetInfo | StepInfo = opening
    while True:
        text = render_message(agent.act(observation, info), env.tool_format, opening["tools"])
        parts.append([{"role": "assistant", "content": text}])
        observation, reward, terminated, truncated, answer = env.step(text)
        if terminated or truncated:
            if not answer["scorable"]:
                raise UserError(answer["customer_error"])
            return parts, reward
        parts.append(answer["messages"])
        info = answer


def _parts(worker: _Worker, chunks: Sequence[range], num_workers: int) -> Iterator[list[Encoded]]:
    """The chunks in order, each played by one process."""
    if num_workers == 1:
        yield from map(worker, chunks)
        return
    spawning = multiprocessing.get_context("spawn")
    with spawning.Pool(min(num_workers, len(chunks)), _start, (worker,)) as pool:
        yield from pool.imap(_work, chunks)


class _Worker:
    """Plays chunks of conversations; travels to another process before its environment is made."""

    def __init__(self, config: EnvironmentConfig, tokenizer: Any, wanted: ConversationArgs, seed: int) -> None:
        self._config = config
        self._tokenizer = tokenizer
        self._wanted = wanted
        self._seed = seed
        self._env: TauRetailEnv | None = None

    def __call__(self, chunk: range) -> list[Encoded]:
        if self._env is None:
            self._env = TauRetailEnv(**vars(self._config))
        return [self._play(self._env, number) for number in chunk]

    def _play(self, env: TauRetailEnv, number: int) -> Encoded:
        epoch, place = divmod(number, len(env.tasks))
        task = env.tasks[order_of(len(env.tasks), self._seed, "sft", epoch)[place]]
        return encode(
            env,
            self._tokenizer,
            task_id=task.id,
            seed=seed_of(self._seed, "sft wording", number),
            show_tools=show_tools(self._config.prompt_style),
            redraw=self._redraw(number),
            boasting=random.Random(f"{self._seed}/boasting/{number}").random() < self._wanted.boasting_share,
        )

    def _redraw(self, number: int) -> str | None:
        """Seed of the new identifiers of a conversation."""
        share = self._wanted.redraw_identifiers
        if share is None:
            return None
        anew = random.Random(f"{self._seed}/redraw/{number}").random() < share
        return f"{self._seed}/{number}" if anew else f"{self._seed}"


_workers: list[_Worker] = []
"""The worker of this process: a pool hands each process its settings once, through a global."""


def _start(worker: _Worker) -> None:
    _workers.append(worker)


def _work(chunk: range) -> list[Encoded]:
    return _workers[0](chunk)
