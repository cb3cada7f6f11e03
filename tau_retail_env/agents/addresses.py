"""Where an address that the customer has not said stands, as an agent that writes its reasons down says it."""

from __future__ import annotations

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.messages import ToolCall
from tau_retail_env.tasks.task import Action
from tau_retail_env.users.scripted.listening import Fact

ADDRESS = ("address1", "address2", "city", "state", "country", "zip")


def address_in(agent: OracleAgent, call: ToolCall) -> str:
    """The order that the customer has named for its address alone, where it is about to be read."""
    plan, order_id = agent.step.plan, call.arguments.get("order_id", "")
    words = (plan.words or {}).get(Fact.ADDRESS, ()) if plan else ()
    is_named = order_id in agent.matter and any(order_id in each for each in words)
    return f"Address in: {order_id}." if is_named and call.name == "get_order_details" else ""


def whereabouts(agent: OracleAgent, write: Action) -> str:
    """Where an address that the customer has not said whole stands, or most of it, and what of it is new."""
    wanted = {part: write.arguments[part] for part in ADDRESS if part in write.arguments}
    said = agent.matter.casefold()
    if all(value.casefold() in said for value in wanted.values()):
        return ""
    known = {"profile": agent.profile()}
    if (profiles := agent.profiles()) and profiles[0]["address"] != agent.profile()["address"]:
        known["profile at first"] = profiles[0]
    known |= {order["order_id"]: order for order in agent.orders()}
    places = {place: row["address"] for place, row in known.items() if row.get("address")}
    if not places:
        return ""
    alike = {place: sum(row.get(part) == value for part, value in wanted.items()) for place, row in places.items()}
    own = write.arguments.get("order_id", "profile")
    likely = sorted(alike, key=lambda place: (place != own, place not in agent.matter))  # of several that are the same
    listed = "; ".join(f"{place}: {', '.join(filter(None, map(row.get, ADDRESS)))}" for place, row in places.items())
    place = max(likely, key=alike.__getitem__)
    new = ", ".join(value for part, value in wanted.items() if value and places[place].get(part) != value)
    return f"Addresses: {listed}. From {place}." + (f" New: {new}." if new else "")
