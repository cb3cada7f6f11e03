"""Copy-on-read tables: an episode copies just the entries it touches, the snapshot below is never changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class OverlayTable(Mapping[str, Entry], Generic[Entry]):
    """One table of the database as one episode sees it.

    A look-up by key copies the entry on first touch, so that the caller may change it. Iteration copies nothing:
    it yields this episode's copies where there are any and the shared entries, which must not be changed, elsewhere.

    Args:
        snapshot: the shared table.
        copy: makes an independent copy of one entry.
    """

    __slots__ = ("_copy", "_snapshot", "touched")

    def __init__(self, snapshot: Mapping[str, Entry], copy: Callable[[Entry], Entry]) -> None:
        self._snapshot = snapshot
        self._copy = copy
        self.touched: dict[str, Entry] = {}

    def __getitem__(self, key: str) -> Entry:
        try:
            return self.touched[key]
        except KeyError:
            entry = self.touched[key] = self._copy(self._snapshot[key])
            return entry

    def __contains__(self, key: object) -> bool:
        return key in self._snapshot

    def __iter__(self) -> Iterator[str]:
        return iter(self._snapshot)

    def __len__(self) -> int:
        return len(self._snapshot)

    def items(self) -> Iterator[tuple[str, Entry]]:  # type: ignore[override]
        """Pairs of key and entry in the snapshot's order, without the copies that a view's look-ups would make."""
        touched = self.touched
        return ((key, touched.get(key, entry)) for key, entry in self._snapshot.items())

    def values(self) -> Iterator[Entry]:  # type: ignore[override]
        """Entries in the snapshot's order, without copies."""
        return (entry for _, entry in self.items())
