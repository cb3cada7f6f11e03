"""τ²'s results.json: round trips, upstream's own readers, evaluators and checks on ours, damaged files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tau_retail_env import load_tasks
from tau_retail_env.agents.bad import BoastingAgent, EagerAgent, QuitterAgent, SilentAgent
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.outcome import figures, outcomes_of
from tau_retail_env.evaluation.record import EPISODES, best_episodes, read_episodes
from tau_retail_env.evaluation.runner import stand, write_results
from tau_retail_env.evaluation.settings import read_settings
from tau_retail_env.evaluation.sides import read_side, read_upstream
from tau_retail_env.evaluation.upstream import submission, tau2
from tau_retail_env.evaluation.upstream.conversation import judged_again
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.statistics.passes import pass_curve
from tests.evaluation.evaluations import TASKS
from tests.evaluation.upstream.conftest import last_line

JUDGED_BY_UPSTREAM = """
import json, sys
from loguru import logger
logger.remove()
from tau2.data_model.simulation import Results
from tau2.metrics.agent_metrics import compute_metrics
from tau2.scripts.evaluate_trajectories import compute_simulation_rewards
stored = Results.load(sys.argv[1])
judged = compute_simulation_rewards(stored)
print(json.dumps({
    "stored": [[one.task_id, one.trial, one.reward_info.reward] for one in stored.simulations],
    "judged": [[one.task_id, one.trial, one.reward_info.reward] for one in judged.simulations],
    "pass": compute_metrics(stored).pass_hat_ks,
}))
"""
OLD_READER = """
import json, sys
from tau2.data_model.simulation import Results
print(json.dumps([one.reward_info.reward for one in Results.load(sys.argv[1]).simulations]))
"""


class Careless:
    """Serves as the oracle does, after a message that nobody can read and two calls at once that would write."""

    def __init__(self, task):
        self._oracle = OracleAgent(task)
        cancel = ToolCall("cancel_pending_order", {"order_id": "#W1654931", "reason": "no longer needed"})
        self._first = ["<tool_call>{broken", AgentMessage(None, (cancel, cancel))]
        self._opening = None

    def act(self, observation, info):
        self._opening = self._opening or (observation, info)
        return self._first.pop(0) if self._first else self._oracle.act(*self._heard(observation, info))

    def _heard(self, observation, info):
        opening, self._opening = self._opening, (None, None)
        return opening if opening != (None, None) else (observation, info)


def mixed(task, seed):
    """Another agent in every trial."""
    makers = [OracleAgent, Careless, BoastingAgent, lambda task: EagerAgent()]
    return makers[seed % len(makers)](task)


def convert(folder, path, rows=None, **options):
    settings = read_settings(folder)
    return tau2.write(path, settings, best_episodes(folder / EPISODES), rows or tau2.task_rows(), **options)


def rewards(episodes):
    return {(one.trajectory.task_id, one.trial): one.trajectory.reward for one in episodes}


@pytest.mark.parametrize("as_folder", [False, True])
def test_what_was_written_is_read_back(evaluation, tmp_path, as_folder):
    folder = evaluation(make_agent=mixed, trials=4)
    path = tmp_path / "tau2" / ("run" if as_folder else "results.json")
    assert convert(folder, path, as_folder=as_folder) == (4 * len(TASKS), 0)
    file = tau2.Tau2File()
    found = list(tau2.read(path, file))
    assert rewards(found) == rewards(read_episodes(folder / EPISODES))
    assert (file.domain, file.version()) == ("retail", "0.2")
    again = tmp_path / "again.json"
    tau2.write(again, read_settings(folder), found, tau2.task_rows())
    first, second = (json.loads(p.read_text())["simulations"] for p in (again, again))
    assert [one["messages"] for one in first] == [one["messages"] for one in second]


def test_turns_that_the_environment_refused_are_left_out_and_run_nothing(evaluation, tmp_path):
    folder = evaluation(make_agent=lambda task, seed: Careless(task), trials=1)
    convert(folder, tmp_path / "results.json")
    simulations = json.loads((tmp_path / "results.json").read_text())["simulations"]
    said = [message for one in simulations for message in one["messages"] if message["role"] == "assistant"]
    assert not any("<tool_call>" in (message["content"] or "") for message in said)
    assert max(len(message["tool_calls"] or ()) for message in said) == 1


def test_our_shop_judges_a_file_as_the_environment_did(evaluation, tmp_path):
    folder = evaluation(make_agent=mixed, trials=4)
    convert(folder, tmp_path / "results.json")
    found = [episode.trajectory for episode in read_upstream(tmp_path / "results.json")]
    played = rewards(read_episodes(folder / EPISODES))
    assert [one.reward for one in judged_again(found)] == [one.reward for one in found]
    assert sorted(played.values()) == sorted(one.reward for one in found)
    assert set(played.values()) == {0.0, 1.0}


def test_the_wheels_own_reader_reads_ours(evaluation, tmp_path):
    pytest.importorskip("tau2.data_model.simulation", reason="needs the packages of τ²'s wheel")
    folder = evaluation(make_agent=mixed, trials=4)
    convert(folder, tmp_path / "results.json")
    result = subprocess.run(
        [sys.executable, "-c", OLD_READER, tmp_path / "results.json"], capture_output=True, text=True, check=False
    )
    assert sorted(last_line(result)) == sorted(rewards(read_episodes(folder / EPISODES)).values())


def test_upstreams_evaluator_and_pass_k_agree_with_ours(evaluation, tmp_path, tau2_bench):
    folder = evaluation(make_agent=mixed, trials=4)
    convert(folder, tmp_path / "results.json")
    found = last_line(tau2_bench("-c", JUDGED_BY_UPSTREAM, str(tmp_path / "results.json")))
    ours = rewards(read_episodes(folder / EPISODES))
    assert {(f"tau2/{task}", trial): reward for task, trial, reward in found["judged"]} == ours
    assert found["judged"] == found["stored"]
    curve = pass_curve(outcomes_of(read_side(str(folder)).episodes), 4)
    assert {int(k): value for k, value in found["pass"].items()} == pytest.approx(
        {k: one.value for k, one in curve.all_of_k.items()}
    )
    assert 0 < curve.all_of_k[1].value < 1


def test_upstreams_command_evaluates_ours(evaluation, tmp_path, tau2_bench):
    folder = evaluation(make_agent=lambda task, seed: SilentAgent(), trials=1)
    convert(folder, tmp_path / "run" / "results.json")
    result = tau2_bench("-m", "tau2.cli", "evaluate-trajs", str(tmp_path / "run" / "results.json"))
    assert "All files processed successfully" in result.stdout


@pytest.fixture
def whole_split(evaluation, tau2_bench_tasks):
    """An evaluation of all 114 tasks, and upstream's present tasks beside it."""
    tasks = load_tasks("tau2", "base", task_version="1.0")
    agent = {"make_agent": lambda task, seed: QuitterAgent(), "trials": 2}
    folder = evaluation(tasks=tasks, split="base", task_version="1.0", **agent)
    settings = read_settings(folder)
    standing = stand(folder, settings, tasks)
    write_results(folder, figures(settings, standing.episodes, standing.spent, tasks))
    return folder, tau2.task_rows(tau2_bench_tasks)


SUBMITTER = {"model_name": "silent", "model_organization": "us", "organization": "us", "email": "a@example.org"}


def submit(folder, rows, path, **changes):
    results = json.loads((folder / "results.json").read_text())
    submitter = submission.Submitter(**SUBMITTER | {"notes": "as is", "references": ["https://example.org"]} | changes)
    submission.write(path, read_settings(folder), best_episodes(folder / EPISODES), results, rows, submitter)


def test_upstreams_tools_accept_a_submission(whole_split, tmp_path, tau2_bench):
    folder, rows = whole_split
    submit(folder, rows, tmp_path / "submission")
    result = tau2_bench("-m", "tau2.cli", "submit", "validate", str(tmp_path / "submission"))
    assert "Submission metrics validation successful" in result.stdout, result.stdout + result.stderr[-2000:]
    (file,) = (tmp_path / "submission" / "trajectories").iterdir()
    result = tau2_bench("-m", "tau2.cli", "submit", "verify-trajs", str(file))
    assert "All files passed all checks" in result.stdout


def test_a_submission_needs_the_whole_split_and_every_trial(evaluation, tmp_path):
    folder = evaluation(trials=1)
    settings = read_settings(folder)
    standing = stand(folder, settings, TASKS)
    write_results(folder, figures(settings, standing.episodes, [], TASKS))
    with pytest.raises(InvalidValueError, match="takes all 114 tasks"):
        submit(folder, tau2.task_rows(), tmp_path / "submission")


def test_a_submission_needs_the_present_tasks(evaluation, tmp_path):
    tasks = load_tasks("tau2", "base")
    folder = evaluation(tasks=tasks, make_agent=lambda task, seed: QuitterAgent(), trials=1, split="base")
    settings = read_settings(folder)
    write_results(folder, figures(settings, stand(folder, settings, tasks).episodes, [], tasks))
    with pytest.raises(InvalidValueError, match=r"tasks of version 1\.0, this evaluation has 0\.2"):
        submit(folder, tau2.task_rows(), tmp_path / "submission")


def test_a_custom_submission_needs_its_reasons():
    with pytest.raises(InvalidValueError, match="--notes"):
        submission.Submitter(**SUBMITTER).check()
    submission.Submitter(**SUBMITTER, type="standard").check()


def test_other_tasks_than_the_wheels_are_told_by_their_ids(evaluation, tmp_path):
    path = tmp_path / "results.json"
    convert(evaluation(trials=1), path)
    whole = json.loads(path.read_text())
    whole["tasks"][0]["evaluation_criteria"]["communicate_info"] = ["42"]
    path.write_text(json.dumps(whole))
    file = tau2.Tau2File()
    list(tau2.read(path, file))
    assert f"not 0.2 (other: {whole['tasks'][0]['id']})" in file.version()


def test_tasks_of_version_1_are_known_by_their_contents(whole_split, tmp_path):
    folder, rows = whole_split
    convert(folder, tmp_path / "results.json", rows)
    file = tau2.Tau2File()
    found = list(tau2.read(tmp_path / "results.json", file))
    assert (len(found), file.version()) == (228, "1.0")


def test_tasks_of_another_edition_than_the_played_one_are_refused_by_name(evaluation, tmp_path, tau2_bench_tasks):
    folder = evaluation(trials=1)
    with pytest.raises(InvalidValueError, match=r"tasks 0\.2.*of another version are 4 tasks \(tau2/"):
        convert(folder, tmp_path / "results.json", tau2.task_rows(tau2_bench_tasks))
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[: len(rows) // 2], "only the first has"),
        (lambda rows: [row | {"user_scenario": {}} for row in rows], "not τ²'s retail tasks"),
        (lambda rows: [row | {"evaluation_criteria": {"actions": [], "reward_basis": ["X"]}} for row in rows], "'X'"),
    ],
)
def test_tasks_that_lack_a_part_are_refused(evaluation, tmp_path, change, words):
    folder = evaluation(tasks=load_tasks("tau2", "base")[-4:], trials=1)
    with pytest.raises(InvalidValueError, match=words):
        convert(folder, tmp_path / "results.json", change(tau2.task_rows()))


def test_a_file_cut_off_anywhere_is_an_error_that_says_so(evaluation, tmp_path):
    folder = evaluation(trials=1)
    convert(folder, tmp_path / "results.json")
    whole = (tmp_path / "results.json").read_text().rstrip()
    for part in range(1, 20):
        (tmp_path / "cut.json").write_text(whole[: len(whole) * part // 20])
        with pytest.raises(InvalidValueError, match=r"cut\.json is not whole JSON"):
            list(read_upstream(tmp_path / "cut.json"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "neither"),
        ("hello", "neither"),
        ("{}", "no member info"),
        ('{"a": [1, 2], "b": {"c": null}}', "no member info"),
        ('{"info": {"environment_info": {}}, "simulations": [{"id": 3}]}', "did not write"),
        ('[{"task": 1}]', "v1 did not write"),
        ("[1]", "v1 writes an object"),
    ],
)
def test_a_foreign_file_is_an_error(tmp_path, text, words):
    (tmp_path / "foreign.json").write_text(text)
    with pytest.raises(InvalidValueError, match=words):
        list(read_upstream(tmp_path / "foreign.json"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file["tasks"][1].pop("id"), r"tasks\[1\].id: found None, expected a text or a whole number"),
        (lambda file: file.update(tasks=2.0), "tasks: found 2.0, expected a list"),
        (lambda file: file.update(info=[1]), r"info: found \[1\], expected an object"),
        (lambda file: file["info"].update(agent_info="x"), "info.agent_info: found 'x', expected an object"),
        (lambda file: file["simulations"][0].update(trial="first"), "τ²-bench did not write: trial: found 'first'"),
        (
            lambda file: file["simulations"][0].update(messages="none"),
            "τ²-bench did not write: messages: found 'none', expected a list of which each is an object",
        ),
        (lambda file: file["simulations"][0].update(messages=[3]), r"messages: found \[3\], expected a list"),
        (lambda file: file["simulations"][0].update(reward_info=[1]), r"reward_info: found \[1\], expected an object"),
        (lambda file: file["simulations"][0].update(duration="long"), "duration: found 'long', expected a finite"),
        (lambda file: file["simulations"][0].pop("termination_reason"), "'termination_reason' is missing"),
        (
            lambda file: file["simulations"][0]["messages"].insert(1, {"role": "assistant", "tool_calls": ["x"]}),
            "τ²-bench did not write: a part of it is of another kind than upstream's",
        ),
        (lambda file: file["simulations"][0].update(trial=0.5), "trial: found 0.5, expected a whole number"),
        (lambda file: file["simulations"][0]["reward_info"].update(reward=float("nan")), "reward: found nan"),
        (lambda file: file["simulations"][0]["messages"][0].update(content=3), r"messages\[1\].content: found 3"),
    ],
)
def test_a_part_of_another_kind_is_named(evaluation, tmp_path, change, words):
    path = tmp_path / "results.json"
    convert(evaluation(trials=1), path)
    file = json.loads(path.read_text())
    change(file)
    path.write_text(json.dumps(file))
    with pytest.raises(InvalidValueError, match=rf"results\.json.*{words}"):
        read_side(str(path))


@pytest.mark.parametrize("text", ["", "[1]", "{}", "[" * 100_000])
def test_tasks_that_are_none_of_upstreams_are_an_error(tmp_path, text):
    path = tmp_path / "tasks.json"
    path.write_text(text)
    with pytest.raises(InvalidValueError, match=r"tasks\.json"):
        tau2.task_rows(path)


def test_a_trial_that_is_there_twice_is_refused_by_name(evaluation, tmp_path):
    path = tmp_path / "results.json"
    convert(evaluation(trials=1), path)
    file = json.loads(path.read_text())
    path.write_text(json.dumps(file | {"simulations": [*file["simulations"], file["simulations"][0]]}))
    words = f"trial 0 of tau2/{file['simulations'][0]['task_id']} twice"
    for reader in (read_side, lambda name: list(read_upstream(Path(name)))):
        with pytest.raises(InvalidValueError, match=words):
            reader(str(path))
