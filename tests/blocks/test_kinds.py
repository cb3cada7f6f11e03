"""What a file told, held against the kinds that a dataclass declares."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pytest

from tau_retail_env.blocks import check_fields, check_kind, shown
from tau_retail_env.errors import InvalidValueError


class Size(StrEnum):
    SMALL = "small"


@dataclass
class Parcel:
    name: str
    weight: float
    count: int | None
    labels: Mapping[str, float]
    stops: tuple[Mapping[str, Any], ...]
    size: Size


def parcel(**changes):
    plain = {"name": "\ud800", "weight": 1, "count": None, "labels": {"a": 0.5}, "stops": ({"b": []},)}
    return Parcel(**(plain | {"size": Size.SMALL} | changes))


def test_what_fits_is_left_as_it_is():
    check_fields(parcel(), "file")
    check_fields(parcel(count=10**30, labels={}, stops=()), "file")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": None}, "file, line 3: name: found None, expected a text"),
        ({"weight": float("nan")}, "weight: found nan, expected a finite number"),
        ({"weight": True}, "weight: found True, expected a finite number"),
        ({"weight": "1"}, "weight: found '1', expected a finite number"),
        ({"count": 1.0}, "count: found 1.0, expected a whole number or null"),
        (
            {"labels": {"a": None}},
            "found {'a': None}, expected an object whose values are each a finite number",
        ),
        ({"labels": []}, r"labels: found \[\], expected an object"),
        ({"stops": ("x",)}, "stops: found .*, expected a list of which each is an object"),
        ({"size": "large"}, "size: found 'large', expected small"),
    ],
)
def test_what_does_not_fit_is_named_with_what_was_expected(changes, words):
    with pytest.raises(InvalidValueError, match=words):
        check_fields(parcel(**changes), "file, line 3")


def test_one_field_may_be_of_another_kind_than_declared():
    check_fields(parcel(labels={"a": None}), "file", {"labels": Mapping[str, float | None]})


def test_a_long_value_is_cut_in_the_message():
    assert shown("a" * 5000) == f"'{'a' * 79}… (5,002 characters)"
    with pytest.raises(InvalidValueError) as error:
        check_kind(["a" * 5000], int, "x")
    assert len(str(error.value)) < 200
