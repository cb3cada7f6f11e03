"""One episode from the scripted customer's side: what it does about each thing that the agent says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tau_retail_env.users.base import STOP
from tau_retail_env.users.scripted.agenda import Agenda
from tau_retail_env.users.scripted.listening import Fact, Heard, listen
from tau_retail_env.users.scripted.phrases import Phrasebook
from tau_retail_env.users.scripted.proposal import order_ids
from tau_retail_env.users.scripted.request import PROSE, Kind, Request
from tau_retail_env.users.scripted.review import Review, names_an_action, offers, relates, review
from tau_retail_env.users.scripted.speech import FACTS_OF_KIND, IDENTITY_FACTS, Speech

PATIENCE = 3
"""Agent messages in a row that neither act nor ask anything on the agenda before the customer leaves; also how often
the customer repeats a fact, or corrects one request, before that counts as no progress."""
ACCIDENTAL_CHARACTERS = 3
"""An answer of at most this length may stand in a text by accident: it counts only once its question was asked."""
FINDING_FACTS = IDENTITY_FACTS | {Fact.ORDER}
"""Facts that say whom and what it is about: while an agent asks for them, "not found" is no refusal of the request."""


class Conversation:
    """One request after another, each until it is done, refused or given up.

    An impossible request (`Request.is_impossible`) ends when the agent refuses it, or when the customer changes its
    mind; the requests after it that are marked `otherwise` come up only then, and an agent that proposes one of them
    right away is taken at its word. An agent that grants what it should have refused hears no more of them.
    """

    def __init__(self, agenda: Agenda, book: Phrasebook) -> None:
        """Begin with everything still to be said.

        Args:
            agenda: what the customer wants and knows.
            book: how it words things.
        """
        self._agenda = agenda
        self._book = book
        self._speech = Speech(agenda, book)
        self._waiting = list(agenda.requests)
        self._stated: list[Request] = []
        self._confirmed: list[Request] = []
        self._asked: Counter[tuple[Request | None, Fact]] = Counter()
        self._corrections: Counter[Request] = Counter()
        self._unanswered = {
            request: {answer.lower() for answer in request.answers} for request in agenda.requests if request.answers
        }
        self._useless = 0
        self.agreed = False
        """Whether the last answer said yes to a proposal."""

    def open(self) -> str:
        """The first words: a greeting, perhaps who it is, and the first request."""
        words = [self._book.say("hello")]
        if self._book.random("introduces itself").random() < 0.5:
            words.append(self._speech.identity(frozenset({Fact.EMAIL, Fact.NAME, Fact.ZIP})))
        words.append(self._state_next())
        return " ".join(words)

    def answer(self, text: str) -> str:
        """The words that answer an agent's text; they hold the stop token when the conversation is over."""
        self.agreed = False
        heard = listen(text)
        self._note_answers(heard.text)
        if not self._stated or heard.transferred:
            return self._goodbye("goodbye")
        current = self._stated[0]
        if offers(heard.text, current):
            self._speech.offer(current)
            heard = self._as_a_choice(current, heard)
        if heard.done and heard.confirmation and self._confirmed:
            self._settle(heard)
            if not self._stated:
                return self._about_the_next(heard)
            current = self._stated[0]
        match current.kind:
            case Kind.INQUIRY:
                return self._about_inquiry(current, heard)
            case Kind.TRANSFER:
                return self._about_transfer(current, heard)
            case Kind.IMPOSSIBLE if not heard.confirmation:
                return self._about_wish(current, heard)
        if heard.confirmation:
            return self._about_confirmation(current, heard)
        if heard.asks and not (self._confirmed and heard.done):
            return self._about_question(current, heard)
        if self._confirmed:
            return self._after_yes(heard)
        return self._before_yes(current, heard)

    def _as_a_choice(self, current: Request, heard: Heard) -> Heard:
        """ "Which one?" after an offer asks for options, not for an order or an item."""
        if Fact.OPTIONS not in current.words or not heard.question or heard.confirmation:
            return heard
        return replace(heard, asks=heard.asks - {Fact.ORDER, Fact.ITEMS} | {Fact.OPTIONS})

    def _settle(self, heard: Heard) -> None:
        """The agent reports what was confirmed, and goes on in the same breath."""
        reported = self._named(self._confirmed, heard.report)
        proposed = order_ids(heard.text)
        others = [request for request in self._confirmed if request.order_id not in proposed]
        self._take_off(reported or others or list(self._confirmed))
        self._useless = 0

    def _about_the_next(self, heard: Heard) -> str:
        """Nothing is stated any more, but the agent proposes something."""
        if not self._waiting:
            return self._goodbye("goodbye")
        self._stated.append(self._waiting.pop(0))
        if self._stated[0].kind in PROSE or not review(heard.plan, self._stated[0], self._agenda).right:
            return self._speech.statement(self._stated[0], full=True)
        return self._about_confirmation(self._stated[0], heard)

    def _about_question(self, current: Request, heard: Heard) -> str:
        """Answer, unless the request, or what was said twice, was refused."""
        facts = heard.asks - IDENTITY_FACTS
        if current.is_impossible and self._is_refused(heard):
            return self._close([current], "resignation")
        if heard.refused and facts and all(self._speech.told[current, fact] > 1 for fact in facts):
            return self._close([current], "resignation")
        return self._give(heard.asks, heard)

    def _after_yes(self, heard: Heard) -> str:
        if heard.refused and not heard.done:
            return self._close(self._mentioned(self._confirmed, heard), "resignation")
        waits = heard.promised or not heard.text or (heard.question and not heard.what_next)
        if heard.done or not waits:
            return self._close(self._mentioned(self._confirmed, heard), "thanks")
        return self._lose_patience(heard)

    def _is_refused(self, heard: Heard) -> bool:
        """Whether an impossible request is refused; an account or an order that is not found is no refusal of it."""
        return (heard.refused or heard.unavailable) and not heard.asks & FINDING_FACTS

    def _before_yes(self, current: Request, heard: Heard) -> str:
        if heard.refused or (current.is_impossible and self._is_refused(heard)):
            return self._close([current], "resignation")
        verdict = review(heard.text, current, self._agenda)
        if heard.done:
            return self._close([current], "thanks") if verdict.matches else self._correct(current, verdict)
        if heard.what_next:
            return self._about_what_next(current, heard)
        if "?" in heard.text and (verdict.right or verdict.wrong):
            return self._about_confirmation(current, heard)
        return self._lose_patience(heard)

    def _about_what_next(self, current: Request, heard: Heard) -> str:
        unstated = self._speech.unstated(current)
        if self._waiting and not unstated:
            return self._state_next()
        if not unstated:
            return self._lose_patience(heard)
        return self._speech.statement(current, full=True)

    def _about_inquiry(self, current: Request, heard: Heard) -> str:
        reported = self._mentioned(self._confirmed, heard) if self._confirmed and heard.done else []
        self._take_off(reported)
        if current.answers and not self._unanswered[current]:
            return self._close([current], "thanks")
        if heard.confirmation and not heard.what_next:
            return self._about_another_thing(current, heard)
        if reported:
            return f"{self._book.say('thanks')} {self._speech.statement(current, full=True)}"
        if heard.asks:
            return self._give(heard.asks, heard)
        if heard.refused:
            return self._close([current], "resignation")
        if heard.promised or not heard.text or ("?" in heard.text and len(heard.text) < 80):
            return self._lose_patience(heard)
        return self._close([current], "thanks")

    def _about_another_thing(self, current: Request, heard: Heard) -> str:
        """The customer has asked a question, and the agent wants something confirmed."""
        if any(request.kind is not Kind.INQUIRY for request in self._asked_about(heard)):
            return self._confirm(heard)
        if not names_an_action(heard.plan):
            self._useless += 1
            return self._book.say("yes") if self._useless < PATIENCE else self._goodbye("goodbye_unhappy")
        if not current.answers and self._waiting:
            return self._close([current], "thanks")
        self._useless += 1
        if self._useless >= PATIENCE:
            return self._goodbye("goodbye_unhappy")
        return f"{self._book.say('only_asking')} {self._speech.statement(current, full=True)}"

    def _about_transfer(self, current: Request, heard: Heard) -> str:
        """The customer wants a human agent."""
        if heard.offers_transfer:
            self._useless += 1
            return self._book.say("yes") if self._useless < PATIENCE else self._goodbye("goodbye_unhappy")
        if heard.asks:
            return self._give(heard.asks, heard)
        if heard.refused and not heard.confirmation:
            return self._close([current], "resignation")
        return self._lose_patience(heard)

    def _about_wish(self, current: Request, heard: Heard) -> str:
        """The customer wants, in words of its own, what no gold action grants."""
        if self._is_refused(heard):
            return self._close([current], "resignation")
        if heard.asks and not (self._confirmed and heard.done):
            return self._give(heard.asks, heard)
        if heard.done or self._confirmed:
            return self._after_yes(heard) if self._confirmed else self._close([current], "thanks")
        if heard.what_next and not self._speech.told[current, Fact.ITEMS]:
            self._speech.told[current, Fact.ITEMS] += 1
            return self._speech.statement(current, full=True)
        return self._lose_patience(heard)

    def _about_confirmation(self, current: Request, heard: Heard) -> str:
        if instead := self._proposed_instead(current, heard):
            self._give_up(current, instead)
            return self._confirm(heard)
        if current.turn:
            return self._change_mind(current)
        if current.is_impossible and self._is_refused(heard):
            return self._close([current], "resignation")
        if current.kind is not Kind.IMPOSSIBLE:
            return self._confirm(heard)
        if not relates(heard.plan, current.question):
            return self._lose_patience(heard)
        self._useless = 0
        if current not in self._confirmed:
            self._confirmed.append(current)
        return self._yes()

    def _proposed_instead(self, current: Request, heard: Heard) -> Request | None:
        """What the agent proposes instead of an impossible request, where the customer would come to that anyhow."""
        if not current.is_impossible:
            return None
        own = review(heard.plan, current, self._agenda)
        if current.kind not in PROSE and own.matches and own.says_something and not self._is_refused(heard):
            return None
        for request in self._fallbacks():
            if request.kind in PROSE or request.is_impossible:
                continue
            verdict = review(heard.plan, request, self._agenda)
            if verdict.matches and verdict.right_kind and verdict.right:
                return request
        return None

    def _fallbacks(self) -> list[Request]:
        """What comes up only once the current request was refused or given up."""
        count = next((place for place, request in enumerate(self._waiting) if not request.otherwise), None)
        return self._waiting[:count]

    def _give_up(self, current: Request, instead: Request) -> None:
        """Go straight to what the agent proposes, over everything that would have been tried before it."""
        self._stated = [request for request in self._stated if request is not current]
        self._confirmed = [request for request in self._confirmed if request is not current]
        place = self._waiting.index(instead)
        skipped = self._waiting[:place]
        self._waiting = [request for request in skipped if request.kind is Kind.INQUIRY] + self._waiting[place + 1 :]
        self._stated.insert(0, instead)
        self._speech.offer(instead)

    def _change_mind(self, current: Request) -> str:
        """The agent wants a yes, but the customer has thought of something else."""
        self._take_off([current])
        self._useless = 0
        if self._waiting:
            return f"{current.turn} {self._state_next()}"
        return f"{current.turn} {self._goodbye('goodbye')}"

    def _confirm(self, heard: Heard) -> str:
        """Hold what is to be confirmed against every request that it may be about."""
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
        stated = self._mentioned([request for request in self._stated if request.kind not in PROSE], heard)
        named = order_ids(heard.plan)
        in_hand = {request.order_id for request in self._stated if request.kind not in PROSE}
        waiting = [
            request
            for request in self._waiting
            if request.kind not in PROSE and not request.is_impossible and request.order_id in named - in_hand
        ]
        verdicts = self._reviews([*stated, *waiting], heard)
        ahead = [request for request in waiting if verdicts[request].covers(FACTS_OF_KIND[request.kind])]
        return [*(stated if named else stated[:1]), *ahead]

    def _reviews(self, requests: Sequence[Request], heard: Heard) -> dict[Request, Review]:
        """Each of some requests held against what the agent proposes, which may be about the others as well."""
        every = [*requests, *self._also_about(requests, heard)]
        return {
            request: review(heard.plan, request, self._agenda, [other for other in every if other is not request])
            for request in requests
        }

    def _also_about(self, requests: Sequence[Request], heard: Heard) -> list[Request]:
        """The rest of what the customer wants, or wanted and got, as far as the agent says of it nothing wrong."""
        named = order_ids(heard.plan)
        rest = [
            request
            for request in self._agenda.requests
            if request not in requests
            and not (request.kind in PROSE or request.is_impossible)
            and (request.order_id is None or request.order_id in named)
        ]
        verdicts = {
            request: review(
                heard.plan, request, self._agenda, [*requests, *(other for other in rest if other is not request)]
            )
            for request in rest
        }
        return [request for request, verdict in verdicts.items() if verdict.matches and verdict.says_something]

    def _agree(self, verdicts: Mapping[Request, Review], heard: Heard) -> str:
        """Yes, and what the agent still has to know."""
        words = [self._yes()]
        for request, verdict in verdicts.items():
            open_facts = [
                fact
                for fact in FACTS_OF_KIND[request.kind]
                if fact not in verdict.right and (fact in heard.asks or not self._speech.told[request, fact])
            ]
            words.extend(self._speech.facts(request, open_facts))
        return " ".join(words)

    def _yes(self) -> str:
        """Say yes to what is proposed."""
        self.agreed = True
        return self._book.say("yes")

    def _about_nothing(self, heard: Heard) -> str:
        """The agent wants a yes, but to what?"""
        agenda = self._agenda
        if agenda.last_name in heard.text or any(email in heard.text for email in agenda.emails):
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
        if verdict.unasked:
            words.append(self._book.say("unasked", what=" and ".join(verdict.unasked)))
        if verdict.wrong_kind:
            words.append(self._speech.statement(request, full=True))
        else:
            wrong = [fact for fact in FACTS_OF_KIND[request.kind] if fact in verdict.wrong]
            words.extend(self._speech.facts(request, wrong))
        return " ".join(words)

    def _give(self, asks: frozenset[Fact], heard: Heard) -> str:
        """Answer everything that is asked at once."""
        current = self._stated[0]
        owned = [(None if fact in IDENTITY_FACTS else current, fact) for fact in asks]
        self._asked.update(owned)
        if owned and min(self._asked[key] for key in owned) > PATIENCE and not self._speech.has_news(asks):
            return self._lose_patience(heard)
        self._useless = 0
        words = [self._speech.identity(asks)] if asks & IDENTITY_FACTS else []
        wanted = [fact for fact in Fact if fact in asks - IDENTITY_FACTS]
        words.extend(self._speech.facts(current, wanted, asked=True))
        if not words and current.kind in PROSE and current.of_story:
            words.append(self._speech.statement(current, full=True))
        if not words:
            words.append(self._book.say("no_preference", fact=wanted[0].value))
        return " ".join(words)

    def _mentioned(self, requests: list[Request], heard: Heard) -> list[Request]:
        """Those of some requests whose order the text names; all of them where it names none of them."""
        return self._named(requests, heard.text) or list(requests)

    def _named(self, requests: list[Request], text: str) -> list[Request]:
        """Those of some requests whose order a text names."""
        named = order_ids(text)
        found = [request for request in requests if request.order_id in named]
        found = [request for request in found if review(text, request, self._agenda).right_kind] or found
        if found and "default" in text.lower():
            found += [request for request in requests if request.kind is Kind.DEFAULT_ADDRESS]
        return found

    def _close(self, requests: Iterable[Request], act: str) -> str:
        """Take requests off the agenda and say what comes next."""
        closed = list(requests)
        self._useless = 0
        if act == "thanks" and any(request.is_impossible for request in closed):
            self._waiting = self._waiting[len(self._fallbacks()) :]
        self._take_off(closed)
        if self._stated:
            return f"{self._book.say(act)} {self._speech.statement(self._stated[0], full=True)}"
        if self._waiting:
            return f"{self._book.say(act)} {self._state_next()}"
        return self._goodbye("goodbye")

    def _take_off(self, closed: Sequence[Request]) -> None:
        self._stated = [request for request in self._stated if request not in closed]
        self._confirmed = [request for request in self._confirmed if request not in closed]

    def _goodbye(self, act: str) -> str:
        self._stated, self._waiting, self._confirmed = [], [], []
        return f"{self._book.say(act)} {STOP}"

    def _lose_patience(self, heard: Heard) -> str:
        self._useless += 1
        if self._useless >= PATIENCE:
            return self._goodbye("goodbye_unhappy")
        if heard.promised:
            return self._book.say("patience")
        return f"{self._book.say('impatience')} {self._speech.statement(self._stated[0], full=True)}"

    def _note_answers(self, text: str) -> None:
        """Notice the answers to questions wherever the agent gives them, by upstream's rule for outputs."""
        if not self._unanswered:
            return
        plain = text.lower().replace(",", "")
        for request, answers in self._unanswered.items():
            asked = request in self._stated or not request.of_story
            heard = {answer for answer in answers if answer in plain and (asked or len(answer) > ACCIDENTAL_CHARACTERS)}
            answers -= heard
        self._waiting = [request for request in self._waiting if self._unanswered.get(request, True)]

    def _state_next(self) -> str:
        request = self._waiting.pop(0)
        self._stated.append(request)
        return self._speech.open(request)
