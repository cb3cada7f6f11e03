"""Copy-on-read tables: an episode copies just the entries it touches, the snapshot below is never changed."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class SharedTable(Mapping[str, Entry], Generic[Entry]):
    """One table of the database as one episode sees it, for tools that only read: no look-up copies anything.

    It yields this episode's copies where there are any and the shared entries, which must not be changed, elsewhere.

    Args:
        snapshot: the shared table.
        touched: this episode's copies by key, each of an entry of the snapshot.
    """

    __slots__ = ("snapshot", "touched")

    def __init__(self, snapshot: Mapping[str, Entry], touched: dict[str, Entry]) -> None:
        self.snapshot = snapshot
        self.touched = touched

    def __getitem__(self, key: str) -> Entry:
        return self.touched[key] if key in self.touched else self.snapshot[key]

    def __contains__(self, key: object) -> bool:
        return key in self.snapshot

    def __iter__(self) -> Iterator[str]:
        return iter(self.snapshot)

    def __len__(self) -> int:
        return len(self.snapshot)

    def items(self) -> ItemsView[str, Entry]:
        """Pairs of key and entry in the snapshot's order."""
        return (self.snapshot if not self.touched else {**self.snapshot, **self.touched}).items()

    def values(self) -> ValuesView[Entry]:
        """Entries in the snapshot's order."""
        return (self.snapshot if not self.touched else {**self.snapshot, **self.touched}).values()


class OverlayTable(SharedTable[Entry]):
    """One table of the database as one episode sees it, for tools that may change what they look up.

    A look-up by key copies the entry on first touch. Iteration copies nothing.

    Args:
        snapshot: the shared table.
        copy: makes an independent copy of one entry.
    """

    __slots__ = ("_copy",)

    def __init__(self, snapshot: Mapping[str, Entry], copy: Callable[[Entry], Entry]) -> None:
        super().__init__(snapshot, {})
        self._copy = copy

    def __getitem__(self, key: str) -> Entry:
        try:
            return self.touched[key]
        except KeyError:
            entry = self.touched[key] = self._copy(self.snapshot[key])
            return entry

    def for_reading(self) -> SharedTable[Entry]:
        """The same table, this episode's copies included, without a copy on look-up."""
        return SharedTable(self.snapshot, self.touched)
