"""OracleAgent plays a task's gold actions as the domain policy wants it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tau_retail_env.agents.lookups import call_key, parsed, still_true, users_only
from tau_retail_env.agents.oracle_steps import TRANSFER, Step, as_listed, steps_of_actions, steps_of_story
from tau_retail_env.agents.proposals import CHANGING_ITEMS, short, whole
from tau_retail_env.agents.questions import REASON_WORDS, VAGUE, identities, question, told_calls, unsaid
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.sources.registry import source_class
from tau_retail_env.tasks.task import Action, Task
from tau_retail_env.tasks.writes import WRITE_TOOLS
from tau_retail_env.users.scripted.story import Beat, check_fit, story_of
from tau_retail_env.world.consent import is_yes

MANY_STEPS = 4
"""From so many steps on the oracle hurries where a source limits the agent's messages (v1: 30): it asks for no
details (the customer adds them when it confirms), looks nothing up twice and sums up the next write with the report."""
AFTER_ORDERS = ("get_product_details", "list_all_product_types", "calculate")
"""Calls of a plan that wait until the orders are read."""
PATIENT_TRIES = 5
"""How often it asks who the customer is where the story's customer mixes things up."""
TRIES = 2
"""How often it asks for the same thing."""
CONFIRMATION = "Confirm (yes/no)?"
"""How the oracle asks for a yes."""
IDENTITY_QUESTION = "Please give me your email, or your name and zip code."
NOT_FOUND = "I could not find your account. Please give me your email, or your name and zip code."
TRANSFERRED = "YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON."
NUMBER = re.compile(r"\d+(?:\.\d+)?")


class OracleAgent:
    """Reaches reward 1.0 through the public interface only: it sees what an agent sees, and knows the gold actions.

    It asks who the customer is, looks up what it is going to touch, asks what is missing, sums up, waits for a yes,
    writes and reports. It never uses an order or product id that nobody has mentioned yet. Where the task has a story
    it knows that as well: it answers the customer's questions, refuses what cannot be granted and transfers the
    customer where that is what the customer wants in the end.
    """

    def __init__(self, task: Task, *, whole_proposals: bool = False, reads_every_order: bool = False) -> None:
        """Take on a task.

        Args:
            task: its gold writes are played in order, its gold lookups where they precede.
            whole_proposals: whether a proposal says all that the call will need as the look-ups have it: the order's
                status, the id of each item, of a new variant every option, its price in dollars and its id; and not
                the items' names and the options that change alone. What is returned then comes as in the order.
            reads_every_order: whether it reads all orders of the customer where it searches for one, and does not stop
                at the one that is meant.
        """
        self._task = task
        self._reads_every_order = reads_every_order
        self._whole_proposals = whole_proposals
        story = story_of(task)
        if story is not None:
            check_fit(story, task)
        self._steps = steps_of_actions(task.actions) if story is None else steps_of_story(task, story)
        self.hurries = source_class(task).episode_rules.max_turns is not None and len(self._steps) >= MANY_STEPS
        """Whether it proposes, asks nothing, and hears what it lacks from a customer who objects."""
        self._tries = 0 if self.hurries else TRIES if story is None else 1
        self._identity_tries = TRIES if story is None else PATIENT_TRIES
        self._customer_id = story.customer if story and story.customer else task.user_id
        self._follows_story = story is not None
        self._searches = story is not None and source_class(task).episode_rules.max_turns is None
        self._said = ""
        self._said_now = ""
        self._seen = ""
        self._results: dict[str, str] = {}
        self._last_call: ToolCall | None = None
        self._user_id: str | None = None
        self._asked: Counter[str] = Counter()
        self._summed_up = False
        self._unreported = ""
        self._reported_outputs = False
        self.matter = ""
        """What the customer has said since the last thing was done, a line for each message."""
        self.attends: Beat | None = None
        """What of a story its last message answers, refuses, or sums up in the story's own words."""
        self.asks: tuple[str, ...] = ()
        """The facts that its last message asks for, keys of `QUESTIONS`."""

    @property
    def user_id(self) -> str:
        """Who the customer is; empty before that was found."""
        return self._user_id or ""

    @property
    def proposed(self) -> Action | None:
        """The write that waits for the customer's yes."""
        return self._steps[0].write if self._summed_up else None

    @property
    def step(self) -> Step:
        """What it does for the customer now; an empty one where nothing is left."""
        return self._steps[0] if self._steps else Step()

    @property
    def lacks(self) -> set[str]:
        """The facts, keys of `QUESTIONS`, that it asks for now or is going to ask for before it proposes."""
        plan = None if self.attends else self.step.plan  # after an answer the step is the next thing
        return {*self.asks, *(self._unasked(plan) if plan else ())}

    def wanted(self, beat: Beat) -> Action | None:
        """The gold write that a story's part asks for, or first asks for something else in the place of."""
        number = beat.write if beat.first is None else beat.first
        return None if number is None else [one for one in self._task.actions if one.name in WRITE_TOOLS][number]

    def proposal(self, write: Action) -> str:
        """The words in which the agent asks for a yes to a write."""
        return f"{self._summary(write)} {CONFIRMATION}"

    def item_names(self, write: Action) -> list[str]:
        """The names of the items that a write is about, with their options where an order holds twins."""
        return self._names(write.arguments.get("item_ids", ()), write)

    def order(self, write: Action) -> Mapping[str, Any]:
        """The order that a write is about as a look-up has shown it; nothing where none has."""
        return parsed(self._results.get(call_key("get_order_details", {"order_id": write.arguments.get("order_id")})))

    def order_items(self, write: Action) -> list[str]:
        """The ids of all items in the order that a write is about."""
        return [row["item_id"] for row in self.order(write).get("items", ())]

    def rows(self, write: Action) -> list[Mapping[str, Any]]:
        """The items that a write is about, as the order has them; none before the order was looked up."""
        return self._rows(write.arguments.get("item_ids", ()), write)

    def chosen(self, write: Action) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Each item to be changed with its new variant; with itself before its product was looked up."""
        if write.name not in CHANGING_ITEMS:
            return []
        new = write.arguments["new_item_ids"]
        return [(row, self._listed(row).get(item_id, row)) for row, item_id in zip(self.rows(write), new, strict=False)]

    def addresses(self) -> list[Mapping[str, str]]:
        """The addresses that look-ups have shown, of the profile and of orders."""
        shown = (parsed(text).get("address") for text in self._results.values())
        return [address for address in shown if isinstance(address, dict)]

    def orders(self) -> list[Mapping[str, Any]]:
        """The orders that look-ups have shown, each as the last answer about it has it, a change's own included."""
        shown: dict[str, Mapping[str, Any]] = {}
        for text in self._results.values():
            order = parsed(text)
            if "order_id" in order and "items" in order:
                shown[order["order_id"]] = order
        return list(shown.values())

    def lists(self) -> list[Mapping[str, Any]]:
        """The products whose variants look-ups have shown."""
        return [product for text in self._results.values() if "variants" in (product := parsed(text))]

    def products(self, write: Action) -> list[str]:
        """The product's id of each item that a write is about."""
        return [row["product_id"] for row in self._rows(write.arguments.get("item_ids", ()), write)]

    def profile(self) -> Mapping[str, Any]:
        """The customer's profile as the last answer about it has it, a change's own included; nothing before one."""
        return self.profiles()[-1] if self.profiles() else {}

    def profiles(self) -> list[Mapping[str, Any]]:
        """The customer's profile as each answer about it has it, the first one first."""
        return [profile for text in self._results.values() if "payment_methods" in (profile := parsed(text))]

    def variants(self, write: Action) -> list[list[Mapping[str, Any]]]:
        """For each item that a write changes, the available variants that it may be changed to, as the tool lists them.

        Empty lists for items whose product was not looked up.
        """
        if write.name not in CHANGING_ITEMS:
            return []
        return [
            [
                variant
                for variant in self._listed(row).values()
                if variant["available"] and variant["item_id"] != row["item_id"]
            ]
            for row in self._rows(write.arguments["item_ids"], write)
        ]

    def act(self, observation: str, info: Mapping[str, Any]) -> AgentMessage:
        """Say or call the next thing.

        Args:
            observation: what `reset` or the last `step` returned.
            info: the info returned with it; its `role` says whose words the observation is.
        """
        self._seen += f"\n{observation}"
        self.attends, self.asks = None, ()
        if info.get("role") == "tool":
            return self._after_tool(observation)
        self._said += f"\n{observation}"
        self._said_now += f"\n{observation}"
        self.matter = self._said_now.strip()
        if self._summed_up:
            return self._after_summary(observation)
        return self._next()

    def _after_tool(self, observation: str) -> AgentMessage:
        call, self._last_call = self._last_call, None
        if call is None:
            return self._next()
        self._results[call_key(call.name, call.arguments)] = observation
        failed = observation.startswith("Error")
        if call.name in WRITE_TOOLS:
            return self._report(failed)
        if call.name.startswith("find_user_id_by_") and not failed:
            self._user_id = observation.strip()
        if call.name == "get_order_details" and self._whole_proposals:
            self._steps = [as_listed(step, parsed(observation)) for step in self._steps]
        if call.name == TRANSFER:
            return AgentMessage(TRANSFERRED)
        return self._next()

    def _after_summary(self, answer: str) -> AgentMessage:
        if is_yes(answer):
            self._summed_up = False
            return self._write()
        return self._sum_up()

    def _next(self) -> AgentMessage:
        if self._user_id is None:
            return self._identify()
        if not self._steps:
            return self._finish()
        step = self._steps[0]
        if step.plan is not None and (planned := self._planned(step.plan)):
            return planned
        if step.beat is not None:
            return self._look_up_gold() or self._find_answer(step.beat) or self._attend(step.beat)
        if step.write is None:
            return self._look_up_gold() or self._finish()
        if step.plan is not None:
            return self._sum_up()
        return self._prepare(step.write) or self._sum_up()

    def _planned(self, plan: Beat) -> AgentMessage | None:
        """The next call or question of a plan, None when all is known; orders are read before products and sums.

        Nothing is looked up for an order that the customer has yet to be asked for.
        """
        missing = self._unasked(plan)
        if "order" in missing:
            return self._ask(missing)
        for action in self._calls(plan):
            if action.name in AFTER_ORDERS and (lookup := self._search_on(plan)):
                return lookup
            if self._is_new(action.name, action.arguments):
                return self._call(action.name, action.arguments)
        if lookup := self._search_on(plan):
            return lookup
        return self._ask(missing) if missing else None

    def _calls(self, plan: Beat) -> list[Action]:
        """The look-ups of a plan for which the customer has said enough, orders before products and sums."""
        told = told_calls(plan, self.step.write, self._unasked(plan), self._said, read=" ".join(self._results))
        return sorted(told, key=lambda action: action.name in AFTER_ORDERS)

    def _unasked(self, plan: Beat) -> list[str]:
        """What the customer leaves out and it has not asked for yet."""
        wanted = dict.fromkeys([*plan.asks, *unsaid(self.step.write, plan, self._said, self._said_now)])
        return [fact for fact in wanted if not self._asked[fact]]

    def _search_on(self, plan: Beat) -> AgentMessage | None:
        """The next unread order where the customer has not named the one that is meant, for who reads them all."""
        orders = [one.arguments["order_id"] for one in self._calls(plan) if one.name == "get_order_details"]
        is_search = any(order_id not in self._said for order_id in orders)
        return self._search() if self._reads_every_order and is_search else None

    def _attend(self, beat: Beat) -> AgentMessage:
        """Answer, refuse, transfer, or sum up what the customer is going to regret."""
        self._steps, self.attends = self._steps[1:], beat
        self._said_now, self._asked = "", Counter()
        if beat.transfer:
            gold = next((action for action in self._task.actions if action.name == TRANSFER), None)
            return self._call(TRANSFER, gold.arguments if gold else {"summary": beat.transfer})
        if beat.turn:
            return AgentMessage(
                f"{beat.answer or f'So this is what you want: {beat.prose or beat.say}'} {CONFIRMATION}"
            )
        if beat.ask:
            answers = ", ".join(self._task.outputs[number] for number in beat.outputs)
            return AgentMessage(beat.answer or f"Here you are: {answers}.")
        return AgentMessage(f"I'm sorry, that is not possible, because {beat.refusal}. Anything else?")

    def _identify(self) -> AgentMessage:
        tried = [key for key in self._results if key.startswith("find_user_id_by_")]
        for name, arguments in identities(self._said, self._customer_id or ""):
            if call_key(name, arguments) not in tried:
                return self._call(name, arguments)
        if self._asked["identity"] > self._identity_tries:
            return self._call(TRANSFER, {"summary": "The customer could not be identified."})
        self._asked["identity"] += 1
        return AgentMessage(NOT_FOUND if tried else IDENTITY_QUESTION)

    def _prepare(self, write: Action) -> AgentMessage | None:
        """The next question or lookup before a write, None when all is known."""
        order_id = write.arguments.get("order_id")
        asks = VAGUE.search(self._said_now) is not None if self._searches else not self.hurries
        if asks and order_id and order_id not in self._said_now and self._asked["order"] == 0:
            return self._ask(["order", *self._missing(write)])
        if self._searches and order_id and order_id not in self._said and (lookup := self._search(order_id)):
            return lookup
        if order_id and order_id not in self._seen and self._is_new("get_user_details", self._user()):
            return self._call("get_user_details", self._user())
        if lookup := self._look_up_gold(products=False):
            return lookup
        knows_enough = self.hurries and "item_ids" not in write.arguments
        if order_id and not knows_enough and self._is_new("get_order_details", {"order_id": order_id}):
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

    def _search(self, order_id: str | None = None) -> AgentMessage | None:
        """The next look-up on the way to an order: the profile, then one order after another; None once it is found."""
        if self._is_new("get_user_details", self._user()):
            return self._call("get_user_details", self._user())
        for known in self.profile().get("orders", ()):
            if f'"order_id": "{known}"' not in self._seen:
                return self._call("get_order_details", {"order_id": known})
            if known == order_id and not self._reads_every_order:
                return None
        return None

    def _find_answer(self, beat: Beat) -> AgentMessage | None:
        """The next look-up for a question whose answer nobody has shown yet, None where none is left."""
        if not (self._searches and beat.ask and beat.outputs) or self._steps[0].plan:
            return None
        is_known = all(self._task.outputs[number].casefold() in self._seen.casefold() for number in beat.outputs)
        return None if is_known else self._search()

    def _user(self) -> dict[str, str]:
        return {"user_id": self.user_id}

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
        return [fact for fact, lacks in lacking.items() if lacks and self._asked[fact] < self._tries]

    def _lacks_items(self, write: Action) -> bool:
        names = self._names(write.arguments.get("item_ids", ()), write)
        return any(name.casefold() not in self._said_now.casefold() for name in names)

    def _said_changes(self, changes: Mapping[str, str]) -> bool:
        said = self._said_now.casefold()
        return all(value.casefold() in said and name.casefold() in said for name, value in changes.items())

    def _ask(self, facts: Sequence[str]) -> AgentMessage:
        self._asked.update(facts)
        self.asks = tuple(facts)
        return AgentMessage(question(facts, by_content=self._searches))

    def _look_up_gold(self, *, products: bool = True) -> AgentMessage | None:
        """The next gold lookup before the write, of those whose ids somebody has mentioned."""
        for action in self._steps[0].lookups:
            if action.name == "get_product_details" and not products:
                continue
            if self._is_founded(action) and self._is_new(action.name, action.arguments):
                return self._call(action.name, action.arguments)
            unlisted = self._searches and action.name == "get_product_details" and not self._is_founded(action)
            if unlisted and self._is_new("list_all_product_types", {}):
                return self._call("list_all_product_types", {})
        return None

    def _is_founded(self, action: Action) -> bool:
        """Whether somebody has mentioned everything that a look-up needs; of an expression, its numbers."""
        needed = [str(value) for value in action.arguments.values()]
        if action.name == "calculate":
            needed = [number for expression in needed for number in NUMBER.findall(expression)]
        return all(each in self._seen for each in needed)

    def _is_new(self, name: str, arguments: Mapping[str, Any]) -> bool:
        return call_key(name, arguments) not in self._results

    def _call(self, name: str, arguments: Mapping[str, Any]) -> AgentMessage:
        self._last_call = ToolCall(name, dict(arguments))
        return AgentMessage(None, (self._last_call,))

    def _write(self) -> AgentMessage:
        write = self._steps[0].write
        assert write is not None
        return self._call(write.name, write.arguments)

    def _find_out(self, write: Action) -> AgentMessage | None:
        """The next step to an address or a payment method that nobody has mentioned; None where none is left."""
        given, seen = write.arguments, self._seen.casefold()
        wanted = [given[name] for name in ("address1", "payment_method_id") if name in given]
        if all(value.casefold() in seen for value in wanted):
            return None
        if self._is_new("get_user_details", self._user()):
            return self._call("get_user_details", self._user())
        orders = self.profile().get("orders", ())
        unread = [order_id for order_id in orders if self._is_new("get_order_details", {"order_id": order_id})]
        if unread:
            return self._call("get_order_details", {"order_id": unread[0]})
        return self._ask(["address"]) if "address1" in given and not self._asked["address"] else None

    def _sum_up(self) -> AgentMessage:
        write = self._steps[0].write
        assert write is not None
        if lookup := self._find_out(write):
            return lookup
        self._summed_up = True
        report, self._unreported = self._unreported, ""
        answer = self._steps[0].plan.answer if self._steps[0].plan else ""
        words = (report, answer, self.proposal(write))
        return AgentMessage(" ".join(part for part in words if part))

    def _report(self, failed: bool) -> AgentMessage:
        """What became of a write; after the last one also what the customer wanted to know."""
        done, *self._steps = self._steps
        self._said_now, self._asked = "", Counter()
        if not self.hurries and done.plan is None:
            self._results = still_true(self._results, done.write) if self._searches else users_only(self._results)
        words = ["Sorry, that is not possible." if failed else "Done."]
        if not self._follows_story and all(step.write is None for step in self._steps):
            words.extend(self._information())
        if self.hurries and not failed and self._steps and self._steps[0].write:
            self._unreported = words[0]
            return self._next()
        return AgentMessage(" ".join([*words, "Anything else?"]))

    def _finish(self) -> AgentMessage:
        """Nothing (more) to write: say the outputs, transfer where the gold actions do."""
        if not self._follows_story and (words := self._information()):
            return AgentMessage(" ".join([*words, "Anything else?"]))
        transfer = next((action for action in self._task.actions if action.name == TRANSFER), None)
        if transfer and self._is_new(transfer.name, transfer.arguments):
            return self._call(transfer.name, transfer.arguments)
        return AgentMessage("Sorry, I cannot do that. Anything else?")

    def _information(self) -> list[str]:
        if self._reported_outputs or not self._task.outputs:
            return []
        self._reported_outputs = True
        return [f"For your information: {', '.join(self._task.outputs)}."]

    def _summary(self, write: Action) -> str:
        names, order = self.item_names(write), self.order(write)
        if self._whole_proposals and order:
            return whole(write, order, names, [variant for _, variant in self.chosen(write)])
        return short(write, names, self._changes(write))

    def _rows(self, item_ids: Iterable[str], write: Action) -> list[Mapping[str, Any]]:
        """The order's rows of some items; none before the order was looked up."""
        rows = {row["item_id"]: row for row in self.order(write).get("items", ())}
        return [rows[item_id] for item_id in item_ids if item_id in rows]

    def _names(self, item_ids: Iterable[str], write: Action) -> list[str]:
        """The items' names, with their options where the order holds another of that name."""
        every = self.order(write).get("items", ())
        names = []
        for row in self._rows(item_ids, write):
            twins = [other for other in every if other["name"] == row["name"] and other["options"] != row["options"]]
            names.append(f"{row['name']} ({', '.join(row['options'].values())})" if twins else row["name"])
        return names

    def _product_ids(self, write: Action) -> list[str]:
        if write.name not in CHANGING_ITEMS:
            return []
        return list(dict.fromkeys(self.products(write)))

    def _changes(self, write: Action) -> list[dict[str, str]]:
        """For each item to be changed, the options that become different; none before its product was looked up."""
        return [
            {name: value for name, value in variant["options"].items() if row["options"].get(name) != value}
            for row, variant in self.chosen(write)
        ]

    def _listed(self, row: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
        """The variants of an item's product by their ids; none before the product was looked up."""
        looked_up = self._results.get(call_key("get_product_details", {"product_id": row["product_id"]}))
        listed: Mapping[str, Mapping[str, Any]] = parsed(looked_up).get("variants", {})
        return listed
