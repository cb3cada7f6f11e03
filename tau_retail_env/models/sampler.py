"""Draw a model's turns for many conversations at once, on a key-value cache kept across the turns of an episode."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from tau_retail_env.errors import InvalidValueError

COLDEST = 1e-6
"""The lowest temperature besides 0: logits divided by a lower one are beyond what a float holds."""


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How tokens are drawn."""

    max_new_tokens: int
    """Most tokens of one turn, end-of-turn token included."""
    temperature: float = 1.0
    """What the logits are divided by; 0 takes the likeliest token always (greedy)."""
    top_p: float = 1.0
    """Draw from the likeliest tokens whose probabilities add up to this; 1 for all tokens."""
    top_k: int = 0
    """Draw from this many likeliest tokens; 0 for all tokens."""

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be meant."""
        checks = (
            ("max_new_tokens", self.max_new_tokens, self.max_new_tokens >= 1, "at least 1"),
            ("temperature", self.temperature, 0 <= self.temperature < math.inf, "at least 0 and finite"),
            ("temperature", self.temperature, not 0 < self.temperature < COLDEST, f"0, or at least {COLDEST:g}"),
            ("top_p", self.top_p, 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("top_k", self.top_k, self.top_k >= 0, "at least 0 (0 for all tokens)"),
        )
        for name, found, holds, expected in checks:
            if not holds:
                raise InvalidValueError(f"{name} must be {expected}, found {found}")


@dataclass(frozen=True, slots=True)
class Reply:
    """One turn as the model produced it."""

    token_ids: tuple[int, ...]
    """The tokens, at least one; the last is a stop token unless the turn was cut."""
    logprobs: tuple[float, ...] | None
    """Log-probability of each token: log-softmax of the logits over the temperature (1 where greedy), over the whole
    vocabulary, before top_k and top_p cut it down; what a trainer at that temperature compares with. None where they
    were not asked for."""
    stopped: bool
    """Whether the model ended the turn itself."""


class Sampler:
    """Draws turns from a transformers causal language model, on the model's device and in its precision.

    Args:
        model: any transformers causal language model whose layers all attend to the whole past.
        settings: how tokens are drawn.
        stop_ids: tokens that end a turn.
    """

    def __init__(self, model: Any, settings: SamplingSettings, stop_ids: Sequence[int]) -> None:
        if not stop_ids:
            raise InvalidValueError("stop_ids is empty: give at least the end-of-turn token")
        self.model = model
        self.settings = settings
        self.stop_ids = tuple(stop_ids)

    def begin(self, prefix: Sequence[int], seeds: Sequence[str]) -> SampledConversations:
        """Begin one conversation for each seed, all starting with the same tokens.

        Args:
            prefix: tokens that every conversation starts with, at least one; run through the model once.
            seeds: one string per conversation, from which its random numbers come. What a conversation draws depends
                on its own seed and tokens alone, as far as the arithmetic of a batch allows.

        Raises:
            InvalidValueError: empty prefix; a model with sliding windows or a recurrent state.
        """
        return SampledConversations(self, prefix, seeds)


def check_past(model: str, layers: Sequence[Any]) -> None:
    """Refuse a model that does not remember every token alike.

    Args:
        model: its name, for the error.
        layers: of the `DynamicCache` that is made from its configuration.

    Raises:
        InvalidValueError: a model with sliding windows or a recurrent state.
    """
    if any(type(layer) is not DynamicLayer for layer in layers):
        kinds = ", ".join(sorted({type(layer).__name__ for layer in layers}))
        raise InvalidValueError(
            f"Model {model} keeps its past as {kinds}; the sampler needs layers that attend "
            "to the whole past (no sliding window, no recurrent state)"
        )


class SampledConversations:
    """Conversations that go on side by side, numbered as their seeds were given; made by `Sampler.begin`.

    The cache is a log of columns to which every call of the model appends; columns that mean nothing to a row are
    masked out for it. Between turns the columns that mean something are gathered to the right end, so that gaps do not
    pile up, and rows that have ended are left behind. A call may run on a range of rows only: rows that hear much are
    read apart from rows that hear little, and while a turn is drawn the rows that have not stopped are kept first.
    """

    @torch.inference_mode()
    def __init__(self, sampler: Sampler, prefix: Sequence[int], seeds: Sequence[str]) -> None:
        if not prefix:
            raise InvalidValueError("prefix is empty: conversations need at least one token in common")
        self._model = sampler.model
        self._settings = sampler.settings
        self._device = sampler.model.device
        self._stop_ids = torch.tensor(sampler.stop_ids, device=self._device)
        self._random = [random.Random(seed) for seed in seeds]
        self._pending: list[list[int]] = [[] for _ in seeds]
        self._alive = list(range(len(seeds)))
        cache = DynamicCache(config=self._model.config)
        ids = torch.tensor([list(prefix)], device=self._device)
        with _evaluating(self._model):
            self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        check_past(type(self._model).__name__, cache.layers)
        rows = len(seeds)
        self._layers = [
            _Log(layer.keys.expand(rows, -1, -1, -1), layer.values.expand(rows, -1, -1, -1)) for layer in cache.layers
        ]
        self._mask = torch.ones(rows, len(prefix), dtype=torch.bool, device=self._device)
        self._used = self._mask.sum(dim=1)
        self._end = len(prefix)

    @torch.inference_mode()
    def reply(self, heard: Mapping[int, Sequence[int]], room: Mapping[int, int]) -> dict[int, Reply]:
        """Let the model speak in some conversations; the others are over.

        Args:
            heard: by conversation, the tokens since the model's last turn (in the first turn: since the prefix).
            room: by conversation, the most tokens that the turn may have, at least 1; `max_new_tokens` holds besides.

        Returns:
            The model's turn by conversation.

        Raises:
            InvalidValueError: a conversation that is over or was never begun; one that heard nothing; no room.
        """
        self._check(heard, room)
        if not heard:
            self._alive = []
            return {}
        chunks = {row: [*self._pending[row], *heard[row]] for row in heard}
        limits = {row: min(self._settings.max_new_tokens, room[row]) for row in heard}
        longest_first = sorted(heard, key=lambda row: (-len(chunks[row]), row))
        with _evaluating(self._model):
            self._gather(longest_first, len(chunks[longest_first[0]]) + max(limits.values()))
            logits = self._read([chunks[row] for row in self._alive])
            replies = self._generate(logits, [limits[row] for row in self._alive])
        for row, said in replies.items():
            self._pending[row] = [said.token_ids[-1]]
        return replies

    def _check(self, heard: Mapping[int, Sequence[int]], room: Mapping[int, int]) -> None:
        alive = set(self._alive)
        for row, ids in heard.items():
            if row not in alive:
                raise InvalidValueError(f"Conversation {row} is over or was never begun; going on: {sorted(alive)}")
            if not ids and not self._pending[row]:
                raise InvalidValueError(
                    f"Conversation {row} heard nothing: its first turn needs a token after the prefix"
                )
            if room[row] < 1:
                raise InvalidValueError(f"Conversation {row} has room for {room[row]} tokens; a turn needs at least 1")

    def _gather(self, conversations: list[int], extra_columns: int) -> None:
        """Keep these conversations in this order, what they hold at the right end, and allocate more columns."""
        place_of = {row: place for place, row in enumerate(self._alive)}
        places = torch.tensor([place_of[row] for row in conversations], device=self._device)
        self._alive = list(conversations)
        self._used = self._used[places]
        self._end = int(self._used.max())
        held = self._mask[places].to(torch.uint8)
        order = torch.argsort(held, dim=1, stable=True)[:, -self._end :]
        for layer in self._layers:
            layer.gather(places, order, extra_columns)
        columns = torch.arange(self._end + extra_columns, device=self._device)
        self._mask = (columns >= self._end - self._used[:, None]) & (columns < self._end)

    def _read(self, chunks: list[list[int]]) -> torch.Tensor:
        """Run what was heard, longest first, through the model; returns the logits [rows, vocabulary] after it.

        Rows that heard less than half of what the longest heard are read in a call of their own, and so on.
        """
        self._end += len(chunks[0])
        logits = []
        first = 0
        while first < len(chunks):
            width = len(chunks[first])
            last = first + 1
            while last < len(chunks) and 2 * len(chunks[last]) > width:
                last += 1
            logits.append(self._read_range(slice(first, last), chunks[first:last]))
            first = last
        return torch.cat(logits)

    def _read_range(self, rows: slice, chunks: list[list[int]]) -> torch.Tensor:
        width = len(chunks[0])
        padded = [[0] * (width - len(chunk)) + chunk for chunk in chunks]
        lengths = torch.tensor([len(chunk) for chunk in chunks], device=self._device)
        offsets = torch.arange(width, device=self._device) - (width - lengths[:, None])
        positions = (self._used[rows, None] + offsets).clamp(min=0)
        self._used[rows] += lengths
        ids = torch.tensor(padded, device=self._device)
        return self._forward(rows, self._end - width, ids, positions, offsets >= 0)

    def _generate(self, logits: torch.Tensor, limits: list[int]) -> dict[int, Reply]:
        """Draw tokens until every row has stopped; each row's tokens but its last are in the cache afterwards."""
        rows, steps = len(limits), max(limits)
        limit = torch.tensor(limits, device=self._device)
        uniforms = self._uniforms()
        tokens = torch.zeros(rows, steps, dtype=torch.long, device=self._device)
        logprobs = torch.zeros(rows, steps, device=self._device)
        counts = torch.zeros(rows, dtype=torch.long, device=self._device)
        stopped = torch.zeros(rows, dtype=torch.bool, device=self._device)
        live = torch.ones(rows, dtype=torch.bool, device=self._device)
        for step in range(steps):
            token, logprob = _draw(logits, self._settings, uniforms[:rows, step])
            # Rows that are done draw on with the others; their counts stand still, and `said` cuts the rest off.
            tokens[:rows, step], logprobs[:rows, step] = token, logprob
            counts += live
            stopped[:rows] |= live[:rows] & torch.isin(token, self._stop_ids)
            live &= ~stopped & (counts < limit)
            going_on = int(live.sum())
            if going_on == 0:
                break
            # Moving rows copies their caches: it pays once a quarter of them is done.
            if going_on <= rows * 3 // 4:
                self._put_first(live, going_on, tokens, logprobs, counts, stopped, limit, uniforms, live)
                rows = going_on
            going = slice(0, rows)
            logits = self._forward(
                going, self._end, tokens[:rows, step, None], self._used[:rows, None], live[:rows, None]
            )
            self._used += live
            self._end += 1
        said = zip(self._alive, tokens.tolist(), logprobs.tolist(), counts.tolist(), stopped.tolist(), strict=True)
        return {row: Reply(tuple(ids[:n]), tuple(chances[:n]), stop) for row, ids, chances, n, stop in said}

    def _put_first(self, live: torch.Tensor, count: int, *states: torch.Tensor) -> None:
        """Swap rows so that the `count` live ones come first, in the cache and in each of the states [rows, …]."""
        gone = (~live[:count]).nonzero()[:, 0]
        come = live[count:].nonzero()[:, 0] + count
        here, there = torch.cat([gone, come]), torch.cat([come, gone])
        for state in (self._mask, self._used, *states):
            state[here] = state[there]
        for layer in self._layers:
            layer.move(here, there, self._end)
        alive = list(self._alive)
        for place, source in zip(here.tolist(), there.tolist(), strict=True):
            alive[place] = self._alive[source]
        self._alive = alive

    def _forward(
        self, rows: slice, start: int, ids: torch.Tensor, positions: torch.Tensor, real: torch.Tensor
    ) -> torch.Tensor:
        """Write columns from `start` for a range of rows; `real` [rows, columns] says which mean something.

        Returns:
            The logits [rows, vocabulary] of the last column.
        """
        end = start + ids.shape[1]
        self._mask[rows, start:end] = real
        for layer in self._layers:
            layer.show(rows, start)
        output = self._model(
            input_ids=ids,
            attention_mask=self._mask[rows, :end],
            position_ids=positions,
            past_key_values=Cache(layers=list(self._layers)),
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1]

    def _uniforms(self) -> torch.Tensor:
        """One number in [0, 1) for each row and token; as many for every turn, however short the turn's room."""
        count = self._settings.max_new_tokens
        if self._settings.temperature == 0:
            return torch.zeros(len(self._alive), count, device=self._device)
        draws = [[self._random[row].random() for _ in range(count)] for row in self._alive]
        return torch.tensor(draws, dtype=torch.float64, device=self._device)


class _Log(DynamicLayer):
    """One layer's keys and values [rows, heads, columns, width], in buffers that are written in place.

    The model sees the range of rows and the columns that `show` said, and appends behind them.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._buffers = (keys, values)
        self._rows = slice(None)

    def show(self, rows: slice, end: int) -> None:
        """Let the model see the columns before `end` of these rows, and write the next from there."""
        self._rows = rows
        self.keys, self.values = (buffer[rows, :, :end] for buffer in self._buffers)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new columns; returns the keys and values of all columns up to them."""
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[self._rows, :, start:end] = states
        self.show(self._rows, end)
        return self.keys, self.values

    def gather(self, rows: torch.Tensor, order: torch.Tensor, extra_columns: int) -> None:
        """Go on with new buffers: row r starts with the columns `order[r]` of row `rows[r]`, then empty columns."""
        keys, values = self._buffers
        self._buffers = (_gathered(keys, rows, order, extra_columns), _gathered(values, rows, order, extra_columns))

    def move(self, here: torch.Tensor, there: torch.Tensor, end: int) -> None:
        """Overwrite rows `here` with what rows `there` hold before column `end`."""
        for buffer in self._buffers:
            buffer[here, :, :end] = buffer[there, :, :end]


def _gathered(states: torch.Tensor, rows: torch.Tensor, order: torch.Tensor, extra_columns: int) -> torch.Tensor:
    heads, columns = states.shape[1], order.shape[1]
    buffer = states.new_zeros(len(rows), heads, columns + extra_columns, states.shape[3])
    head = torch.arange(heads, device=states.device)
    buffer[:, :, :columns] = states[rows[:, None, None], head[None, :, None], order[:, None]]
    return buffer


def _draw(logits: torch.Tensor, settings: SamplingSettings, uniform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a token per row by inverting the cumulative distribution; returns tokens and log-probabilities [rows]."""
    logprobs = torch.log_softmax(logits.float() / (settings.temperature or 1.0), dim=-1)
    if settings.temperature == 0:
        token = logprobs.argmax(dim=-1, keepdim=True)
    elif settings.top_k or settings.top_p < 1:
        chances, order = logprobs.exp().double().sort(dim=-1, descending=True, stable=True)
        # The mass above a token, its own left out: the token that reaches top_p is kept.
        above = chances.cumsum(dim=-1) - chances
        chances = torch.where(above < settings.top_p, chances, 0.0)
        if settings.top_k:
            chances[:, settings.top_k :] = 0.0
        token = order.gather(1, _inverted(chances, uniform))
    else:
        token = _inverted(logprobs.exp().double(), uniform)
    return token[:, 0], logprobs.gather(1, token)[:, 0]


def _inverted(chances: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The first place [rows, 1] where the running sum of `chances` [rows, n] exceeds `uniform` [rows] of the whole."""
    sums = chances.cumsum(dim=-1)
    total = sums[:, -1:]
    # Rounding can make uniform * total equal to total, which no running sum exceeds.
    target = torch.minimum(uniform[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(sums, target, right=True)


@contextlib.contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Hold a model in evaluation mode (no dropout, no gradient checkpointing), then leave it as it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
