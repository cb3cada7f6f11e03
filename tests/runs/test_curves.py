"""The picture of a run: what stands on its axes, and that a validation has its interval."""

import json

import pytest

from tau_retail_env.runs import curves
from tau_retail_env.runs.files import read_rows


@pytest.fixture
def panels(monkeypatch, tmp_path):
    """Draws rows, and returns the axes by title."""
    figure = pytest.importorskip("matplotlib.figure")
    drawn = []
    save = figure.Figure.savefig
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *a, **k: drawn.append(self) or save(self, *a, **k))

    def draw(rows, **named):
        curves.draw(rows, tmp_path / "curves.png", title="a run", **named)
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
        return {axes.get_title(): axes for axes in drawn[-1].axes}

    return draw


def row(step, **values):
    return {"step": step, "rollout/score/mean": 0.5, "critic/kl": 0.01 * step} | values


def test_success_goes_from_0_to_1_steps_are_whole_and_axes_have_units(panels):
    axes = panels([row(step) for step in range(4)])
    assert set(axes) == {"success", "KL to the reference"}
    low, high = axes["success"].get_ylim()
    assert (round(low, 1), round(high, 1)) == (0.0, 1.0)
    assert all(tick == int(tick) for tick in axes["success"].get_xticks())
    assert axes["KL to the reference"].get_ylabel() == "nats a token"
    assert axes["KL to the reference"].get_ylim()[1] < 0.04, "what is no share fills its axis"
    assert [text.get_text() for text in axes["success"].get_legend().get_texts()] == ["training tasks, sampled"]


def test_validations_have_their_intervals_and_three_of_them_a_band(panels):
    rows = [row(0, **{"val/score/mean": 0.3}), row(1), row(2, **{"val/score/mean": 0.6})]
    intervals = {0: (0.2, 0.4), 2: (0.5, 0.7)}
    (bars,) = panels(rows, intervals=intervals)["success"].containers
    ends = [tuple(y for _, y in segment) for segment in bars.lines[2][0].get_segments()]
    assert ends == [pytest.approx((0.2, 0.4)), pytest.approx((0.5, 0.7))]
    assert bars.lines[0].get_linestyle() == "None"
    rows.append(row(3, **{"val/score/mean": 0.7}))
    success = panels(rows, intervals={**intervals, 3: (0.6, 0.8)})["success"]
    assert success.containers[0].lines[0].get_linestyle() == "-"
    assert any(type(one).__name__ == "FillBetweenPolyCollection" for one in success.collections)


def test_validations_whose_intervals_nobody_knows_are_points_alone(panels):
    rows = [row(step, **{"val/score/mean": 0.5}) for step in range(3)]
    success = panels(rows)["success"]
    assert "held-out tasks" in [text.get_text() for text in success.get_legend().get_texts()]
    assert not success.containers[0].has_yerr
    assert all("Fill" not in type(one).__name__ for one in success.collections)
    known = panels(rows, intervals={0: (0.3, 0.8)})["success"]
    assert "held-out tasks, with 95 % interval" in [text.get_text() for text in known.get_legend().get_texts()]


def test_the_headline_tells_run_model_and_success(repository):
    summary = json.loads((repository / "docs/runs/laptop/seed1/summary.json").read_text())
    told = curves.headline("laptop", summary)
    assert told == "laptop: Qwen2ForCausalLM, 6.8 M parameters; held-out success 61.5% to 70.5%"
    assert curves.headline("other", {}) == "other"


def test_rows_of_rolls_own_names_have_panels_too(panels, repository):
    axes = panels(read_rows(repository / "docs/runs/roll_ppo_critic/metrics.jsonl"))
    assert {"success", "critic", "gradient norm"} <= set(axes)


def test_the_picture_has_its_title_three_panels_in_a_row_and_grows_with_them(panels):
    keys = {key: 0.1 for panel in curves.PANELS for key in panel.lines}
    success = panels([row(step, **keys) for step in range(2)])["success"]
    figure = success.figure
    assert figure.get_suptitle() == "a run"
    assert success.get_subplotspec().get_gridspec().ncols == 3
    assert figure.get_size_inches()[0] == pytest.approx(3 * 4.6)
    (alone,) = panels([{"step": step, "critic/kl": 0.1} for step in range(2)]).values()
    assert alone.figure.get_size_inches() == pytest.approx((4.6, 3.2))


def test_two_validations_are_no_trend_and_their_bars_never_reach_outside_of_what_was_measured(panels):
    rows = [row(step, **{"val/score/mean": 0.5}) for step in range(2)]
    success = panels(rows, intervals={0: (0.3, 0.8), 1: (0.6, 0.4)})["success"]
    ends = [tuple(y for _, y in segment) for segment in success.containers[0].lines[2][0].get_segments()]
    assert ends == [pytest.approx((0.3, 0.8)), pytest.approx((0.5, 0.5))]
    assert not success.collections or all("Fill" not in type(one).__name__ for one in success.collections)


def test_seven_panels_stand_in_three_lines(panels):
    keys = {key: 0.1 for panel in curves.PANELS for key in panel.lines}
    figure = panels([row(step, **keys) for step in range(2)])["success"].figure
    grid = figure.axes[0].get_subplotspec().get_gridspec()
    assert (grid.nrows, len(figure.axes)) == (3, 7)
    assert figure.get_size_inches()[1] == pytest.approx(3 * 3.2)
