"""How customers of the third series speak: everyday words for things, orders, options and payments, and a style."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from tau_retail_env.sources.generated.visit import Beat, Call, Reference, Row, Visit, call, misread
from tau_retail_env.sources.generated.wording import Wording, casual, listed, sentences
from tau_retail_env.tasks.seeding import Draws

GRAMMAR = ("wording.toml", "frames.toml", "shapes.toml", "everyday.toml")
"""The files of the third series' grammar."""
SUBJECTS = ("say", "vain", "ask", "transfer", "turn")
"""The keys of a beat that hold what the customer says."""
PLAIN_WORD = re.compile(r"(?<![\w#@.-])[A-Za-z][A-Za-z']*(?![\w@-])")
LONG_WORD = re.compile(r"(?<![\w#@.-])[a-z]{6,}(?![\w@-])")
SHORTHAND: Mapping[str, str] = {
    "please": "pls",
    "thanks": "thx",
    "you": "u",
    "your": "ur",
    "are": "r",
    "because": "cuz",
    "number": "nr",
    "with": "w/",
    "without": "w/o",
    "something": "smth",
    "everything": "evrything",
    "and": "&",
    "tomorrow": "tmrw",
    "right": "rite",
    "though": "tho",
    "before": "b4",
}
"""How a customer in haste types some words."""
STYLE_WEIGHTS = (50, 14, 7, 6, 12, 11)
"""How often, in percent, a customer has each of `STYLES`."""


class EverydayWording(Wording):
    """Words one task with everyday nouns and options in many forms, such as "one in black" or "my reading thing"."""

    with_options = ""

    def item(self, name: str) -> str:
        """A product as the customer calls it: by its name, or by an everyday noun."""
        return casual(name) if self._draws.below(2) else self.say(f"item {name}")

    def option(self, name: str, value: str) -> str:
        """One option, to follow "one": "in black", "made of glass", "without a backlight"."""
        exact = f"option {name}={value}"
        return self.say(exact if exact in self._rules else f"option {name}", value=value)


class EverydayVisit(Visit):
    """A call whose customer also names an order by two things in it, by where it went, or by what has become of it."""

    def ways(self) -> Mapping[str, Callable[[Row], str]]:
        """How an order is named other than by its id; each gives no words for an order that it does not tell."""
        return {"place": self._by_place, "status": self._by_status, "things": self._by_things}

    def refer(self, order: Row, items: Sequence[Row] = (), *, untold: Collection[str] = ()) -> Reference:
        """Name an order.

        Args:
            order: one of the customer's.
            items: what the part names of it anyhow; the whole order where it names nothing.
            untold: keys of `ways` that cannot name it, for they are what is asked.
        """
        draw = self.draws.below(100)
        ways = [way for key, way in self.ways().items() if key not in untold and draw >= 45 and way(order)]
        if draw < 4:
            return self._by_wrong_id(order)
        if not ways:
            return self._by_id(order)
        return self._in_words(order, items, self.draws.choice(ways)(order), self.search(order))

    def _in_words(self, order: Row, items: Sequence[Row], name: str, calls: Iterable[Call]) -> Reference:
        telling = any(self.is_unique(item) for item in items)
        tail = self.wording.say("from_pending" if order["status"] == "pending" else "from_past")
        if not telling or self.draws.below(3) == 0:
            tail = f" {self.wording.say('out_of')} {name}"
        words = {"order": self.wording.sentence("answer_order_in_words", order=name)}
        return Reference(name, tail, words, tuple(calls), 1)

    def describe(self, method_id: str) -> str:
        """A payment method in words: "my PayPal"; its id where words do not tell it from another one."""
        methods = self.user["payment_methods"]
        source = methods[method_id]["source"]
        if sum(other["source"] == source for other in methods.values()) == 1:
            return self.wording.say(f"my_{source}")
        return super().describe(method_id)

    def _by_id(self, order: Row) -> Reference:
        name = self.wording.say("order_by_id", order_id=order["order_id"])
        tail = self.wording.say("from_order", order_id=order["order_id"])
        words = {"order": self.wording.sentence("answer_order", order_id=order["order_id"])}
        return Reference(name, tail, words, (call("get_order_details", order_id=order["order_id"]),), 0)

    def _by_wrong_id(self, order: Row) -> Reference:
        wrong, name = misread(order["order_id"]), self._by_things(order) or order["order_id"]
        calls = (call("get_order_details", order_id=wrong), *self.search(order))
        words = {"order": self.wording.sentence("answer_order_in_words", order=name)}
        tail = self.wording.say("from_order", order_id=wrong)
        return Reference(self.wording.say("order_by_id", order_id=wrong), tail, words, calls, 2)

    def _by_place(self, order: Row) -> str:
        """By the state or city that no other order goes to."""
        for part in ("state", "city"):
            if sum(other["address"][part] == order["address"][part] for other in self.orders.values()) == 1:
                place = order["address"][part] if part == "city" else STATES[order["address"][part]]
                rule = "order_to_come" if order["status"] == "pending" else "order_gone"
                return "" if order["status"] == "cancelled" else self.wording.say(rule, place=place)
        return ""

    def _by_status(self, order: Row) -> str:
        """By its status, where no other order has it."""
        if sum(other["status"] == order["status"] for other in self.orders.values()) > 1:
            return ""
        return self.wording.say(f"order_{order['status']}")

    def _by_things(self, order: Row) -> str:
        """By one or two things that no other order holds."""
        telling = [item for item in order["items"] if self.is_unique(item)]
        if not telling:
            return ""
        chosen = self.draws.sample(telling, min(len(telling), 1 + self.draws.below(2)))
        things = listed([f"the {self.wording.item(item['name'])}" for item in chosen])
        return self.wording.say("order_with", things=things)


def in_style(visit: Visit, beats: list[Beat]) -> list[Beat]:
    """The beats of a call as one customer types them, from the first to the last."""
    style = visit.draws.weighted(STYLES, STYLE_WEIGHTS)
    return [_styled(visit, beat, style, number == 0) for number, beat in enumerate(beats)]


def _styled(visit: Visit, beat: Beat, style: Callable[[Visit, str, bool], str], opens: bool) -> Beat:
    texts = {key: style(visit, beat[key], opens and key != "turn") for key in SUBJECTS if beat.get(key)}
    words = {fact: style(visit, text, False) for fact, text in beat.get("words", {}).items()}
    return beat | texts | ({"words": words} if words else {})


def _plainly(visit: Visit, text: str, opens: bool) -> str:
    return text


def _in_small_letters(visit: Visit, text: str, opens: bool) -> str:
    return text if visit.spelled.search(text) else PLAIN_WORD.sub(lambda match: match[0].lower(), text)


def _in_shorthand(visit: Visit, text: str, opens: bool) -> str:
    if visit.spelled.search(text):
        return text
    return PLAIN_WORD.sub(lambda match: SHORTHAND.get(match[0].lower(), match[0].lower()), text)


def _with_a_slip(visit: Visit, text: str, opens: bool) -> str:
    """Two neighbouring letters of a long word change places."""
    found = [] if visit.spelled.search(text) else list(LONG_WORD.finditer(text))
    if not found:
        return text
    match = visit.draws.choice(found)
    place = match.start() + 1 + visit.draws.below(len(match[0]) - 2)
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]


def _politely(visit: Visit, text: str, opens: bool) -> str:
    if not opens:
        return text
    before, after = ("polite_start", "") if visit.draws.below(2) else ("", "polite_end")
    return _around(visit, text, before, after)


def _annoyed(visit: Visit, text: str, opens: bool) -> str:
    return _around(visit, text, "annoyed_start" if opens else "", "") if opens else text


def _around(visit: Visit, text: str, before: str, after: str) -> str:
    said = [visit.wording.say(rule) if rule else "" for rule in (before, after)]
    return sentences(f"{said[0]} {text} {said[1]}")


STYLES = (_plainly, _in_small_letters, _in_shorthand, _with_a_slip, _politely, _annoyed)
"""How a customer types: as the grammar has it, in small letters, in shorthand, with slips; politely, annoyed."""
STATES: Mapping[str, str] = {
    "AZ": "Arizona",
    "CA": "California",
    "CO": "Colorado",
    "DC": "Washington, D.C.",
    "FL": "Florida",
    "IL": "Illinois",
    "IN": "Indiana",
    "NC": "North Carolina",
    "NY": "New York",
    "OH": "Ohio",
    "PA": "Pennsylvania",
    "TX": "Texas",
    "WA": "Washington State",
}
"""The states of the shop's addresses."""


def begin(user: Row, draws: Draws, held_out: bool) -> Visit:
    """Begin a call.

    Args:
        user: the customer, as the shop has it.
        draws: decides.
        held_out: whether its words are those kept for judging.
    """
    return EverydayVisit(user, draws, EverydayWording(draws, held_out=held_out, grammar=GRAMMAR))
