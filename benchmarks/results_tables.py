"""The tables of docs/results.md, and README's short one, from what docs/runs holds.

python benchmarks/results_tables.py            # prints them
python benchmarks/results_tables.py --write    # puts them into the pages, between the comments that name them

Which stages there are, and from which files, says benchmarks/results_stages.py. Needs τ²'s tasks.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.results_stages import BEFORE, GENERATED, STAGES, Stage
from tau_retail_env import load_tasks
from tau_retail_env.evaluation.outcome import estimate, interval_of
from tau_retail_env.evaluation.report import percent
from tau_retail_env.statistics.passes import pass_curve

REPOSITORY = Path(__file__).resolve().parent.parent
RUNS = REPOSITORY / "docs" / "runs"
SUCCESSES = "successes.json"
"""What files of successes task by task are called: by set and task, a digit a trial."""
TODAYS_CUSTOMER = "e0bdf59d1c66"
"""The digest of the scripted customer as it is; what was played with another one is marked."""
KINDS = "returns exchanges cancellations modifications address payment profile lookup transfer single multi".split()
"""Subsets of τ² in the table of kinds, in its order."""
NOT_RECORDED = "–"
ON_ITS_PAGE = " †"
"""Behind what no file holds: it stands on the run's own page."""
ANOTHER_CUSTOMER = " *"
SHARED_WITH_TAU2 = re.compile(r"These 74 of its 115 tasks are: ([\d, ]+)\.")
EXPLAINED = "critic/explained_variance"
ACTOR_LEARNT = "actor_train/grad_norm"
Figures = Mapping[str, Any]
"""An evaluation as results.json has it, or as much of one as the successes of its tasks give."""
Rows = list[list[str]]
"""The cells of a table; the first row has the heads."""


def main() -> None:
    """Print the tables, or write them into the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put them into the pages")
    write = parser.parse_args().write
    if write:  # all pages or none
        paths = {page: REPOSITORY / page for page in PAGES}
        made = {path: with_tables(path.read_text(encoding="utf-8"), page) for page, path in paths.items()}
        for path, text in made.items():
            path.write_text(text, encoding="utf-8")
        return
    for page, tables in PAGES.items():
        for name, make in tables.items():
            print(f"{name}\n\n{as_markdown(make(), page)}\n")


def with_tables(text: str, page: str) -> str:
    """A page's text with its tables made anew.

    Args:
        text: what stands in the page, with <!-- table NAME --> before and <!-- end --> after each table.
        page: which page it is, a key of `PAGES`.

    Raises:
        SystemExit: the page has no place for a table.
    """
    for name, make in PAGES[page].items():
        head, begin, rest = text.partition(f"<!-- table {name} -->\n")
        old, end, tail = rest.partition("<!-- end -->")
        if not begin or not end or "<!-- table" in old:
            raise SystemExit(f"{page}: no place for the table {name}; write <!-- table {name} --> and <!-- end -->")
        text = f"{head}{begin}{as_markdown(make(), page)}\n{end}{tail}"
    return text


def as_markdown(rows: Rows, page: str) -> str:
    """A Markdown table.

    Args:
        rows: the cells; `](RUN:name)` is a link to a run's page.
        page: the page on which it stands.
    """
    heads, *others = rows
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *others)]
    runs = "runs" if page.startswith("docs/") else "docs/runs"
    return re.sub(r"\]\(RUN:(\w+)\)", rf"]({runs}/\1/README.md)", "\n".join(lines))


def figures(source: str | None) -> Figures | None:
    """What was recorded.

    Args:
        source: a file under docs/runs; after # the name of one evaluation of several in it.
    """
    if source is None:
        return None
    path, _, name = source.partition("#")
    if path.endswith(SUCCESSES):
        return figures_of_successes(source)
    found = json.loads((RUNS / path).read_text(encoding="utf-8"))
    return found[name] if name else found


def figures_of_successes(source: str, keep: Callable[[str], bool] = lambda task: True) -> Figures:
    """pass^k of tasks whose successes are recorded one by one.

    Args:
        source: as for `figures`.
        keep: which of its tasks count.
    """
    path, _, name = source.partition("#")
    successes = json.loads((RUNS / path).read_text(encoding="utf-8"))[name]
    outcomes = {task: [one == "1" for one in trials] for task, trials in successes.items() if keep(task)}
    trials = len(next(iter(outcomes.values())))
    passes = {f"pass^{k}": estimate(one) for k, one in pass_curve(outcomes, trials).all_of_k.items()}
    return {"tasks": len(outcomes), "trials": trials, **passes}


def stages_table() -> Rows:
    """τ² 1.0, all 114 tasks: a row a stage."""
    heads = "stage|trials|pass^1, official|pass^2|pass^3|pass^4|corrected|process|over the stage before, paired|run"
    rows = [heads.split("|")]
    for stage in STAGES:
        found = figures(stage.files.get("tau2"))
        trials = _told(stage, "trials", str(found["trials"]) if found else NOT_RECORDED)
        name = f"**{stage.name}:** {stage.what}" if stage.what else f"**{stage.name}**"
        rows.append([name, trials, *_on_tau2(stage, found), _told(stage, "gain", NOT_RECORDED), _link(stage)])
    return rows


def short_table() -> Rows:
    """README's: the stages that say most."""
    heads = "stage|pass^1, official|pass^2|pass^3|pass^4|corrected|process|over the stage before, paired|run"
    rows = [heads.split("|")]
    for stage in STAGES:
        if stage.in_short:
            cells = _on_tau2(stage, figures(stage.files.get("tau2")))
            rows.append([stage.in_short, *cells, _told(stage, "gain", NOT_RECORDED), _link(stage)])
    return rows


def kinds_table() -> Rows:
    """pass^1 on τ² 1.0 by kind of task."""
    played = [(stage, found) for stage in STAGES if (found := figures(stage.files.get("tau2")))]
    sizes = played[-1][1]["by_subset"]
    rows = [["stage", *(f"{kind} ({sizes[kind]['pass^1']['tasks']})" for kind in KINDS)]]
    for stage, found in played:
        rows.append([stage.name, *(_value(found["by_subset"].get(kind, {}), "pass^1") for kind in KINDS)])
    return rows


def words_table() -> Rows:
    """τ²'s 40 test tasks: in the test's phrasings, and among the 114 in those of training."""
    heads = "stage|in held-out phrasings (`test`)|trials|in training's, among the 114 (`base`)|trials|run"
    rows = [heads.split("|")]
    test = {task.id for task in load_tasks("tau2", "test")}
    for stage in STAGES:
        held_out, whole = figures(stage.files.get("tau2 test")), figures(stage.files.get("tau2"))
        source = stage.files.get("tau2 successes")
        among = _told(
            stage, "among the 114", _shown(figures_of_successes(source, test.__contains__) if source else None)
        )
        if held_out or among != NOT_RECORDED:
            of_test = [_shown(held_out), str(held_out["trials"]) if held_out else NOT_RECORDED]
            of_base = [among, str(whole["trials"]) if whole and among != NOT_RECORDED else NOT_RECORDED]
            rows.append([stage.name, *of_test, *of_base, _link(stage)])
    return rows


def v1_table() -> Rows:
    """v1's test, split by whether a task is one of τ²'s train."""
    rows = ["stage|trials|the 74 that are τ²'s train tasks|the 41 others|all 115, where not split|run".split("|")]
    shared = shared_with_tau2_train()
    for stage in STAGES:
        source = stage.files.get("v1")
        whole = figures(source)
        if source is None or whole is None:
            continue
        parts, mixed = [_told(stage, "the 74", NOT_RECORDED), _told(stage, "the 41", NOT_RECORDED)], NOT_RECORDED
        if SUCCESSES in source:
            parts = [
                _shown(figures_of_successes(source, shared.__contains__)),
                _shown(figures_of_successes(source, lambda task: task not in shared)),
            ]
        elif parts[0] == NOT_RECORDED:
            mixed = _shown(whole)
        rows.append([stage.name, str(whole["trials"]), *parts, mixed, _link(stage)])
    return rows


def shared_with_tau2_train() -> frozenset[str]:
    """The tasks of v1's test that are τ²'s train tasks, as docs/tasks.md lists them."""
    listed = SHARED_WITH_TAU2.search((REPOSITORY / "docs" / "tasks.md").read_text(encoding="utf-8"))
    assert listed
    return frozenset(f"tau_bench/test/{number}" for number in listed[1].split(", "))


def generated_table() -> Rows:
    """pass^1 on the tests of the generated series."""
    rows = [["stage", *GENERATED.values(), "run"]]
    for stage in STAGES:
        cells = [_told(stage, name, _shown(figures(stage.files.get(name)))) for name in GENERATED]
        if set(cells) != {NOT_RECORDED}:
            rows.append([stage.name, *cells, _link(stage)])
    return rows


def played_table() -> Rows:
    """What was tried before each run, by what it was judged, and how often it played test tasks."""
    rows = ["run|tried before it, and judged on|test tasks that it played, × trials|episodes of validations".split("|")]
    on_tau2: list[Figures] = []
    for run, (tried, elsewhere) in BEFORE.items():
        found = list(evaluations(RUNS / run))
        on_tau2 += [one for one in found if one["source"] == "tau2"]
        plays = "; ".join(filter(None, [_counted([_play(one) for one in found]), elsewhere]))
        validated = _counted([str(episodes) for episodes in validations(RUNS / run)])
        rows.append([f"[{run}](RUN:{run})", tried, plays or NOT_RECORDED, validated or NOT_RECORDED])
    episodes = sum(one["episodes"]["scored"] for one in on_tau2)
    return [
        *rows,
        ["**all**", "", f"τ² in {len(on_tau2)} evaluations of which results are kept: {episodes:,} episodes", ""],
    ]


def evaluations(folder: Path) -> Iterator[Figures]:
    """Every evaluation on test tasks of which a run's folder has the results, but for validations in training."""
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        for one in [found, *(found.values() if isinstance(found, dict) else ())]:
            if isinstance(one, dict) and "pass^1" in one and re.match("base|test", one.get("split", "")):
                yield one


def validations(folder: Path) -> Iterator[int]:
    """The episodes of each validation in a run's training; all of them are of test tasks."""
    for path in sorted(folder.rglob("*metrics.jsonl")):
        for row in _metrics(path):
            if any(name.startswith("val/") for name in row):
                part = f".{row['run'].replace(' ', '_').lower()}" if "run" in row else ""
                config = path.with_name(path.name.replace("metrics.jsonl", f"config{part}.yaml"))
                [episodes] = re.findall(r"^val_batch_size: (\d+)$", config.read_text(encoding="utf-8"), re.MULTILINE)
                yield int(episodes)


def critics_table() -> Rows:
    """The critic's explained variance when its warm-up ended, and while the actor learnt."""
    rows = ["run|steps of warm-up|at their end|while the actor learnt: least, largest|last".split("|")]
    for run in BEFORE:
        for part, steps in _runs_with_a_critic(RUNS / run).items():
            alone = [row[EXPLAINED] for row in steps if ACTOR_LEARNT not in row]
            later = [row[EXPLAINED] for row in steps if ACTOR_LEARNT in row]
            learnt = [f"{min(later):.3f}, {max(later):.3f}", f"{later[-1]:.3f}"] if later else [NOT_RECORDED] * 2
            rows.append([f"[{run}](RUN:{run}){part}", str(len(alone)), f"{alone[-1]:.3f}", *learnt])
    return rows


def _runs_with_a_critic(folder: Path) -> Mapping[str, list[Figures]]:
    """The steps that have an explained variance, by which of several runs of the folder they are of."""
    found: dict[str, list[Figures]] = {}
    for row in (row for path in sorted(folder.glob("*metrics.jsonl")) for row in _metrics(path) if EXPLAINED in row):
        part = f", seed {row['seed']}" if "seed" in row else f", {row['run']}" if "run" in row else ""
        found.setdefault(part, []).append(row)
    return found


def _metrics(path: Path) -> list[Figures]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _on_tau2(stage: Stage, found: Figures | None) -> list[str]:
    """pass^1 with its interval, pass^2, pass^3, pass^4, corrected, process."""
    another = found is not None and found["customer_digest"] != TODAYS_CUSTOMER
    passed = _told(stage, "pass^1", _shown(found) + (ANOTHER_CUSTOMER if another else ""))
    return [
        passed,
        *(_value(found or {}, f"pass^{k}") for k in (2, 3, 4)),
        *(_told(stage, name, _reward(found, name)) for name in ("corrected", "process")),
    ]


def _shown(found: Figures | None) -> str:
    """pass^1 with its interval over tasks, in percent."""
    if found is None:
        return NOT_RECORDED
    one = found["pass^1"]
    interval = interval_of(one)
    return f"{percent(one['value'])} ({percent(interval.low)} to {percent(interval.high)})"


def _value(found: Figures, name: str) -> str:
    return percent(found[name]["value"]) if name in found else NOT_RECORDED


def _reward(found: Figures | None, name: str) -> str:
    """A mean over tasks; of how many stands beside it where they are not all."""
    if found is None:
        return NOT_RECORDED
    one = found["rewards"][name]
    return percent(one["value"]) + ("" if one["tasks"] == found["tasks"] else f" of {one['tasks']}")


def _told(stage: Stage, column: str, cell: str) -> str:
    """A cell, or what the run's page says where no file has it."""
    return f"{stage.told[column]}{ON_ITS_PAGE}" if column in stage.told else cell


def _link(stage: Stage) -> str:
    return f"[{stage.run}](RUN:{stage.run})"


def _play(found: Figures) -> str:
    """What was played: tasks, and trials of each; of an evaluation that was ended early also how many episodes."""
    source = {"tau2": "τ² ", "tau_bench": "v1 ", "generated": ""}[found["source"]]
    episodes = found["episodes"]
    ended = f", of which {episodes['scored']} of {episodes['asked']} episodes" if episodes.get("not_played") else ""
    return f"{source}`{found['split']}` {found['tasks']} × {found['trials']}{ended}"


def _counted(plays: Sequence[str]) -> str:
    counts = {play: plays.count(play) for play in plays}
    return ", ".join(play if count == 1 else f"{play} ({count} times)" for play, count in counts.items())


PAGES: Mapping[str, Mapping[str, Callable[[], Rows]]] = {
    "README.md": {"short": short_table},
    "docs/results.md": {
        "stages": stages_table,
        "kinds": kinds_table,
        "words": words_table,
        "v1": v1_table,
        "generated": generated_table,
        "played": played_table,
        "critics": critics_table,
    },
}
"""By page, its tables by name, with the function that makes the rows."""

if __name__ == "__main__":
    main()
