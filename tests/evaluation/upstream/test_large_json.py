"""Reading a large file member by member."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.upstream import large_json
from tau_retail_env.evaluation.upstream.large_json import members

JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(
    some.dictionaries(some.sampled_from("abc"), JSON), some.sampled_from([None, 2]), some.sampled_from([1, 3, 1 << 20])
)
def test_members_come_in_their_order_and_the_streamed_array_one_by_one(tmp_path_factory, value, indent, piece):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(large_json, "PIECE", piece)
        check_members(tmp_path_factory, value, indent)


def check_members(tmp_path_factory, value, indent):
    path = tmp_path_factory.getbasetemp() / "large.json"
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=False), encoding="utf-8")
    expected = []
    for name, inner in value.items():
        expected += [(name, one) for one in inner] if name == "a" and isinstance(inner, list) else [(name, inner)]
    assert list(members(path, "a")) == expected


def test_an_array_is_read_one_by_one(tmp_path):
    (tmp_path / "array.json").write_text(" [1, [2], {}] ")
    assert list(members(tmp_path / "array.json", "runs")) == [("runs", 1), ("runs", [2]), ("runs", {})]


@pytest.mark.parametrize("text", ["[1, 2", "[1 2]", '{"a": [1, 2', '{"a" 1}', '{"a": 1', "[", "{", "[,]", '{"a": }'])
def test_what_is_not_whole_is_an_error_with_its_place(tmp_path, text):
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(InvalidValueError, match=r"broken\.json is not whole JSON: character \d+"):
        list(members(tmp_path / "broken.json", "a"))


def test_bytes_that_are_no_text_are_an_error(tmp_path):
    (tmp_path / "broken.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(InvalidValueError, match="cannot be read"):
        list(members(tmp_path / "broken.json", "a"))


def test_a_number_goes_on_in_the_next_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(large_json, "PIECE", 2)
    (tmp_path / "array.json").write_text("[12345, -1.5e10, true]")
    assert [value for _, value in members(tmp_path / "array.json", "")] == [12345, -1.5e10, True]


def test_where_the_file_was_cut_off_is_told_apart_from_a_fault_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(large_json, "PIECE", 8)
    (tmp_path / "file.json").write_text('["first", "second", "thi')
    with pytest.raises(InvalidValueError, match=r"character 20 \(the file was cut off\)"):
        list(members(tmp_path / "file.json", ""))
    (tmp_path / "file.json").write_text('["first", "second" "third", "fourth", "fifth", "sixth"]')
    with pytest.raises(InvalidValueError, match=r"character 19$"):
        list(members(tmp_path / "file.json", ""))


def test_of_a_large_file_only_a_piece_is_held(tmp_path):
    import tracemalloc

    element = {"words": "ü" * 100_000}
    with (tmp_path / "large.json").open("w", encoding="utf-8") as file:
        file.write("[" + ",".join([json.dumps(element, ensure_ascii=False)] * 300) + "]")  # 60 MB
    tracemalloc.start()
    assert sum(1 for _ in members(tmp_path / "large.json", "")) == 300
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * large_json.PIECE


@pytest.mark.parametrize("text", ["[1] 2", "{} {}"])
def test_what_stands_behind_the_value_is_an_error(tmp_path, text):
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(InvalidValueError, match=r"broken\.json holds more than one JSON value: character \d"):
        list(members(tmp_path / "broken.json", "a"))
