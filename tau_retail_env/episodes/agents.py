"""OracleAgent plays a task's gold actions as the domain policy wants it; BoastingAgent shirks the last step."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tau_retail_env.chat.messages import AgentMessage, ToolCall
from tau_retail_env.tasks.task import Action, Task

TRIES = 2
"""How often it asks for the same thing."""
WRITES = frozenset(
    {
        "cancel_pending_order",
        "return_delivered_order_items",
        "exchange_delivered_order_items",
        "modify_pending_order_items",
        "modify_pending_order_payment",
        "modify_pending_order_address",
        "modify_user_address",
    }
)
CHANGING_ITEMS = ("exchange_delivered_order_items", "modify_pending_order_items")
IDENTITY_QUESTION = "Please give me your email, or your name and zip code."
NOT_FOUND = "I could not find your account. Please give me your email, or your name and zip code."
TRANSFERRED = "YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON."
QUESTIONS: Mapping[str, str] = {
    "order": "the order id",
    "items": "the items",
    "options": "the new options",
    "payment": "the payment method",
    "reason": "the reason (no longer needed or ordered by mistake)",
    "address": "the full new address",
}
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
YES = re.compile(r"\b(?:yes|yeah|yep|sure|correct|confirm|go ahead|right|ok|okay)\b", re.IGNORECASE)
NO = re.compile(r"\b(?:no|not|isn't|wrong|wait|stop)\b(?! longer)", re.IGNORECASE)
REASON_WORDS: Mapping[str, str] = {"no longer needed": r"\bneed", "ordered by mistake": r"\bmistake"}


class OracleAgent:
    """Reaches reward 1.0 through the public interface only: it sees what an agent sees, and knows the gold actions.

    It asks who the customer is, looks up what it is going to touch, asks what is missing, sums up, waits for a yes,
    writes and reports. It never uses an order or product id that nobody has mentioned yet.
    """

    def __init__(self, task: Task) -> None:
        """Take on a task.

        Args:
            task: its gold writes are played in order, its gold lookups where they precede.
        """
        self._task = task
        self._steps = _steps(task.actions)
        self._said = ""
        self._said_now = ""
        self._seen = ""
        self._results: dict[str, str] = {}
        self._last_call: ToolCall | None = None
        self._user_id: str | None = None
        self._asked: Counter[str] = Counter()
        self._summed_up = False
        self._reported_outputs = False

    def act(self, observation: str, info: Mapping[str, Any]) -> AgentMessage:
        """Say or call the next thing.

        Args:
            observation: what `reset` or the last `step` returned.
            info: the info returned with it; its `role` tells whose words the observation is.
        """
        self._seen += f"\n{observation}"
        if info.get("role") == "tool":
            return self._after_tool(observation)
        self._said += f"\n{observation}"
        self._said_now += f"\n{observation}"
        if self._summed_up:
            return self._after_summary(observation)
        return self._next()

    def _after_tool(self, observation: str) -> AgentMessage:
        call, self._last_call = self._last_call, None
        if call is None:
            return self._next()
        self._results[_key(call)] = observation
        failed = observation.startswith("Error")
        if call.name in WRITES:
            return self._report(failed)
        if call.name.startswith("find_user_id_by_") and not failed:
            self._user_id = observation.strip()
        if call.name == "transfer_to_human_agents":
            return AgentMessage(TRANSFERRED)
        return self._next()

    def _after_summary(self, answer: str) -> AgentMessage:
        if YES.search(answer) and not NO.search(answer):
            self._summed_up = False
            return self._write()
        return self._sum_up()

    def _next(self) -> AgentMessage:
        if self._user_id is None:
            return self._identify()
        if not self._steps:
            return self._finish()
        write = self._steps[0][1]
        if write is None:
            return self._look_up_gold() or self._finish()
        return self._prepare(write) or self._sum_up()

    def _identify(self) -> AgentMessage:
        tried = [key for key in self._results if key.startswith("find_user_id_by_")]
        for name, arguments in self._identities():
            call = ToolCall(name, arguments)
            if _key(call) not in tried:
                return self._call(name, arguments)
        if self._asked["identity"] > TRIES:
            return self._call("transfer_to_human_agents", {"summary": "The customer could not be identified."})
        self._asked["identity"] += 1
        return AgentMessage(NOT_FOUND if tried else IDENTITY_QUESTION)

    def _identities(self) -> Iterable[tuple[str, dict[str, str]]]:
        """The lookups that what the customer said makes possible."""
        for email in EMAIL.findall(self._said):
            yield "find_user_id_by_email", {"email": email}
        first, last = (self._task.user_id or "").split("_")[:2] if self._task.user_id else (r"[A-Z]\w+", r"[A-Z]\w+")
        told = re.search(
            rf"\b({first}) ({last})\b\D*(\d{{5}})?", self._said, re.IGNORECASE if self._task.user_id else 0
        )
        zips = re.findall(r"(?<![\w#])\d{5}\b", self._said)
        if told and (told[3] or zips):
            zip_code = told[3] or zips[0]
            yield "find_user_id_by_name_zip", {"first_name": told[1], "last_name": told[2], "zip": zip_code}

    def _prepare(self, write: Action) -> AgentMessage | None:
        """The next question or lookup before a write, None when all is known."""
        order_id = write.arguments.get("order_id")
        if order_id and order_id not in self._said_now and self._asked["order"] == 0:
            return self._ask(["order", *self._missing(write)])
        if order_id and order_id not in self._seen and self._is_new("get_user_details", self._user()):
            return self._call("get_user_details", self._user())
        if lookup := self._look_up_gold(products=False):
            return lookup
        if order_id and self._is_new("get_order_details", {"order_id": order_id}):
            return self._call("get_order_details", {"order_id": order_id})
        if missing := [fact for fact in self._missing(write) if fact != "options" or self._lacks_items(write)]:
            return self._ask(missing)
        if lookup := self._look_up_gold():
            return lookup
        for product_id in self._product_ids(write):
            if self._is_new("get_product_details", {"product_id": product_id}):
                return self._call("get_product_details", {"product_id": product_id})
        missing = self._missing(write)
        return self._ask(missing) if missing else None

    def _user(self) -> dict[str, str]:
        return {"user_id": self._user_id or ""}

    def _missing(self, write: Action) -> list[str]:
        """What the write needs, the customer has not said and was not asked for."""
        said, given = self._said_now.casefold(), write.arguments
        lacking = {
            "items": self._lacks_items(write),
            "options": any(not self._said_changes(changes) for changes in self._changes(write)),
            "payment": "payment_method_id" in given and given["payment_method_id"].casefold() not in said,
            "reason": "reason" in given and not re.search(REASON_WORDS.get(given["reason"], r"$^"), said),
            "address": "address1" in given and given["address1"].casefold() not in said,
        }
        if lacking["items"] and write.name in CHANGING_ITEMS:
            lacking["options"] = True
        return [fact for fact, lacks in lacking.items() if lacks and self._asked[fact] < TRIES]

    def _lacks_items(self, write: Action) -> bool:
        names = self._names(write.arguments.get("item_ids", ()), write)
        return any(name.casefold() not in self._said_now.casefold() for name in names)

    def _said_changes(self, changes: Mapping[str, str]) -> bool:
        said = self._said_now.casefold()
        return all(value.casefold() in said and name.casefold() in said for name, value in changes.items())

    def _ask(self, facts: Sequence[str]) -> AgentMessage:
        self._asked.update(facts)
        wanted = [QUESTIONS[fact] for fact in facts]
        listed = " and ".join(part for part in (", ".join(wanted[:-1]), wanted[-1]) if part)
        return AgentMessage(f"Please give me {listed}.")

    def _look_up_gold(self, *, products: bool = True) -> AgentMessage | None:
        """The next gold lookup before the write, of those whose ids somebody has mentioned."""
        for action in self._steps[0][0]:
            if action.name == "get_product_details" and not products:
                continue
            visible = action.name == "calculate" or all(str(value) in self._seen for value in action.arguments.values())
            if visible and self._is_new(action.name, action.arguments):
                return self._call(action.name, action.arguments)
        return None

    def _is_new(self, name: str, arguments: Mapping[str, Any]) -> bool:
        return _key(ToolCall(name, arguments)) not in self._results

    def _call(self, name: str, arguments: Mapping[str, Any]) -> AgentMessage:
        self._last_call = ToolCall(name, dict(arguments))
        return AgentMessage(None, (self._last_call,))

    def _write(self) -> AgentMessage:
        write = self._steps[0][1]
        assert write is not None
        return self._call(write.name, write.arguments)

    def _sum_up(self) -> AgentMessage:
        write = self._steps[0][1]
        assert write is not None
        self._summed_up = True
        return AgentMessage(f"{self._summary(write)} Confirm (yes/no)?")

    def _report(self, failed: bool) -> AgentMessage:
        """What became of a write; after the last one also what the customer wanted to know."""
        self._steps = self._steps[1:]
        self._said_now, self._asked, self._results = "", Counter(), _users_only(self._results)
        words = ["Sorry, that is not possible." if failed else "Done."]
        if all(write is None for _, write in self._steps):
            words.extend(self._information())
        return AgentMessage(" ".join([*words, "Anything else?"]))

    def _finish(self) -> AgentMessage:
        """Nothing (more) to write: tell what is to be told, hand over where the gold actions do."""
        if words := self._information():
            return AgentMessage(" ".join([*words, "Anything else?"]))
        transfer = next((action for action in self._task.actions if action.name == "transfer_to_human_agents"), None)
        if transfer and self._is_new(transfer.name, transfer.arguments):
            return self._call(transfer.name, transfer.arguments)
        return AgentMessage("Sorry, I cannot do that. Anything else?")

    def _information(self) -> list[str]:
        if self._reported_outputs or not self._task.outputs:
            return []
        self._reported_outputs = True
        return [f"For your information: {', '.join(self._task.outputs)}."]

    def _summary(self, write: Action) -> str:
        given = write.arguments
        order_id, payment = given.get("order_id"), given.get("payment_method_id")
        items = self._names(given.get("item_ids", ()), write)
        if write.name == "cancel_pending_order":
            return f"Cancel {order_id}, reason: {given['reason']}."
        if write.name == "return_delivered_order_items":
            return f"Return {', '.join(items)} of {order_id}, refund to {payment}."
        if write.name in CHANGING_ITEMS:
            verb = "Exchange" if write.name.startswith("exchange") else "Modify"
            pairs = zip(items, self._changes(write), strict=True)
            changed = [f"{name} to {_worded(changes)}" for name, changes in pairs]
            return f"{verb} in {order_id}: {'; '.join(changed)}. Payment: {payment}."
        if write.name == "modify_pending_order_payment":
            return f"Change payment of {order_id} to {payment}."
        parts = (given[part] for part in ("address1", "address2", "city", "state", "country", "zip"))
        what = f"address of {order_id}" if order_id else "default address"
        return f"Change {what} to {', '.join(part for part in parts if part)}."

    def _order(self, write: Action) -> Mapping[str, Any]:
        return _parsed(
            self._results.get(_key(ToolCall("get_order_details", {"order_id": write.arguments.get("order_id")})))
        )

    def _rows(self, item_ids: Iterable[str], write: Action) -> list[Mapping[str, Any]]:
        """The order's rows of some items; none before the order was looked up."""
        rows = {row["item_id"]: row for row in self._order(write).get("items", ())}
        return [rows[item_id] for item_id in item_ids if item_id in rows]

    def _names(self, item_ids: Iterable[str], write: Action) -> list[str]:
        """The items' names, with their options where the order holds another of that name."""
        every = self._order(write).get("items", ())
        names = []
        for row in self._rows(item_ids, write):
            twins = [other for other in every if other["name"] == row["name"] and other["options"] != row["options"]]
            names.append(f"{row['name']} ({', '.join(row['options'].values())})" if twins else row["name"])
        return names

    def _product_ids(self, write: Action) -> list[str]:
        if write.name not in CHANGING_ITEMS:
            return []
        return list(dict.fromkeys(row["product_id"] for row in self._rows(write.arguments["item_ids"], write)))

    def _changes(self, write: Action) -> list[dict[str, str]]:
        """For each item to be changed, the options that become different; none before its product was looked up."""
        if write.name not in CHANGING_ITEMS:
            return []
        rows = self._rows(write.arguments["item_ids"], write)
        changes = []
        for row, new_item_id in zip(rows, write.arguments["new_item_ids"], strict=False):
            looked_up = self._results.get(_key(ToolCall("get_product_details", {"product_id": row["product_id"]})))
            variant = _parsed(looked_up).get("variants", {}).get(new_item_id, {"options": row["options"]})
            new = variant["options"]
            changes.append({name: value for name, value in new.items() if row["options"].get(name) != value})
        return changes


def _steps(actions: Sequence[Action]) -> list[tuple[tuple[Action, ...], Action | None]]:
    """The gold actions as (lookups, write) pairs; the last pair has no write where lookups follow the last one."""
    steps: list[tuple[tuple[Action, ...], Action | None]] = []
    lookups: list[Action] = []
    for action in actions:
        if action.name in WRITES:
            steps.append((tuple(lookups), action))
            lookups = []
        elif action.name != "transfer_to_human_agents" and not action.name.startswith("find_user_id_by_"):
            lookups.append(action)
    return [*steps, (tuple(lookups), None)] if lookups and not steps else steps


class BoastingAgent(OracleAgent):
    """Serves like the oracle up to the customer's yes, and then says that it is done without having done anything.

    A bad habit of real agents, for teaching a model something that reinforcement learning can rid it of.
    """

    def _write(self) -> AgentMessage:
        return self._report(failed=False)


def _key(call: ToolCall) -> str:
    return f"{call.name} {json.dumps(dict(call.arguments), sort_keys=True)}"


def _users_only(results: Mapping[str, str]) -> dict[str, str]:
    """What stays true after a write: who the customer is and what the shop sells."""
    return {key: value for key, value in results.items() if key.startswith(("find_user_id_by_", "get_product_details"))}


def _parsed(text: str | None) -> Mapping[str, Any]:
    if not text or not text.startswith("{"):
        return {}
    loaded: Mapping[str, Any] = json.loads(text)
    return loaded


def _worded(changes: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in changes.items()) or "the same"
