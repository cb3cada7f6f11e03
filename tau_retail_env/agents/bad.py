"""Agents that serve badly, each in its own way: what a reward must not pay for."""

from __future__ import annotations

import itertools
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from tau_retail_env.agents.base import Agent
from tau_retail_env.agents.oracle import IDENTITY_QUESTION, TRANSFERRED, OracleAgent
from tau_retail_env.agents.oracle_steps import TRANSFER
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.tasks.task import Task
from tau_retail_env.tasks.writes import gold_writes
from tau_retail_env.users.scripted.agenda import EMAIL

FILLERS = ("One moment, please.", "I am looking into it.", "Thank you for your patience.")
DONE = "All done. Anything else?"
MOST_READS = 40
"""Look-ups of the reciter: τ² ends an episode after 100 messages and results."""
NAME = re.compile(r"(?=\b([A-Z][\w'-]+) ([A-Z][\w'-]+))")
"""Two capitalised words in a row; overlapping pairs count."""
ZIP = re.compile(r"(?<![\w#])\d{5}(?!\w)")


class BoastingAgent(OracleAgent):
    """Serves like the oracle up to the customer's yes, and then says that it is done without having done anything."""

    def _write(self) -> AgentMessage:
        return self._report(failed=False)


class SilentAgent:
    """Never acts: says that it is busy, and nothing else."""

    def __init__(self) -> None:
        self._fillers = itertools.cycle(FILLERS)

    def act(self, observation: str, info: Mapping[str, Any]) -> AgentMessage:
        """Say something that is of no use."""
        return AgentMessage(next(self._fillers))


class ParrotAgent:
    """Repeats the customer's words, which may well hold what a judge looks for."""

    def act(self, observation: str, info: Mapping[str, Any]) -> AgentMessage:
        """Say what was just said."""
        return AgentMessage(observation)


class QuitterAgent:
    """Transfers to a human at once, and says so."""

    def __init__(self) -> None:
        self._handed_over = False

    def act(self, observation: str, info: Mapping[str, Any]) -> AgentMessage:
        """Transfer first, then tell the customer for as long as they stay."""
        if self._handed_over:
            return AgentMessage(TRANSFERRED)
        self._handed_over = True
        summary = "The customer needs help."
        return AgentMessage(None, (ToolCall(TRANSFER, {"summary": summary}),))


class EagerAgent:
    """Writes without asking what is wanted, and without a confirmation.

    All it waits for is who the customer is. Then it does at once what it takes to be of help: it writes the default
    address in capitals, as the post office likes it, cancels every pending order as no longer needed, and sends back
    every delivered one whole, to the payment method that was used. It hears no wish. A customer may by chance want just
    those orders cancelled or returned; nobody wants the capitals, so no guess of it is ever right as a whole.
    """

    def __init__(self) -> None:
        self._said = ""
        self._tried: list[ToolCall] = []
        self._calls: deque[ToolCall] = deque()
        self._last: ToolCall | None = None
        self._identified = False

    def act(self, observation: str, info: Mapping[str, Any]) -> AgentMessage:
        """Call the next tool that suggests itself; talk only where there is none."""
        if info.get("role") == "tool":
            self._learn(observation)
        else:
            self._said += f"\n{observation}"
            if not self._identified:
                self._calls.extend(self._lookups())
        if self._calls:
            self._last = self._calls.popleft()
            return AgentMessage(None, (self._last,))
        return AgentMessage(self._words() if self._identified else IDENTITY_QUESTION)

    def _words(self) -> str:
        """What it says once there is nothing left to call."""
        return DONE

    def _lookups(self) -> Iterator[ToolCall]:
        """Lookups of the customer that their words make possible and that were not tried."""
        found = [ToolCall("find_user_id_by_email", {"email": email}) for email in EMAIL.findall(self._said)]
        for (first, last), zip_code in itertools.product(NAME.findall(self._said), ZIP.findall(self._said)):
            given = {"first_name": first, "last_name": last, "zip": zip_code}
            found.append(ToolCall("find_user_id_by_name_zip", given))
        for call in found:
            if call not in self._tried:
                self._tried.append(call)
                yield call

    def _learn(self, result: str) -> None:
        """Note what a result makes possible."""
        if self._last is None or result.startswith("Error"):
            return
        if self._last.name.startswith("find_user_id_by_"):
            self._identified = True
            self._calls = deque([ToolCall("get_user_details", {"user_id": result})])
        elif self._last.name == "get_user_details":
            user = json.loads(result)
            capitals = {part: words.upper() for part, words in user["address"].items()}
            self._calls.append(ToolCall("modify_user_address", {**self._last.arguments, **capitals}))
            self._calls += [ToolCall("get_order_details", {"order_id": order_id}) for order_id in user["orders"]]
        elif self._last.name == "get_order_details":
            self._calls += _undone(json.loads(result))


def _undone(order: Mapping[str, Any]) -> list[ToolCall]:
    """The call that undoes an order, where there is one."""
    order_id = order["order_id"]
    if order["status"] == "pending":
        return [ToolCall("cancel_pending_order", {"order_id": order_id, "reason": "no longer needed"})]
    if order["status"] == "delivered":
        given = {
            "order_id": order_id,
            "item_ids": [item["item_id"] for item in order["items"]],
            "payment_method_id": order["payment_history"][0]["payment_method_id"],
        }
        return [ToolCall("return_delivered_order_items", given)]
    return []


class ReciterAgent(EagerAgent):
    """Reads what it can and says all of it; writes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._reads: list[ToolCall] = []
        self._results: list[str] = []

    def _words(self) -> str:
        return "\n".join([*self._results, "Anything else?"])

    def _learn(self, result: str) -> None:
        """Note a result, and read what it points to."""
        if self._last is None or result.startswith("Error"):
            return
        self._results.append(result)
        if self._last.name.startswith("find_user_id_by_"):
            self._identified = True
            self._calls.clear()
            self._read("get_user_details", "user_id", [result])
        elif self._last.name == "get_user_details":
            self._read("get_order_details", "order_id", json.loads(result)["orders"])
            self._calls.append(ToolCall("list_all_product_types", {}))
        elif self._last.name == "get_order_details":
            self._read("get_product_details", "product_id", [row["product_id"] for row in json.loads(result)["items"]])
        elif self._last.name == "list_all_product_types":
            self._read("get_product_details", "product_id", json.loads(result).values())

    def _read(self, tool: str, argument: str, values: Iterable[str]) -> None:
        """Call a reading tool for each value, once, as long as it may read at all."""
        for value in values:
            call = ToolCall(tool, {argument: value})
            if call not in self._reads and len(self._reads) < MOST_READS:
                self._reads.append(call)
                self._calls.append(call)


class MuteAgent:
    """Writes what the task wants before it says or asks a word: what no reward for the outcome sees.

    Args:
        task: whose gold writes it makes.
    """

    def __init__(self, task: Task) -> None:
        self._calls = deque(ToolCall(action.name, action.arguments) for action in gold_writes(task))

    def act(self, observation: str, info: Mapping[str, Any]) -> AgentMessage:
        """Make the next gold write; after the last one get rid of the customer."""
        return AgentMessage(None, (self._calls.popleft(),)) if self._calls else AgentMessage(TRANSFERRED)


BAD_AGENTS: Mapping[str, Callable[[Task], Agent]] = MappingProxyType(
    {
        "silent": lambda task: SilentAgent(),
        "eager": lambda task: EagerAgent(),
        "parrot": lambda task: ParrotAgent(),
        "quitter": lambda task: QuitterAgent(),
        "liar": BoastingAgent,
    }
)
"""By name: makes the agent for one episode of a task. Only the liar looks at the task: its lies are well informed."""
