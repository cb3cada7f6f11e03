"""What a customer says beside its request: a greeting, who it is, how it feels; and what is left without that."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from itertools import chain, zip_longest

from tau_retail_env.sources.generated import everyday, series6, wording
from tau_retail_env.sources.generated.wording import SLOT, rules
from tau_retail_env.users.scripted.agenda import EMAIL
from tau_retail_env.users.scripted.phrases import MORE_PHRASES, PHRASES

ACTS = ("hello", "name_zip", "wish", "thanks", "resignation", "impatience")
"""What the scripted customer says that says nothing of what it wants."""
ASIDES = ("aside", "reason", "story", "polite_start", "polite_end", "annoyed_start")
"""The rules of the generated tasks that say nothing of it."""
COMBINED = ("context", "small_talk")
"""The rules that put several of these together; some begin with words such as "you see,", or have a sentence more."""
GRAMMARS = (wording.GRAMMAR, everyday.GRAMMAR, series6.GRAMMAR)
UNENDED = ("hello", "thanks", "email")
"""Those of which some have no mark at their end."""
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
WORD = re.compile(r"w/o?|&|[\w'@#.-]*\w")
IN_SLOT: Mapping[str, str] = {"name": r"\S+ \S+", "zip": r"\d{5}"}
"""What stands for a slot of some names."""
ANY = r"\S+(?: \S+){0,5}"
"""What stands for any other: one to six words."""
LONG_FORMS: Mapping[str, str] = {short: long for long, short in everyday.SHORTHAND.items()} | {"an": "a"}
"""What stands in the grammars for words that are shortened, or that are others before a vowel."""


def request_in(words: str) -> str:
    """What a customer has said without its small talk; all of it where nothing else was said.

    A small model that says again what it was asked copies from the first word on, and the first words are a greeting
    and an aside: where they are others than it has learnt, it goes on with something that it has.

    Args:
        words: what was said, each message on a line of its own.
    """
    sentences = [sentence for sentence in SENTENCE_END.split(_who().sub("", words)) if sentence]
    return " ".join([sentence for sentence in sentences if not _is_small_talk(sentence)] or words.split())


def _is_small_talk(sentence: str) -> bool:
    return bool(EMAIL.search(sentence) or _small_talk().fullmatch(plain(sentence)))


@functools.cache
def _who() -> re.Pattern[str]:
    """Who the customer is in its own words, and what it does not end: the rest of a message begins in the middle."""
    filled = {"name": r"[A-Z]\w+ [A-Z]\w+", "zip": IN_SLOT["zip"], "email": EMAIL.pattern}
    known = {act: (*PHRASES[act], *MORE_PHRASES.get(act, ())) for act in ("name_zip", *UNENDED)}
    unended = [line for act in UNENDED for line in known[act] if line[-1] not in ".!?"]
    lines = [re.escape(line).replace(r"\{", "{").replace(r"\}", "}") for line in (*known["name_zip"], *unended)]
    said = "|".join(SLOT.sub(lambda slot: filled[slot[1]], line) for line in lines)
    return re.compile(rf"(?:^|(?<=[.!?]\s))(?:(?:{said})(?:\s+|$))+", re.MULTILINE)


@functools.cache
def _small_talk() -> re.Pattern[str]:
    """Any sentence of small talk, as `plain` gives it."""
    return re.compile(rf"(?:(?:{'|'.join(dict.fromkeys(_leads()))}) )?(?:{'|'.join(dict.fromkeys(_patterns()))})")


def _leads() -> Iterator[str]:
    """What stands before an aside, in the same sentence, as `plain` gives it."""
    for sentence in _combined():
        if words := plain(SLOT.split(sentence)[0]):
            yield re.escape(words)


def _combined() -> Iterator[str]:
    """The sentences of the rules that put asides together."""
    for grammar in GRAMMARS:
        for held_out in (False, True):
            known = rules(grammar, held_out)
            for line in (line for rule in COMBINED for line in known.get(rule, ())):
                # a slot ends as a sentence does
                yield from filter(None, SENTENCE_END.split(line.replace("} ", "}\n")))


def _patterns() -> Iterator[str]:
    lines = [line for act in ACTS for line in (*PHRASES[act], *MORE_PHRASES.get(act, ()))]
    lines += [sentence for sentence in _combined() if not SLOT.search(sentence)]
    for grammar in GRAMMARS:
        for held_out in (False, True):
            known = rules(grammar, held_out)
            lines += [line for rule in ASIDES for line in known.get(rule, ())]
    for line in lines:
        for sentence in SENTENCE_END.split(line):
            between = [re.escape(plain(words)) for words in SLOT.split(sentence)[::2]]
            slots = [IN_SLOT.get(name, ANY) for name in SLOT.findall(sentence)]
            pattern = " ".join(filter(None, chain.from_iterable(zip_longest(between, slots))))
            if any(between) and "{wish}" not in sentence:
                yield pattern


def plain(sentence: str) -> str:
    """A sentence's words, each with its letters sorted, for two of them change places where a customer mistypes."""
    words = WORD.findall(sentence.lower().replace("'s", " s"))  # "my {relative}'s"
    return " ".join("".join(sorted(LONG_FORMS.get(word, word))) for word in words)
