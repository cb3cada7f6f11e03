"""What is wrong with a version's tasks, and what can be earned on them without being any good: made by replay alone."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType
from typing import Any

from tau_retail_env.agents.bad import BAD_AGENTS, MuteAgent, ReciterAgent
from tau_retail_env.agents.base import Agent
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.messages import RewardBreakdown, ToolCall
from tau_retail_env.sources.registry import source_of
from tau_retail_env.tasks import Action, Task
from tau_retail_env.tasks.writes import WRITE_TOOLS, gold_writes
from tau_retail_env.world import Shop, World
from tau_retail_env.world.assertions import Evidence, RulesJudge, Said
from tau_retail_env.world.corrections import CORRECTIONS, MODIFY_ITEMS, Correction
from tau_retail_env.world.reward import judge
from tau_retail_env.world.shop import Changes

AGENTS: Mapping[str, Callable[[Task], Agent]] = MappingProxyType(
    {"oracle": OracleAgent, **BAD_AGENTS, "reciter": lambda task: ReciterAgent(), "mute": MuteAgent}
)
"""Who plays every task: the oracle, and agents that serve badly; the liar and the mute one know the gold actions."""
MOST_ORDERS = 120
"""Orders of the items or writes of a task that are tried: all of five."""

CHANGING_ITEMS = (MODIFY_ITEMS, "exchange_delivered_order_items")
"""Tools that the domain policy allows once an order."""
FINDINGS: Mapping[str, str] = MappingProxyType(
    {
        "refused_writes": "a gold write is refused by the shop",
        "refused_reads": "a gold look-up is refused by the shop",
        "corrupts": "the gold writes give an item the price or the options of another one",
        "order_of_items": "the same items listed in another order give another database",
        "order_of_items_corrected": "the same with the tool corrected",
        "order_of_writes": "the gold writes in another order give another database",
        "breaks_policy": "a gold write breaks a rule of the domain policy that can be checked",
        "nothing_by_database": "doing nothing gives the right database",
        "nothing_outright": "doing nothing earns the reward",
        "transfer_outright": "transferring at once earns the reward",
        "reciting_outright": "reciting everything earns the reward",
    }
)
"""What is looked for, in words."""
QUESTIONED = ("refused_writes", "corrupts", "order_of_items", "order_of_writes", "breaks_policy")
"""Findings for which an agent may fail a task that serves as the domain policy wants it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one agent earns on all tasks."""

    official: float
    """Its mean official reward."""
    corrected: float
    """Its mean corrected reward."""
    process: float | None
    """Its mean process number, over the episodes that were judged; None where none was."""


@dataclass(frozen=True, slots=True)
class Audit:
    """The findings of one version."""

    source: str
    """Where the tasks come from."""
    task_version: str | None
    """Which edition."""
    split: str
    """Which split."""
    tasks: int
    """How many tasks there are."""
    findings: Mapping[str, tuple[str, ...]]
    """By kind, the numbers of the tasks."""
    details: Mapping[str, tuple[str, ...]]
    """By task number, what is wrong with its gold writes, in words."""
    rates: Mapping[str, Rate]
    """By agent, what it earns."""
    corrections: tuple[tuple[Correction, tuple[str, ...]], ...]
    """Those that concern this version, each with the numbers of the tasks that show it."""
    episodes: Mapping[str, tuple[Trajectory, ...]]
    """By agent, what it played."""


def audit(tasks: Sequence[Task], progress: Callable[[], Any] = lambda: None) -> Audit:
    """Look at every task of a version, and let every agent play it with the scripted customer.

    Args:
        tasks: of one source, version and split, at least one.
        progress: called after each task.

    Raises:
        InvalidValueError: tasks of two versions.
    """
    env = TauRetailEnv(tasks[0].source, tasks=tasks)
    shop = source_of(tasks[0]).shop()
    found: dict[str, list[str]] = {kind: [] for kind in FINDINGS}
    details: dict[str, tuple[str, ...]] = {}
    played: dict[str, list[Trajectory]] = {name: [] for name in AGENTS}
    for task in tasks:
        number = task.id.rpartition("/")[2]
        for name, agent in AGENTS.items():
            played[name].append(play_episode(env, agent(task), EpisodeRequest(task.id, seed=0)))
        won = {name for name in AGENTS if played[name][-1].reward_breakdown.get("official") == 1.0}
        wrong = (*_refused(shop, task), *_policy(shop, task))
        if wrong:
            details[number] = wrong
        for kind in _findings(shop, task, won):
            found[kind].append(number)
        progress()
    return Audit(
        tasks[0].source,
        env.task_version,
        tasks[0].split,
        len(tasks),
        {kind: tuple(numbers) for kind, numbers in found.items()},
        details,
        {name: rate_of([one.reward_breakdown for one in episodes]) for name, episodes in played.items()},
        tuple(_corrections(tasks, found["corrupts"])),
        {name: tuple(episodes) for name, episodes in played.items()},
    )


def rate_of(breakdowns: Sequence[RewardBreakdown]) -> Rate:
    """What episodes earned on average.

    Args:
        breakdowns: what each reward is made of, empty where it was not judged; at least one.
    """
    judged = [one["process"] for one in breakdowns if "process" in one]
    return Rate(
        fmean(one.get("official", 0.0) for one in breakdowns),
        fmean(one.get("corrected", 0.0) for one in breakdowns),
        fmean(judged) if judged else None,
    )


def nothing_earns(shop: Shop, task: Task) -> float:
    """The reward of an agent that does nothing, if the customer ends the conversation.

    Args:
        shop: where the task is played.
        task: the task; its assertions are judged by rules.
    """
    greeting = shop.episode_rules.greeting
    evidence = Evidence([Said("assistant", greeting)] if greeting else [])
    unmet = RulesJudge().unmet(task, evidence) if "NL_ASSERTION" in task.reward_basis else None
    return judge(task, {}, shop.gold_changes(task), [greeting] if greeting else [], unmet).value


def questions(shop: Shop, task: Task) -> tuple[str, ...]:
    """What is wrong with a task's gold actions, of the kinds in `QUESTIONED`: an agent may fail because of it.

    Args:
        shop: where it is played.
        task: the task.
    """
    return tuple(kind for kind in _findings(shop, task, set()) if kind in QUESTIONED)


def _findings(shop: Shop, task: Task, won: set[str]) -> Iterator[str]:
    """The kinds of findings that a task belongs to; `won` names the agents that earned its reward."""
    failed = [action.name for action, error in _replayed(shop.open(), task.actions) if error]
    tests = {
        "refused_writes": any(name in WRITE_TOOLS for name in failed),
        "refused_reads": any(name not in WRITE_TOOLS for name in failed),
        "corrupts": _corrupts(shop, task),
        "order_of_items": _depends(shop, task, _other_items(task)),
        "order_of_items_corrected": _depends(shop.corrected, task, _other_items(task)),
        "order_of_writes": _depends(shop, task, _other_writes(task)),
        "breaks_policy": any(True for _ in _policy(shop, task)),
        "nothing_by_database": not shop.gold_changes(task),
        "nothing_outright": nothing_earns(shop, task) == 1.0,
        "transfer_outright": "quitter" in won,
        "reciting_outright": "reciter" in won,
    }
    return (kind for kind, holds in tests.items() if holds)


def _corrections(tasks: Sequence[Task], corrupted: Sequence[str]) -> Iterator[tuple[Correction, tuple[str, ...]]]:
    """The corrections that tasks of one source and version show, and which; a tool's are shown by those it corrupts."""
    for one in CORRECTIONS:
        shown = [task.id.rpartition("/")[2] for task in tasks if one.concerns(task)]
        if one.tool and tasks[0].source in one.sources:
            shown = list(corrupted)
        if shown:
            yield one, tuple(shown)


def _replayed(world: World, actions: Sequence[Action]) -> list[tuple[Action, str]]:
    """Actions as they are played one after another, each with its error, empty where it went well."""
    found = []
    for action in actions:
        result = world.call(ToolCall(action.name, action.arguments), requestor=action.requestor)
        found.append((action, result.content if result.error else ""))
    return found


def changes_of(shop: Shop, actions: Sequence[Action]) -> Changes:
    """What the writes among some actions change, played one after another.

    Args:
        shop: where they are played.
        actions: an agent's, or gold ones.
    """
    world = shop.open()
    _replayed(world, [action for action in actions if action.name in WRITE_TOOLS])
    return world.changes()


def _refused(shop: Shop, task: Task) -> tuple[str, ...]:
    replayed = _replayed(shop.open(), task.actions)
    return tuple(f"{action.name}: {error}" for action, error in replayed if error and action.name in WRITE_TOOLS)


def _corrupts(shop: Shop, task: Task) -> bool:
    """Whether the corrected tool leaves something else behind than upstream's."""
    return changes_of(shop, task.actions) != changes_of(shop.corrected, task.actions)


def _depends(shop: Shop, task: Task, others: Iterator[Sequence[Action]]) -> bool:
    """Whether other gold actions that ask for the same leave another database behind."""
    gold = changes_of(shop, task.actions)
    return any(changes_of(shop, actions) != gold for actions in itertools.islice(others, MOST_ORDERS))


def _other_items(task: Task) -> Iterator[Sequence[Action]]:
    """The gold actions with the items of one of them listed in another order."""
    for place, action in enumerate(task.actions):
        lists = [name for name in ("item_ids", "new_item_ids") if name in action.arguments]
        rows = list(zip(*(action.arguments[name] for name in lists), strict=False)) if lists else []
        for rows_in_order in itertools.islice(itertools.permutations(rows), 1, MOST_ORDERS):
            columns = {name: [row[n] for row in rows_in_order] for n, name in enumerate(lists)}
            turned = Action(action.name, {**action.arguments, **columns}, action.requestor)
            yield [*task.actions[:place], turned, *task.actions[place + 1 :]]


def _other_writes(task: Task) -> Iterator[Sequence[Action]]:
    return itertools.islice(itertools.permutations(gold_writes(task)), 1, MOST_ORDERS)


def _policy(shop: Shop, task: Task) -> tuple[str, ...]:
    """The rules of the domain policy that the gold writes break, in words."""
    return tuple(f"{action.name}: {why}" for action, why in broken_rules(shop, task))


def broken_rules(shop: Shop, task: Task) -> list[tuple[Action, str]]:
    """The gold writes that break a rule of the domain policy, of those rules that the shop's data can tell.

    Args:
        shop: where it is played.
        task: whose gold writes.

    Returns:
        Each with the rule, in words.
    """
    broken: list[tuple[Action, str]] = []
    changed: list[str] = []
    for action, error in _replayed(shop.open(), gold_writes(task)):
        order_id = action.arguments.get("order_id", "")
        if action.name in CHANGING_ITEMS and not error:
            if order_id in changed:
                broken.append((action, f"a second time for order {order_id}"))
            changed.append(order_id)
        broken += [(action, why) for why in _broken_by(action, task, shop.database)]
    return broken


def _broken_by(action: Action, task: Task, database: Mapping[str, Any]) -> Iterator[str]:
    """What one gold write breaks by itself."""
    given = action.arguments
    order = database["orders"].get(given.get("order_id"), {})
    owner, payment = order.get("user_id", given.get("user_id")), given.get("payment_method_id")
    pairs = zip(given.get("item_ids", ()), given.get("new_item_ids", ()), strict=False)
    for item in [old for old, new in pairs if old == new]:
        yield f"item {item} for itself, not for one of a different product option"
    if task.user_id is not None and owner not in (None, task.user_id):
        yield f"data of another customer, {owner}"
    if payment is not None and payment not in database["users"].get(owner, {}).get("payment_methods", ()):
        yield f"{payment} is no payment method of {owner}"
    if action.name == "return_delivered_order_items" and order:
        original = order["payment_history"][0]["payment_method_id"]
        if payment != original and not str(payment).startswith("gift_card"):
            yield f"refund to {payment}, neither the original payment method nor a gift card"


def as_json(found: Audit) -> dict[str, Any]:
    """The audit as JSON: `findings` holds task numbers by kind, `rates` shares from 0 to 1."""
    return {
        "source": found.source,
        "task_version": found.task_version,
        "split": found.split,
        "tasks": found.tasks,
        "findings": {kind: list(numbers) for kind, numbers in found.findings.items()},
        "details": {number: list(wrong) for number, wrong in found.details.items()},
        "rates": {
            name: {"official": one.official, "corrected": one.corrected, "process": one.process}
            for name, one in found.rates.items()
        },
        "corrections": [
            {"id": one.id, "tasks": list(numbers), "reason": one.reason, "link": one.link}
            for one, numbers in found.corrections
        ],
    }


def as_text(found: Audit) -> str:
    """The audit in words, for the screen."""
    return re.sub(r"^\|[-: |]+\|\n", "", as_markdown(found), flags=re.MULTILINE)


def as_markdown(found: Audit) -> str:
    """The audit as a section of a page."""
    version = f" {found.task_version}" if found.task_version else ""
    lines = [f"## {found.source}{version}, {found.split}: {found.tasks} tasks", ""]
    lines += ["| finding | how many | tasks |", "|---|---:|---|"]
    for kind, words in FINDINGS.items():
        numbers = found.findings[kind]
        lines.append(f"| {words} | {len(numbers)} | {' '.join(numbers)} |")
    lines += ["", "| agent | official | corrected | process |", "|---|---:|---:|---:|"]
    for name, one in found.rates.items():
        process = "none" if one.process is None else f"{one.process:.1%}"
        lines.append(f"| {name} | {one.official:.1%} | {one.corrected:.1%} | {process} |")
    if found.details:
        lines += ["", "| task | what is wrong with its gold writes |", "|---|---|"]
        lines += [f"| {number} | {'; '.join(wrong)} |" for number, wrong in found.details.items()]
    if found.corrections:
        lines += ["", "| correction | tasks | reason |", "|---|---|---|"]
        lines += [
            f"| [{one.id}]({one.link}) | {' '.join(numbers)} | {one.reason} |" for one, numbers in found.corrections
        ]
    return "\n".join(lines)
