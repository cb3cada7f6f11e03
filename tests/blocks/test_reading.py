"""Reading a block of keys: what is accepted, and how each mistake is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from tau_retail_env.blocks import Block, Instead, Items, Name, Off, attempt, read
from tau_retail_env.errors import InvalidValueError


class Inner(Block):
    """A block within."""

    rate: float = Field(0.5, gt=0, le=1)
    """How fast."""


class Outer(Block):
    """A block."""

    name: Name
    """What it is called."""
    kind: Annotated[Literal["a", "b"], Instead("Others are not built yet.")]
    """Which one."""
    count: int | None = Field(None, ge=1)
    """How many."""
    places: Items[int] = ()
    """Where."""
    inner: Inner = Inner()
    """One block."""
    by_tag: Mapping[str, Inner] = Field(default_factory=dict)
    """Several blocks."""
    off: Off = False
    """Never on."""
    zero: Literal[0] = 0
    """Always 0."""
    way: Literal["x", "y"] | None = None
    """Or none."""
    either: bool | str = False
    """A switch or a text."""


GOOD = {"name": "n", "kind": "a"}


def test_a_block_is_read_whole_with_its_defaults():
    block = read(Outer, {**GOOD, "inner": {"rate": 1}, "by_tag": {"t": {}}, "places": [1, 2], "zero": 0.0})
    assert (block.inner.rate, block.by_tag["t"].rate, block.places, block.count) == (1.0, 0.5, (1, 2), None)


def test_a_block_cannot_be_changed_and_its_docstrings_are_its_descriptions():
    block = read(Outer, GOOD)
    with pytest.raises(ValidationError, match="frozen"):
        block.count = 3  # type: ignore[misc]
    assert Outer.model_fields["count"].description == "How many."


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"nam": "n"}, "nam: unknown key. Did you mean 'name'?"),
        ({"zzz": 1}, "zzz: unknown key. Known here: name, kind, count"),
        ({"elsewhere": 1}, "elsewhere: read by others"),
        ({"elsewere": 1}, "elsewere: unknown key. Did you mean 'elsewhere'?"),
        ({"inner": {"rat": 1}}, "inner.rat: unknown key. Did you mean 'rate'?"),
        ({"by_tag": {"t": {"rate": 2}}}, "by_tag.t.rate: found 2, expected 1 or less"),
        ({"inner": {"rate": 0}}, "inner.rate: found 0, expected more than 0"),
        ({"inner": {"rate": True}}, "inner.rate: found True, expected a number"),
        ({"inner": {"rate": float("nan")}}, "inner.rate: found nan, expected a finite number"),
        ({"inner": 3}, "inner: found 3, expected a block of keys (rate)"),
        ({"by_tag": 3}, "by_tag: found 3, expected a block of keys"),
        ({"places": [1, "b"]}, "places[1]: found 'b', expected a whole number"),
        ({"places": "12"}, "places: found '12', expected a list"),
        ({"count": 0}, "count: found 0, expected 1 or more"),
        ({"count": 2.0}, "count: found 2.0, expected a whole number"),
        ({"count": "2"}, "count: found '2', expected a whole number"),
        ({"name": " "}, "name: empty, expected a name"),
        ({"kind": "c"}, "kind: c cannot be honoured. Expected a or b. Others are not built yet."),
        ({"way": "z"}, "way: z cannot be honoured. Expected null or x or y."),
        ({"off": True}, "off: true cannot be honoured. Expected false."),
        ({"off": 0}, "off: found 0, expected true or false"),
        ({"zero": 1}, "zero: 1 cannot be honoured. Expected 0."),
        ({"either": 3}, "either: found 3, expected true or false or a text"),
    ],
)
def test_a_mistake_is_told_by_path_with_what_was_found_and_what_is_expected(values, words):
    block, problems = attempt(
        Outer, {**GOOD, **values}, unread=lambda path: {} if path else {"elsewhere": "read by others"}
    )
    assert block is None
    (problem,) = problems
    assert problem.startswith(words)


def test_a_key_that_must_be_there_is_missed_with_what_it_may_be():
    with pytest.raises(InvalidValueError, match=r"kind: missing\. Expected a or b\. Others are not built yet\."):
        read(Outer, {"name": "n"})


def test_all_mistakes_are_told_at_once_below_the_path_of_the_block():
    with pytest.raises(InvalidValueError, match="3 keys of the configuration") as error:
        read(Outer, {"kind": "c", "count": 0}, path="run")
    assert [line.split(":")[0].strip(" -") for line in str(error.value).splitlines()[1:]] == [
        "run.name",
        "run.kind",
        "run.count",
    ]


def test_what_is_no_block_at_all_is_told():
    with pytest.raises(InvalidValueError, match="found 3, expected a block of keys"):
        read(Outer, 3)


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(InvalidValueError) as error:
        read(Outer, GOOD | {"count": "a" * 5000})
    assert "count: found 'aaa" in str(error.value)
    assert "(5,002 characters), expected a whole number" in str(error.value)
    assert len(str(error.value)) < 200
