"""Conversations in which an assertion of τ² 1.0's kinds holds or does not, read from judge_conversations/."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tau_retail_env.messages import ToolCall
from tau_retail_env.sources import get_source
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.writes import gold_writes
from tau_retail_env.world.assertions import Called, Did, Evidence, Said, compile_assertion, play_gold

VERSION = "1.0"
FOLDER = Path(__file__).parent / "judge_conversations"
GREETING = "Hi! How can I help you today?"
ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen".split()
ONES += "sixteen seventeen eighteen nineteen".split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()


@dataclass(frozen=True)
class Case:
    """One conversation, and what a reader says of one assertion about it."""

    kind: str
    """What sort of thing the assertion wants."""
    way: str
    """How it was told or done, or how it was not."""
    holds: bool
    """Whether a reader says that it holds."""
    task: Task
    """A task with this one assertion."""
    evidence: Evidence = field(default_factory=Evidence)
    """The conversation and the calls."""


def told_cases(name: str, tasks: Sequence[Task]) -> Iterator[Case]:
    """The conversations of a file, each way with every subject of its kind.

    Args:
        name: of a file of `FOLDER`, such as "final"; `subjects_of` in it names the file that has its subjects.
        tasks: upstream's, whose sentences the kind "amount" may be made from.
    """
    found = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    shared = tomllib.loads((FOLDER / f"{found.pop('subjects_of', name)}.toml").read_text(encoding="utf-8"))
    for sort, ways in found.items():
        part = {**shared[sort], **ways}
        for claim, forms in SUBJECTS[sort](part, tasks):
            for holds in (True, False):
                for way, lines in part["holds" if holds else "fails"].items():
                    yield Case(part["kind"], way, holds, judged(claim), conversation(lines, forms))


def written_cases(name: str) -> Iterator[Case]:
    """The conversations of a file that are written out one by one; their way is "natural" or "adversarial".

    Args:
        name: of a file of `FOLDER`, such as "written_out".
    """
    found = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    for entry in found["assertion"]:
        for way in ("natural", "adversarial"):
            for verdict, answers in entry.get(way, {}).items():
                for answer in answers:
                    lines = [f"A: {answer}"] if isinstance(answer, str) else answer
                    evidence = conversation(lines, {"asked": entry["asked"]})
                    yield Case(entry["kind"], way, verdict == "holds", judged(entry["text"]), evidence)


def conversation(lines: Sequence[str], forms: Mapping[str, Any]) -> Evidence:
    """What was said: "C: …" by the customer, "A: …" by the agent; where the agent begins, the customer has asked."""
    asked = [] if lines[0].startswith("C:") else [Said("user", forms["asked"])]
    roles = {"C: ": "user", "A: ": "assistant"}
    said = [Said(roles[line[:3]], line[3:].format_map(forms)) for line in lines]
    return Evidence([Said("assistant", GREETING), *asked, *said])


def judged(assertion: str) -> Task:
    """A task with one assertion."""
    return Task("judge/0", "tau2", "retail", "test", "", (), version=VERSION, assertions=(assertion,))


def capitalized(forms: Mapping[str, Any]) -> dict[str, Any]:
    """The forms, and each text with a capital letter under a name with one."""
    texts = {name: text for name, text in forms.items() if isinstance(text, str)}
    return {**forms, **{name.capitalize(): text[:1].upper() + text[1:] for name, text in texts.items()}}


def amounts(part: Mapping[str, Any], tasks: Sequence[Task]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Assertions of one amount: upstream's own, or the subjects of the file."""
    if part.get("from_upstream"):
        for assertion in (assertion for task in tasks for assertion in task.assertions):
            found = assertion.split("$")
            if len(found) == 2 and "." in found[1].rstrip("."):
                exact = found[1].split()[0].rstrip(".").replace(",", "")
                yield assertion, {**amount_forms(exact), "asked": "I have a question.", "What": "The amount"}
        return
    for place, subject in enumerate(part["subjects"]):
        exact = f"{(97 + 613 * place) % 1900 + 31}.{(37 + 29 * place) % 89 + 10}"
        forms = amount_forms(exact)
        told = {name: text.format(v=forms["v"]) for name, text in subject.items()}
        yield f"Agent should tell the user {told.pop('claim')}.", capitalized({**forms, **told})


def amount_forms(exact: str) -> dict[str, Any]:
    """How an amount is written, and others near it."""
    dollars, cents = exact.split(".")
    return {
        "v": f"${int(dollars):,}.{cents}",
        "bare": exact,
        "exact": exact,
        "comma": f"{int(dollars):,}.{cents}",
        "exact_decimal_comma": f"{dollars},{cents}",
        "words": f"{spelled(int(dollars))} dollars and {spelled(int(cents))} cents",
        "wrong": f"${int(dollars) + 13}.{cents}",
        "turned": f"{dollars}.{cents[::-1] if cents != cents[::-1] else '01'}",
        "rounded": str(int(dollars) + 1),
        "digits": exact.replace(".", ""),
        "whole": dollars,
        "cent_more": f"{float(exact) + 0.01:.2f}",
        "cent_less": f"${float(exact) - 0.01:,.2f}",
        "half": f"{float(exact) / 2:.2f}",
    }


def counts(part: Mapping[str, Any], tasks: Sequence[Task]) -> Iterator[tuple[str, dict[str, Any]]]:
    """How many there are of something."""
    for thing, things, others in part["things"]:
        for n in part["numbers"]:
            forms = {"n": n, "more": n + 1, "fewer": n - 1, "total": n + 2, "words": spelled(n), "others": others}
            names = {"thing": thing, "things": things, "asked": f"How many {things} can I choose from?"}
            yield (
                f"Agent should tell the user that there are {n} {thing} options available.",
                capitalized(forms | names),
            )


def quantities(part: Mapping[str, Any], tasks: Sequence[Task]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A number with its unit."""
    for subject in part["subjects"]:
        for n in subject["numbers"]:
            texts = {name: text for name, text in subject.items() if name != "numbers"}
            told = {name: text.format(n=n) for name, text in texts.items()}
            forms = {**told, "n": n, "more": n + 1, "words": spelled(n)}
            yield f"Agent should tell the user {told['claim']}.", capitalized(forms)


def words(part: Mapping[str, Any], tasks: Sequence[Task]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A word."""
    for subject in part["subjects"]:
        forms = capitalized({**subject, "wrong": subject["wrong"]})
        yield f"Agent should tell the user {subject['claim']}.", {**forms, "WORD": subject["word"].upper()}


def addresses(part: Mapping[str, Any], tasks: Sequence[Task]) -> Iterator[tuple[str, dict[str, Any]]]:
    """An address."""
    names = ("street", "short", "suite", "city", "state", "full_state", "zip")
    wholes = [dict(zip(names, place, strict=True)) for place in part["places"]]
    for place, forms in enumerate(wholes):
        whole, another = (
            "{street}, {suite}, {city}, {state} {zip}".format_map(one) for one in (forms, wholes[place - 1])
        )
        claim = f"Agent should tell the user the order was shipped to {whole}."
        yield claim, {**forms, "whole": whole, "another": another, "asked": "Where was my order shipped to?"}


def tracking_numbers(part: Mapping[str, Any], tasks: Sequence[Task]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A parcel's number."""
    for n in part["numbers"]:
        place = next(place for place in range(len(n) - 1) if n[place] != n[place + 1])
        forms = {
            "n": n,
            "other": part["other"],
            "shorter": n[:-1],
            "start": n[:6],
            "end": n[-4:],
            "changed": f"{n[:5]}{(int(n[5]) + 1) % 10}{n[6:]}",
            "dashed": "-".join(n[start : start + 4] for start in range(0, len(n), 4)),
            "backwards": n[::-1] if n != n[::-1] else f"{n}0",
            "turned": n[:place] + n[place + 1] + n[place] + n[place + 2 :],
            "grouped": " ".join(n[start : start + 4] for start in range(0, len(n), 4)),
            "asked": "What is the tracking number of my order?",
        }
        yield f"Agent should provide the tracking number {n}.", forms


SUBJECTS = {
    "amount": amounts,
    "count": counts,
    "quantity": quantities,
    "word": words,
    "address": addresses,
    "tracking": tracking_numbers,
}
"""By a file's sections: its assertions, each with what its ways are filled with."""


def lists() -> Iterator[Case]:
    """Assertions of two words, whole and in part."""
    for things, first, second in (
        ("the materials of the two rugs", "wool", "silk"),
        ("the colors of the two mugs", "red", "green"),
        ("the materials of the two bags", "canvas", "leather"),
    ):
        claim = f"Agent should tell the user {things} are {first} and {second}."
        both = [f"{first} and {second}", f"{second}, {first}", f"one is {first}, the other is {second}"]
        neither = [first, second, f"{first}, not {second}", f"neither {first} nor {second}"]
        for holds, said in [(True, one) for one in both] + [(False, one) for one in neither]:
            lines = [f"C: Can you tell me {things}?", f"A: About {things}: {said}."]
            yield Case("a word", "a list of two", holds, judged(claim), conversation(lines, {}))


def deeds(tasks: Sequence[Task]) -> Iterator[Case]:
    """What the agent should have done, with the gold calls and changes of them."""
    shop = get_source("tau2", VERSION).shop()
    for task, assertion in [(one, assertion) for one in tasks for assertion in one.assertions]:
        compiled = compile_assertion(assertion)
        if isinstance(compiled, Did):
            gold = [called for called in play_gold(shop, task) if called.call.name in compiled.tools]
            everything = [Called(ToolCall(write.name, write.arguments), failed=False) for write in gold_writes(task)]
            for holds, way, calls in done(gold, everything):
                evidence = Evidence(calls=calls, gold=lambda gold=gold: gold)
                yield Case("a deed", way, holds, judged(assertion), evidence)


def done(gold: Sequence[Called], everything: Sequence[Called]) -> Iterator[tuple[bool, str, list[Called]]]:
    """Whether it holds, in which way, and the calls."""
    read = Called(ToolCall("get_order_details", {"order_id": "#W0"}), failed=False)
    failing = Called(ToolCall("cancel_pending_order", {"order_id": "#W0", "reason": "x"}), failed=True)
    transfer = Called(ToolCall("transfer_to_human_agents", {"summary": "x"}), failed=False)
    fails = any(called.failed for called in gold)
    yield True, "as the gold actions", list(gold)
    yield True, "with all other gold writes", list(everything) if not fails else list(gold)
    yield True, "among look-ups", [read, *gold, read]
    yield True, "after a call that failed", [failing, *gold]
    yield True, "in the other order", list(reversed(gold))
    yield True, "its items in another order", [changed(called, turn_items) for called in gold]
    yield True, "with another order or customer changed besides", [*gold, changed(gold[0], elsewhere)]
    yield True, "with a transfer afterwards", [*gold, transfer]
    yield True, "among sums", [Called(ToolCall("calculate", {"expression": "1 + 1"}), False), *gold]
    yield True, "before another that failed", [*gold, Called(changed(gold[-1], other_detail).call, failed=True)]
    if not fails:
        yield True, "at the second try", [*(Called(called.call, failed=True) for called in gold), *gold]
        yield True, "after another one", [changed(gold[0], other_detail), *gold]
        yield False, "refused by the shop", [Called(called.call, failed=True) for called in gold]
        yield False, "changed again afterwards", [*gold, changed(gold[-1], other_detail)]
    yield False, "not at all", []
    yield False, "only looked up", [read]
    yield False, "handed over", [transfer]
    yield False, "one of them missing", list(gold[1:])
    yield False, "with another payment method or suite", [changed(gold[0], other_detail), *gold[1:]]
    yield False, "for another order or customer", [changed(called, elsewhere) for called in gold]
    yield False, "by another tool", [Called(ToolCall("calculate", called.call.arguments), False) for called in gold]
    yield False, "with other goods, or in another city", [changed(called, other_goods) for called in gold]
    yield False, "with an item missing or a part empty", [changed(called, fewer) for called in gold]


def changed(called: Called, change: Any) -> Called:
    """A call with other arguments."""
    return Called(ToolCall(called.call.name, change(dict(called.call.arguments))), called.failed)


def turn_items(given: dict[str, Any]) -> dict[str, Any]:
    """The pairs of items the other way round."""
    return {name: list(reversed(value)) if isinstance(value, list) else value for name, value in given.items()}


def other_detail(given: dict[str, Any]) -> dict[str, Any]:
    """Another payment method, suite or reason."""
    name = next(name for name in ("payment_method_id", "address2", "reason") if name in given)
    return {**given, name: "something else"}


def elsewhere(given: dict[str, Any]) -> dict[str, Any]:
    """Another order or customer."""
    name = "order_id" if "order_id" in given else "user_id"
    return {**given, name: "#W9"}


def other_goods(given: dict[str, Any]) -> dict[str, Any]:
    """Another new item, another city or another reason."""
    name = next(name for name in ("new_item_ids", "city", "reason") if name in given)
    return {**given, name: ["1" for _ in given[name]] if isinstance(given[name], list) else "elsewhere"}


def fewer(given: dict[str, Any]) -> dict[str, Any]:
    """One item less, or the first text empty."""
    name = next(name for name in ("item_ids", "address1", "reason") if name in given)
    return {**given, name: given[name][:-1] if isinstance(given[name], list) else ""}


def spelled(number: int) -> str:
    """A whole number below 10,000 in words."""
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")
    name, size = ("hundred", 100) if number < 1000 else ("thousand", 1000)
    rest = f" {spelled(number % size)}" if number % size else ""
    return f"{spelled(number // size)} {name}{rest}"
