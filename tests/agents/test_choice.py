"""What a word on the command line means as an agent."""

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.choice import NAMES, AgentChoice, check_model, made_here
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
    with pytest.raises(InvalidValueError, match=r"begins with http://"):
        AgentChoice.read("127.0.0.1:8000/v1")


@pytest.mark.parametrize("word", ["localhost:8000", "my_agents.py:make", "folder/agents:make", "small:"])
def test_what_names_no_function_is_told_how_addresses_and_modules_are_written(word):
    with pytest.raises(InvalidValueError, match=r"begins with http://.*with dots and without .py"):
        AgentChoice.read(word)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://somebody:secret@127.0.0.1/v1", "holds a user name, a password"),
        ("http://127.0.0.1/v1?key=secret", "holds a user name, a password, a query"),
        ("http://", "expected an address such as http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1/v1/chat/completions", "expected it without the end: 'http://127.0.0.1/v1'"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_its_secrets(address, words):
    with pytest.raises(InvalidValueError, match=words) as caught:
        AgentChoice.read(address)
    assert "secret" not in str(caught.value)


def test_an_unknown_name_gets_the_nearest_one_and_what_else_can_be_given(tmp_path):
    for word, near in (("orcale", "oracle"), ("smal", "small")):
        with pytest.raises(
            InvalidValueError,
            match=f"random, small. Did you mean '{near}'.*folder, an http address, or module:function",
        ):
            AgentChoice.read(word, {"small": tmp_path})


def test_a_word_for_a_model_means_its_folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert AgentChoice.read("small", {"small": tmp_path}) == AgentChoice("checkpoint", str(tmp_path))


def test_a_path_that_is_no_model_is_told_what_is():
    with pytest.raises(
        InvalidValueError, match=r"there is no folder org/model; .* hf download NAME --local-dir FOLDER"
    ):
        AgentChoice.read("org/model")
    with pytest.raises(
        InvalidValueError, match=r"is a file; a model is given by its folder, .* such as my_agents:make"
    ):
        AgentChoice.read(__file__)


def test_the_folder_of_a_run_is_told_its_models_the_best_first(tmp_path):
    for name in ("checkpoint-20", "best"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        (tmp_path / "checkpoints" / name / "config.json").write_text("{}")
    for folder in (tmp_path, tmp_path / "checkpoints"):
        with pytest.raises(InvalidValueError, match=r"did you mean \S+/best or \S+/checkpoint-20\?"):
            AgentChoice.read(str(folder))


def test_a_server_and_the_name_of_its_model_go_together():
    with pytest.raises(InvalidValueError, match="name the model that is to be asked there, with --model NAME"):
        check_model(AgentChoice.read("http://127.0.0.1:8000/v1"), None)
    with pytest.raises(InvalidValueError, match="--model gpt: oracle is no server's address, such as"):
        check_model(AgentChoice.read("oracle"), "gpt")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "has no 'make'"),
        ("def mkae(): ...", "has no 'make'. Did you mean 'mkae'"),
        ("make = 3", "is no function but int; expected a function that takes nothing and returns an object with act"),
        ("def make(observation, info): return 'hi'", "make takes arguments; expected a function that takes nothing"),
        (
            "def make():\n    raise KeyError('no weights')",
            r"make\(\) raises KeyError: 'no weights' \(.*, line 2\)",
        ),
        ("def make(", r"raises SyntaxError: '\(' was never closed \(module_\d+.py, line 1\)$"),
        ("raise OSError('no disk')", r"the module 'module_\d+' raises OSError: no disk"),
        ("def make(): return 3", "made int without a method act"),
        (
            "import nowhere_to_be_found",
            "cannot be imported: No module named 'nowhere_to_be_found'; it is looked for in",
        ),
    ],
)
def test_what_makes_no_agent_is_told(tmp_path, monkeypatch, source, words):
    (tmp_path / f"module_{abs(hash(source))}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InvalidValueError, match=words):
        made_here(AgentChoice.read(f"module_{abs(hash(source))}:make"))


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ("lambda self, observation, info: {}['plan']", r"KeyError: 'plan' \(\S+, line 3\)$"),
        ("lambda self, observation, info: json.loads('{')", r"JSONDecodeError: .* \(\S+module_\d+.py, line 3\)$"),
        ("lambda self, observation: 'hi'", "TypeError: .* takes 2 positional arguments but 3 were given$"),
    ],
)
def test_what_an_agent_of_ones_own_raises_is_told_with_the_place_in_its_module(tmp_path, monkeypatch, act, words):
    word = f"module_{abs(hash(act))}:Mine"
    (tmp_path / f"{word.partition(':')[0]}.py").write_text(f"import json\nclass Mine:\n    act = {act}\n")
    monkeypatch.syspath_prepend(tmp_path)
    agent = made_here(AgentChoice.read(word))(TASK, 0)
    with pytest.raises(InvalidValueError, match=rf"--agent: act\(\) of {word}'s agent raises {words}"):
        agent.act("Hello.", {})


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
