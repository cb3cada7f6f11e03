"""What a step through ROLL took before this package changed it, what was wanted, and what recorded runs take: python
benchmarks/roll_goals.py

Prints the table of docs/roll.md. `seen` and the goals are those of the review of 2026-11-28 (83e4d37): on one H200 with
Qwen2.5-0.5B's shape, on four with SmolLM2-135M, 256 episodes of 4,050 tokens. What is now is read from docs/runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

RUNS = Path(__file__).resolve().parent.parent / "docs" / "runs"
SKIP = 2
"""First steps left out: things are compiled, and the critic alone learns."""
TRAIN, ROLLOUT, TOTAL = "time/step_train", "time/step_rollout", "time/step_total"
WITHOUT_GRADIENT = ("time/step_ref_log_probs_values_reward", "time/step_old_log_probs_values")
CHECKPOINT = "time/actor_train/do_checkpoint/total"
SECONDS = re.compile(r"Ray is up after (\d+) s|all roles are up, (\d+) s after Ray")
SHARE = re.compile(r"^  environment, chat and env manager +[\d.]+ +([\d.]+)%$", re.MULTILINE)


class Row(NamedTuple):
    """A goal."""

    what: str
    seen: str
    goal: str
    now: str
    """With the run, in Markdown."""
    ratio: float | None
    """Of what was seen, by ROLL's own learners where these were measured beside, over what is now."""
    is_reached: bool


def main() -> None:
    """Print the table."""
    print("\n".join(table()))


def table() -> list[str]:
    """Lines of Markdown."""
    lines = ["| | seen | goal | now | ratio | reached |", "|---|---|---|---|---|---|"]
    for row in (*learning(), *four_gpus(), *replayed(), *starts(), *processors()):
        ratio = "" if row.ratio is None else f"{row.ratio:.1f}"
        reached = "yes" if row.is_reached else "**no**"
        lines.append(f"| {row.what} | {row.seen} | {row.goal} | {row.now} | {ratio} | {reached} |")
    return lines


def learning() -> Iterator[Row]:
    """Of the model of 0.5 B, measured alone on one H200."""
    told = json.loads((RUNS / "roll_learning" / "qwen.json").read_text(encoding="utf-8"))["sides"]
    for learner, seen in (("critic", "37 to 48 s, 6 %"), ("actor", "not told")):
        rolls, ours, best = (told[side][learner] for side in ("roll", "ours", "best"))
        yield Row(
            f"{learner}'s training, 128 rows of 4,670 tokens, 0.5 B, one H200",
            seen,
            "40 % of the card's bf16 rate",
            f"{ours['seconds']:.1f} s, {ours['share']:.0%} ({best['share']:.0%} by plain PyTorch; ROLL's own beside it "
            f"{rolls['seconds']:.1f} s), [alone](runs/roll_learning/README.md)".replace("%", " %"),
            rolls["seconds"] / ours["seconds"],
            ours["share"] >= 0.4,
        )


def four_gpus() -> Iterator[Row]:
    """Of the model of 135 M on four H200s, 256 episodes a step."""
    name = "roll_four_gpus"
    rows = [row for row in metrics(name) if row["step"] >= SKIP]
    run = f"[{name}](runs/{name}/README.md)"
    training, without = mean(rows, TRAIN), mean(rows, *WITHOUT_GRADIENT)
    rollout, total = mean(rows, ROLLOUT), mean(rows, TOTAL)
    own = 256 * mean(rows, "rollout/response_length/mean")
    rest = rest_of(rows)
    yield Row(
        "critic's and actor's training, 135 M, four H200s",
        "38 s, the critic alone",
        "2 s each",
        f"{training:.1f} s, both side by side, {run}",
        38 / training,
        training <= 2,
    )
    what = "log-probs, values, reference, the same"
    yield Row(what, "25 s", "2 s", f"{without:.1f} s, {run}", 25 / without, without <= 2)
    yield Row(
        "rollout, the same",
        "46 s, 2,100 tokens/s",
        "6 s",
        f"{rollout:.1f} s, {own / rollout:,.0f} tokens/s, {run}",
        46 / rollout,
        rollout <= 6,
    )
    later = [row for row in metrics("roll_gain") if row["step"] >= SKIP]
    yield Row(
        "weights and the rest, the same, a step without a checkpoint",
        "6 s",
        "3 s",
        f"{rest:.1f} s, {run}; later, on one H200, {rest_of(later):.1f} s, [roll_gain](runs/roll_gain/README.md)",
        6 / rest,
        rest <= 3,
    )
    yield Row("a whole step, the same", "118 s", "15 s", f"{total:.1f} s, {run}", 118 / total, total <= 15)


def replayed() -> Iterator[Row]:
    """What rollouts reach of the engine alone."""
    lines = (RUNS / "roll_ppo" / "replay.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [json.loads(line) for line in lines]
    share = sum(one["replay_s"] for one in steps) / sum(one["rollout_s"] for one in steps)
    yield Row(
        "rollout, of `engine_replay.py`'s throughput",
        "",
        "80 %",
        f"{share:.0%}, the small model, one H200, an early version, [roll_ppo](runs/roll_ppo/README.md); not measured "
        "since".replace("%", " %"),
        None,
        share >= 0.8,
    )


def starts() -> Iterator[Row]:
    """From the start to all roles up, when the first rollout begins."""
    [alone], [*both], four = started("roll_third_seed"), started("roll_gain"), started("roll_four_gpus")[0]
    two, *_, beside, _ = started("roll_two_gpus")
    yield Row(
        "start to the first rollout, one H200",
        "95 s",
        "60 s",
        f"{alone} s, two engines, [roll_third_seed](runs/roll_third_seed/README.md#the-start); {min(both)} and "
        f"{max(both)} s, two runs at once, four engines each, [roll_gain](runs/roll_gain/README.md); later, beside "
        f"other programs and without `torch.compile`, as not shipped, {beside} s, "
        "[roll_two_gpus](runs/roll_two_gpus/README.md#starts)",
        95 / alone,
        alone <= 60,
    )
    yield Row(
        "the same, four H200s",
        "215 s",
        "90 s",
        f"{four} s, beside an evaluation's start, [roll_four_gpus](runs/roll_four_gpus/README.md); roles are made at "
        f"once since: not measured on four; on two, with 0.5 B and beside another program, {two} s, "
        "[roll_two_gpus](runs/roll_two_gpus/README.md#starts)",
        215 / four,
        four <= 90,
    )


def processors() -> Iterator[Row]:
    """What our part of the rollouts takes of the processors, by roll_time.txt."""
    names = ("roll_four_gpus", "roll_groups", "roll_shorter", "roll_third_seed", "roll_gain")
    shares = {name: shares_of(name) for name in names}
    now = ", ".join(
        f"{' and '.join(f'{share:.1f}' for share in shares[name])} % [{name}](runs/{name}/README.md)" for name in names
    )
    both = sum(shares["roll_gain"])
    yield Row(
        "environment, chat and env manager, of the processors' time",
        "1.7 to 2.2 %",
        "below 2 %",
        f"{now}, whose two runs shared a machine: together {both:.1f} %",
        None,
        max(both, *(share for found in shares.values() for share in found)) < 2,
    )


def shares_of(name: str) -> list[float]:
    """In percent, of each run that roll_time.txt tells of."""
    text = (RUNS / name / "roll_time.txt").read_text(encoding="utf-8")
    totals = [part.split("\nseed ")[0] for part in text.split("episodes of a step; of the time of")[1:]]
    return [float(SHARE.findall(total)[0]) for total in totals]


def started(name: str) -> list[int]:
    """Seconds from each recorded start to all roles up."""
    found = SECONDS.findall((RUNS / name / "excerpt.log").read_text(encoding="utf-8"))
    seconds = [int(ray or roles) for ray, roles in found]
    return [sum(pair) for pair in zip(seconds[::2], seconds[1::2], strict=True)]


def rest_of(rows: Sequence[Mapping[str, Any]]) -> float:
    """What weights and the rest take of a step that saves nothing."""
    plain = [row for row in rows if CHECKPOINT not in row]
    return mean(plain, TOTAL) - mean(plain, TRAIN, ROLLOUT, *WITHOUT_GRADIENT)


def metrics(name: str) -> list[dict[str, Any]]:
    """A run's rows."""
    lines = (RUNS / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def mean(rows: Sequence[Mapping[str, Any]], *names: str) -> float:
    """Of the sum of some figures."""
    return fmean(sum(row[name] for name in names) for row in rows)


if __name__ == "__main__":
    main()
