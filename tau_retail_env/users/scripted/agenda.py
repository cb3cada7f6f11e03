"""What the scripted customer wants and knows: an agenda built from a task and the shop."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.sources.registry import source_class
from tau_retail_env.tasks.task import Task
from tau_retail_env.users.scripted.request import (
    KIND_OF_TOOL,
    Address,
    Kind,
    PaymentMethod,
    Request,
    address_of,
    payment_methods_of,
    request_of,
    requests_of,
)
from tau_retail_env.users.scripted.story import Story, story_of

EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


@dataclass(frozen=True, slots=True)
class Agenda:
    """Everything the customer wants, and who it is."""

    requests: tuple[Request, ...]
    """One after another, in the order in which they are brought up."""
    first_name: str
    """First name."""
    last_name: str
    """Last name."""
    zips: tuple[str, ...]
    """Zip codes it gives, one each time it is asked; empty where it remembers none."""
    emails: tuple[str, ...]
    """Emails it gives, one each time it is asked; empty where it remembers none."""
    user_id: str | None
    """The user id, None unless the customer's text has it."""
    address: Address
    """The default address of the profile."""
    payment_methods: tuple[PaymentMethod, ...]
    """All of the profile."""
    by_email: bool
    """Whether the customer identifies itself by email rather than by name and zip."""
    text: str
    """All that the task tells the customer, in small letters: it says no id that is not in it."""
    openness: float
    """How likely a request comes with all its details, 0 to 1."""
    products: frozenset[str] = frozenset()
    """Names of everything the shop sells."""

    @property
    def email(self) -> str | None:
        """The email it gives first, None where it remembers none."""
        return self.emails[0] if self.emails else None

    @property
    def zip(self) -> str | None:
        """The zip code it gives first, None where it remembers none."""
        return self.zips[0] if self.zips else None

    def knows(self, words: str) -> bool:
        """Whether some words stand in the customer's text; it knows no empty ones."""
        return bool(words) and re.search(rf"(?<!\w){re.escape(words.casefold())}(?!\w)", self.text) is not None

    def may_say(self, name: str | None) -> bool:
        """Whether the customer knows the id of an order, with its number sign or not, or of a payment method."""
        return name is not None and self.knows(name.lstrip("#"))


def build_agenda(task: Task, shop: Mapping[str, Any]) -> Agenda:
    """Build what the scripted customer wants and knows.

    Args:
        task: the task; its story says what the customer brings up. Without a story, its gold writes become requests
            and its outputs an inquiry.
        shop: the shop's database: {"users", "orders", "products"}.

    Raises:
        InvalidValueError: a task whose customer is not in the shop.
    """
    story = story_of(task)
    user_id = story.customer if story and story.customer else _customer_id(task, shop)
    user = shop["users"][user_id]
    scenario = task.scenario
    source = source_class(task)
    known, unknown = source.user_knowledge(task), scenario.unknown_info or ""
    only_told = story is not None or not source.knows_profile
    emails, zips = _told(story, user, known) if only_told else _remembered(user, known, unknown)
    return Agenda(
        requests=requests_of(story, task, user_id, shop) if story else _requests(task, user_id, shop),
        first_name=user["name"]["first_name"],
        last_name=user["name"]["last_name"],
        zips=zips,
        emails=emails,
        user_id=user_id if user_id in known else None,
        address=address_of(user["address"]),
        payment_methods=payment_methods_of(user),
        by_email=bool(emails) and _identified_by_email(task, known),
        text=task.instruction.casefold(),
        openness=_openness(f"{scenario.persona or ''} {scenario.task_instructions or ''}"),
        products=frozenset(product["name"] for product in shop["products"].values()),
    )


def _customer_id(task: Task, shop: Mapping[str, Any]) -> str:
    """The user whom the task names, or whose name and zip code are in its scenario."""
    if task.user_id in shop["users"]:
        return str(task.user_id)
    known = (task.scenario.known_info or "").casefold()
    for user_id, user in shop["users"].items():
        names = (user["name"]["first_name"], user["name"]["last_name"], user["address"]["zip"])
        if all(part.casefold() in known for part in names):
            return str(user_id)
    raise InvalidValueError(
        f"Task {task.id!r} names the customer {task.user_id!r}, who is not in the shop; "
        "the scripted customer needs a task with a user_id of the shop's users"
    )


def _told(story: Story | None, user: Mapping[str, Any], known: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Emails and zip codes of a customer that knows what it was told; one told neither knows its own."""
    own = user["address"]["zip"]
    emails = (story.emails if story else ()) or tuple(EMAIL.findall(known))
    zips = (story.zips if story else ()) or ((own,) if own in known else ())
    return (emails, zips) if emails or zips else ((user["email"],), (own,))


def _remembered(user: Mapping[str, Any], known: str, unknown: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Emails and zip codes of a customer that knows its profile, but for what it was told not to remember."""
    found = EMAIL.search(known)
    email = found.group() if found else None if re.search(r"\be-?mail", unknown, re.IGNORECASE) else user["email"]
    zip_code = None if re.search(r"\bzip", unknown, re.IGNORECASE) else user["address"]["zip"]
    return ((email,) if email else ()), ((zip_code,) if zip_code else ())


def _identified_by_email(task: Task, known: str) -> bool:
    lookups = [action.name for action in task.actions if action.name.startswith("find_user_id_by_")]
    return lookups[0] == "find_user_id_by_email" if lookups else bool(EMAIL.search(known))


def _openness(personality: str) -> float:
    """How often a request is stated with all its details at once; the rest waits for the agent's questions."""
    if re.search(r"private|mysterious|reveal|piece|one thing|shy|insecure", personality, re.IGNORECASE):
        return 0.2
    if re.search(r"detail|together|upfront|organi[sz]ed|impatient|busy|outgoing", personality, re.IGNORECASE):
        return 0.8
    return 0.5


def _requests(task: Task, user_id: str, shop: Mapping[str, Any]) -> tuple[Request, ...]:
    wanted = [request_of(action, user_id, shop) for action in task.actions if action.name in KIND_OF_TOOL]
    if task.outputs or not wanted:
        wanted.append(Request(Kind.INQUIRY, question=_question(task, bool(wanted)), answers=task.outputs))
    return tuple(wanted)


ASKING = re.compile(r"want to know|wonder|how (?:much|many)|tracking|price|total|balance|check|which|options", re.I)
"""What a sentence asks that is left to say once the writes are said."""
MOST_WORDS = 50
"""Words of the customer's question; the rest of a long instruction is left out."""


def _question(task: Task, after_writes: bool) -> str:
    """What the customer asks for the task's outputs, or about everything where nothing is to be changed."""
    text = f"{task.scenario.reason_for_call or ''} {task.scenario.task_instructions or ''}"
    sentences = [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if re.search(r"\w", part)]
    sayable = [part for part in sentences if not re.search(r"\d{10}|\b[a-z]+_[a-z]+_\d+|agent|###", part, re.I)]
    if after_writes:
        sayable = [part for part in sayable if ASKING.search(part)]
    words = " ".join(first_person(part) for part in sayable[:2]).split()
    if not words:
        return "Could you also tell me the amounts and details of my orders?"
    return " ".join(words[:MOST_WORDS])


def first_person(text: str) -> str:
    """Turn words told to a customer ("You want your money") into the customer's own ("I want my money")."""
    swaps = (
        (r"\byou(?:'re| are)\b", "I'm"),
        (r"\byou were\b", "I was"),
        (r"\byou've\b", "I've"),
        (r"\byou'd\b", "I'd"),
        (r"\byou'll\b", "I'll"),
        (r"\byourself\b", "myself"),
        (r"\byours\b", "mine"),
        (r"\byour\b", "my"),
        (r"\b(to|for|with|of|from|let|tell|give|help|offers?|gives?) you\b", r"\1 me"),
        (r"\byou\b", "I"),
    )
    for pattern, replacement in swaps:
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    return text[:1].upper() + text[1:]
