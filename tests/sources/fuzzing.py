"""Random episodes over the real shop, and how they go in our environment: what a fuzzer compares with upstream."""

from __future__ import annotations

import copy
import gc
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tau_retail_env import TauRetailEnv
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.sources import open_shop
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.writes import WRITE_TOOLS
from tau_retail_env.world import Shop
from tau_retail_env.world.arithmetic import is_affordable

EPISODES = int(os.environ.get("TAU_RETAIL_FUZZ_EPISODES", "100"))
"""How many episodes are played of each source. hypothesis varies what it has drawn, so that rewards come in runs: of 60
there can be none of 1.0."""
NO_LIMIT = 10**9
READING: Mapping[str, tuple[str, str]] = {
    "orders": ("get_order_details", "order_id"),
    "users": ("get_user_details", "user_id"),
}
"""By table: the tool that shows a whole entry, and its argument."""
WRITES_OF_STATUS: Mapping[str, tuple[str, ...]] = {
    "pending": (
        "modify_pending_order_items",
        "modify_pending_order_payment",
        "modify_pending_order_address",
        "modify_user_address",
        "cancel_pending_order",
    ),
    "delivered": ("return_delivered_order_items", "exchange_delivered_order_items", "modify_user_address"),
}
NAMES_OF_CODE = ("data", "self", "db", "kwargs", "tool_name", "requestor", "expression", "order_id", "user_id", "zip")
"""Argument names that collide with upstream's own code, or belong to another tool."""
ODD_TOOLS = ("refund_order", "", "Think", "__init__", "get_tools", "cancel_pending_order ", "respond_to_user", "é" * 50)
SUMS = ("2 + 2", "10.5 * 3 - (4 / 3)", "2**10", "1e3", "1/0", "(1", "0.1 + 0.2", "-7 % 3", "()", "1,5", "07", "7 // 2")
REASONS = ("no longer needed", "ordered by mistake")
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
"""No lone surrogates: a message that is not valid Unicode is refused here and crashes upstream."""
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False),
    TEXT,
    st.sampled_from(["", " ", "null", "#", "0", "x" * 100_000, "É\u202e\U0001f6d2", "{}", "19122"]),
)
JUNK = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(TEXT, st.one_of(SCALARS, st.lists(SCALARS, max_size=2)), max_size=3),
)
"""What JSON can hold and no tool expects."""


@dataclass(frozen=True)
class Script:
    """What the agent does in an episode, and what the customer says."""

    task: Task
    messages: tuple[AgentMessage, ...]
    """The last one is a text; none is empty and every argument list is an object (see docs/environment.md)."""
    reply: str
    """The customer's answer to every text but the last."""
    last_words: str
    """The customer's answer to the last text: holds a stop token."""

    @property
    def calls(self) -> list[ToolCall]:
        """All calls in order."""
        return [call for message in self.messages for call in message.tool_calls]


@dataclass(frozen=True)
class Outcome:
    """How an episode went, upstream or here; equal outcomes are equal in every byte that an agent or a judge sees."""

    heard: list[list[str]]
    """What came back to each message: the texts of the tools, or the customer's words."""
    failed: list[list[bool]]
    """For each message's calls, whether they count as errors."""
    changed: dict[tuple[str, str], str]
    """(table, id) of every entry that differs from the shop as it was -> what the shop's own tool shows of it."""
    reward: float
    ended: str
    """What ended it, in the words of the environment's `stop_reason`."""


@dataclass
class Tally:
    """Counts what was compared."""

    episodes: int = 0
    messages: int = 0
    successful_writes: int = 0
    writing_episodes: int = 0
    rewards: Counter[float] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    succeeded: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, script: Script, outcome: Outcome, tools: Sequence[str]) -> None:
        """Count one episode."""
        self.episodes += 1
        self.messages += len(outcome.heard)
        self.writing_episodes += bool(outcome.changed)
        self.rewards[outcome.reward] += 1
        self.ends[outcome.ended] += 1
        for message, failed in zip(script.messages, outcome.failed, strict=False):
            for call, error in zip(message.tool_calls, failed, strict=False):
                name = call.name if call.name in tools else "(unknown tool)"
                (self.refused if error else self.succeeded)[name] += 1
                self.successful_writes += not error and name in WRITE_TOOLS

    def __str__(self) -> str:
        calls = sum(self.succeeded.values()) + sum(self.refused.values())
        lines = [
            f"{self.episodes:,} episodes, no difference: {self.messages:,} agent messages, {calls:,} tool calls, "
            f"{self.successful_writes:,} successful writes, {self.writing_episodes:,} episodes that changed the shop, "
            f"{self.rewards[1.0]:,} of reward 1.0; ended by "
            + ", ".join(f"{name} {count:,}" for name, count in self.ends.most_common()),
            "",
            "| tool | succeeded | error |",
            "|---|---:|---:|",
        ]
        for name in sorted({*self.succeeded, *self.refused}):
            lines.append(f"| `{name}` | {self.succeeded[name]:,} | {self.refused[name]:,} |")
        return "\n".join(lines)


class Ours:
    """Plays scripts in our environment and, call by call, in our world.

    Args:
        source: "tau2" or "tau_bench".
        max_errors: as the environment's.
        version: of the tasks; where it is given, an episode's reward is that of the database alone, for upstream's
            judge of assertions needs a model.
    """

    def __init__(self, source: str, max_errors: int | None = None, version: str | None = None) -> None:
        self.shop = open_shop(source, version)
        self._source = source
        self._max_errors = max_errors
        self._by_database = version is not None

    def play(self, script: Script) -> Outcome:
        """Play a script to its end."""
        customer = Customer(script)
        env = TauRetailEnv(
            self._source, user=customer, tasks=[script.task], max_errors=self._max_errors, multiple_calls="upstream"
        )
        env.reset(script.task.id)
        world = self.shop.open()
        heard: list[list[str]] = []
        failed: list[list[bool]] = []
        for message in script.messages:
            customer.hears_the_last = message is script.messages[-1]
            _, reward, terminated, truncated, info = env.step(copy.deepcopy(message))
            assert info["metrics"]["malformed"] == 0, info["messages"]
            heard.append([said["content"] for said in info["messages"]])
            failed.append([])
            if info["role"] == "tool":
                for call, text in zip(message.tool_calls, heard[-1], strict=False):
                    result = world.call(copy.deepcopy(call))
                    assert result.content == text, "the environment and its world disagree"
                    failed[-1].append(result.error)
            if terminated or truncated:
                break
        changed = {key: self._shown(world, *key) for key in world.changes()}
        reward = float(info["reward_breakdown"]["database"]) if self._by_database else reward
        return Outcome(heard, failed, changed, reward, info["stop_reason"])

    def _shown(self, world: Any, table: str, key: str) -> str:
        tool, argument = READING[table]
        return world.call(ToolCall(tool, {argument: key})).content


class Customer:
    """Says what the script says."""

    def __init__(self, script: Script | None) -> None:
        self.hears_the_last = False
        self._script = script

    def reset(self, task: Task, *, seed: int) -> str:
        return "Hello"

    def respond(self, message: AgentMessage) -> str:
        return self._script.last_words if self.hears_the_last else self._script.reply


def compare(scripts: st.SearchStrategy[Script], upstream: Any, ours: Ours, tools: Sequence[str]) -> Tally:
    """Play `EPISODES` scripts on both sides.

    Args:
        scripts: where they come from, see `scripts_of`.
        upstream: has `play(script) -> Outcome`.
        ours: our side.
        tools: the names of upstream's tools.

    Raises:
        AssertionError: a difference; hypothesis shows the smallest script that makes one.
    """
    tally = Tally()

    @settings(
        max_examples=EPISODES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(scripts)
    def play(script: Script) -> None:
        expected = upstream.play(script)
        found = ours.play(script)
        for part in fields(Outcome):
            assert getattr(found, part.name) == getattr(expected, part.name), f"{part.name} differs"
        tally.add(script, expected, tools)
        if tally.episodes % 100 == 0:
            gc.collect()
        if tally.episodes % 1000 == 0:
            print(f"{tally.episodes:,} episodes", flush=True)

    gc.freeze()
    gc.disable()  # else every fresh database is searched for cycles several times
    try:
        play()
    finally:
        gc.enable()
        gc.unfreeze()
    return tally


def scripts_of(
    tasks: Sequence[Task], shop: Shop, stop_tokens: Sequence[str], *, lengths: tuple[int, int] = (1, 14)
) -> st.SearchStrategy[Script]:
    """Scripts over a shop.

    About a third follow the task's gold actions, with lookups between and here and there a slip, so that rewards of
    1.0 occur; the others call tools at random, mostly on one customer's orders.

    Args:
        tasks: the tasks to be judged by.
        shop: where they are played.
        stop_tokens: what ends an episode in the customer's words.
        lengths: fewest and most messages of those that call at random; a few become three times as long. Where the
            fewest are more than one, many only look things up, so that not every episode ends by its errors.
    """
    goods = _Goods(shop.database, [tool["function"] for tool in shop.tools])

    @st.composite
    def scripts(draw: st.DrawFn) -> Script:
        return _Pen(draw, goods).script(draw(st.sampled_from(tasks)), stop_tokens, lengths)

    return scripts()


class _Goods:
    """What a random call can name."""

    def __init__(self, database: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]) -> None:
        self.users: Mapping[str, Any] = database["users"]
        self.orders: Mapping[str, Any] = database["orders"]
        self.products: Mapping[str, Any] = database["products"]
        self.user_ids, self.order_ids, self.product_ids = list(self.users), list(self.orders), list(self.products)
        self.item_ids = [item for product in self.products.values() for item in product["variants"]]
        self.payment_ids = [payment for user in self.users.values() for payment in user["payment_methods"]]
        self.reads = [
            tool["name"] for tool in tools if tool["name"] not in WRITE_TOOLS and "transfer" not in tool["name"]
        ]


class _Pen:
    """Writes one script with hypothesis's choices."""

    def __init__(self, draw: st.DrawFn, goods: _Goods) -> None:
        self._draw = draw
        self._goods = goods

    def script(self, task: Task, stop_tokens: Sequence[str], lengths: tuple[int, int]) -> Script:
        user_id = task.user_id if task.user_id in self._goods.users and self._chance(70) else None
        user_id = user_id or self._one_of(self._goods.user_ids)
        orders = self._goods.users[user_id]["orders"] or self._goods.order_ids
        focus = self._one_of(orders)
        along = self._chance(35)
        if along:
            messages = self._along_gold(task, user_id, orders, focus)
        else:
            fewest, most = lengths
            count = self._draw(st.integers(fewest, 3 * most if self._chance(3) else most))
            write = self._read if fewest > 1 and self._chance(40) else self._call
            messages = [self._message(write(user_id, orders, focus)) for _ in range(count)]
        words = self._outputs(task) if self._chance(85 if along else 20) else f"Goodbye {self._draw(TEXT)}"
        reply = "###TRANSFER###, please" if len(stop_tokens) == 1 and self._chance(20) else "ok"
        last_words = self._one_of(("{}", "Thanks. {}", "{} bye")).format(self._one_of(stop_tokens))
        return Script(task, (*messages, AgentMessage(words)), reply, last_words)

    def _along_gold(self, task: Task, user_id: str, orders: Sequence[str], focus: str) -> list[AgentMessage]:
        """The gold actions with lookups between; in half of the scripts one of them goes wrong in some way."""
        calls = [ToolCall(action.name, dict(action.arguments)) for action in task.actions]
        slip = self._draw(st.integers(0, 9)) if calls else 0
        if slip >= 5:
            place = self._draw(st.integers(0, len(calls) - 1))
            if slip == 5:
                calls.insert(place, calls[place])
            elif slip == 6:
                calls.insert(place, self._call(user_id, orders, focus))
            elif slip == 7:
                del calls[place]
            else:
                calls[place] = self._careless(calls[place]) if slip == 8 else self._spoiled(calls[place])
        messages = []
        for call in calls:
            if self._chance(15):
                messages.append(self._message(self._read(user_id, orders, focus)))
            messages.append(self._message(call))
        return messages

    def _message(self, call: ToolCall) -> AgentMessage:
        """A call; now and then a second one or a text beside it, or a text instead."""
        kind = self._draw(st.integers(0, 39))
        if kind == 36:
            return AgentMessage(None, (ToolCall("respond", {"content": f"So. {self._draw(TEXT)}"}),))
        if kind == 39:
            return AgentMessage(f"One moment {self._draw(TEXT)}")
        if kind == 38:
            return AgentMessage(f"I look. {self._draw(TEXT)}", (call,))
        if kind == 37:
            return AgentMessage(None, (call, self._calculation()))
        return AgentMessage(None, (call,))

    def _outputs(self, task: Task) -> str:
        words = f"For you: {' '.join(task.outputs)}."
        return self._one_of((words.upper(), ",".join(words), words[:-2]))

    def _call(self, user_id: str, orders: Sequence[str], focus: str) -> ToolCall:
        order_id = focus if self._chance(75) else self._one_of(orders)
        kind = self._draw(st.integers(0, 99))
        if kind < 25:
            return self._read(user_id, orders, focus)
        if kind < 70:
            return self._write(order_id)
        if kind < 76:
            return self._calculation()
        if kind < 79:
            arguments = self._draw(st.dictionaries(TEXT, JUNK, max_size=3))
            return ToolCall(self._one_of(ODD_TOOLS), arguments)
        if kind < 81:
            return ToolCall("transfer_to_human_agents", {"summary": self._draw(TEXT)})
        return self._spoiled(self._write(order_id) if self._chance(70) else self._read(user_id, orders, focus))

    def _read(self, user_id: str, orders: Sequence[str], focus: str) -> ToolCall:
        name = self._one_of(self._goods.reads)
        user = self._goods.users[user_id]
        given = {
            "order_id": focus if self._chance(60) else self._one_of(self._goods.order_ids),
            "user_id": user_id,
            "product_id": self._one_of(self._goods.product_ids),
            **({"item_id": self._one_of(self._goods.item_ids)} if "get_item_details" in self._goods.reads else {}),
            "email": user["email"] if self._chance(80) else user["email"].upper(),
            "first_name": user["name"]["first_name"],
            "last_name": user["name"]["last_name"],
            "zip": user["address"]["zip"],
            "thought": "hm",
        }
        wanted = {
            "get_order_details": ("order_id",),
            "get_user_details": ("user_id",),
            "get_product_details": ("product_id",),
            "get_item_details": ("item_id",),
            "find_user_id_by_email": ("email",),
            "find_user_id_by_name_zip": ("first_name", "last_name", "zip"),
            "think": ("thought",),
            "list_all_product_types": (),
        }
        return self._calculation() if name == "calculate" else ToolCall(name, {key: given[key] for key in wanted[name]})

    def _calculation(self) -> ToolCall:
        """A sum that upstream can evaluate at once: the guard against the others is a difference on purpose."""
        expression = self._one_of(SUMS)
        if self._chance(30):
            expression = self._draw(st.text("0123456789+-*/(). ", max_size=12).filter(is_affordable))
        return ToolCall("calculate", {"expression": expression})

    def _write(self, order_id: str) -> ToolCall:
        order = self._goods.orders[order_id]
        names = WRITES_OF_STATUS.get(order["status"], sorted(WRITE_TOOLS))
        name = self._one_of(names if self._chance(88) else sorted(WRITE_TOOLS))
        if name == "cancel_pending_order":
            reason = self._one_of(REASONS) if self._chance(90) else "changed my mind"
            return ToolCall(name, {"order_id": order_id, "reason": reason})
        if name == "modify_user_address":
            return ToolCall(name, {"user_id": order["user_id"], **self._address()})
        if name == "modify_pending_order_address":
            return ToolCall(name, {"order_id": order_id, **self._address()})
        payment = {"payment_method_id": self._payment(order, name)}
        if name == "modify_pending_order_payment":
            return ToolCall(name, {"order_id": order_id, **payment})
        items = self._items(order)
        if name == "return_delivered_order_items":
            return ToolCall(name, {"order_id": order_id, "item_ids": items, **payment})
        new = [self._variant(order, item) for item in items]
        return ToolCall(name, {"order_id": order_id, "item_ids": items, "new_item_ids": new, **payment})

    def _items(self, order: Mapping[str, Any]) -> list[str]:
        held = [row["item_id"] for row in order["items"]]
        items = self._draw(st.lists(st.sampled_from(held), min_size=1, max_size=len(held), unique=not self._chance(10)))
        return [*items, self._one_of(self._goods.item_ids)] if self._chance(5) else items

    def _variant(self, order: Mapping[str, Any], item_id: str) -> str:
        product = next((row["product_id"] for row in order["items"] if row["item_id"] == item_id), None)
        if product is None or self._chance(5):
            return self._one_of(self._goods.item_ids)
        variants = self._goods.products[product]["variants"]
        stocked = [name for name, variant in variants.items() if variant["available"] and name != item_id]
        return self._one_of(stocked if stocked and self._chance(90) else list(variants))

    def _payment(self, order: Mapping[str, Any], tool: str) -> str:
        original = order["payment_history"][0]["payment_method_id"]
        if tool == "return_delivered_order_items" and self._chance(60):
            return original
        own = list(self._goods.users[order["user_id"]]["payment_methods"])
        if tool == "modify_pending_order_payment" and self._chance(80):
            own = [payment for payment in own if payment != original]
        return self._one_of(own if own and self._chance(92) else self._goods.payment_ids)

    def _address(self) -> dict[str, Any]:
        address = dict(self._goods.users[self._one_of(self._goods.user_ids)]["address"])
        if self._chance(20):
            address["address2"] = self._one_of(("", "Apt É 7", "x" * 2000))
        return address

    def _spoiled(self, call: ToolCall) -> ToolCall:
        """The call with one thing wrong: a name, an argument more or less, a value of another kind."""
        arguments = dict(call.arguments)
        way = self._draw(st.integers(0, 9)) if arguments else 9
        key = self._one_of(sorted(arguments)) if arguments else ""
        if way == 9:
            arguments[self._one_of(NAMES_OF_CODE)] = self._draw(JUNK)
        elif way == 8:
            del arguments[key]
        elif way == 7:
            return replace(call, name=self._one_of((*ODD_TOOLS, *self._goods.reads, *sorted(WRITE_TOOLS))))
        elif way >= 4:
            return self._careless(call)
        else:
            arguments[key] = self._draw(JUNK)
        if isinstance(arguments.get("expression"), str) and not is_affordable(arguments["expression"]):
            arguments["expression"] = "1"
        return replace(call, arguments=arguments)

    def _careless(self, call: ToolCall) -> ToolCall:
        """The call with one value as a careless agent writes it; numbers are what it mistakes most."""
        arguments = dict(call.arguments)
        numbers = sorted(key for key, value in arguments.items() if str(value).isdecimal())
        if arguments:
            key = self._one_of(numbers if numbers and self._chance(60) else sorted(arguments))
            arguments[key] = self._similar(arguments[key])
        return replace(call, arguments=arguments)

    def _similar(self, value: Any) -> Any:
        if isinstance(value, list):
            first = value[0] if value else ""
            return self._one_of(([*value, first], value[:-1], value[::-1], first, [value], [], "", {}, [7], [None]))
        text = str(value)
        if text.isdecimal() and text.isascii() and self._chance(50):
            return self._one_of((int(text), float(text)))
        forms: list[Any] = [text.lower(), text.upper(), f"{text} ", text.lstrip("#"), [value], {"id": value}, ""]
        return self._one_of(forms)

    def _one_of(self, options: Sequence[Any]) -> Any:
        return self._draw(st.sampled_from(options))

    def _chance(self, percent: int) -> bool:
        return self._draw(st.integers(0, 99)) >= 100 - percent
