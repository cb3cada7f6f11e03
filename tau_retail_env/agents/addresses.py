"""Where an address stands that a customer wants and has not said, as an agent that writes its reasons down finds it."""

from __future__ import annotations

from collections.abc import Mapping

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.agents.order_words import holds
from tau_retail_env.agents.small_talk import plain
from tau_retail_env.agents.which_order import told_alone, verdict
from tau_retail_env.messages import ToolCall
from tau_retail_env.tasks.task import Action
from tau_retail_env.users.scripted.listening import Fact

ADDRESS = ("address1", "address2", "city", "state", "country", "zip")
PROFILES = ("profile", "profile at first")
"""What the address of the customer's profile is called, now and before it was changed."""


def address_in(agent: OracleAgent, call: ToolCall) -> str:
    """The order that the customer has named for its address alone, where it is about to be read.

    Args:
        agent: who has heard the customer's words.
        call: the look-up.
    """
    plan, order_id = agent.step.plan, call.arguments.get("order_id", "")
    words = (plan.words or {}).get(Fact.ADDRESS, ()) if plan else ()
    is_named = order_id in agent.matter and any(order_id in each for each in words)
    return f"Address in: {order_id}." if is_named and call.name == "get_order_details" else ""


def whereabouts(agent: OracleAgent, write: Action) -> str:
    """Where an address that the customer has not said whole stands, or most of it, and what of it is new.

    Args:
        agent: with what its look-ups have shown, and what the customer has said in this matter.
        write: what is going to be proposed.
    """
    wanted = {part: write.arguments[part] for part in ADDRESS if part in write.arguments}
    said = agent.matter.casefold()
    if all(value.casefold() in said for value in wanted.values()):
        return ""
    now, at_first = PROFILES
    known = {now: agent.profile()}
    if (profiles := agent.profiles()) and profiles[0]["address"] != agent.profile()["address"]:
        known[at_first] = profiles[0]
    known |= {order["order_id"]: order for order in agent.orders()}
    places = {place: row["address"] for place, row in known.items() if row.get("address")}
    if not places:
        return ""
    alike = {place: sum(row.get(part) == value for part, value in wanted.items()) for place, row in places.items()}
    own = write.arguments.get("order_id", now)
    likely = sorted(alike, key=lambda place: (place != own, place not in agent.matter))  # of several that are the same
    listed = "; ".join(f"{place}: {', '.join(filter(None, map(row.get, ADDRESS)))}" for place, row in places.items())
    place = max(likely, key=alike.__getitem__)
    new = ", ".join(value for part, value in wanted.items() if value and places[place].get(part) != value)
    why = _whence(agent, place, places) if place not in (own, *PROFILES) else ""
    return " ".join(filter(None, [f"Addresses: {listed}.", why, f"From {place}.", f"New: {new}." if new else ""]))


def _whence(agent: OracleAgent, order_id: str, places: Mapping[str, Mapping[str, str]]) -> str:
    """What tells the order that an address is taken from: its city, or as `which` has it, with a verdict for each;
    nothing where the customer names it by its number, or where its words do not tell it."""
    said, city = agent.matter, places[order_id]["city"]
    cities = {place: address["city"] for place, address in places.items()}
    alike = [places[place] for place in places if cities[place] == city]
    if order_id in said:
        return ""
    if holds(plain(said), city) and all(address == places[order_id] for address in alike):
        rows = (f"[{place}] {value}, {verdict(value == city)}" for place, value in cities.items())
        return f"Address: {city}. {'; '.join(rows)}."
    told = told_alone(agent, next(order for order in agent.orders() if order["order_id"] == order_id))
    return told.replace("Which: ", "Address: ", 1)
