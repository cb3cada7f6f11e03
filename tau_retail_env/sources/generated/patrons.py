"""How customers of the fifth series speak: they tell orders by place and by cost, and misremember their emails."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from tau_retail_env.sources.generated import callers, choosing, picking
from tau_retail_env.sources.generated.callers import Caller
from tau_retail_env.sources.generated.choosing import Choice
from tau_retail_env.sources.generated.everyday import EverydayWording
from tau_retail_env.sources.generated.identity import Identity, is_taken, wrong_zip
from tau_retail_env.sources.generated.visit import Call, Part, Reference, Row, Visit, call
from tau_retail_env.sources.generated.wording import casual
from tau_retail_env.tasks.seeding import Draws

GRAMMAR = (
    *callers.GRAMMAR,
    "patrons.toml",
    "nouns.toml",
    "asking.toml",
    "options.toml",
    "places.toml",
    "wishes.toml",
    "sets.toml",
)
"""The files of the fifth series' grammar."""
MISTAKEN_PERCENT = 20
"""How often the customer first gives an email or a zip code that is not its account's."""
BY_ID_PERCENT = 40
"""How often an order is named by its id."""
WRONG_ID_PERCENT = 4
MARGIN = 1.2
"""How many times as much the dearest order cost as the next one, where it is called so."""
LONG_OUTPUT = 3
"""A longer answer counts wherever it is said: what was told already is not asked again."""
SHORT_FORMS = {
    "Street": "St",
    "Avenue": "Ave",
    "Road": "Rd",
    "Lane": "Ln",
    "Drive": "Dr",
    "Boulevard": "Blvd",
    "Court": "Ct",
}
"""How a customer may write the end of a street's name, which is then the name to be kept."""
SHORT_PERCENT = 25
TOLD_OFTEN = ("position", "money")
"""Ways to name an order that are drawn more often than the others."""


class PatronWording(EverydayWording):
    """Words one task; two of three things are called by an everyday noun."""

    def item(self, name: str) -> str:
        """A product as the customer calls it: by its name, or by an everyday noun."""
        return self.say(f"item {name}") if self._draws.below(3) else casual(name)


class Patron(Caller):
    """A call whose customer also tells an order by when it was placed and by what it cost."""

    def __init__(self, user: Row, draws: Draws, wording: PatronWording) -> None:
        """Begin a call.

        Args:
            user: the customer, as the shop has it.
            draws: decides.
            wording: words it.
        """
        super().__init__(user, draws, wording)
        self._answers = ""

    def attempt(self, build: Callable[[Visit], Part | None]) -> Part | None:
        """Make a part that neither tells what another one asks, nor asks what another one tells."""

        def fresh(visit: Visit) -> Part | None:
            part = build(visit)
            if part is None:
                return None
            answers = " ".join(beat.get("answer", "") for beat in part.beats).lower()
            asked = {output.lower() for output in part.outputs if len(output) > LONG_OUTPUT}
            before = {output.lower() for output in self.told if len(output) > LONG_OUTPUT}
            known = any(output in self._answers for output in asked) or any(output in answers for output in before)
            return None if known else part

        part = super().attempt(fresh)
        if part is not None:
            self._answers += " ".join(beat.get("answer", "") for beat in part.beats).lower()
        return part

    def choose(self, item: Row) -> Choice | None:
        """What the customer wants instead of an item; None where its product has nothing for it."""
        way = choosing.choose if self.draws.below(100) < 55 else picking.pick
        return way(self.draws, self.wording, item)

    def new_address(self, present: Row) -> dict[str, str]:
        """An address as in the fourth series; now and then its street ends in a short form."""
        address = super().new_address(present)
        street, _, end = address["address1"].rpartition(" ")
        if end in SHORT_FORMS and self.draws.below(100) < SHORT_PERCENT:
            return {**address, "address1": f"{street} {SHORT_FORMS[end]}"}
        return address

    def ways(self) -> Mapping[str, Callable[[Row], str]]:
        """Those of the fourth series, and by its place in the account and by what it cost."""
        return {**super().ways(), "position": self._by_position, "money": self._by_money}

    def refer(self, order: Row, items: Sequence[Row] = (), *, untold: Collection[str] = ()) -> Reference:
        """Name an order.

        Args:
            order: one of the customer's.
            items: what the part names of it anyhow; the whole order where it names nothing.
            untold: keys of `ways` that cannot name it, for they are what is asked.
        """
        draw = self.draws.below(100)
        if draw < WRONG_ID_PERCENT:
            return self._by_wrong_id(order)
        ways = [key for key, way in self.ways().items() if key not in untold and way(order)]
        if draw < BY_ID_PERCENT or not ways:
            return self._by_id(order)
        key = self.draws.weighted(ways, [3 if key in TOLD_OFTEN else 2 for key in ways])
        return self._in_words(order, items, self.ways()[key](order), self._way_to(order, key))

    def _way_to(self, order: Row, key: str) -> list[Call]:
        """The look-ups that find an order by one of `ways`; its own is the last one, if not for the first time."""
        own = call("get_order_details", order_id=order["order_id"])
        if key == "position":
            return [self.profile(), own]
        return [*self.every_order(), own] if key == "money" else list(self.search(order))

    def _by_position(self, order: Row) -> str:
        """By its place: the shop lists a customer's orders as they were placed."""
        place, count = list(self.orders).index(order["order_id"]), len(self.orders)
        if count < 2 or 0 < place < count - 1:
            return ""
        return self.wording.say("order_placed_last" if place else "order_placed_first")

    def _by_money(self, order: Row) -> str:
        """As the dearest or the cheapest, where the next one is far from it."""
        amounts = sorted(each["payment_history"][0]["amount"] for each in self.orders.values())
        own = order["payment_history"][0]["amount"]
        if len(amounts) > 1 and own > MARGIN * amounts[-2]:
            return self.wording.say("order_dearest")
        return self.wording.say("order_cheapest") if len(amounts) > 1 and own * MARGIN < amounts[1] else ""


def identify(visit: Visit) -> Identity:
    """An email, or a name with a zip code; one in five gives another one first.

    Whose email is not found gives another one, or its name and zip code.
    """
    user, by_email = visit.user, visit.draws.below(2) == 0
    if visit.draws.below(100) >= MISTAKEN_PERCENT:
        return Identity((user["email"],), ()) if by_email else Identity((), (user["address"]["zip"],))
    if not by_email:
        wrong = wrong_zip(visit)
        return Identity((), (wrong, user["address"]["zip"]) if wrong else (user["address"]["zip"],), 1)
    wrong = visit.draws.choice([each for each in _misspelt(user) if not is_taken(each)])
    if visit.draws.below(2):
        return Identity((wrong,), (user["address"]["zip"],), 2)
    return Identity((wrong, user["email"]), (), 1)


def _misspelt(user: Row) -> list[str]:
    """Emails as a customer may have its own in mind."""
    local, host = user["email"].split("@")
    first, last = (user["name"][part].lower() for part in ("first_name", "last_name"))
    digits = local.removeprefix(f"{first}.{last}")
    forms = (
        f"{first}{last}{digits}",
        f"{last}.{first}{digits}",
        f"{first[0]}.{last}{digits}",
        f"{first}_{last}{digits}",
        f"{first}.{last}",
        f"{last}{digits}",
        f"{first}{digits}",
        f"{first}.{last}{digits[::-1]}",
        f"{first}-{last}{digits}",
        f"{first[0]}{last}",
    )
    return [f"{form}@{host}" for form in forms if form != local]


def begin(user: Row, draws: Draws, held_out: bool) -> Visit:
    """Begin a call.

    Args:
        user: the customer, as the shop has it.
        draws: decides.
        held_out: whether its words are those kept for judging.
    """
    return Patron(user, draws, PatronWording(draws, held_out=held_out, grammar=GRAMMAR))
