"""What a word on the command line means as an agent."""

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.choice import NAMES, AgentChoice, made_here
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.errors import InvalidValueError

TASK = load_tasks("tau2", "test")[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_named_agent_plays(name):
    agent = made_here(AgentChoice.read(name))(TASK, 0)
    trajectory = play_episode(TauRetailEnv(tasks=[TASK]), agent, EpisodeRequest(TASK.id, 0))
    assert trajectory.reward == (1.0 if name == "oracle" else 0.0)


def test_a_folder_with_a_model_is_a_checkpoint(tmp_path):
    with pytest.raises(InvalidValueError, match=r"holds no model \(config\.json is missing\)"):
        AgentChoice.read(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    assert AgentChoice.read(str(tmp_path)) == AgentChoice("checkpoint", str(tmp_path))


def test_an_address_is_a_server():
    assert AgentChoice.read("http://127.0.0.1:8000/v1/") == AgentChoice("server", "http://127.0.0.1:8000/v1")


def test_an_address_without_its_scheme_is_told_what_is_missing():
    with pytest.raises(InvalidValueError, match="begins with http://"):
        AgentChoice.read("127.0.0.1:8000/v1")


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(InvalidValueError, match="Did you mean 'oracle'"):
        AgentChoice.read("orcale")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "has no 'make'"),
        ("make = 3", "is no function but int"),
        (
            "def make():\n    raise KeyError('no weights')",
            r"make\(\) raises KeyError: 'no weights' \(.*, line 2\)",
        ),
        ("raise OSError('no disk')", r"the module 'module_\d+' raises OSError: no disk"),
        ("def make(): return 3", "made int without a method act"),
        ("import nowhere_to_be_found", "cannot be imported"),
    ],
)
def test_what_makes_no_agent_is_told(tmp_path, monkeypatch, source, words):
    (tmp_path / f"module_{abs(hash(source))}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InvalidValueError, match=words):
        made_here(AgentChoice.read(f"module_{abs(hash(source))}:make"))


def test_a_function_makes_an_agent_for_each_episode(tmp_path, monkeypatch):
    (tmp_path / "quitters.py").write_text(
        "from tau_retail_env.agents.bad import QuitterAgent\n\ndef quit_at_once():\n    return QuitterAgent()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    make = made_here(AgentChoice.read("quitters:quit_at_once"))
    assert make(TASK, 0) is not make(TASK, 0)
    trajectory = play_episode(TauRetailEnv(tasks=[TASK]), make(TASK, 0), EpisodeRequest(TASK.id, 0))
    assert trajectory.metrics["transfers"] == 1


def test_a_random_agent_plays_the_same_game_again_with_the_same_seed():
    def messages(seed):
        agent = made_here(AgentChoice.read("random"))(TASK, seed)
        return play_episode(TauRetailEnv(tasks=[TASK]), agent, EpisodeRequest(TASK.id, 0)).messages

    assert messages(0) == messages(0) != messages(1)
