"""The scripted customer: offline, deterministic by task and seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tau_retail_env.chat.messages import AgentMessage
from tau_retail_env.errors import EpisodeStateError, unknown
from tau_retail_env.tasks.task import Task
from tau_retail_env.users.agenda import Agenda, Item, Kind, Request, build_agenda
from tau_retail_env.users.customer import STOP, UserMessage
from tau_retail_env.users.listening import Fact, Heard, listen
from tau_retail_env.users.phrases import PORTIONS, Phrasebook
from tau_retail_env.users.review import Review, order_ids, review

PATIENCE = 3
"""Agent messages in a row that neither act nor ask anything on the agenda before the customer leaves; also how often
the customer repeats a fact, or corrects one request, before that counts as no progress."""
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
}


class ScriptedCustomer:
    """Plays the customer of one task after another from an agenda; see `Conversation` for how it behaves."""

    def __init__(self, shop: Mapping[str, Any], *, phrasings: str = "auto") -> None:
        """Get to know the shop.

        Args:
            shop: the shop's database, read only: {"users", "orders", "products"}.
            phrasings: "train", "held_out", "all", or "auto": held out for tasks of a split "test", train otherwise.

        Raises:
            InvalidValueError: unknown phrasings.
        """
        if phrasings not in ("auto", *PORTIONS):
            raise unknown("phrasings", phrasings, ("auto", *PORTIONS))
        self._shop = shop
        self._phrasings = phrasings
        self._conversation: Conversation | None = None

    def reset(self, task: Task, *, seed: int) -> UserMessage:
        """Begin an episode and say the first words.

        Args:
            task: what the customer wants.
            seed: decides the wording and nothing else.

        Raises:
            InvalidValueError: a task whose customer is not in the shop.
        """
        portion = self._phrasings
        if portion == "auto":
            portion = "held_out" if task.split == "test" else "train"
        book = Phrasebook(portion=portion, name=f"{task.id}/{seed}")
        self._conversation = Conversation(build_agenda(task, self._shop), book)
        return UserMessage(self._conversation.open())

    def respond(self, message: AgentMessage) -> UserMessage:
        """Answer the agent's text.

        Args:
            message: what the agent said; tool calls are not heard.

        Raises:
            EpisodeStateError: no episode has begun.
        """
        if self._conversation is None:
            raise EpisodeStateError(
                "The customer was spoken to before an episode began; call reset(task, seed=…) first"
            )
        content = self._conversation.answer(message.content or "")
        return UserMessage(content, stop=STOP if STOP in content else None)


class Conversation:
    """One episode from the customer's side: one request after another, each until it is done or refused."""

    def __init__(self, agenda: Agenda, book: Phrasebook) -> None:
        """Begin with everything still to be said.

        Args:
            agenda: what the customer wants and knows.
            book: how it words things.
        """
        self._agenda = agenda
        self._book = book
        self._waiting = list(agenda.requests)
        self._stated: list[Request] = []
        self._confirmed: list[Request] = []
        self._told: Counter[tuple[Request | None, Fact]] = Counter()
        self._asked: Counter[tuple[Request | None, Fact]] = Counter()
        self._corrections: Counter[Request] = Counter()
        self._unanswered = {answer.lower() for request in agenda.requests for answer in request.answers}
        self._useless = 0

    def open(self) -> str:
        """The first words: a greeting, perhaps who it is, and the first request."""
        words = [self._book.say("hello")]
        if self._book.random("introduces itself").random() < 0.5:
            words.append(self._identity(frozenset({Fact.EMAIL, Fact.NAME, Fact.ZIP})))
        words.append(self._state_next())
        return " ".join(words)

    def answer(self, text: str) -> str:
        """The words that answer an agent's text; they hold the stop token when the conversation is over."""
        heard = listen(text)
        self._note_answers(heard.text)
        if not self._stated:
            return self._goodbye("goodbye")
        current = self._stated[0]
        if current.kind is Kind.INQUIRY:
            return self._about_inquiry(heard)
        if heard.confirmation:
            return self._about_confirmation(heard)
        if heard.asks and not (self._confirmed and heard.done):
            return self._about_question(current, heard)
        if self._confirmed:
            return self._after_yes(heard)
        return self._before_yes(current, heard)

    def _about_question(self, current: Request, heard: Heard) -> str:
        """Answer, unless what was said twice was refused again."""
        facts = heard.asks - IDENTITY_FACTS
        if heard.refused and facts and all(self._told[current, fact] > 1 for fact in facts):
            return self._close([current], "resignation")
        return self._give(heard.asks, heard)

    def _after_yes(self, heard: Heard) -> str:
        if heard.refused and not heard.done:
            return self._close(self._mentioned(self._confirmed, heard), "resignation")
        waits = heard.promised or not heard.text or (heard.question and not heard.what_next)
        if heard.done or not waits:
            return self._close(self._mentioned(self._confirmed, heard), "thanks")
        return self._lose_patience(heard)

    def _before_yes(self, current: Request, heard: Heard) -> str:
        if heard.refused:
            return self._close([current], "resignation")
        verdict = review(heard.text, current, self._agenda)
        if heard.done:
            return self._close([current], "thanks") if verdict.matches else self._correct(current, verdict)
        if heard.what_next:
            return self._about_what_next(current, heard)
        if "?" in heard.text and (verdict.right or verdict.wrong):
            return self._about_confirmation(heard)
        return self._lose_patience(heard)

    def _about_what_next(self, current: Request, heard: Heard) -> str:
        untold = [fact for fact in FACTS_OF_KIND[current.kind] if not self._told[current, fact]]
        if self._waiting and not untold:
            return self._state_next()
        if not untold:
            return self._lose_patience(heard)
        return self._statement(current, full=True)

    def _about_inquiry(self, heard: Heard) -> str:
        current = self._stated[0]
        if current.answers and not self._unanswered:
            return self._close([current], "thanks")
        if heard.asks:
            return self._give(heard.asks, heard)
        if heard.refused:
            return self._close([current], "resignation")
        if heard.confirmation and not heard.what_next:
            self._useless += 1
            return self._book.say("yes") if self._useless < PATIENCE else self._goodbye("goodbye_unhappy")
        if heard.promised or not heard.text or ("?" in heard.text and len(heard.text) < 80):
            return self._lose_patience(heard)
        return self._close([current], "thanks")

    def _about_confirmation(self, heard: Heard) -> str:
        asked = self._asked_about(heard)
        verdicts = self._reviews(asked, heard)
        for request, verdict in verdicts.items():
            if not verdict.matches:
                return self._correct(request, verdict)
        if not any(verdict.says_something for verdict in verdicts.values()):
            return self._about_nothing(heard)
        self._useless = 0
        self._stated.extend(request for request in asked if request in self._waiting)
        self._waiting = [request for request in self._waiting if request not in asked]
        self._confirmed.extend(request for request in asked if request not in self._confirmed)
        return self._agree(verdicts, heard)

    def _asked_about(self, heard: Heard) -> list[Request]:
        """The requests that a confirmation is about; one not yet brought up only where all of it is told, and right."""
        stated = self._mentioned([request for request in self._stated if request.kind is not Kind.INQUIRY], heard)
        named = order_ids(heard.plan)
        in_hand = {request.order_id for request in self._stated}
        waiting = [request for request in self._waiting if request.order_id in named - in_hand]
        verdicts = self._reviews([*stated, *waiting], heard)
        ahead = [request for request in waiting if verdicts[request].covers(FACTS_OF_KIND[request.kind])]
        return [*(stated if named else stated[:1]), *ahead]

    def _reviews(self, requests: Sequence[Request], heard: Heard) -> dict[Request, Review]:
        return {
            request: review(heard.plan, request, self._agenda, [other for other in requests if other is not request])
            for request in requests
        }

    def _agree(self, verdicts: Mapping[Request, Review], heard: Heard) -> str:
        """Yes, and what the agent still has to know."""
        words = [self._book.say("yes")]
        for request, verdict in verdicts.items():
            open_facts = [
                fact
                for fact in FACTS_OF_KIND[request.kind]
                if fact not in verdict.right and (fact in heard.asks or not self._told[request, fact])
            ]
            words.extend(self._facts(request, open_facts))
        return " ".join(words)

    def _about_nothing(self, heard: Heard) -> str:
        """The agent wants a yes, but to what?"""
        agenda = self._agenda
        if agenda.last_name in heard.text or (agenda.email and agenda.email in heard.text):
            self._useless += 1
            return self._book.say("yes") if self._useless < PATIENCE else self._goodbye("goodbye_unhappy")
        return self._give(heard.asks, heard) if heard.asks else self._lose_patience(heard)

    def _correct(self, request: Request, verdict: Review) -> str:
        self._corrections[request] += 1
        if self._corrections[request] > PATIENCE:
            return self._close([request], "resignation")
        self._useless = 0
        self._confirmed = [other for other in self._confirmed if other is not request]
        words = [self._book.say("correction")]
        if verdict.wrong_kind:
            words.append(self._statement(request, full=True))
        else:
            words.extend(self._facts(request, [fact for fact in FACTS_OF_KIND[request.kind] if fact in verdict.wrong]))
        return " ".join(words)

    def _give(self, asks: frozenset[Fact], heard: Heard) -> str:
        """Answer everything that is asked at once."""
        current = self._stated[0]
        owned = [(None if fact in IDENTITY_FACTS else current, fact) for fact in asks]
        self._asked.update(owned)
        if owned and min(self._asked[key] for key in owned) > PATIENCE:
            return self._lose_patience(heard)
        self._useless = 0
        words = [self._identity(asks)] if asks & IDENTITY_FACTS else []
        wanted = [fact for fact in Fact if fact in asks - IDENTITY_FACTS]
        words.extend(self._facts(current, wanted))
        if not words:
            words.append(self._book.say("no_preference", fact=wanted[0].value))
        return " ".join(words)

    def _knows(self, request: Request, fact: Fact) -> bool:
        """Whether there is anything to say about a fact."""
        given = {
            Fact.ORDER: request.order_id,
            Fact.ITEMS: request.items,
            Fact.OPTIONS: request.kind in CHANGING_ITEMS,
            Fact.PAYMENT: request.payment,
            Fact.REASON: request.reason,
            Fact.ADDRESS: True,
        }
        return bool(given[fact])

    def _mentioned(self, requests: list[Request], heard: Heard) -> list[Request]:
        """Those of some requests whose order the text names; all of them where it names none of them."""
        named = order_ids(heard.text)
        found = [request for request in requests if request.order_id in named]
        found = [request for request in found if review(heard.text, request, self._agenda).right_kind] or found
        if (
            found
            and any(request.kind is Kind.DEFAULT_ADDRESS for request in requests)
            and "default" in heard.text.lower()
        ):
            found += [request for request in requests if request.kind is Kind.DEFAULT_ADDRESS]
        return found or list(requests)

    def _close(self, requests: Iterable[Request], act: str) -> str:
        """Take requests off the agenda and say what comes next."""
        closed = list(requests)
        self._useless = 0
        self._stated = [request for request in self._stated if request not in closed]
        self._confirmed = [request for request in self._confirmed if request not in closed]
        if self._stated:
            return f"{self._book.say(act)} {self._statement(self._stated[0], full=True)}"
        if self._waiting:
            return f"{self._book.say(act)} {self._state_next()}"
        return self._goodbye("goodbye")

    def _goodbye(self, act: str) -> str:
        self._stated, self._waiting, self._confirmed = [], [], []
        return f"{self._book.say(act)} {STOP}"

    def _lose_patience(self, heard: Heard) -> str:
        self._useless += 1
        if self._useless >= PATIENCE:
            return self._goodbye("goodbye_unhappy")
        if heard.promised:
            return self._book.say("patience")
        return f"{self._book.say('impatience')} {self._statement(self._stated[0], full=True)}"

    def _note_answers(self, text: str) -> None:
        """Notice the answers to an inquiry wherever the agent gives them, by upstream's rule for outputs."""
        if not self._unanswered:
            return
        plain = text.lower().replace(",", "")
        self._unanswered = {answer for answer in self._unanswered if answer not in plain}
        if not self._unanswered:
            self._waiting = [request for request in self._waiting if request.kind is not Kind.INQUIRY]

    def _state_next(self) -> str:
        request = self._waiting.pop(0)
        self._stated.append(request)
        return self._statement(request, full=self._book.random("is open").random() < self._agenda.openness)

    def _statement(self, request: Request, *, full: bool) -> str:
        """A request in words, with all its details or only some."""
        if request.kind is Kind.INQUIRY:
            return self._book.say("inquiry", question=request.question)
        names_order = full or self._book.random("names the order").random() < 0.6
        order = self._order_name(request) if names_order else "an order"
        items = _listed(item.label for item in request.items) if full and request.items else "something"
        act = "payment_change" if request.kind is Kind.PAYMENT else request.kind.value
        words = [self._book.say(act, order=order, items=items)]
        if names_order and self._agenda.knows_order_ids:
            self._told[request, Fact.ORDER] += 1
        if full:
            self._told[request, Fact.ITEMS] += 1
            words.extend(
                self._facts(
                    request, [fact for fact in FACTS_OF_KIND[request.kind] if fact not in (Fact.ORDER, Fact.ITEMS)]
                )
            )
        return " ".join(words)

    def _order_name(self, request: Request) -> str:
        if self._agenda.knows_order_ids:
            return f"order {request.order_id}"
        return f"the order with {_listed(item.label for item in (*request.items, *request.other_items))}"

    def _identity(self, asks: frozenset[Fact]) -> str:
        """Who the customer is: what was asked for as far as it is known, otherwise what identifies it as well."""
        chosen = self._chosen_identity(asks)
        unknown_facts = [] if chosen & asks else list(asks & IDENTITY_FACTS)
        for fact in chosen:
            self._told[None, fact] += 1
        words = [self._book.say("dont_know", fact=fact.value) for fact in sorted(unknown_facts)[:1]]
        return " ".join([*words, self._identity_words(chosen)])

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
        return all(self._told[None, fact] for fact in facts)

    def _identity_words(self, facts: frozenset[Fact]) -> str:
        agenda = self._agenda
        name = f"{agenda.first_name} {agenda.last_name}"
        if Fact.USER_ID in facts:
            return self._book.say("user_id", user_id=agenda.user_id or "")
        if Fact.EMAIL in facts:
            return self._book.say("email", email=agenda.email or "")
        act = "name_zip" if len(facts) > 1 else "name" if Fact.NAME in facts else "zip"
        return self._book.say(act, name=name, zip=agenda.zip or "")

    def _facts(self, request: Request, facts: Iterable[Fact]) -> list[str]:
        """Several facts about a request, each in a sentence; the options of several items name the items as well."""
        wanted = list(facts)
        if Fact.OPTIONS in wanted and len(request.items) > 1:
            wanted = [fact for fact in wanted if fact is not Fact.ITEMS]
        words = []
        for fact in (fact for fact in wanted if self._knows(request, fact)):
            words.append(self._fact(request, fact))
            self._told[request, fact] += 1
        if Fact.OPTIONS in wanted:
            self._told[request, Fact.ITEMS] += 1
        return words

    def _fact(self, request: Request, fact: Fact) -> str:
        """A fact that the customer knows, in a sentence."""
        say = self._book.say
        match fact:
            case Fact.ORDER if self._agenda.knows_order_ids:
                return say("order id", order=request.order_id or "")
            case Fact.ORDER:
                return f"{say('dont_know', fact=fact.value)} {say('items', items=self._order_name(request))}"
            case Fact.ITEMS:
                return say("items", items=_listed(item.label for item in request.items))
            case Fact.OPTIONS:
                named = len(request.items) == 1 and self._told[request, Fact.ITEMS] > 0
                return say("options", changes=_changes(request.items, named=named))
            case Fact.PAYMENT:
                act = "refund" if request.kind is Kind.RETURN else "payment"
                return say(act, payment=request.payment.id if request.payment else "")
            case Fact.REASON:
                return say("reason_needless" if request.reason == "no longer needed" else "reason_mistake")
            case _:
                return say("address", address=(request.address or self._agenda.address).text)


def _listed(names: Iterable[str]) -> str:
    """Names as one says them: "the Desk Lamp, the Grill and the T-Shirt"."""
    articled = [f"the {name}" for name in names]
    return " and ".join([", ".join(articled[:-1]), articled[-1]]) if len(articled) > 1 else articled[0]


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
