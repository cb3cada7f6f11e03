"""A folder of kept episodes: what rejection sampling hands on, and fine-tuning learns from."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tau_retail_env.blocks import check_fields
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.record import EPISODES, Episode, read_episodes
from tau_retail_env.runs.checkpoints import damage_of, flush, write_manifest
from tau_retail_env.runs.files import write_atomically, writing

FOLDER = "kept"
"""Name of the folder in that of the stage which has made it."""
ABOUT = "kept.json"
"""Its file that says how the episodes were played; `episodes.jsonl` beside it has them."""
FORMAT = 1
AGAIN = "make it again with: tau-retail train --config-name tau_retail_samples pretrain=FOLDER"


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutKept:
    """How kept episodes were played: who learns from them must speak the same tokens about the same tasks."""

    tokenizer: str
    """A digest of the tokenizer, see `tau_retail_env.models.loading.tokenizer_digest`."""
    prompt_style: str
    """How the domain policy and the tools were shown."""
    task_versions: Mapping[str, str]
    """By source, the edition of its tasks."""
    model: str
    """A digest of the weights that played."""
    tasks: int
    """Tasks that were played."""
    tasks_won: int
    """Tasks of which a success is kept."""
    tasks_partly: int
    """Tasks of which a failed episode is kept, for what was right in it."""
    episodes: int
    """Episodes that are kept."""
    format: int = FORMAT
    """Version of the folder's files."""


def write_kept(folder: Path, about: AboutKept, episodes: Iterable[Episode]) -> None:
    """Write the folder, whole or not at all; one that is there already is replaced.

    Args:
        folder: where it will be.
        about: how the episodes were played.
        episodes: the episodes.

    Raises:
        WriteError: the disk does not allow it.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    with writing(folder):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with (partial / EPISODES).open("w", encoding="utf-8") as file:
            file.writelines(f"{episode.as_line()}\n" for episode in episodes)
        write_atomically(partial / ABOUT, json.dumps(dataclasses.asdict(about), indent=2) + "\n")
        write_manifest(partial)
        flush(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)


def not_kept(folder: Path) -> str | None:
    """What is wrong with a folder that holds no kept episodes; None where it does, whole or not."""
    if (folder / ABOUT).exists():
        return None
    return (
        f"conversations.kept: {folder} holds no kept episodes ({ABOUT} is missing); give the folder that a stage "
        f"of rejection sampling has made, or {AGAIN}"
    )


def read_about(folder: Path) -> AboutKept:
    """How the episodes of a folder were played, with the folder found whole.

    Raises:
        InvalidValueError: no such folder, one of something else, or one that is not whole.
    """
    if reason := not_kept(folder):
        raise InvalidValueError(reason)
    path = folder / ABOUT
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidValueError(f"conversations.kept: {path} cannot be read: {error}; {AGAIN}") from None
    known = {field.name for field in dataclasses.fields(AboutKept)}
    if not isinstance(values, dict) or values.get("format") != FORMAT or set(values) != known:
        raise InvalidValueError(
            f"conversations.kept: {path} is not of format {FORMAT}, which this version of the package reads; {AGAIN}"
        )
    about = AboutKept(**values)
    check_fields(about, str(path))
    if (damage := damage_of(folder)) is not None:
        raise InvalidValueError(f"conversations.kept: {folder} is not whole: {damage}; {AGAIN}")
    return about


def kept_episodes(folder: Path) -> Iterator[Episode]:
    """The episodes of a folder, in the order in which they were played."""
    return read_episodes(folder / EPISODES)


def check_fits(
    folder: Path, about: AboutKept, *, tokenizer: str, prompt_style: str, task_versions: Mapping[str, str]
) -> None:
    """Refuse episodes that were played by another tokenizer, with another prompt, or on other tasks.

    Args:
        folder: where they lie, for the error.
        about: how they were played.
        tokenizer: the digest of the one that will learn.
        prompt_style: the one that it will play with.
        task_versions: by source, the edition that it will play.

    Raises:
        InvalidValueError: names everything that differs.
    """
    found = []
    if about.tokenizer != tokenizer:
        found.append(f"another tokenizer ({about.tokenizer} there, {tokenizer} here)")
    if about.prompt_style != prompt_style:
        found.append(f"prompt_style ({about.prompt_style} there, {prompt_style} here)")
    found += [
        f"task_version of {source} ({version} there, {task_versions[source]} here)"
        for source, version in about.task_versions.items()
        if task_versions.get(source, version) != version
    ]
    if found:
        raise InvalidValueError(
            f"conversations.kept: {folder} was made with {', '.join(found)}: its tokens mean something else here. "
            f"Take the same, or {AGAIN}"
        )
