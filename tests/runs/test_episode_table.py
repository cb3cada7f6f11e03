"""The table of sampled episodes that trackers get: the same tasks each time, bounded, and inert on a page."""

import html

import pytest

from tau_retail_env.runs.episode_table import COLUMNS, LONGEST, MOST_ROWS, as_markdown, row_of, sampled
from tau_retail_env.runs.metric_log import MetricLog
from tests.plain_trajectory import plain_trajectory

HOSTILE = (
    "<script>alert(1)</script> <img src=x onerror=alert(1)> [click](javascript:alert(1)) ![i](http://h/i.png) "
    "http://h/page mail@example.org `code` **bold** | a cell\n| another | row |\n"
    "# title\n<!-- --> &lt;b&gt; \x1b[31m\u202e"
)


def episode(content="Hi", **changes):
    return plain_trajectory(
        messages=({"role": "system", "content": "s"}, {"role": "user", "content": content}), **changes
    )


def test_a_row_tells_task_reward_end_and_what_was_said_without_the_system_prompt():
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"a": 1}'}}
    messages = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": None, "tool_calls": [call]})
    row = row_of(plain_trajectory(task_id="tau2/7", sampling_seed=3, reward=1.0, messages=messages), 20)
    assert row.cells == (20, "tau2/7", 3, 1.0, "user_stop", 'user: Hi\nassistant: find({"a": 1})')
    assert len(row.cells) == len(COLUMNS)


def test_every_validation_shows_the_same_few_tasks():
    rows = [row_of(episode(task_id=f"tau2/{number:03}"), 0) for number in range(100)]
    shown = [row.task for row in sampled(rows)]
    assert len(shown) == MOST_ROWS
    assert shown == [row.task for row in sampled(reversed(rows))]
    assert sampled(rows[:3]) == rows[:3]


def test_a_long_conversation_is_cut_in_its_middle():
    shown = row_of(episode("a" * 100_000 + "the end"), 0).conversation
    assert len(shown) <= LONGEST
    assert shown.startswith("user: aaa") and shown.endswith("the end")
    longest = "a" * (LONGEST - len("user: "))
    assert row_of(episode(longest), 0).conversation == f"user: {longest}"


def test_nothing_in_a_text_is_obeyed_by_tensorboards_page():
    plugin_util = pytest.importorskip("tensorboard.plugin_util")
    page = plugin_util.markdown_to_safe_html(as_markdown([row_of(episode(HOSTILE), 0)]))
    assert page.count("<tr>") == 2
    assert not any(tag in page for tag in ("<script", "<img", "<a ", "<code", "<strong", "<em", "<h1", "<!--"))
    assert "\x1b" not in page and "\u202e" not in page
    assert "alert&#40;1&#41;" in page


def test_tensorboards_page_shows_a_text_as_it_was_said():
    plugin_util = pytest.importorskip("tensorboard.plugin_util")
    said = 'I\'m #1 & <not> "two": 50% off_the \\ *price*'
    page = plugin_util.markdown_to_safe_html(as_markdown([row_of(episode(said), 0)]))
    assert f"user: {said}" in html.unescape(page)


def test_tensorboard_keeps_the_table_of_a_step(tmp_path):
    pytest.importorskip("torch")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from tau_retail_env.local.tensorboard import TensorBoard

    log = MetricLog(tmp_path / "metrics.jsonl", [TensorBoard(tmp_path / "tensorboard", step=0)])
    log.write(5, {"val/score/mean": 0.5})
    log.show(5, [episode("Where is my order?")])
    log.close()
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    (table,) = found.Tensors("episodes/text_summary")
    assert table.step == 5
    assert b"Where is my order?" in table.tensor_proto.string_val[0]


def test_wandb_keeps_the_table_of_a_step(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    from tau_retail_env.runs.trackers import Hosted

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = tmp_path / "run"
    folder.mkdir()
    log = MetricLog(folder / "metrics.jsonl", [Hosted("wandb", folder, {"dir": str(tmp_path)})])
    log.write(5, {"val/score/mean": 0.5})
    log.show(5, [episode(HOSTILE)])
    summary = dict(wandb.run.summary)
    log.close()
    assert summary["episodes"]["_type"] == "table-file"
    assert (summary["episodes"]["nrows"], summary["episodes"]["ncols"]) == (1, len(COLUMNS))


def test_without_trackers_no_row_is_made(tmp_path):
    log = MetricLog(tmp_path / "metrics.jsonl")
    log.show(5, (pytest.fail("looked at") for _ in range(1)))
