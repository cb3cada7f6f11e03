"""Where conversations lie until the page is written or asks for them: compressed parcels in a file on the disk."""

from __future__ import annotations

import json
import math
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tau_retail_env.runs.files import writing

PREFIX = "tau-retail-report-"
PARCEL_BYTES = 256 * 1024
"""Bytes of JSON after which a parcel is closed."""
LEVEL = 6
SHARED_TEXTS = 64
"""Different system prompts that are kept once for all episodes."""
Place = tuple[int, int]
"""The number of a parcel, and which of its items."""


class Store:
    """Items of JSON, put in one after another and packed together; the memory holds one parcel."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix=PREFIX)  # noqa: SIM115 (it goes with the store)
        self._parcels: list[tuple[int, int]] = []
        self._open: list[str] = []
        self._open_bytes = 0
        self._end = 0

    def __len__(self) -> int:
        """How many parcels are closed."""
        return len(self._parcels)

    @property
    def size(self) -> int:
        """What the closed parcels take."""
        return self._end

    def put(self, item: Any) -> Place:
        """Put an item in.

        Args:
            item: what Python's JSON can hold.
        """
        text = as_json(item)
        place = len(self._parcels), len(self._open)
        self._open.append(text)
        self._open_bytes += len(text)
        if self._open_bytes >= PARCEL_BYTES:
            self.close_parcel()
        return place

    def close_parcel(self) -> None:
        """Pack what was put in since the last parcel, so that it can be read."""
        if not self._open:
            return
        packed = packed_text(f"[{','.join(self._open)}]")
        with writing(Path(tempfile.gettempdir(), PREFIX)):
            self._file.seek(self._end)
            self._file.write(packed)
            self._file.flush()
        self._parcels.append((self._end, len(packed)))
        self._end += len(packed)
        self._open, self._open_bytes = [], 0

    def parcel(self, number: int) -> bytes:
        """A closed parcel as it lies there: a JSON array, deflated with zlib's header."""
        start, length = self._parcels[number]
        self._file.seek(start)
        return self._file.read(length)

    def items(self, number: int) -> Sequence[Any]:
        """The items of a closed parcel."""
        return json.loads(zlib.decompress(self.parcel(number)))


class Stores:
    """Where conversations and tokens lie, and the texts that many conversations share."""

    def __init__(self) -> None:
        self.conversations = Store()
        self.tokens = Store()
        self.texts: dict[str, int] = {}

    def put(self, conversation: dict[str, Any], tokens: dict[str, Any] | None) -> dict[str, Place | None]:
        """Put an episode in, and tell where: `at`, and `tokens_at`, None without tokens."""
        for message in conversation["messages"]:
            text = message["text"]
            if message["role"] == "system" and (text in self.texts or len(self.texts) < SHARED_TEXTS):
                message["text"] = self.texts.setdefault(text, len(self.texts))
        return {"at": self.conversations.put(conversation), "tokens_at": self.tokens.put(tokens) if tokens else None}

    def close_parcels(self) -> None:
        """Make everything readable that was put in."""
        self.conversations.close_parcel()
        self.tokens.close_parcel()


def as_json(item: Any) -> str:
    """A value as JSON that a browser reads: NaN and the infinities, which foreign files may hold, become null."""
    try:
        return json.dumps(item, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_finite(item), ensure_ascii=False, separators=(",", ":"))


def packed_text(text: str) -> bytes:
    """A text as the page unpacks it: UTF-8, deflated with zlib's header; half a surrogate pair becomes "?"."""
    return zlib.compress(text.encode("utf-8", errors="replace"), LEVEL)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
