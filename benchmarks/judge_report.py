"""How often the judge of assertions agrees with a reader: python benchmarks/judge_report.py > docs/judge.md"""

from __future__ import annotations

import argparse
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tau_retail_env import load_tasks
from tau_retail_env.messages import ToolCall
from tau_retail_env.sources import get_source
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.writes import gold_writes
from tau_retail_env.users.llm.assertion_judge import ModelJudge
from tau_retail_env.world.assertions import Called, Did, Evidence, RulesJudge, Said, compile_assertion, play_gold

VERSION = "1.0"
PAGE = Path(__file__).parent / "judge_page.md"
MONEY = re.compile(r"\$(\d[\d,]*(?:\.\d+)?)")


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


AMOUNT_TOLD = {
    "plain": "It is ${exact}.",
    "with a comma": "That comes to ${comma} altogether.",
    "without the sign": "It comes to {exact} dollars.",
    "in a list": "- Order: #W1234567\n- Amount: ${comma}\n- Status: done",
    "in bold": "The amount is **${exact}**.",
    "before a question": "That would be ${exact}. Shall I go ahead?",
    "within a question": "It would be ${comma}; do you want me to go ahead (yes/no)?",
    "in a long message": "I have looked into it. All is in order. It is ${exact}. It takes 5 to 7 business days.",
    "in words": "It is {words}.",
    "after other numbers": "There are 3 items for $12.00 and $7.50; what you asked for is ${comma}.",
    "with a decimal comma": "It is {exact_decimal_comma} $.",
}
AMOUNT_NOT_TOLD = {
    "not at all": "I have looked into it, and all is in order.",
    "a wrong amount": "It is ${wrong}.",
    "digits turned round": "It is ${turned}.",
    "rounded": "It is about ${rounded}.",
    "negated before": "It is not ${exact}, I am afraid.",
    "negated behind": "${exact} is not the amount, I am afraid.",
    "part of a longer number": "Your reference is 9{digits}77.",
    "only its whole dollars": "It is ${whole}.00.",
    "a part of it twice": "It is ${half} and then ${half} again.",
    "taken back": "It is ${exact}. Sorry, I was mistaken: it is ${wrong}.",
    "one of two": "It is either ${exact} or ${wrong}.",
}
COUNTS = range(2, 22)
COUNT_TOLD = {
    "plain": "There are {n} rug options available.",
    "in words": "There are {words} of them in our shop.",
    "short": "{n}.",
    "with detail": "We have {n} rugs at the moment, in 3 colors; 2 more are sold out.",
    "in bold": "You can choose among **{n}** rugs.",
    "several messages later": "One moment, please.|Thanks for waiting.|I count {n} available rugs.",
}
COUNT_NOT_TOLD = {
    "not at all": "We have several rugs.",
    "one more": "There are {more} rug options.",
    "ten times as many": "There are {n}0 rug options.",
    "as a price": "Rugs start at ${n}.",
    "as days": "Your rug arrives in {n} business days.",
    "as an item's number": "The rug is item {n}123456789.",
}
UNITS = (("battery life", "hours", "hour"), ("storage of the tablet", "GB", "gigabyte"))
QUANTITY_TOLD = {
    "plain": "It has {n} {unit}.",
    "joined": "It has {n}{unit}.",
    "with a hyphen": "It is a {n}-{long} one.",
    "in words": "It has {words} {long}s.",
    "in a list": "- **Value**: {n} {unit}\n- In stock: yes",
}
QUANTITY_NOT_TOLD = {
    "not at all": "It is very good.",
    "another number": "It has {more} {unit}.",
    "without its unit": "It has {n} colors.",
    "of another unit": "It weighs {n} pounds.",
    "negated": "It does not have {n} {unit}, I am afraid.",
}
WORDS = (
    ("the rug material", "wool", "silk"),
    ("the lamp color", "red", "blue"),
    ("the keyboard switch type", "linear", "clicky"),
    ("the keyboard size", "full", "compact"),
    ("the keyboard backlight", "white", "none"),
    ("the most expensive item in the order", "lamp", "rug"),
    ("the backpack size", "large", "small"),
    ("the bottle material", "glass", "steel"),
    ("the jacket color", "navy", "olive"),
    ("the cheapest item in the order", "mug", "vase"),
)
WORD_TOLD = {
    "plain": "I found {subject}: it is {word}.",
    "turned round": "{Word}, that is {subject}.",
    "short": "It is {word}.",
    "in a list": "- {subject}: {word}\n- in stock: yes",
    "in bold": "{subject} is **{word}**.",
    "beside another": "There was also {other}, but {subject} is {word}.",
    "several messages later": "One moment, please.|I have it now.|{Word}.",
    "in capitals": "{subject}: {WORD}",
    "before a question": "{subject} is {word}. Shall I go ahead?",
    "with thanks": "Thank you for waiting! {subject} is {word}, as far as I can see.",
}
WORD_NOT_TOLD = {
    "not at all": "I have found what you asked for.",
    "another word": "{subject} is {other}.",
    "negated": "{subject} is not {word}.",
    "asked": "Is {subject} {word}?",
    "inside another word": "{subject} is un{word}ed.",
    "before another's noun": "You get a {word} refund; about {subject} I know nothing.",
    "of something else": "The parcel was {word}. About {subject} I know nothing.",
    "a wish of the customer's": "You said that you want it {word}; I am still looking for {subject}.",
    "denied": "I do not know {subject}.",
    "another, plainly": "{Other}.",
}
ADDRESS_TOLD = {
    "plain": "It was shipped to {address1}, {address2}, {city}, {state} {zip}.",
    "with the country": "It went to {address1}, {address2}, {city}, {state}, USA, {zip}.",
    "in lines": "Address:\n{address1}\n{address2}\n{city}, {state} {zip}",
    "as a list": "- Street: {address1}\n- Suite: {address2}\n- City: {city}\n- State: {state}\n- Zip: {zip}",
    "shortened": "It went to {short1}, {address2}, {city}, {state} {zip}.",
    "with the state in full": "It went to {address1}, {address2}, {city}, {full_state} {zip}.",
}
ADDRESS_NOT_TOLD = {
    "not at all": "It was shipped to the address in your profile.",
    "another zip code": "It was shipped to {address1}, {address2}, {city}, {state} 99999.",
    "without the suite": "It was shipped to {address1}, {city}, {state} {zip}.",
    "another street": "It was shipped to 1 Nowhere Lane, {address2}, {city}, {state} {zip}.",
    "another house number": "It was shipped to 9{address1}, {address2}, {city}, {state} {zip}.",
    "only the city": "It was shipped to {city}.",
}
STATES = {"TX": "Texas", "NY": "New York", "CA": "California", "IL": "Illinois", "FL": "Florida", "WA": "Washington"}
NUMBER_TOLD = {
    "plain": "The tracking number is {n}.",
    "in bold": "**Tracking number**: {n}",
    "in a list": "- Status: delivered\n- Tracking number: {n}",
    "within a sentence": "With {n} you can follow the parcel.",
    "with a sign": "Your parcel: #{n}",
    "in groups": "The tracking number is {grouped}.",
}
NUMBER_NOT_TOLD = {
    "not at all": "You can find the tracking number in our mail.",
    "another number": "The tracking number is {other}.",
    "one digit more": "The tracking number is {n}1.",
    "one digit less": "The tracking number is {shorter}.",
    "masked": "The tracking number ends in {end}.",
    "two digits turned round": "The tracking number is {turned}.",
}
UNITS_OF_WORDS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen".split()
UNITS_OF_WORDS += "sixteen seventeen eighteen nineteen".split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()


NEW = "new: "
"""Begins the name of a way that was written after the judge was finished, and judged once."""
AMOUNT_TOLD |= {
    f"{NEW}with the currency's code": "Total: USD {comma}",
    f"{NEW}in a table": "| what | amount |\n|---|---|\n| all | ${exact} |",
    f"{NEW}corrected to the right one": "It is ${wrong}. Correction: it is ${exact}.",
    f"{NEW}with a dash": "Amount – ${comma} – as of today",
}
AMOUNT_NOT_TOLD |= {
    f"{NEW}as a maximum": "It cannot be more than ${exact}.",
    f"{NEW}a hundred times as much": "It is ${digits}.",
    f"{NEW}one cent more": "It is ${cent_more}.",
    f"{NEW}as the customer's claim": "You said ${exact}, but I cannot confirm that.",
}
COUNT_TOLD |= {
    f"{NEW}with all": "In all, {words} options are in stock.",
    f"{NEW}as a sum": "2 in one color and the rest in others, {n} in total.",
    f"{NEW}in brackets": "All available rugs ({n}) are shown on our page.",
}
COUNT_NOT_TOLD |= {
    f"{NEW}at least": "I see more than {n} rug options.",
    f"{NEW}as a share": "{n}% of our rugs are red.",
    f"{NEW}as an order's number": "Rug order number {n} is on its way.",
}
QUANTITY_TOLD |= {
    f"{NEW}up to": "You get up to {n} {unit} with it.",
    f"{NEW}in brackets": "This is the better one ({n} {unit}).",
}
QUANTITY_NOT_TOLD |= {
    f"{NEW}of delivery": "Delivery takes {n} days.",
    f"{NEW}the customer's": "You told me {n}, but I see {more} {unit}.",
}
WORD_TOLD |= {
    f"{NEW}as an adjective": "You have a {word} one there, concerning {subject}.",
    f"{NEW}in quotes": "{subject} reads '{word}'.",
}
WORD_NOT_TOLD |= {
    f"{NEW}compared": "{subject} differs from {word}.",
    f"{NEW}a question at the end": "So {subject}, would that be {word}?",
}
ADDRESS_TOLD |= {
    f"{NEW}zip code first": "Shipped to {zip} {city}, {state}: {address1}, {address2}.",
    f"{NEW}in capitals": "{address1}, {address2}, {city}, {state} {zip}, AS SHIPPED.",
}
ADDRESS_NOT_TOLD |= {
    f"{NEW}another suite": "It was shipped to {address1}, Suite 1, {city}, {state} {zip}.",
    f"{NEW}without the zip code": "It was shipped to {address1}, {address2}, {city}, {state}.",
}
NUMBER_TOLD |= {
    f"{NEW}in quotes": "The tracking number is '{n}'.",
    f"{NEW}with dashes": "The tracking number is {dashed}.",
}
NUMBER_NOT_TOLD |= {
    f"{NEW}negated": "The tracking number is not {n}.",
    f"{NEW}backwards": "The tracking number is {backwards}.",
}


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="also ask this model, as upstream's judge asks it (nl_judge openai)")
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1", help="where the model is served")
    parser.add_argument("--list", action="store_true", help="print the cases that are judged wrong instead of the page")
    options = parser.parse_args()
    cases = list(all_cases())
    verdicts = [not RulesJudge().unmet(case.task, case.evidence) for case in cases]
    if options.list:
        for case, said in zip(cases, verdicts, strict=True):
            if said != case.holds:
                print(
                    case.kind, "|", case.way, "|", case.task.assertions[0], "|", case.evidence.conversation[-1].content
                )
        return
    text = PAGE.read_text(encoding="utf-8")
    both = list(zip(cases, verdicts, strict=True))
    new = [(case, said) for case, said in both if case.way.startswith(NEW)]
    old = [(case, said) for case, said in both if not case.way.startswith(NEW)]
    parts = {"{table}": confusion(*zip(*old, strict=True)), "{new}": confusion(*zip(*new, strict=True))}
    for gap, part in {**parts, "{misses}": misses(cases, verdicts)}.items():
        text = text.replace(gap, part)
    print(text.rstrip())
    if options.model:
        judge = ModelJudge(get_source("tau2", VERSION), options.model, {"base_url": options.base_url})
        told = [case for case in cases if case.kind != "a deed"]
        answers = [not judge.unmet(case.task, case.evidence) for case in told]
        print(f"\n## The model {options.model} on the same conversations\n\n{confusion(told, answers)}")


def all_cases() -> Iterator[Case]:
    """Every conversation, kind by kind."""
    tasks = load_tasks("tau2", "base", task_version=VERSION)
    yield from amounts(tasks)
    yield from counts()
    yield from quantities()
    yield from words()
    yield from addresses()
    yield from tracking_numbers()
    yield from deeds(tasks)


def amounts(tasks: Sequence[Task]) -> Iterator[Case]:
    """The assertions of upstream's tasks that name one amount."""
    for assertion in (assertion for task in tasks for assertion in task.assertions):
        found = MONEY.findall(assertion)
        if len(found) == 1 and "." in found[0]:
            exact = found[0].replace(",", "")
            dollars, cents = exact.split(".")
            forms = {
                "exact": exact,
                "comma": f"{int(dollars):,}.{cents}",
                "exact_decimal_comma": f"{dollars},{cents}",
                "words": f"{spelled(int(dollars))} dollars and {spelled(int(cents))} cents",
                "wrong": f"{int(dollars) + 13}.{cents}",
                "turned": f"{dollars}.{cents[::-1] if cents != cents[::-1] else '01'}",
                "rounded": str(int(dollars) + 1),
                "digits": exact.replace(".", ""),
                "whole": dollars,
                "cent_more": f"{float(exact) + 0.01:.2f}",
                "half": f"{float(exact) / 2:.2f}",
            }
            yield from told("an amount", assertion, AMOUNT_TOLD, forms, holds=True)
            yield from told("an amount", assertion, AMOUNT_NOT_TOLD, forms, holds=False)


def counts() -> Iterator[Case]:
    """How many there are of something."""
    for n in COUNTS:
        assertion = f"Agent should tell the user that there are {n} rug options available."
        forms = {"n": n, "more": n + 1, "words": spelled(n)}
        asked = "How many rugs can I choose from?"
        yield from told("a count", assertion, COUNT_TOLD, forms, holds=True, asked=asked)
        yield from told("a count", assertion, COUNT_NOT_TOLD, forms, holds=False, asked=asked)


def quantities() -> Iterator[Case]:
    """A number with its unit."""
    for (subject, unit, long), n in itertools.product(UNITS, range(8, 32, 2)):
        assertion = f"Agent should tell the user the {subject} is {n}{' ' if unit == 'hours' else ''}{unit}."
        forms = {"n": n, "unit": unit, "long": long, "words": spelled(n), "more": n + 1}
        asked = f"What is the {subject}?"
        yield from told("a quantity", assertion, QUANTITY_TOLD, forms, holds=True, asked=asked)
        yield from told("a quantity", assertion, QUANTITY_NOT_TOLD, forms, holds=False, asked=asked)


def words() -> Iterator[Case]:
    """A word, and lists of two."""
    for subject, word, other in WORDS:
        assertion = f"Agent should tell the user {subject} is {word}."
        forms = {
            "subject": subject,
            "word": word,
            "Word": word.capitalize(),
            "WORD": word.upper(),
            "other": other,
            "Other": other.capitalize(),
        }
        asked = f"Can you tell me {subject}?"
        yield from told("a word", assertion, WORD_TOLD, forms, holds=True, asked=asked)
        yield from told("a word", assertion, WORD_NOT_TOLD, forms, holds=False, asked=asked)
        both = f"Agent should tell the user the {subject.removeprefix('the ')}s are {word} and {other}."
        for holds, said in ((True, f"{word} and {other}"), (True, f"{other}, {word}"), (False, word), (False, other)):
            way = "two words" if holds else "one word of two"
            yield case("a word", way, holds, both, asked, f"About {subject}: {said}.")


def addresses() -> Iterator[Case]:
    """Addresses of the shop's customers."""
    users = get_source("tau2", VERSION).shop().database["users"]
    known = [user["address"] for user in users.values() if user["address"]["state"] in STATES]
    for given in known[:20]:
        assertion = (
            "Agent should tell the user the order was shipped to "
            "{address1}, {address2}, {city}, {state} {zip}.".format_map(given)
        )
        forms = {
            **given,
            "short1": given["address1"].replace("Street", "St").replace("Avenue", "Ave").replace("Drive", "Dr"),
            "full_state": STATES[given["state"]],
        }
        yield from told("an address", assertion, ADDRESS_TOLD, forms, holds=True)
        yield from told("an address", assertion, ADDRESS_NOT_TOLD, forms, holds=False)


def tracking_numbers() -> Iterator[Case]:
    """Tracking numbers of the shop's orders."""
    orders = get_source("tau2", VERSION).shop().database["orders"].values()
    known = [f["tracking_id"][0] for order in orders for f in order.get("fulfillments", ()) if f["tracking_id"]]
    for n, other in itertools.pairwise(known[:21]):
        assertion = f"Agent should provide the tracking number {n}."
        place = next(place for place in range(len(n) - 1) if n[place] != n[place + 1])
        forms = {
            "n": n,
            "other": other,
            "shorter": n[:-1],
            "end": n[-4:],
            "dashed": "-".join(n[start : start + 4] for start in range(0, len(n), 4)),
            "backwards": n[::-1] if n != n[::-1] else f"{n}0",
            "turned": n[:place] + n[place + 1] + n[place] + n[place + 2 :],
            "grouped": " ".join(n[start : start + 4] for start in range(0, len(n), 4)),
        }
        yield from told("a tracking number", assertion, NUMBER_TOLD, forms, holds=True)
        yield from told("a tracking number", assertion, NUMBER_NOT_TOLD, forms, holds=False)


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
    fails = any(called.failed for called in gold)
    yield True, "as the gold actions", list(gold)
    yield True, "with all other gold writes", list(everything) if not fails else list(gold)
    yield True, "among look-ups", [read, *gold, read]
    yield True, "after a call that failed", [failing, *gold]
    yield True, "in the other order", list(reversed(gold))
    yield True, "its items in another order", [changed(called, turn_items) for called in gold]
    yield True, "with another order or customer changed besides", [*gold, changed(gold[0], elsewhere)]
    transfer = Called(ToolCall("transfer_to_human_agents", {"summary": "x"}), failed=False)
    yield True, "with a transfer afterwards", [*gold, transfer]
    yield True, "among sums", [Called(ToolCall("calculate", {"expression": "1 + 1"}), False), *gold]
    if not fails:
        yield True, "at the second try", [*(Called(called.call, failed=True) for called in gold), *gold]
        yield False, "refused by the shop", [Called(called.call, failed=True) for called in gold]
    yield False, "not at all", []
    yield False, "only looked up", [read]
    yield False, "one of them missing", list(gold[1:])
    yield False, "with another payment method or suite", [changed(gold[0], other_detail), *gold[1:]]
    yield False, "for another order or customer", [changed(called, elsewhere) for called in gold]
    yield False, "by another tool", [Called(ToolCall("calculate", called.call.arguments), False) for called in gold]
    yield False, "with other goods, or in another city", [changed(called, other_goods) for called in gold]
    yield (
        False,
        "with another one first, and this one refused",
        [
            changed(gold[0], elsewhere),
            *(Called(ToolCall(called.call.name, fewer(dict(called.call.arguments))), True) for called in gold),
        ],
    )
    yield False, "with an item missing or a part empty", [changed(called, fewer) for called in gold]
    if not fails:
        yield False, "changed again afterwards", [*gold, changed(gold[-1], other_detail)]


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


def told(
    kind: str, assertion: str, ways: Mapping[str, str], forms: Mapping[str, Any], *, holds: bool, asked: str = ""
) -> Iterator[Case]:
    """A conversation for each way of telling."""
    for way, words_of_agent in ways.items():
        yield case(kind, way, holds, assertion, asked or "I have a question.", words_of_agent.format_map(forms))


def case(kind: str, way: str, holds: bool, assertion: str, asked: str, agent: str) -> Case:
    """A conversation in which the customer asks, and the agent says one message or several, divided by |."""
    conversation = [Said("assistant", "Hi! How can I help you today?"), Said("user", asked)]
    for message in agent.split("|"):
        conversation += [Said("assistant", message), Said("user", "Thank you.")]
    return Case(kind, way, holds, judged(assertion), Evidence(conversation[:-1]))


def judged(assertion: str) -> Task:
    """A task with one assertion."""
    return Task("judge/0", "tau2", "retail", "test", "", (), version=VERSION, assertions=(assertion,))


def spelled(number: int) -> str:
    """A whole number below 10,000 in words."""
    if number < 20:
        return UNITS_OF_WORDS[number]
    if number < 100:
        return TENS[number // 10] + (f"-{UNITS_OF_WORDS[number % 10]}" if number % 10 else "")
    name, size = ("hundred", 100) if number < 1000 else ("thousand", 1000)
    rest = f" {spelled(number % size)}" if number % size else ""
    return f"{spelled(number // size)} {name}{rest}"


def confusion(cases: Sequence[Case], verdicts: Sequence[bool]) -> str:
    """The table: for each kind, how many hold and are said to, and so on."""
    lines = [
        "| what the assertion wants | conversations | holds, said so | holds, denied | does not, said so | does not, "
        "denied | agreement |",
        "|---|---|---|---|---|---|---|",
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
    return "\n".join(["| kind | told or done | a reader says | judged otherwise |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    main()
