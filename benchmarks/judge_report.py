"""How often the judge of assertions agrees with a reader: python -m benchmarks.judge_report > docs/judge.md"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.judge_cases import VERSION, Case, deeds, judged, lists, told_cases, written_cases
from benchmarks.run_files import keys_of
from tau_retail_env import load_tasks
from tau_retail_env.sources import get_source
from tau_retail_env.users.llm.assertion_judge import ModelJudge
from tau_retail_env.world.assertions import Evidence, RulesJudge, Said, Told, compile_assertion

PAGE = Path(__file__).parent / "judge_page.md"
SETS = ("final", "tuning", "later", "last", "unseen", "fresh", "held_out")
"""Those made from templates; the rules were corrected on the misses of each."""
WRITTEN = ("written_out", "later_written", "last_written", "plain_written", "plain_later")
"""Those whose conversations are written out one by one."""


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="also ask this model, as upstream's judge asks it (nl_judge openai)")
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1", help="where the model is served")
    parser.add_argument("--results", nargs="+", type=Path, default=[], metavar="FILE", help="τ² results with verdicts")
    parser.add_argument(
        "--list", choices=(*SETS, *WRITTEN), help="print the cases of a set that are judged wrong, not the page"
    )
    options = parser.parse_args()
    if options.list:
        print("\n".join(wrong_cases(options.list)))
        return
    print(page())
    if options.model:
        judge = ModelJudge(get_source("tau2", VERSION), options.model, {"base_url": options.base_url})
        told = [case for case in all_cases("final") if case.kind != "a deed"]
        answers = [not judge.unmet(case.task, case.evidence) for case in told]
        print(f"\n## The model {options.model} on the final set\n\n{confusion(told, answers)}")
    if options.results:
        graded = [case for file in options.results for case in cases_of_results(keys_of(file))]
        print(f"\n## The judges of these results\n\n{confusion(graded, judged_by_rules(graded))}")


def page() -> str:
    """The page, its tables filled in."""
    cases = all_cases(SETS[0])
    verdicts = judged_by_rules(cases)
    text = PAGE.read_text(encoding="utf-8").replace("{final}", confusion(cases, verdicts))
    text = text.replace("{final_misses}", misses(cases, verdicts))
    text = text.replace("{written}", "\n".join(row_of_written(name) for name in WRITTEN))
    return text.replace("{others}", "\n".join(row(name) for name in SETS[1:])).rstrip()


def row(name: str) -> str:
    """A set in one line."""
    cases = all_cases(name)
    found = Counter((case.holds, said) for case, said in zip(cases, judged_by_rules(cases), strict=True))
    right = found[True, True] + found[False, False]
    return f"| `{name}` | {len(cases):,} | {found[True, False]} | {found[False, True]} | {right / len(cases):.1%} |"


def row_of_written(name: str) -> str:
    """A set of conversations written out, in one line: how many of each way, and of each verdict, were judged right."""
    cases = list(written_cases(name))
    found = Counter((case.way, case.holds, said) for case, said in zip(cases, judged_by_rules(cases), strict=True))
    cells = [
        f"{found[way, holds, holds]} of {found[way, holds, True] + found[way, holds, False]}"
        for way in ("natural", "adversarial")
        for holds in (True, False)
    ]
    return f"| `{name}` | {' | '.join(cells)} |"


def all_cases(name: str) -> list[Case]:
    """Every conversation of a set; deeds, which have no words, belong to the final one."""
    if name in WRITTEN:
        return list(written_cases(name))
    tasks = load_tasks("tau2", "base", task_version=VERSION)
    told = list(told_cases(name, tasks))
    more = {"tuning": lists, "final": lambda: deeds(tasks)}
    return [*told, *(more[name]() if name in more else ())]


def cases_of_results(results: dict[str, Any]) -> Iterator[Case]:
    """What a results file's judge said of each sentence that something should be told.

    Args:
        results: as upstream writes them; only `simulations` is read.
    """
    for simulation in results["simulations"]:
        said = [Said(message["role"], message.get("content")) for message in simulation["messages"]]
        for check in (simulation.get("reward_info") or {}).get("nl_assertions") or ():
            compiled = compile_assertion(check["nl_assertion"])
            if isinstance(compiled, Told):
                kind = compiled.values[0].kind
                yield Case(kind, simulation["task_id"], check["met"], judged(check["nl_assertion"]), Evidence(said))


def judged_by_rules(cases: Sequence[Case]) -> list[bool]:
    """For each case, whether the rules say that its assertion holds."""
    return [not RulesJudge().unmet(case.task, case.evidence) for case in cases]


def wrong_cases(name: str) -> list[str]:
    """The cases of a set that are judged otherwise than by the reader, a line each."""
    cases = all_cases(name)
    return [
        f"{case.kind} | {case.way} | {'holds' if case.holds else 'does not hold'} | {case.task.assertions[0]} | "
        + " | ".join(f"{said.role[0]}: {said.content!r}" for said in case.evidence.conversation[1:])
        for case, said in zip(cases, judged_by_rules(cases), strict=True)
        if said != case.holds
    ]


def confusion(cases: Sequence[Case], verdicts: Sequence[bool]) -> str:
    """The table: for each kind, how many hold and are said to, and so on."""
    lines = [
        "| what the assertion wants | conversations | holds, said so | holds, denied | does not, said so | does not, "
        "denied | agreement |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    kinds = [*dict.fromkeys(case.kind for case in cases), None]
    for kind in kinds:
        found = Counter(
            (case.holds, said) for case, said in zip(cases, verdicts, strict=True) if kind in (None, case.kind)
        )
        right, total = found[True, True] + found[False, False], sum(found.values())
        row = (kind or "**all**", total, found[True, True], found[True, False], found[False, True], found[False, False])
        lines.append("| " + " | ".join(map(str, row)) + f" | {right / total:.1%} |")
    return "\n".join(lines)


def misses(cases: Sequence[Case], verdicts: Sequence[bool]) -> str:
    """Which ways are judged wrong, and how often."""
    seen = Counter((case.kind, case.way, case.holds) for case in cases)
    wrong = Counter(
        (case.kind, case.way, case.holds) for case, said in zip(cases, verdicts, strict=True) if said != case.holds
    )
    rows = [
        f"| {kind} | {way} | {'holds' if holds else 'does not hold'} | {count} of {seen[kind, way, holds]} |"
        for (kind, way, holds), count in sorted(wrong.items())
    ]
    if not rows:
        return "No way of it is judged wrong today."
    return "\n".join(["| kind | told or done | a reader says | judged otherwise |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    main()
