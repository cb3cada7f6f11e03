"""Copy-on-read: what an episode touches is its own, the rest is shared and never changed."""

import copy

import pytest

from tau_retail_env.world.overlay import OverlayTable


@pytest.fixture
def snapshot() -> dict[str, list[int]]:
    return {"a": [1], "b": [2]}


def test_a_touched_entry_is_a_copy_and_stays_it(snapshot: dict[str, list[int]]):
    table = OverlayTable(snapshot, copy.deepcopy)
    table["a"].append(9)
    assert table["a"] == [1, 9]
    assert snapshot == {"a": [1], "b": [2]}
    assert list(table.touched) == ["a"]


def test_iteration_copies_nothing_and_sees_the_changes(snapshot: dict[str, list[int]]):
    table = OverlayTable(snapshot, copy.deepcopy)
    assert dict(table.items())["a"] is snapshot["a"]
    table["b"].append(9)
    assert dict(table.items()) == {"a": [1], "b": [2, 9]}
    assert list(table.values()) == [[1], [2, 9]]
    assert dict(table.items())["a"] is snapshot["a"]
    assert (list(table), len(table), "a" in table, "c" in table) == (["a", "b"], 2, True, False)


def test_reading_copies_nothing_and_sees_the_changes(snapshot: dict[str, list[int]]):
    table = OverlayTable(snapshot, copy.deepcopy)
    reading = table.for_reading()
    assert reading["a"] is snapshot["a"]
    assert table.touched == {}
    table["a"].append(9)
    assert reading["a"] == [1, 9]
    assert dict(reading.items()) == {"a": [1, 9], "b": [2]}
    assert reading["b"] is snapshot["b"]


def test_an_unknown_key_is_missing_as_in_a_dict(snapshot: dict[str, list[int]]):
    table = OverlayTable(snapshot, copy.deepcopy)
    for view in (table, table.for_reading()):
        with pytest.raises(KeyError):
            view["c"]
        assert view.get("c") is None
