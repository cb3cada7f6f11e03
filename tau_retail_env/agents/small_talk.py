"""What a customer says beside its request: a greeting, who it is, how it feels; and what is left without that."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence

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
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
WORD = re.compile(r"[\w'@#.-]*\w")
MOST_WORDS = 6
"""Most words that stand for a slot."""
LONG_FORMS: Mapping[str, str] = {short: long for long, short in everyday.SHORTHAND.items()}
Pattern = tuple[str | None, ...]
"""The words of a sentence; None for a slot."""


def request_in(words: str) -> str:
    """What a customer has said without its small talk; all of it where nothing else was said.

    A small model that says again what it was asked copies from the first word on, and the first words are a greeting
    and an aside: where they are others than it has learnt, it goes on with something that it has.

    Args:
        words: what was said, in whole sentences.
    """
    kept = [sentence for sentence in SENTENCE_END.split(words) if not _is_small_talk(sentence)]
    return " ".join(kept) or words


def _is_small_talk(sentence: str) -> bool:
    words = _words(sentence)
    return bool(IDENTITY.search(sentence)) or any(_fits(words, pattern) for pattern in _patterns().get(len(words), ()))


@functools.cache
def _patterns() -> Mapping[int, Sequence[Pattern]]:
    """The sentences of small talk, by each number of words that they can have."""
    found: dict[int, list[Pattern]] = {}
    for pattern in dict.fromkeys(_all_patterns()):
        slots = pattern.count(None)
        for more in range(slots * (MOST_WORDS - 1) + 1):
            found.setdefault(len(pattern) + more, []).append(pattern)
    return found


def _all_patterns() -> Iterator[Pattern]:
    lines = [line for act in ACTS for line in (*PHRASES[act], *MORE_PHRASES.get(act, ()))]
    for grammar in GRAMMARS:
        for held_out in (False, True):
            known = rules(grammar, held_out)
            lines += [line for rule in ASIDES for line in known.get(rule, ())]
    for line in lines:
        for sentence in SENTENCE_END.split(line):
            words = _words(SLOT.sub(" SLOT ", sentence))
            pattern = tuple(None if word == _sorted("slot") else word for word in words)
            if any(pattern) and "{wish}" not in sentence:
                yield pattern


def _words(sentence: str) -> list[str]:
    """Its words whatever their letters' order, for two of them change places where a customer mistypes."""
    return [_sorted(LONG_FORMS.get(word, word)) for word in WORD.findall(sentence.lower())]


def _sorted(word: str) -> str:
    return "".join(sorted(word))


def _fits(words: Sequence[str], pattern: Pattern) -> bool:
    """Whether the words are those of a pattern, with one to `MOST_WORDS` words for each slot."""
    if not words or not pattern:
        return not words and not pattern
    if pattern[0] is not None:
        return words[0] == pattern[0] and _fits(words[1:], pattern[1:])
    return any(_fits(words[more:], pattern[1:]) for more in range(1, min(MOST_WORDS, len(words)) + 1))
