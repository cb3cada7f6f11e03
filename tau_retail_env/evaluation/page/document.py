"""The page as one HTML document: markup, style and program from the files beside this one, and the data in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.page.episode import Json
from tau_retail_env.evaluation.page.report import Report
from tau_retail_env.evaluation.page.store import Store, as_json, packed_text
from tau_retail_env.runs.files import partial_of, writing

MODULES = ("dom", "data", "filters", "figures", "curves", "tokens", "chat", "episodes", "comparisons", "main")
"""The page's modules; each comes after those that it imports."""
MARK = "tau-retail report"
"""What the head of a written page says, so that nothing else is overwritten."""
MOST_BYTES = 200_000_000
"""A larger page holds a sample of the conversations."""
BASE64_GROWTH = 4 / 3
HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    bytes: int
    """Size of the page."""
    episodes: int
    """Episodes of the runs."""
    shown: int
    """Those whose conversations are in the page."""


def write_page(path: Path, report: Report, *, most_bytes: int = MOST_BYTES) -> Written:
    """Write the report as one file, whole or not at all.

    Args:
        path: the file; a report that is there is replaced.
        report: what to show.
        most_bytes: where all conversations would take more, the page holds a sample, evenly spaced, and says so.

    Raises:
        InvalidValueError: another file is there.
        WriteError: the disk does not allow it.
    """
    check_free(path)
    rows, stores = report.rows(), report.stores
    whole = (stores.conversations.size + stores.tokens.size) * BASE64_GROWTH
    shown = rows if whole <= most_bytes else spaced(rows, int(len(rows) * most_bytes / whole))
    conversations, tokens = stores.conversations, stores.tokens
    if len(shown) < len(rows):
        shown, conversations = _moved(shown, "at", conversations)
        shown, tokens = _moved(shown, "tokens_at", tokens)
    blocks = _blocks(report.index(shown), conversations, tokens)
    partial = partial_of(path)
    with writing(path):
        try:
            with partial.open("w", encoding="utf-8") as file:
                for piece in document(blocks):
                    file.write(piece)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    return Written(path.stat().st_size, len(rows), len(shown))


def check_free(path: Path) -> None:
    """Refuse to replace what is no report.

    Raises:
        InvalidValueError: another file, or a folder, is there; or the folder is missing.
    """
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InvalidValueError(f"--output: {path} cannot be written: name a file in a folder that is there")
    if path.exists():
        with path.open("rb") as file:
            if MARK.encode() not in file.read(HEAD_BYTES):
                raise InvalidValueError(f"--output: {path} is there already and is no report; name another file")


def document(blocks: Iterable[str] = ()) -> Iterator[str]:
    """The text of the page, piece by piece.

    Nothing but the program and the style that stand in it may run or apply, by their digests, and it may load nothing;
    it may ask only the server that it came from.

    Args:
        blocks: the data's elements; none where a server has it.
    """
    style, program = _file("report.css"), program_text()
    rules = (
        f"default-src 'none'; script-src '{_digest(program)}'; style-src '{_digest(style)}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'"
    )
    before, after = _file("report.html").replace("{{rules}}", rules).replace("{{mark}}", MARK).split("{{data}}")
    after, end = after.replace("{{style}}", style).split("{{program}}")
    yield before.replace("{{style}}", style)
    yield from blocks
    yield from (after, program, end)


def program_text() -> str:
    """The page's modules as one program: lines that import are left out, and the word `export`."""
    lines = [line for name in MODULES for line in _file(f"{name}.js").splitlines()]
    return "\n".join(line.removeprefix("export ") for line in lines if not line.startswith("import ")) + "\n"


def spaced(rows: Sequence[Json], number: int) -> list[Json]:
    """A number of rows, at least one where there is one, evenly spaced."""
    number = min(max(number, 1), len(rows))
    return [rows[place * len(rows) // number] for place in range(number)]


def _moved(rows: Sequence[Json], name: str, store: Store) -> tuple[list[Json], Store]:
    """Rows with what they point to put on a store of its own."""
    smaller = Store()
    moved: list[Json] = []
    opened: tuple[int, Sequence[Json]] = (-1, ())
    for row in rows:
        if row[name] is not None:
            parcel, place = row[name]
            if opened[0] != parcel:
                opened = parcel, store.items(parcel)
            row = row | {name: smaller.put(opened[1][place])}
        moved.append(row)
    smaller.close_parcel()
    return moved, smaller


def _blocks(index: Json, conversations: Store, tokens: Store) -> Iterator[str]:
    yield _block("index", packed_text(as_json(index)))
    for kind, store in (("conversations", conversations), ("tokens", tokens)):
        for number in range(len(store)):
            yield _block(f"{kind}-{number}", store.parcel(number))


def _block(name: str, packed: bytes) -> str:
    """Data that the browser neither runs nor shows."""
    return f'<script type="text/plain" id="{name}">{base64.b64encode(packed).decode()}</script>\n'


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _file(name: str) -> str:
    return (resources.files("tau_retail_env.evaluation.page") / "static" / name).read_text(encoding="utf-8")
