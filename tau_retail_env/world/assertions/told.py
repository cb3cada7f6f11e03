"""Assertions that the agent told the customer something: found, asserted, about the subject, and not taken back."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tau_retail_env.world.assertions.evidence import Evidence
from tau_retail_env.world.assertions.speech import (
    FARTHEST,
    WIDEST,
    Place,
    is_asserted,
    is_introduced,
    plain,
    says_yes,
    sentences,
    takes_back,
)
from tau_retail_env.world.assertions.subjects import Subject, counts_them, goods_in, is_about, stems_of, things_in
from tau_retail_env.world.assertions.unreal import is_unreal
from tau_retail_env.world.assertions.values import Value, without_values

MOST_MENTIONS = 100
"""Mentions of a value in one message that are looked at: a model that goes round in circles makes thousands."""


@dataclass(frozen=True, slots=True)
class Told:
    """The agent told the customer some values."""

    values: tuple[Value, ...]
    """All of them must be told."""
    subject: Subject
    """What they are about."""

    @staticmethod
    def of(claim: str, values: tuple[Value, ...]) -> Told:
        """Read a claim.

        Args:
            claim: upstream's words.
            values: what `values_of` finds in it.
        """
        return Told(values, Subject.of(without_values(claim)))

    def holds(self, evidence: Evidence) -> bool:
        """Whether every value was told in the end.

        Args:
            evidence: the conversation.
        """
        return all(self._is_told(value, evidence) for value in self.values)

    def _is_told(self, value: Value, evidence: Evidence) -> bool:
        """Whether the agent's last word on it is the value: told, or affirmed, and not taken back."""
        told, asked = False, list[str]()
        for said in evidence.conversation:
            if said.role == "user":
                asked.append(said.content or "")
            elif said.role == "assistant" and said.content:
                text = plain(said.content)
                back, first = takes_back(text), 0
                if back is not None and self._is_replaced(value, text, back, asked):
                    told, first = False, back
                places = self._assertions(value, text, asked)
                told = told or any(place.start >= first for place in places) or self._is_affirmed(value, text, asked)
        return told

    def _assertions(self, value: Value, text: str, asked: Sequence[str]) -> Iterator[Place]:
        """Where a message of the agent's asserts a value of the subject."""
        for start, end in itertools.islice(value.find(text), MOST_MENTIONS):
            place = Place(text, start, end)
            if (
                self._is_introduced(value, place)
                and is_asserted(place, value.kind, is_one_of_several=len(self.values) > 1)
                and not is_unreal(place, value.kind)
                and self._is_about(value, place, asked)
                and not self._is_outdone(value, place, asked)
                and not self._is_set_against_fact(value, place)
                and not self._is_of_another_thing(value, place, asked)
            ):
                yield place

    def _is_introduced(self, value: Value, place: Place) -> bool:
        return value.kind not in ("amount", "count", "quantity") or is_introduced(place, self.subject.words)

    def _is_about(self, value: Value, place: Place, asked: Sequence[str]) -> bool:
        if value.kind == "number":
            labels = _LABELLED.sub(" ", place.stretch_before)
            return not (_OTHER_LABEL.search(labels) or _OTHERS.match(place.clause_after))
        if value.kind == "address":
            return not _is_another_address(place)
        itself = place.text[place.start : place.end]
        if value.kind == "word" and (_DESCRIBES.match(place.clause_after) or self._is_only_listed(place)):
            return False
        if value.kind == "count" and not counts_them(place, self.subject, asked):
            return False
        is_common = value.is_common or value.kind == "quantity"
        return is_about(place, self.subject, asked, itself, is_common=is_common)

    def _is_only_listed(self, place: Place) -> bool:
        """Whether it is one of what there is ("You have a Visa on file"), where one of them is asked for."""
        answers = self.subject.stems & {"expensiv", "cheap", "paid"}
        if answers and _SECOND.search(place.clause_before):
            return True
        if len(self.values) > 1 or not answers or answers & stems_of(place.sentence):
            return False
        if _LIST_ITEM.search(place.text[max(0, place.start - WIDEST) : place.start]) and not answers & stems_of(
            place.text
        ):
            return True
        return bool(_POSSESSED.search(place.stretch_before)) or self._is_answered_elsewhere(place, answers)

    @staticmethod
    def _is_answered_elsewhere(place: Place, answers: frozenset[str]) -> bool:
        """Whether another sentence of the message answers with other goods."""
        own = goods_in(place.text[place.start : place.end])
        others = (part for part in sentences(place.text) if answers & stems_of(part))
        return any(goods_in(part) and not goods_in(part) & own for part in others)

    def _is_outdone(self, value: Value, place: Place, asked: Sequence[str]) -> bool:
        """Whether it stands in front of a clause that says another value: "In the place of $10, the price is $12"."""
        if len(self.values) > 1 or not _FRONTED.match(place.sentence_after):
            return False
        if value.kind == "word" and not _FRONT.match(place.sentence_before):
            return False
        if _PREDICATED.search(place.clause_before):
            return False
        known = self.subject.widened(asked)
        rest = place.sentence_after
        for start, end in value.others(rest):
            stems = stems_of(rest[start:end])
            if stems & known or (value.kind == "word" and not stems):
                continue
            other = Place(place.text, place.end + start, place.end + end)
            is_said = _PREDICATED.search(other.clause_before)
            if is_said and self.subject.is_named(other.clause, known, frozenset(), is_common=False):
                return True
        return False

    def _is_set_against_fact(self, value: Value, place: Place) -> bool:
        """Whether the message sets what is against it: "It would be $10 with the other. As it is, it is $12."."""
        if len(self.values) > 1 or not _UNREAL.search(place.clause_before):
            return False
        rest = place.text[place.end : place.end + FARTHEST]
        own = set(value.find(rest))
        for other in (Place(rest, start, end) for start, end in value.others(rest) if (start, end) not in own):
            before = other.clause_before
            is_fact = _FACT.search(before) and not _UNREAL.search(before)
            is_of_it = _IT.search(before) or self.subject.is_named(
                before, self.subject.stems, frozenset(), is_common=False
            )
            if is_fact and is_of_it and is_asserted(other, value.kind, is_one_of_several=False):
                return True
        return False

    def _is_of_another_thing(self, value: Value, place: Place, asked: Sequence[str]) -> bool:
        """Whether an amount is of other goods, or another order, than were asked about, which have one of their own."""
        wanted, own = things_in(" ".join(asked)), things_in(place.sentence)
        if value.kind != "amount" or self.subject.goods or not wanted or not own or own & wanted:
            return False
        near = place.text[max(0, place.start - FARTHEST) : place.end + FARTHEST]
        return any(things_in(Place(near, start, end).sentence) & wanted for start, end in value.others(near))

    def _is_replaced(self, value: Value, text: str, back: int, asked: Sequence[str]) -> bool:
        """Whether a message that takes something back gives another value of the sort behind it, of this subject."""
        rest = text[back : back + FARTHEST]
        own = set(value.find(rest))
        for start, end in value.others(rest):
            if (start, end) not in own and self._is_about_it(value, Place(rest, start, end), asked):
                return True
        return False

    def _is_about_it(self, value: Value, place: Place, asked: Sequence[str]) -> bool:
        if value.kind in ("number", "address"):
            return True
        named = self.subject.is_named(
            place.clause, self.subject.widened(asked), frozenset(), is_common=value.kind == "word"
        )
        return named is not False

    def _is_affirmed(self, value: Value, text: str, asked: Sequence[str]) -> bool:
        """Whether the agent says yes to a customer who named the value."""
        if not asked or not says_yes(text):
            return False
        return any(True for _ in value.find(plain(asked[-1])))


def _is_another_address(place: Place) -> bool:
    """Whether an address is not where this order went: the profile's, a new one, another parcel's."""
    before, behind = place.stretch_before, f"{place.sentence_after} {place.next_sentence}"
    if _CHANGED_ADDRESS.search(before) or _OTHER_PARCEL.search(before):
        return True
    if _SHIPPED.search(before):
        return False
    went_elsewhere = _SHIPPED.search(behind) and _ZIP_CODE.search(behind)
    return bool(_HOME.search(before) or went_elsewhere)


_FRONTED = re.compile(r"[^,.;]{0,60},\s")
_FRONT = re.compile(
    r"\W*(?:\w+ )?(?:in|instead|against|compared|versus|unlike|over|from|at|as|for|with|given|despite|after|before|to"
    r"|by|on)\b",
    re.IGNORECASE,
)
_SECOND = re.compile(r"\b(?:followed by|second|next|then)\b", re.IGNORECASE)
_LIST_ITEM = re.compile(r"^\s*(?:[-•]|\d+[.)])\s+(?:\w+ ){0,3}\Z", re.MULTILINE)
_POSSESSED = re.compile(
    r"\b(?:has|have|contains?|includes?|there (?:is|are)|I (?:can )?see|on file|profile)\b", re.IGNORECASE
)
_PREDICATED = re.compile(
    r"(?:\b(?:is|are|was|were|comes to|totals|remains|costs?)|'s|:)(?: \w+ly| a| an| the| just| now)*$", re.IGNORECASE
)
_UNREAL = re.compile(r"\b(?:would|could|might|should|was|were|had)\b|'d\b", re.IGNORECASE)
_FACT = re.compile(
    r"(?:\b(?:is|are|has|have|comes to|totals|costs?|stays|remains)|'s)(?: \w+ly| a| an| the| just| now)*$",
    re.IGNORECASE,
)
_IT = re.compile(r"^\W*(?:\w+ )?(?:it|that|this|yours|they)\b", re.IGNORECASE)
_DESCRIBES = re.compile(r"\s+(?:refund|amount|price|name|balance|details?|credit|order|list|address)\b", re.IGNORECASE)
_OTHER_LABEL = re.compile(
    r"\b(?:(?:order|item|product|confirmation|reference|phone|invoice|account|user|variant|card)\s*(?:id|number|no\.?"
    r"|code|#)"
    r"|call us|card ending|(?:ticket|case|claim|receipt|voucher|item|order|product|account|phone"
    r"|variant)(?: number)?(?=\W*$))\b(?!.*\btrack)",
    re.IGNORECASE,
)
_LABELLED = re.compile(r"\b(?:order|item|product)\s*(?:ids?|numbers?|no\.?|code)?\W*#?W?\d{6,}", re.IGNORECASE)
"""Another label together with what it labels: "the tracking number of order #W0000000 is"."""
_OTHERS = re.compile(
    r"\W*(?:belongs|is|was) (?:to |for |of )?(?:an|the|your)? ?(?:other|different|phone|order|item|product|account"
    r"|card|invoice"
    r"|zip|user|serial|model)\b",
    re.IGNORECASE,
)
_HOME = re.compile(
    r"\b(?:profile|default|billing|home|account|on file|new|warehouse|store|shop|office|headquarters)\b", re.IGNORECASE
)
_SHIPPED = re.compile(r"\b(?:ship\w*|sent|went|deliver\w*|mailed|dispatched|parcel|package)\b", re.IGNORECASE)
_CHANGED_ADDRESS = re.compile(
    r"\b(?:(?:chang|updat|modif|correct|redirect)\w*\b[^.]*\baddress|address\b[^.]*\b(?:chang|updat|modif"
    r"|set)\w*)\b(?!.*\b(?:went|(?:was|were|been) (?:shipped|sent|delivered))\b)",
    re.IGNORECASE,
)
_ZIP_CODE = re.compile(r"\b\d{5}\b")
_OTHER_PARCEL = re.compile(
    r"\b(?:another|other|older|previous|different) (?:one|order|parcel|package|shipment|purchase)\b", re.IGNORECASE
)
