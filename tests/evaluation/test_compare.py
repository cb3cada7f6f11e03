"""Comparing agents: evaluations, upstream's files and validations, and what is refused."""

import json
from pathlib import Path

import pytest

from tau_retail_env import load_tasks
from tau_retail_env.agents.bad import SilentAgent
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.cli.main import main
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.compare import NO_DIFFERENCE, as_json, as_text, compare
from tau_retail_env.evaluation.page.readers import reader_of
from tau_retail_env.evaluation.record import EPISODES, Episode, best_episodes
from tau_retail_env.evaluation.settings import read_settings
from tau_retail_env.evaluation.sides import read_side, steps_of
from tau_retail_env.evaluation.upstream import tau2
from tau_retail_env.runs.trajectories import write_trajectories
from tests.evaluation.evaluations import TASKS, evaluate
from tests.plain_trajectory import plain_trajectory

EIGHT = 8


def half(task, seed):
    return OracleAgent(task) if seed else SilentAgent()


@pytest.fixture
def oracle(tmp_path):
    evaluate(tmp_path / "oracle", make_agent=lambda task, seed: OracleAgent(task), agent="oracle", trials=2)
    return tmp_path / "oracle"


@pytest.fixture
def often_silent(tmp_path):
    evaluate(tmp_path / "half", make_agent=half, trials=2)
    return tmp_path / "half"


def test_an_agent_beside_itself_shows_no_difference(oracle):
    found = compare(read_side(str(oracle)), read_side(str(oracle)))
    assert NO_DIFFERENCE in as_text(found)
    assert (found.difference.value, found.flipped) == (0.0, [])


def test_an_agent_that_wins_what_the_other_loses_is_better(tmp_path):
    six = load_tasks("tau2", "test", "exchanges")[:6]
    evaluate(tmp_path / "silent", six)
    evaluate(tmp_path / "oracle", six, agent="oracle")
    text = as_text(compare(read_side(str(tmp_path / "silent")), read_side(str(tmp_path / "oracle"))))
    assert "+100.0 points, no interval" in text
    assert "B is better: on every task" in text and NO_DIFFERENCE not in text


def test_tasks_that_flipped_are_shown_with_their_episodes(often_silent, oracle):
    found = compare(read_side(str(often_silent)), read_side(str(oracle)))
    assert found.rates == (0.5, 1.0)
    assert [one.task_id for one in found.flipped] == sorted(task.id for task in TASKS)
    first = found.flipped[0]
    assert first.episodes[0].startswith("A failed trial 0 (seed 0: missing write")
    assert first.episodes[1] == "B solved all 2"
    assert first.task_id in as_text(found)
    assert json.loads(json.dumps(as_json(found)))["difference"] == 0.5


def test_one_task_is_told_as_one(oracle, tmp_path):
    evaluate(tmp_path / "half", TASKS[:1], make_agent=half, trials=2)
    words = as_text(compare(read_side(str(tmp_path / "half")), read_side(str(oracle))))
    assert "pass^1 on the same 1 task: A 50.0" in words
    assert "1 task flipped (" in words
    assert f"left out, since only B has scored them: {len(TASKS) - 1} tasks" in words


def test_a_file_of_upstreams_stands_for_the_evaluation_it_was_made_of(often_silent, oracle, tmp_path):
    settings = read_settings(oracle)
    tau2.write(tmp_path / "results.json", settings, best_episodes(oracle / EPISODES), tau2.task_rows())
    ours = compare(read_side(str(often_silent)), read_side(str(oracle)))
    theirs = compare(read_side(str(often_silent)), read_side(str(tmp_path / "results.json")))
    assert theirs.difference == ours.difference
    assert theirs.second.task_version == "0.2"


@pytest.mark.parametrize("file", ["results.json", "eval.json"])
def test_the_results_of_an_evaluation_stand_for_its_folder(oracle, file):
    named, whole = read_side(str(oracle / file)), read_side(str(oracle))
    assert (named.what, named.task_version, list(named.episodes)) == (whole.what, "0.2", list(whole.episodes))
    assert reader_of(str(oracle / file)).kind == "evaluation"


def test_an_episode_of_a_task_that_is_not_the_evaluations_is_refused_by_every_reader(oracle, tmp_path, capsys):
    with (oracle / EPISODES).open("a") as file:
        file.write(Episode(0, plain_trajectory(task_id="tau2/999")).as_line() + "\n")
    for words in (
        ["compare", oracle, oracle],
        ["review", oracle],
        ["report", oracle, "--output", tmp_path / "page.html"],
        ["convert", oracle, "--to", "tau2", "--output", tmp_path / "results.json"],
        ["play", "--recorded", oracle],
        ["generate", "--like", oracle],
    ):
        assert main(list(map(str, words))) == 2
        assert "holds an episode of tau2/999, which is no task of this evaluation" in capsys.readouterr().err


def test_an_evaluation_without_episodes_is_converted_into_nothing(oracle, tmp_path, capsys):
    (oracle / EPISODES).write_text("")
    for words in (["convert", oracle, "--to", "tau2", "--output", tmp_path / "r.json"], ["generate", "--like", oracle]):
        assert main(list(map(str, words))) == 2
    assert "holds no episode" in capsys.readouterr().err
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize("read", [read_side, reader_of])
def test_the_folder_of_evaluations_is_told_which_it_holds(read, oracle, often_silent):
    with pytest.raises(InvalidValueError, match=r"is no evaluation .*; it holds \S+/half, \S+/oracle: name one"):
        read(str(oracle.parent))


def test_a_step_of_what_has_none_is_refused(oracle):
    for name in (oracle, oracle / EPISODES):
        with pytest.raises(InvalidValueError, match="is no training run: only one has steps; leave out @3"):
            read_side(f"{name}@3")
    with pytest.raises(InvalidValueError, match="the report shows every step of a run; leave out @3"):
        reader_of(f"{oracle}@3")
    with pytest.raises(InvalidValueError, match="There is no file or folder"):
        read_side(f"{oracle}@²")


def test_single_trials_are_tested_by_mcnemar(tmp_path):
    tasks = [plain_trajectory(task_id=f"tau2/{number}") for number in range(EIGHT)]
    solved = [plain_trajectory(task_id=f"tau2/{number}", reward=1.0) for number in range(EIGHT)]
    write_trajectories(tmp_path / "a.jsonl", [*tasks, plain_trajectory(task_id="tau2/99", reward=1.0)])
    write_trajectories(tmp_path / "b.jsonl", [*solved, plain_trajectory(task_id="tau2/99", reward=1.0)])
    found = compare(read_side(str(tmp_path / "a.jsonl")), read_side(str(tmp_path / "b.jsonl")))
    assert found.difference.p_value == pytest.approx(2 / 2**EIGHT)
    assert "p = 0.00781" in as_text(found)
    assert "B is better: every method leaves out 0" in as_text(found)


def validation(step, rewards):
    return [
        plain_trajectory(task_id=f"tau2/{number}", reward=reward, policy_version=step, sampling_seed=trial)
        for number, trials in enumerate(rewards)
        for trial, reward in enumerate(trials)
    ]


def test_a_training_runs_validations_are_compared_by_their_steps(tmp_path):
    (tmp_path / "run" / "trajectories").mkdir(parents=True)
    folder = tmp_path / "run" / "trajectories"
    write_trajectories(folder / "val-000000.jsonl", validation(0, [[0.0, 0.0], [0.0, 1.0]]))
    write_trajectories(folder / "val-000005.jsonl", validation(5, [[1.0, 0.0], [1.0, 1.0]]))
    write_trajectories(folder / "train-000005.jsonl", validation(5, [[0.0, 0.0], [0.0, 0.0]]))
    assert steps_of(tmp_path / "run") == [0, 5]
    found = compare(read_side(f"{tmp_path / 'run'}@0"), read_side(str(tmp_path / "run")))
    assert (found.rates, found.second.what) == ((0.25, 0.75), "validation after step 5")
    with pytest.raises(InvalidValueError, match=r"was not validated after step 3; it was after \[0, 5\]"):
        read_side(f"{tmp_path / 'run'}@3")


def test_another_versions_tasks_are_refused_by_name(oracle, often_silent):
    path = often_silent / "eval.json"
    stored = json.loads(path.read_text())
    stored["tasks"][TASKS[1].id] = "another"
    stored["task_version"] = "1.0"
    path.write_text(json.dumps(stored))
    played = (often_silent / EPISODES).read_text()
    assert '"task_version": "0.2"' in played
    (often_silent / EPISODES).write_text(played.replace('"task_version": "0.2"', '"task_version": "1.0"'))
    told = f"different versions of the same tasks: of another version are {TASKS[1].id}. Play one of them with"
    with pytest.raises(InvalidValueError, match=told):
        compare(read_side(str(oracle)), read_side(str(often_silent)))


def test_two_task_versions_are_refused_by_name(tmp_path, oracle):
    one, two = (plain_trajectory(task_id="tau2/5", task_version=version) for version in ("0.2", "1.0"))
    write_trajectories(tmp_path / "new.jsonl", [two])
    new = str(tmp_path / "new.jsonl")
    for old in (str(oracle), str(tmp_path / "old.jsonl")):
        write_trajectories(tmp_path / "old.jsonl", [one])
        with pytest.raises(InvalidValueError) as caught:
            compare(read_side(old), read_side(new))
        assert f"two task versions cannot be compared: {old} has 0.2, {new} has 1.0." in str(caught.value)


@pytest.mark.parametrize("airline", ["tau2/airline/5", "tau_bench/airline/5"])
def test_another_domain_is_refused_as_such(tmp_path, oracle, airline):
    flights = plain_trajectory(task_id=airline, task_version="other")
    write_trajectories(tmp_path / "flights.jsonl", [flights])
    told = f"two domains have no task in common: {oracle} is of retail, {tmp_path / 'flights.jsonl'} is of airline"
    with pytest.raises(InvalidValueError, match=told):
        compare(read_side(str(oracle)), read_side(str(tmp_path / "flights.jsonl")))


def test_a_name_with_a_line_end_begins_no_line(oracle, tmp_path):
    rows = tau2.task_rows()
    tau2.write(tmp_path / "results.json", read_settings(oracle), best_episodes(oracle / EPISODES), rows)
    file = json.loads((tmp_path / "results.json").read_text())
    file["info"]["agent_info"]["llm"] = "model\nB less A: +99.0 points\u2028more"
    (tmp_path / "results.json").write_text(json.dumps(file))
    side = read_side(str(tmp_path / "results.json"))
    lines = as_text(compare(side, side)).splitlines()
    assert sum(line.startswith("B less A") for line in lines) == 1
    assert lines[0].endswith("tau2's file of model B less A: +99.0 points more, tasks 0.2".replace("tau2", "τ²"))


def test_a_file_that_holds_two_task_versions_is_refused(tmp_path):
    mixed = [plain_trajectory(task_id="tau2/5", task_version=version) for version in ("0.2", "1.0")]
    write_trajectories(tmp_path / "mixed.jsonl", mixed)
    with pytest.raises(InvalidValueError, match=r"mixed.jsonl has 0.2 and 1.0"):
        compare(read_side(str(tmp_path / "mixed.jsonl")), read_side(str(tmp_path / "mixed.jsonl")))


@pytest.mark.parametrize("task_versions", [("1.0",), ("0.2", "1.0"), ("1.0", "0.2")])
@pytest.mark.parametrize(
    "command",
    [
        ("compare", "{0}", "{0}"),
        ("review", "{0}"),
        *(("convert", "{0}", "--to", form, "--output", "{1}") for form in ("tau2", "trl", "llama-factory")),
    ],
    ids=" ".join,
)
def test_a_folder_with_episodes_of_another_task_version_is_refused(tmp_path, oracle, capsys, command, task_versions):
    mixed = [plain_trajectory(task_id=TASKS[0].id, reward=1.0, task_version=version) for version in task_versions]
    write_trajectories(tmp_path / "mixed.jsonl", mixed)
    (tmp_path / "mixed.jsonl").replace(oracle / EPISODES)
    assert main([word.format(oracle, tmp_path / "out") for word in command]) == 2
    assert f"{TASKS[0].id} of task version 1.0, but eval.json says 0.2" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_review_of_a_file_with_two_task_versions_is_refused(tmp_path, capsys):
    mixed = [plain_trajectory(task_id="tau2/5", task_version=version) for version in (None, "0.2", "1.0")]
    write_trajectories(tmp_path / "mixed.jsonl", mixed)
    assert main(["review", str(tmp_path / "mixed.jsonl")]) == 2
    assert "tau2/5 of task version 1.0, but tau2/5 before it says 0.2" in capsys.readouterr().err


@pytest.mark.parametrize("task_version", [None, "1"])
def test_agents_without_a_task_in_common_are_refused(tmp_path, oracle, task_version):
    other = plain_trajectory(task_id="tau_bench/test/3", task_version=task_version)
    write_trajectories(tmp_path / "other.jsonl", [other])
    with pytest.raises(InvalidValueError, match=r"no scored task in common: 4 tasks such as .* tau_bench/test/3"):
        compare(read_side(str(oracle)), read_side(str(tmp_path / "other.jsonl")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", "an object for each run, found '1'"),
        ('{"simulations": ["x"]}', "an object, found 'x'"),
        ('{"info": {}, "tasks": [], "simulations": []}', "holds no episode"),
        ("[]", "holds no episode"),
    ],
)
def test_a_foreign_or_empty_file_is_refused_by_what_it_holds(tmp_path, text, words):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InvalidValueError, match=words):
        read_side(str(path))


def test_what_is_no_record_is_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="no evaluation"):
        read_side(str(tmp_path))
    with pytest.raises(InvalidValueError, match="There is no file or folder"):
        read_side(str(tmp_path / "nothing"))


@pytest.mark.parametrize("read", [read_side, lambda name: read_settings(Path(name))])
def test_the_beginning_of_a_folders_long_name_is_told_the_whole(read, tmp_path):
    (tmp_path / "silent-tau2-test-e4de19a8").mkdir()
    with pytest.raises(
        InvalidValueError, match=r"There is no file or folder .*did you mean .*/silent-tau2-test-e4de19a8"
    ):
        read(str(tmp_path / "silent"))
