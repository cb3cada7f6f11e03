"""A series of generated tasks: how a call is drawn from parts, and how it becomes a task with a story."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tau_retail_env.errors import InvalidValueError, TauRetailError, unknown
from tau_retail_env.sources.generated.customers import TRAITS, split_of
from tau_retail_env.sources.generated.identity import Identity, usual
from tau_retail_env.sources.generated.visit import TRANSFER, Beat, Part, Row, Visit
from tau_retail_env.sources.generated.wording import listed
from tau_retail_env.sources.tau2 import tasks as upstream_tau2
from tau_retail_env.sources.tau2.editions import INSTALL_COMMAND
from tau_retail_env.tasks.seeding import Draws
from tau_retail_env.tasks.subsets import DIFFICULTIES
from tau_retail_env.tasks.task import Action, Scenario, Task
from tau_retail_env.tasks.writes import WRITE_TOOLS, canonical_writes

PART_COUNT_WEIGHTS = (18, 34, 30, 18)
"""How often, in percent, a call has one, two, three and four parts."""
MOST_POINTS: Mapping[str, int] = MappingProxyType({"easy": 4, "medium": 8})
"""Points of difficulty up to which a task is called so; above, it is hard."""
ASKED_FIRST: Mapping[str, int] = MappingProxyType(
    dict.fromkeys(
        (
            "status",
            "street",
            "zip_code",
            "paid_with",
            "item_count",
            "order_count",
            "option_in_words",
            "at_once",
            "twins_told",
            "several_facts",
            "one_and_the_other",
            "orders_together",
            "all_of_a_kind",
            "gap_between",
            "option_by_name",
            "only_wondering",
        ),
        0,
    )
    | dict.fromkeys(("balance", "destination", "option", "which_and_how_much", "best_offer", "what_if"), 1)
    | {"in_a_row": 2}
)
"""Questions that come before all else, the lowest first: another part could change the answer, or make the agent say it
by the way."""
ANY_TIME = 3
"""When all other parts come."""
_ATTEMPTS = 1_000
_CUSTOMERS_FOR_A_PART = 60
_TRIES_FOR_MORE = 30


Retell = Callable[[Visit, list[Beat]], list[Beat]]
"""Gives the beats of a call in the customer's own style."""
Identify = Callable[[Visit], Identity]
"""Gives who a customer says that it is."""


@dataclass(frozen=True, slots=True)
class PartKind:
    """One kind of part: how often it is drawn, and how it is made."""

    weight: int
    """Relative to the other kinds."""
    build: Callable[[Visit], Part | None]
    """Make one; None where the customer's orders or money do not allow it."""


def unchanged(visit: Visit, beats: list[Beat]) -> list[Beat]:
    """The beats as their parts have them."""
    return beats


@dataclass(frozen=True, slots=True)
class Series:
    """What tells one numbered series from another."""

    number: int
    """Ends the names of its splits: 2 for "train2" and "test2"."""
    kinds: Mapping[str, PartKind]
    """The kinds of part by name; a task's labels name those that it has."""
    counts: Mapping[str, int]
    """How many tasks a split has unless asked otherwise."""
    begin: Callable[[Row, Draws, bool], Visit]
    """Begin the call of (customer, draws, whether its words are those held out)."""
    retell: Retell = unchanged
    """How a customer's style changes what it says."""
    identify: Identify = usual
    """Who a customer says that it is."""
    avoided: frozenset[str] = frozenset()
    """Digests of gold writes that no task has, beside those of τ²'s tasks in the wheel."""
    part_counts: tuple[int, int, int, int] = PART_COUNT_WEIGHTS
    """How often, in percent, a call has one, two, three and four parts."""

    def generate(
        self, split: str, count: int | None = None, *, seed: int = 0, weights: Mapping[str, int] | None = None
    ) -> list[Task]:
        """Generate the first tasks of a split.

        Args:
            split: a name of `counts`; the customers of "train…" and "test…" are different people.
            count: how many; None means `counts`.
            seed: 0 for the series as the source has it; another one gives other tasks, whose ids name it.
            weights: how often each kind of part is drawn, instead of the series' own; kinds left out are not drawn.
                The ids then name a digest of them.

        Returns:
            The tasks "generated/<split>/0" and so on, for ever the same for the same arguments.

        Raises:
            InvalidValueError: unknown split or kind, or a count below one.
            MissingDependencyError: the wheel that carries the shop is not installed.
        """
        self.check_split(split)
        wanted = self.counts[split] if count is None else count
        if wanted < 1:
            raise InvalidValueError(f"count of generated tasks is {count!r}; expected a whole number from 1 on.")
        return [self.generate_one(split, number, seed=seed, weights=weights) for number in range(wanted)]

    def generate_one(self, split: str, number: int, *, seed: int = 0, weights: Mapping[str, int] | None = None) -> Task:
        """Generate one task by itself.

        Args:
            split: as in `generate`.
            number: from 0 on, without an upper limit.
            seed: as in `generate`.
            weights: as in `generate`.

        Raises:
            InvalidValueError: unknown split or kind, or a negative number.
            MissingDependencyError: the wheel that carries the shop is not installed.
        """
        self.check_split(split)
        if number < 0:
            raise InvalidValueError(f"number of a generated task is {number!r}; expected a whole number from 0 on.")
        for kind in weights or ():
            if kind not in self.kinds:
                raise unknown("kind of part", kind, self.kinds)
        name = f"generated/{split}{_suffix(seed, weights)}/{number}"
        draws = Draws(name)
        weights = weights or {kind: self.kinds[kind].weight for kind in self.kinds}
        for _ in range(_ATTEMPTS):
            task = self._draw(draws, split, name, weights)
            if task is not None and not self._is_judged(canonical_writes(task)):
                return task
        raise TauRetailError(
            f"No task could be generated for split {split!r}, number {number}, in {_ATTEMPTS} attempts: the kinds "
            f"asked for do not go together, or the shop's data is not that of the pinned wheel ({INSTALL_COMMAND})"
        )

    def task_of_id(self, task_id: str) -> Task | None:
        """The task of an id of this series, of any seed; None for any other, as of a task drawn with other weights."""
        match = re.fullmatch(rf"generated/(\w+{self.number})(?:-(\d+))?/(\d+)", task_id)
        if not match or match[1] not in self.counts:
            return None
        return self.generate_one(match[1], int(match[3]), seed=int(match[2] or 0))

    def examples(self, split: str) -> tuple[Task, ...]:
        """A task for each combination of difficulty, writes and transfer, with nothing but these.

        A few of the combinations are so rare that a split may have none: what is told from these at once is what a
        split cannot have; to generate a whole split takes seconds.

        Raises:
            InvalidValueError: unknown split.
        """
        self.check_split(split)
        return _examples(split)

    def check_split(self, split: str) -> None:
        """Refuse what is not a split of this series.

        Raises:
            InvalidValueError: unknown split.
        """
        if split not in self.counts:
            ordinal = {2: "second", 3: "third", 4: "fourth", 5: "fifth", 6: "sixth"}[self.number]
            raise unknown(f"split of the {ordinal} series of source 'generated'", split, self.counts)

    def _is_judged(self, writes: frozenset[str]) -> bool:
        """Whether a benchmark's task has one of some writes."""
        return bool(writes & _writes_of_tau2() or self.avoided & set(map(digest_of, writes)))

    def _draw(self, draws: Draws, split: str, name: str, weights: Mapping[str, int]) -> Task | None:
        """Draw a customer and the parts of its call; None where they do not go together.

        `ASKED_FIRST` come first, what ends the call comes last.
        """
        side = split.removesuffix(str(self.number))
        count = draws.weighted((1, 2, 3, 4), self.part_counts)
        first = draws.weighted(list(weights), list(weights.values()))
        for _ in range(_CUSTOMERS_FOR_A_PART):
            visit = self.begin(draws.choice(_customers(side)), draws, side == "test")
            if part := visit.attempt(self.kinds[first].build):
                break
        else:
            return None
        parts = {first: part}
        for _ in range(_TRIES_FOR_MORE):
            if len(parts) == count:
                break
            kind = draws.weighted(list(weights), list(weights.values()))
            more = visit.attempt(self.kinds[kind].build) if kind not in parts else None
            if more is not None and not (more.last and any(other.last for other in parts.values())):
                parts[kind] = more
        ordered = dict(sorted(parts.items(), key=lambda item: (item[1].last, ASKED_FIRST.get(item[0], ANY_TIME))))
        return _write_task(visit, split, name, ordered, self.retell, self.identify)


def _examples(split: str) -> tuple[Task, ...]:
    tools = sorted(WRITE_TOOLS)
    writes = [chosen for count in range(len(tools) + 1) for chosen in itertools.combinations(tools, count)]
    writes += [(tool, tool) for tool in tools]
    return tuple(
        Task(
            id="",
            source="generated",
            domain="retail",
            split=split,
            instruction="",
            actions=tuple(Action(name, {}) for name in (*names, *ending)),
            labels=(label,),
        )
        for label in DIFFICULTIES
        for names in writes
        for ending in ((), (TRANSFER,))
    )


def _suffix(seed: int, weights: Mapping[str, int] | None) -> str:
    """What tells other tasks' ids from those of the source: the seed, and a digest of weights of their own."""
    parts = [str(seed)] if seed or weights else []
    if weights:
        parts.append(hashlib.sha256(json.dumps(sorted(weights.items())).encode("utf-8")).hexdigest()[:6])
    return "".join(f"-{part}" for part in parts)


def digest_of(write: str) -> str:
    """What stands for a canonical write where it is not to be told."""
    return hashlib.sha256(write.encode("utf-8")).hexdigest()[:16]


@functools.cache
def _writes_of_tau2() -> frozenset[str]:
    """Every write of every task of τ²-bench: no generated task shares one of them."""
    return frozenset().union(*(canonical_writes(task) for task in upstream_tau2.load("base")))


@functools.cache
def _customers(side: str) -> tuple[Row, ...]:
    """The customers of "train" or "test" who have ordered something."""
    users = upstream_tau2.shop_database()["users"]
    return tuple(users[user_id] for user_id in sorted(users) if users[user_id]["orders"] and split_of(user_id) == side)


def _write_task(
    visit: Visit, split: str, name: str, parts: Mapping[str, Part], retell: Retell, identify: Identify
) -> Task:
    identity = identify(visit)
    beats, writes, outputs = _joined(parts.values())
    beats = retell(visit, beats)
    given = {"emails": list(identity.emails), "zips": list(identity.zips)}
    story: dict[str, Any] = {"beats": beats, **{key: values for key, values in given.items() if values}}
    traits = [visit.draws.choice(group) for group in visit.draws.sample(TRAITS, 2 + visit.draws.below(2))]
    scenario = Scenario(
        persona=f"You are {listed(traits)}.",
        reason_for_call=_told(beats),
        known_info=_known(visit.user, identity, beats),
        unknown_info=f"You do not remember {identity.forgotten}.",
        task_instructions="You want exactly this and nothing else. Say one thing after another.",
    )
    texts = (scenario.known_info, scenario.persona, scenario.reason_for_call, scenario.unknown_info)
    points = sum(part.cost for part in parts.values()) + len(parts) - 1 + identity.cost
    return Task(
        id=name,
        source="generated",
        domain="retail",
        split=split,
        instruction=" ".join(text for text in (*texts, scenario.task_instructions) if text),
        actions=(_find_user(visit.user, bool(identity.emails)), *_gold(beats, writes)),
        outputs=outputs,
        user_id=visit.user["user_id"],
        scenario=scenario,
        story=story,
        labels=(difficulty(points), *parts),
    )


def difficulty(points: int) -> str:
    """The label of a number of points: "easy", "medium" or "hard"."""
    return next((label for label, most in MOST_POINTS.items() if points <= most), "hard")


def _joined(parts: Iterable[Part]) -> tuple[list[Beat], tuple[Action, ...], tuple[str, ...]]:
    """The beats of all parts with writes and outputs counted through, the writes, and the outputs."""
    beats: list[Beat] = []
    writes: list[Action] = []
    outputs: list[str] = []
    for part in parts:
        for beat in part.beats:
            shifted: Beat = {key: beat[key] + len(writes) for key in ("write", "first") if key in beat}
            if "outputs" in beat:
                shifted["outputs"] = [number + len(outputs) for number in beat["outputs"]]
            beats.append({key: value for key, value in (beat | shifted).items() if value or key in ("write", "first")})
        writes += part.writes
        outputs += part.outputs
    return beats, tuple(writes), tuple(outputs)


def _gold(beats: Iterable[Beat], writes: Sequence[Action]) -> Iterable[Action]:
    """What a good agent does after it has found the customer; look-ups of what does not exist aside."""
    orders, seen = upstream_tau2.shop_database()["orders"], []
    for beat in beats:
        for row in beat.get("calls", ()):
            order_id = row["arguments"].get("order_id")
            if (order_id is None or order_id in orders) and row not in seen:
                seen.append(row)
                yield Action(row["name"], row["arguments"])
        if "write" in beat:
            yield writes[beat["write"]]


def _find_user(user: Row, by_email: bool) -> Action:
    """The account by what the customer gives first, as it should be: a customer is asked for that again and again."""
    if by_email:
        return Action("find_user_id_by_email", {"email": user["email"]})
    return Action("find_user_id_by_name_zip", {**user["name"], "zip": user["address"]["zip"]})


def _known(user: Row, identity: Identity, beats: Iterable[Beat]) -> str:
    """What the customer knows, for a customer that is played from text."""
    facts = identity.told("{first_name} {last_name}".format_map(user["name"]))
    answers = {(fact, words) for beat in beats for fact, words in beat.get("words", {}).items()}
    return " ".join([*facts, *(f'Asked for the {fact}, you may say: "{words}"' for fact, words in sorted(answers))])


def _told(beats: Iterable[Beat]) -> str:
    """The story in words, for a customer that is played from text."""
    lines: list[str] = []
    for beat in beats:
        words = next((beat[key] for key in ("say", "vain", "ask", "transfer") if beat.get(key)), "")
        before = "If that is refused, say" if beat.get("otherwise") and not _turned(lines) else "Say"
        lines.append(f'{before}: "{words}"')
        if beat.get("turn"):
            lines.append(f'Asked to confirm, say instead: "{beat["turn"]}"')
    return " ".join(lines)


def _turned(lines: Sequence[str]) -> bool:
    return bool(lines) and lines[-1].startswith("Asked to confirm")
