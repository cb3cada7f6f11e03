"""What a customer says beside its request: a greeting, who it is, how it feels; and what is left without that."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from itertools import chain, zip_longest

from tau_retail_env.sources.generated import everyday, wording
from tau_retail_env.sources.generated.wording import SLOT, rules
from tau_retail_env.users.scripted.agenda import EMAIL
from tau_retail_env.users.scripted.phrases import MORE_PHRASES, PHRASES

ACTS = ("hello", "name_zip", "wish", "thanks", "resignation", "impatience")
"""What the scripted customer says that says nothing of what it wants."""
ASIDES = ("aside", "reason", "story", "polite_start", "polite_end", "annoyed_start")
"""The rules of the generated tasks that say nothing of it."""
GRAMMARS = (wording.GRAMMAR, everyday.GRAMMAR)
IDENTITY = re.compile(rf"{EMAIL.pattern}|^[A-Z]\w+ [A-Z]\w+\W+\d{{5}}\W*$")
"""A sentence with an email, or of a name and a zip code alone."""
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
    sentences = [sentence for sentence in SENTENCE_END.split(words) if sentence]
    return " ".join([sentence for sentence in sentences if not _is_small_talk(sentence)] or sentences)


def _is_small_talk(sentence: str) -> bool:
    return bool(IDENTITY.search(sentence) or _small_talk().fullmatch(_plain(sentence)))


@functools.cache
def _small_talk() -> re.Pattern[str]:
    """Any sentence of small talk, as `_plain` gives it."""
    return re.compile("|".join(dict.fromkeys(_patterns())))


def _patterns() -> Iterator[str]:
    lines = [line for act in ACTS for line in (*PHRASES[act], *MORE_PHRASES.get(act, ()))]
    for grammar in GRAMMARS:
        for held_out in (False, True):
            known = rules(grammar, held_out)
            lines += [line for rule in ASIDES for line in known.get(rule, ())]
    for line in lines:
        for sentence in SENTENCE_END.split(line):
            between = [re.escape(_plain(words)) for words in SLOT.split(sentence)[::2]]
            slots = [IN_SLOT.get(name, ANY) for name in SLOT.findall(sentence)]
            pattern = " ".join(filter(None, chain.from_iterable(zip_longest(between, slots))))
            if any(between) and "{wish}" not in sentence:
                yield pattern


def _plain(sentence: str) -> str:
    """Its words, each with its letters sorted, for two of them change places where a customer mistypes."""
    words = WORD.findall(sentence.lower().replace("'s", " s"))  # "my {relative}'s"
    return " ".join("".join(sorted(LONG_FORMS.get(word, word))) for word in words)
