"""The review of a run: success, how it was won, whose fault failures were, and what a model says of them if asked."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tau_retail_env.evaluation.audit import FINDINGS, questions
from tau_retail_env.evaluation.faults import PARTIES, PROCESS, Fault, fault_of, process_faults
from tau_retail_env.evaluation.opinion import Opinion
from tau_retail_env.evaluation.record import Episode
from tau_retail_env.evaluation.report import in_lines
from tau_retail_env.evaluation.reward_hacking import Win, in_words, win_of
from tau_retail_env.evaluation.upstream.conversation import TasksOfEpisodes
from tau_retail_env.sources.registry import source_of
from tau_retail_env.statistics.intervals import wilson_interval
from tau_retail_env.tasks import Task

MOST_SHOWN = 30
"""Episodes that the screen lists."""
SPOILERS = ("customer", "task")
"""Parties whose faults say nothing about the agent."""

Ask = Callable[[Episode, Task], Opinion]
"""Asks a model about a failed episode."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a review found in one episode."""

    episode: Episode
    """The episode, without its conversation."""
    fault: Fault | None
    """Whose fault its failure was; None for a success."""
    process: tuple[str, ...]
    """What the agent did against the process, names in `PROCESS`."""
    questions: tuple[str, ...]
    """What the audit finds wrong with its task."""
    opinion: Opinion | None = None
    """What a model says; None where none was asked."""
    win: Win | None = None
    """How a success was won; None for a failure, and where its task is not here."""


def look(episodes: Iterable[Episode], ask: Ask | None = None) -> list[Reviewed]:
    """Look at every episode of a run.

    Args:
        episodes: of one agent.
        ask: asks a model about each failed episode whose task is here and whose customer did not fail; None asks none.

    Raises:
        UserSetupError: the model cannot be asked until something is fixed (key, model, budget).
    """
    tasks, doubts = TasksOfEpisodes(), dict[int, tuple[str, ...]]()
    found = []
    for episode in episodes:
        one = episode.trajectory
        task = tasks.of(one)
        fault = fault_of(one, task)
        opinion = None
        if fault is not None and task is not None:
            if id(task) not in doubts:
                doubts[id(task)] = questions(source_of(task).shop(), task)
            opinion = ask(episode, task) if ask is not None and one.scorable else None
        light = dataclasses.replace(one, messages=(), token_ids=(), response_mask=(), logprobs=())
        asked = doubts[id(task)] if fault is not None and task is not None else ()
        win = win_of(one, task) if fault is None and task is not None else None
        found.append(Reviewed(Episode(episode.trial, light), fault, process_faults(one, task), asked, opinion, win))
    return found


def as_text(found: Sequence[Reviewed]) -> str:
    """The review in words, for the screen.

    Args:
        found: as `look` finds it.
    """
    if not found:
        return "no episodes"
    failed = [one for one in found if one.fault is not None]
    counts = Counter(one.fault.party for one in failed if one.fault is not None)
    wins = [one.win for one in found if one.win is not None]
    lines = [*_success_lines(found, counts), *(in_words(wins) if wins else ())]
    lines += [f"{len(failed)} of {len(found)} episodes failed{':' if failed else ''}"]
    lines += [f"  {counts[party]:>4} {party:<8} {meaning}" for party, meaning in PARTIES.items() if counts[party]]
    lines += [*_doubt_lines(failed), *_process_lines(found), *_opinion_lines(failed)]
    lines += [_line(one) for one in failed[:MOST_SHOWN]]
    if len(failed) > MOST_SHOWN:
        lines.append(f"… and {len(failed) - MOST_SHOWN} more")
    return in_lines(lines)


def _success_lines(found: Sequence[Reviewed], counts: Counter[str]) -> list[str]:
    solved = sum(one.fault is None for one in found)
    lines = [f"success {solved / len(found):.1%} of {len(found)} episodes"]
    spoilt = 0
    for party in SPOILERS:
        share = wilson_interval(counts[party], len(found))
        lines.append(
            f"the {party}'s share: {counts[party] / len(found):.1%} of all episodes "
            f"(95 %: {share.low:.1%} to {share.high:.1%}, episodes taken as independent)"
        )
        spoilt += counts[party]
    judged, without = len(found) - counts["judge"], " and the judge gave a verdict" if counts["judge"] else ""
    if counts["customer"] < judged:
        of_agent = judged - counts["customer"]
        lines.append(f"success where the customer was not at fault{without}: {solved / of_agent:.1%}")
    if counts["task"] and spoilt < judged:
        rest = judged - spoilt
        lines.append(f"success where neither customer nor task was at fault{without}: {solved / rest:.1%}")
    return lines


def _doubt_lines(failed: Sequence[Reviewed]) -> list[str]:
    """Failed episodes of tasks that the audit questions, though the task is not shown to be at fault."""
    doubtful = [one for one in failed if one.questions and one.fault is not None and one.fault.party not in SPOILERS]
    kinds = Counter(kind for one in doubtful for kind in one.questions)
    if not doubtful:
        return []
    lines = [f"{len(doubtful)} of them the task may have a part in, see tau-retail audit:"]
    return lines + [f"  {number:>4} {FINDINGS[kind]}" for kind, number in kinds.most_common()]


def _process_lines(found: Sequence[Reviewed]) -> list[str]:
    """How many episodes broke the process, successes among them: the reward does not see it."""
    lines = []
    for name, words in PROCESS.items():
        broken = [one for one in found if name in one.process]
        if broken:
            rewarded = sum(one.fault is None for one in broken)
            lines.append(f"  {len(broken):>4} {words} ({rewarded} of them successes)")
    return ["episodes in which the agent broke the process:", *lines] if lines else []


def _opinion_lines(failed: Sequence[Reviewed]) -> list[str]:
    """What a model says beside what was found; where it gave no answer it has no part in the figures."""
    asked = [(one.fault.party, one.opinion) for one in failed if one.fault is not None and one.opinion is not None]
    if not asked:
        return []
    answered = [(party, opinion) for party, opinion in asked if opinion.party is not None]
    counts = Counter(opinion.party for _, opinion in answered)
    alike = sum(party == opinion.party for party, opinion in answered)
    counted = ", ".join(f"{party} {counts[party]}" for party in PARTIES if counts[party])
    lines = [f"a model's opinion on {len(answered)} of them: {counted or 'none'}; the same as above for {alike}"]
    if unanswered := len(asked) - len(answered):
        lines.append(f"  {unanswered} without an answer, which do not count")
    return lines


def _line(one: Reviewed) -> str:
    episode = one.episode.trajectory
    assert one.fault is not None, "only failed episodes are listed"
    line = f"{episode.task_id} trial {one.episode.trial} (seed {episode.seed}): {one.fault.party}: {one.fault.reason}"
    if one.questions and one.fault.party not in SPOILERS:
        line += f" (the task: {', '.join(FINDINGS[kind] for kind in one.questions)})"
    if one.opinion is not None:
        line += f" [a model: {one.opinion.party or 'no answer'}: {one.opinion.reason}]"
    return line
