"""What the tokens of an episode say, where the model's tokenizer is here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

TOKENIZER = "tokenizer.json"


class TokenTexts:
    """Texts of tokens by id.

    Args:
        tokenizer: of the library `tokenizers`.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, str] = {}

    def of(self, ids: Sequence[int]) -> dict[str, str]:
        """The text of each token that occurs; JSON's keys are texts, so the ids are."""
        for token in set(ids) - self._known.keys():
            self._known[token] = self._tokenizer.decode([token], skip_special_tokens=False)
        return {str(token): self._known[token] for token in sorted(set(ids))}


def token_texts(folders: Sequence[Path]) -> TokenTexts | None:
    """The tokenizer of the first folder that holds one; None where there is none, or the library is not installed.

    Args:
        folders: checkpoints, or folders that may be.
    """
    file = next((folder / TOKENIZER for folder in folders if (folder / TOKENIZER).is_file()), None)
    if file is None:
        return None
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        return None
    try:
        return TokenTexts(Tokenizer.from_file(str(file)))
    except Exception:  # what the library raises for a damaged file has no kind of its own
        return None
