"""Oracle conversations as tokens: played through the environment and encoded as the model will see them."""

from __future__ import annotations

import multiprocessing
import pickle
import random
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.config.environments import EnvironmentConfig
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.errors import InvalidValueError, TauRetailError
from tau_retail_env.local.config.sft import ConversationArgs
from tau_retail_env.local.identifiers import redraw_identifiers
from tau_retail_env.local.practice import Practice, converse
from tau_retail_env.runs.bar import Bar
from tau_retail_env.runs.files import WriteError, writing
from tau_retail_env.runs.interruption import end_with_parent, signals_held_back
from tau_retail_env.runs.temporary import temporary_folder
from tau_retail_env.sources import find_task
from tau_retail_env.sources.prompts import show_tools
from tau_retail_env.tasks.seeding import order_of, seed_of
from tau_retail_env.users import UserError

CHUNK = 50
"""Conversations that a worker plays before it hands them back."""
SETTINGS = "worker.pickle"
"""What the processes that play read first, beside their parts."""


class Whose(IntEnum):
    """The values of a response mask: who wrote a token, and whether it is learnt from."""

    OTHERS = 0
    """The customer's, the tools' or the template's: weighs `observation_loss_weight`."""
    OWN = 1
    """The agent's own: weighs 1."""
    UNLEARNT = 2
    """The agent's own, and not to be learnt: weighs nothing."""


@dataclass(frozen=True)
class EncodedConversations:
    """Encoded conversations, end to end in flat arrays."""

    token_ids: np.ndarray
    """Tokens of all conversations ``[tokens]``."""
    response_mask: np.ndarray
    """Whose each token is, as `Whose` has it ``[tokens]``."""
    starts: np.ndarray
    """Where each conversation starts, and where the last one ends ``[conversations + 1]``."""
    prompts: np.ndarray
    """Tokens that all conversations of its environment begin with, before the agent's first ``[conversations]``."""
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
    """Whose each is, as `Whose` has it."""
    won: bool
    """Whether it earned the reward."""
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
    whole_proposals: bool = False,
    reads_every_order: bool = False,
    practice: Practice | None = None,
) -> Encoded:
    """Let the oracle play a task and encode the conversation turn by turn.

    Args:
        env: the environment.
        tokenizer: the model's tokenizer.
        task_id: the task.
        seed: the customer's wording.
        show_tools: whether the chat template shows the tools.
        redraw: seed from which every long number is drawn anew, None keeps the shop's own.
        whole_proposals: whether the oracle's proposals say all that the call will need.
        reads_every_order: whether it reads all of the customer's orders where it searches for one.
        practice: second thoughts and slips; None for the straight way.
    """
    try:
        observation, info = env.reset(task_id=task_id, seed=seed)
        tools = info["tools"] if show_tools else None
        encoder = ChatEncoder(tokenizer, system_prompt=info["system_prompt"], tools=tools)
        env.tool_format = encoder.tool_format
        task = find_task(env.tasks, task_id)
        agent = OracleAgent(task, whole_proposals=whole_proposals, reads_every_order=reads_every_order)
        said = converse(env, observation, info, agent, practice)
    except UserError:
        return Encoded([], [], won=False, scorable=False)
    parts = said.parts
    if redraw is not None:
        messages = iter(redraw_identifiers([message for part in parts for message in part], redraw))
        parts = [[next(messages) for _ in part] for part in parts]
    opening, *turns = parts
    unlearnt = said.slips | said.unlearnt
    token_ids = encoder.opening(opening)
    response_mask = [int(Whose.OTHERS)] * len(token_ids)
    for place, part in enumerate(turns, start=1):
        speaks = place % 2 == 1
        more = encoder.reply(part[0]["content"]) if speaks else encoder.following(part)
        whose = Whose.UNLEARNT if place in unlearnt else Whose.OWN if speaks else Whose.OTHERS
        token_ids += more
        response_mask += [int(whose)] * len(more)
    return Encoded(token_ids, response_mask, said.reward == 1.0)


def conversation_texts(config: EnvironmentConfig, num: int, *, seed: int, whole_proposals: bool = False) -> list[str]:
    """What is said in oracle conversations, message by message, for learning a tokenizer.

    Args:
        config: the environment that the oracle plays in.
        num: conversations.
        seed: decides the order of tasks and the customers' wording.
        whole_proposals: whether the oracle's proposals say all that the call will need.
    """
    env = TauRetailEnv(**vars(config))
    order = order_of(len(env.tasks), seed, "tokenizer", 0)
    texts = []
    bar = Bar(total=num, desc="conversations for the tokenizer", unit="conversation", mininterval=1)
    for number in range(num):
        bar.update()
        try:
            task = env.tasks[order[number % len(order)]]
            opened = env.reset(task_id=task.id, seed=seed_of(seed, "tokenizer wording", number))
            said = converse(env, *opened, OracleAgent(task, whole_proposals=whole_proposals))
        except UserError:
            continue
        texts += [message["content"] for part in said.parts for message in part]
    bar.close()
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
        TauRetailError: a process died.
    """
    bar = Bar(total=wanted.num, desc="oracle", unit="conversation", mininterval=1)
    chunks = [
        (tag, range(start, min(start + CHUNK, num)))
        for tag, num in wanted.by_tag().items()
        for start in range(0, num, CHUNK)
    ]
    rows: list[Encoded] = []
    environments: list[int] = []
    tags = list(wanted.by_tag())
    worker = _Worker(envs, tokenizer, wanted, seed)
    for (tag, _), part in zip(chunks, _parts(worker, chunks, wanted.num_workers), strict=True):
        rows += part
        environments += [tags.index(tag)] * len(part)
        bar.update(len(part))
    bar.close()
    return _gathered(rows, environments, longest)


def _gathered(rows: Sequence[Encoded], environments: Sequence[int], longest: int) -> EncodedConversations:
    """Those of the conversations that can be learnt from, end to end."""
    scored = [(row, tag) for row, tag in zip(rows, environments, strict=True) if row.scorable]
    earned = [(row, tag) for row, tag in scored if row.won]
    kept = [(row, tag) for row, tag in earned if len(row.token_ids) <= longest]
    if not kept:
        raise InvalidValueError(
            f"None of {len(rows)} oracle conversations can be used: {len(rows) - len(scored)} whose customer failed, "
            f"{len(scored) - len(earned)} without the reward, {len(earned)} longer than sequence_length {longest}"
        )
    return end_to_end(
        [np.asarray(row.token_ids, dtype=np.int32) for row, _ in kept],
        [np.asarray(row.response_mask, dtype=np.uint8) for row, _ in kept],
        [tag for _, tag in kept],
        num_failed=len(scored) - len(earned),
        num_unscorable=len(rows) - len(scored),
        num_long=len(earned) - len(kept),
    )


def end_to_end(
    token_ids: Sequence[np.ndarray], masks: Sequence[np.ndarray], environments: Sequence[int], **left_out: int
) -> EncodedConversations:
    """Put conversations into flat arrays.

    Args:
        token_ids: the tokens of each.
        masks: whose each token is, as `Whose` has it.
        environments: where each was played, as a number.
        left_out: `num_failed`, `num_unscorable` and `num_long`.
    """
    places = {tag: [place for place, one in enumerate(environments) if one == tag] for tag in set(environments)}
    prompts = {
        tag: _prompt([token_ids[place] for place in rows], [masks[place] for place in rows])
        for tag, rows in places.items()
    }
    return EncodedConversations(
        token_ids=np.concatenate(token_ids),
        response_mask=np.concatenate(masks),
        starts=np.cumsum([0, *map(len, token_ids)]),
        prompts=np.asarray([prompts[tag] for tag in environments]),
        **left_out,
    )


def _prompt(texts: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> int:
    """Tokens that the texts begin with, before any of them has a token of the agent's."""
    firsts = [np.flatnonzero(mask)[:1] for mask in masks]
    length = min(int(first[0]) if len(first) else len(mask) for first, mask in zip(firsts, masks, strict=True))
    for text in texts:
        unlike = text[:length] != texts[0][:length]
        length = int(unlike.argmax()) if unlike.any() else length
    return length


Chunk = tuple[str, range]
"""Conversations of one environment, by its tag and their numbers."""


def _parts(worker: _Worker, chunks: Sequence[Chunk], num_workers: int) -> Iterator[list[Encoded]]:
    """The chunks in order, each played by one process."""
    if num_workers == 1:
        yield from map(worker, chunks)
        return
    processes = min(num_workers, len(chunks))
    spawning = multiprocessing.get_context("spawn")
    others = multiprocessing.active_children()
    # By files both ways: of more than a pipe holds, a parent waits for ever for a child that was killed meanwhile.
    with (
        _handing_over() as folder,
        ProcessPoolExecutor(processes, spawning, initializer=_start, initargs=(folder,)) as pool,
    ):
        try:
            with writing(folder / SETTINGS):
                (folder / SETTINGS).write_bytes(pickle.dumps(worker))
            with signals_held_back():  # of Ctrl-C, which reaches all, they would tell in tracebacks
                futures = [pool.submit(_work, chunk) for chunk in chunks]
            for future in futures:
                part = future.result()
                yield pickle.loads(part.read_bytes())
                part.unlink()
        except BrokenProcessPool as error:
            raise TauRetailError(
                f"One of {processes} processes that played conversations died: it was killed, or the machine ran out "
                "of memory. Fewer need less: conversations.num_workers=1"
            ) from error
        except BaseException:  # nobody waits for the rest any more
            for process in set(multiprocessing.active_children()).difference(others):
                process.kill()
            raise


@contextmanager
def _handing_over() -> Iterator[Path]:
    """A folder by which processes hand over what they played.

    Raises:
        TauRetailError: there is no place for it, or not for all that is written to it.
    """
    elsewhere = "TMPDIR=FOLDER puts them elsewhere, conversations.num_workers=1 needs none"
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(temporary_folder())
        except OSError as error:
            raise TauRetailError(f"Conversations go by temporary files: {error.strerror}; {elsewhere}") from error
        try:
            yield folder
        except WriteError as error:
            raise TauRetailError(f"Conversations go by temporary files: {error}; {elsewhere}") from error


class _Worker:
    """Plays chunks of conversations; travels to another process before its environments are made."""

    def __init__(
        self, configs: Mapping[str, EnvironmentConfig], tokenizer: Any, wanted: ConversationArgs, seed: int
    ) -> None:
        self._configs = configs
        self._tokenizer = tokenizer
        self._wanted = wanted
        self._seed = seed
        self._envs: dict[str, TauRetailEnv] = {}

    def __call__(self, chunk: Chunk) -> list[Encoded]:
        tag, numbers = chunk
        if tag not in self._envs:
            self._envs[tag] = TauRetailEnv(**vars(self._configs[tag]))
        return [self._play(tag, number) for number in numbers]

    def _play(self, tag: str, number: int) -> Encoded:
        env = self._envs[tag]
        epoch, place = divmod(number, len(env.tasks))
        task = env.tasks[order_of(len(env.tasks), self._seed, "sft", epoch)[place]]
        return encode(
            env,
            self._tokenizer,
            task_id=task.id,
            seed=seed_of(self._seed, "sft wording", number),
            show_tools=show_tools(self._configs[tag].prompt_style),
            redraw=self._redraw(number),
            whole_proposals=self._wanted.whole_proposals,
            reads_every_order=self._is_drawn("orders", number, self._wanted.read_every_order),
            practice=Practice(
                second_thoughts=self._wanted.second_thoughts,
                slips=self._wanted.slips,
                reasons=self._wanted.reasons,
                mistypes=self._is_drawn("mistyped", number, self._wanted.mistyped),
                seed=f"{self._seed}/practice/{number}",
            ),
        )

    def _is_drawn(self, what: str, number: int, share: float) -> bool:
        return random.Random(f"{self._seed}/{what}/{number}").random() < share

    def _redraw(self, number: int) -> str | None:
        """Seed of the new identifiers of a conversation."""
        share = self._wanted.redraw_identifiers
        if share is None:
            return None
        if self._is_drawn("redraw", number, share):
            return f"{self._seed}/{number}"
        return None if self._wanted.own_identifiers else f"{self._seed}"


_workers: list[tuple[_Worker, Path]] = []
"""The worker of this process, and the folder of its parts: a pool hands each process its settings once, by a global."""


def _start(folder: Path) -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])  # the pool's, where one of the others has died
    _workers.append((pickle.loads((folder / SETTINGS).read_bytes()), folder))


def _work(chunk: Chunk) -> Path:
    """The file of what was played."""
    worker, folder = _workers[0]
    played = worker(chunk)
    with writing(folder), tempfile.NamedTemporaryFile(dir=folder, delete=False) as part:
        pickle.dump(played, part)
    return Path(part.name)
