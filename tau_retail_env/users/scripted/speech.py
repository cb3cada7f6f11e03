"""How the scripted customer says what it wants and knows, and what it has said of it so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from tau_retail_env.users.scripted.agenda import Agenda
from tau_retail_env.users.scripted.listening import Fact
from tau_retail_env.users.scripted.naming import described_order, listed, order_name, payment_name
from tau_retail_env.users.scripted.phrases import Phrasebook
from tau_retail_env.users.scripted.request import ITEM_KINDS, PROSE, Item, Kind, Request

IDENTITY_FACTS = frozenset({Fact.EMAIL, Fact.NAME, Fact.ZIP, Fact.USER_ID})
CHANGING_ITEMS = (Kind.EXCHANGE, Kind.MODIFY_ITEMS)
FACTS_OF_KIND: Mapping[Kind, tuple[Fact, ...]] = {
    Kind.CANCEL: (Fact.ORDER, Fact.REASON),
    Kind.RETURN: (Fact.ORDER, Fact.ITEMS, Fact.PAYMENT),
    Kind.EXCHANGE: (Fact.ORDER, Fact.ITEMS, Fact.OPTIONS, Fact.PAYMENT),
    Kind.MODIFY_ITEMS: (Fact.ORDER, Fact.ITEMS, Fact.OPTIONS, Fact.PAYMENT),
    Kind.PAYMENT: (Fact.ORDER, Fact.PAYMENT),
    Kind.ORDER_ADDRESS: (Fact.ORDER, Fact.ADDRESS),
    Kind.DEFAULT_ADDRESS: (Fact.ADDRESS,),
    Kind.INQUIRY: (),
    Kind.IMPOSSIBLE: (),
    Kind.TRANSFER: (),
}


class Speech:
    """The customer's sentences in one episode: about its requests, the facts behind them, and itself."""

    def __init__(self, agenda: Agenda, book: Phrasebook) -> None:
        """Begin with nothing said.

        Args:
            agenda: what the customer wants and knows.
            book: how it words things.
        """
        self._agenda = agenda
        self._book = book
        self._worded: Counter[tuple[Fact, tuple[str, ...]]] = Counter()
        self._offered: set[Request] = set()
        self._begun = False
        self.told: Counter[tuple[Request | None, Fact]] = Counter()

    def offer(self, request: Request) -> None:
        """Remember that the agent has offered what the customer wants, which may from now on be named exactly."""
        self._offered.add(request)

    def unstated(self, request: Request) -> list[Fact]:
        """The facts of a request that the agent has not been told."""
        return [fact for fact in FACTS_OF_KIND[request.kind] if not self.told[request, fact]]

    def open(self, request: Request) -> str:
        """Bring a request up."""
        return self.statement(request, full=self._book.random("is open").random() < self._agenda.openness)

    def statement(self, request: Request, *, full: bool) -> str:
        """A request in words, with all its details or only some."""
        if request.kind is Kind.INQUIRY and not request.of_story:
            return self._book.say("inquiry", question=request.question)
        if request.kind in PROSE:
            return self._opening(request.question)
        if request.say:
            return self._in_own_words(request)
        names_order = full or self._book.random("names the order").random() < 0.6
        items = self._items_named(request) if full and request.items else "something"
        order = self._order_beside(items, request) if names_order else "an order"
        act = "payment_change" if request.kind is Kind.PAYMENT else request.kind.value
        words = [self._book.say(act, order=order, items=items)]
        if names_order:
            self.told[request, Fact.ORDER] += 1
        if full:
            self.told[request, Fact.ITEMS] += 1
            words.extend(
                self.facts(
                    request, [fact for fact in FACTS_OF_KIND[request.kind] if fact not in (Fact.ORDER, Fact.ITEMS)]
                )
            )
        return " ".join(words)

    def facts(self, request: Request, facts: Iterable[Fact], *, asked: bool = False) -> list[str]:
        """Several facts about a request, each in a sentence; the options of several items name the items as well.

        Args:
            request: what they are about.
            facts: which ones.
            asked: whether the agent has asked for them, and hears which of them the customer has not.
        """
        wanted = list(facts)
        if Fact.OPTIONS in wanted and len(request.items) > 1 and not self._is_vague(request, Fact.OPTIONS):
            wanted = [fact for fact in wanted if fact is not Fact.ITEMS]
        words = []
        for fact in (fact for fact in wanted if self._knows(request, fact)):
            if asked and self._lacks_id(request, fact):
                words.append(self._book.say("dont_know", fact=fact.value))
            words.append(self._fact(request, fact))
            self.told[request, fact] += 1
        if Fact.OPTIONS in wanted and request.kind not in PROSE:
            self.told[request, Fact.ITEMS] += 1
        return words

    def identity(self, asks: frozenset[Fact]) -> str:
        """Who the customer is: what was asked for as far as it is known, otherwise what identifies it as well."""
        chosen = self._chosen_identity(asks)
        unknown_facts = [] if chosen & asks else list(asks & IDENTITY_FACTS)
        words = [self._book.say("dont_know", fact=fact.value) for fact in sorted(unknown_facts)[:1]]
        words.append(self._identity_words(chosen))
        for fact in chosen:
            self.told[None, fact] += 1
        return " ".join(words)

    def has_news(self, asks: frozenset[Fact]) -> bool:
        """Whether it has an email or a zip code left that it has not given yet."""
        left = {Fact.EMAIL: self._agenda.emails, Fact.ZIP: self._agenda.zips}
        return any(self.told[None, fact] < len(values) for fact, values in left.items() if fact in asks)

    def _opening(self, words: str) -> str:
        """A story's words for a request; after the greeting, with an interjection before them."""
        if self._begun:
            return words
        self._begun = True
        return self._book.say("wish", wish=words)

    def _in_own_words(self, request: Request) -> str:
        """A request as its story words it; said again, with its details."""
        said_before = self.told[request, Fact.ITEMS] > 0
        self.told[request, Fact.ITEMS] += 1
        words = [self._opening(request.say)]
        if said_before:
            words.extend(self.facts(request, FACTS_OF_KIND[request.kind]))
        return " ".join(words)

    def _is_vague(self, request: Request, fact: Fact) -> bool:
        """Whether the customer words a fact instead of naming it."""
        return fact in request.words and not (fact is Fact.OPTIONS and request in self._offered)

    def _items_named(self, request: Request) -> str:
        return listed(item.label for item in request.items)

    def _order_beside(self, items: str, request: Request) -> str:
        """An order as a sentence names it in which the items of a return, an exchange or a change may stand."""
        told = request.kind in ITEM_KINDS and items != "something"
        if told and not self._agenda.may_say(request.order_id):
            return "my order"
        return order_name(request, self._agenda) or "my order"

    def _lacks_id(self, request: Request, fact: Fact) -> bool:
        """Whether the customer describes an order because its text has no id of it."""
        is_order = fact is Fact.ORDER and not self._is_vague(request, fact)
        return is_order and not self._agenda.may_say(request.order_id)

    def _knows(self, request: Request, fact: Fact) -> bool:
        """Whether there is anything to say about a fact."""
        if fact in request.words:
            return True
        given = {
            Fact.ORDER: request.order_id or (request.kind in PROSE and request.of_story),
            Fact.ITEMS: request.items,
            Fact.OPTIONS: request.kind in CHANGING_ITEMS,
            Fact.PAYMENT: request.payment,
            Fact.REASON: request.reason,
            Fact.ADDRESS: request.kind not in PROSE or not request.of_story,
        }
        return bool(given[fact])

    def _fact(self, request: Request, fact: Fact) -> str:
        """A fact that the customer knows, in a sentence."""
        say = self._book.say
        if self._is_vague(request, fact):
            return self._wording(fact, request.words[fact])
        match fact:
            case Fact.ORDER if self._lacks_id(request, fact):
                return described_order(request, self._agenda)
            case Fact.ORDER:
                return say("order id", order=request.order_id or "")
            case Fact.ITEMS:
                return say("items", items=self._items_named(request))
            case Fact.OPTIONS:
                named = len(request.items) == 1 and self.told[request, Fact.ITEMS] > 0
                return say("options", changes=_changes(request.items, named=named))
            case Fact.PAYMENT:
                act = "refund" if request.kind is Kind.RETURN else "payment"
                return say(act, payment=payment_name(request, self._agenda) if request.payment else "")
            case Fact.REASON:
                return say("reason_needless" if request.reason == "no longer needed" else "reason_mistake")
            case _:
                return say("address", address=(request.address or self._agenda.address).text)

    def _wording(self, fact: Fact, wordings: tuple[str, ...]) -> str:
        """The next of a fact's wordings; the last one for ever."""
        chosen = wordings[min(self._worded[fact, wordings], len(wordings) - 1)]
        self._worded[fact, wordings] += 1
        return chosen

    def _chosen_identity(self, asks: frozenset[Fact]) -> frozenset[Fact]:
        agenda = self._agenda
        by_email, by_name = frozenset({Fact.EMAIL}), frozenset({Fact.NAME, Fact.ZIP})
        known = by_name if agenda.email is None else by_email if agenda.zip is None else None
        usual = known or (by_email if agenda.by_email else by_name)
        named, user_id = asks & by_name, asks & {Fact.USER_ID}
        if user_id and agenda.user_id:
            return user_id
        if Fact.EMAIL in asks and named:
            other = by_name if usual == by_email else by_email
            return other if known is None and self._was_told(usual) and not self._was_told(other) else usual
        if Fact.EMAIL in asks:
            return by_email if agenda.email is not None else by_name
        if named == {Fact.NAME}:
            return named
        if named:
            return named if agenda.zip is not None else by_email
        return usual

    def _was_told(self, facts: frozenset[Fact]) -> bool:
        return all(self.told[None, fact] for fact in facts)

    def _identity_words(self, facts: frozenset[Fact]) -> str:
        agenda = self._agenda
        name = f"{agenda.first_name} {agenda.last_name}"
        if Fact.USER_ID in facts:
            return self._book.say("user_id", user_id=agenda.user_id or "")
        if Fact.EMAIL in facts:
            return self._book.say("email", email=self._next(agenda.emails, Fact.EMAIL))
        act = "name_zip" if len(facts) > 1 else "name" if Fact.NAME in facts else "zip"
        return self._book.say(act, name=name, zip=self._next(agenda.zips, Fact.ZIP))

    def _next(self, values: tuple[str, ...], fact: Fact) -> str:
        """The value to give this time; the last one for ever."""
        return values[min(self.told[None, fact], len(values) - 1)] if values else ""


def _changes(items: tuple[Item, ...], *, named: bool) -> str:
    """What is wanted instead: "the T-Shirt with size L and color red, the Desk Lamp just the same".

    Args:
        items: the items to be changed.
        named: whether the only item is known already, and is left out.
    """
    wanted = []
    for item in items:
        changes = " and ".join(f"{name} {value}" for name, value in item.changes.items())
        if named:
            wanted.append(changes or "the same again")
        else:
            wanted.append(f"the {item.label} with {changes}" if changes else f"the {item.label} just the same")
    return ", ".join(wanted)
