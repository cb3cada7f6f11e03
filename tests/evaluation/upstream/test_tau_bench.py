"""τ-bench v1's result file: upstream's published runs, round trips, upstream's own metrics on ours."""

import json

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.bad import SilentAgent
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.facts import facts_of
from tau_retail_env.evaluation.outcome import outcomes_of
from tau_retail_env.evaluation.record import EPISODES, read_episodes
from tau_retail_env.evaluation.settings import read_settings
from tau_retail_env.evaluation.sides import read_side
from tau_retail_env.evaluation.upstream import tau2, tau_bench
from tau_retail_env.evaluation.upstream.conversation import judged_again
from tau_retail_env.statistics.passes import pass_curve
from tests.evaluation.evaluations import TASKS, evaluate
from tests.evaluation.upstream.conftest import last_line

UPSTREAMS_METRICS = """
import contextlib, io, json, re, sys
from tau_bench.run import display_metrics
from tau_bench.types import EnvInfo, EnvRunResult
results = [EnvRunResult(**run) for run in json.load(open(sys.argv[1]))]
for result in results:
    EnvInfo(**result.info)
shown = io.StringIO()
with contextlib.redirect_stdout(shown):
    display_metrics(results)
print(json.dumps(re.findall(r"k=(\\d+): ([\\d.]+)", shown.getvalue())))
"""


def passes(episodes, trials):
    curve = pass_curve(outcomes_of(facts_of(one, None) for one in episodes), trials)
    return {k: one.value for k, one in curve.all_of_k.items()}


@pytest.fixture
def played(tmp_path, tau_bench_shop):
    """An evaluation on v1's tasks, half of them solved."""
    tasks = load_tasks("tau_bench", "test")[:4]
    folder = tmp_path / "evaluation"

    def make(task, seed):
        return OracleAgent(task) if (hash_of(task) + seed) % 2 else SilentAgent()

    evaluate(folder, tasks, make_agent=make, source="tau_bench", trials=2)
    return folder, tasks


def hash_of(task):
    return int(task.id.rpartition("/")[2])


@pytest.fixture
def tau_bench_shop(tau_bench, monkeypatch):
    """v1's environment in the helper that plays."""
    monkeypatch.setattr(
        "tests.evaluation.evaluations.TauRetailEnv",
        lambda **options: TauRetailEnv(source=options["tasks"][0].source, **options),
    )


def test_upstreams_published_airline_run_has_the_published_pass_k(published_airline):
    # gpt-4o, tool calling, airline: 0.420, 0.273, 0.220, 0.200 in upstream's README.
    episodes = list(tau_bench.read(published_airline))
    assert len(episodes) == 200
    assert passes(episodes, 4) == pytest.approx({1: 0.420, 2: 0.2733, 3: 0.220, 4: 0.200}, abs=1e-4)
    assert episodes[0].trajectory.task_id == "tau_bench/airline/0"


def test_upstreams_metrics_of_a_file_are_ours(published_airline, tau_bench_code):
    found = last_line(tau_bench_code("-c", UPSTREAMS_METRICS, str(published_airline)))
    assert {int(k): float(value) for k, value in found} == pytest.approx(passes(tau_bench.read(published_airline), 4))


def test_upstreams_types_and_metrics_take_ours(played, tmp_path, tau_bench_code):
    folder, tasks = played
    written = tau_bench.write(tmp_path / "ours.json", read_settings(folder), read_episodes(folder / EPISODES), tasks)
    assert written == (8, 0)
    found = last_line(tau_bench_code("-c", UPSTREAMS_METRICS, str(tmp_path / "ours.json")))
    assert {int(k): float(value) for k, value in found} == pytest.approx(passes(read_episodes(folder / EPISODES), 2))


def test_what_was_written_is_read_back_and_judged_alike(played, tmp_path):
    folder, tasks = played
    tau_bench.write(tmp_path / "ours.json", read_settings(folder), read_episodes(folder / EPISODES), tasks)
    before = {(one.trajectory.task_id, one.trial): one.trajectory.reward for one in read_episodes(folder / EPISODES)}
    found = list(tau_bench.read(tmp_path / "ours.json"))
    assert {(one.trajectory.task_id, one.trial): one.trajectory.reward for one in found} == before
    assert [one.reward for one in judged_again([one.trajectory for one in found])] == [
        one.trajectory.reward for one in found
    ]
    assert set(before.values()) == {0.0, 1.0}


def test_two_tasks_with_the_same_instruction_are_read_as_two(tau_bench_shop, tmp_path):
    tasks = [task for task in load_tasks("tau_bench", "test") if task.id in ("tau_bench/test/93", "tau_bench/test/95")]
    assert tasks[0].instruction == tasks[1].instruction
    evaluate(tmp_path / "e", tasks, make_agent=lambda task, seed: SilentAgent(), source="tau_bench", trials=1)
    episodes = read_episodes(tmp_path / "e" / EPISODES)
    tau_bench.write(tmp_path / "ours.json", read_settings(tmp_path / "e"), episodes, tasks)
    side = read_side(str(tmp_path / "ours.json"))
    assert sorted(one.task_id for one in side.episodes) == [task.id for task in tasks]


def test_upstreams_few_shot_examples_are_conversations(few_shot):
    retail = list(tau_bench.read_few_shot(few_shot / "MockRetailDomainEnv-few_shot.jsonl"))
    airline = list(tau_bench.read_few_shot(few_shot / "MockAirlineDomainEnv-few_shot.jsonl"))
    assert (len(retail), len(airline)) == (69, 19)
    assert {one[0]["role"] for one in retail} == {"user"}
    assert {message["role"] for one in retail for message in one} == {"user", "assistant", "tool"}


def test_a_line_that_is_no_example_is_an_error(tmp_path):
    (tmp_path / "few.jsonl").write_text('{"messages_display": "user: Hi"}\n{"messages": []}\n')
    with pytest.raises(InvalidValueError, match="line 2"):
        list(tau_bench.read_few_shot(tmp_path / "few.jsonl"))


def test_each_format_is_for_its_own_source(tmp_path):
    evaluate(tmp_path / "e", trials=1)
    settings = read_settings(tmp_path / "e")
    with pytest.raises(InvalidValueError, match="source tau_bench, found tau2"):
        tau_bench.write(tmp_path / "x.json", settings, [], TASKS)
    changed = json.loads((tmp_path / "e" / "eval.json").read_text()) | {"source": "generated"}
    (tmp_path / "e" / "eval.json").write_text(json.dumps(changed))
    with pytest.raises(InvalidValueError, match="source tau2, found generated"):
        tau2.write(tmp_path / "x.json", read_settings(tmp_path / "e"), [], tau2.task_rows())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reward": float("nan")}, "run of tau_bench/test/3: reward: found nan, expected a finite number"),
        ({"trial": float("inf")}, "a run that τ-bench v1 did not write"),
        (
            {"traj": "none"},
            "a run that τ-bench v1 did not write: traj: found 'none', expected a list of which each is an",
        ),
        ({"info": "x"}, "a run that τ-bench v1 did not write: info: found 'x', expected an object"),
        ({"task_id": []}, "a run that τ-bench v1 did not write: a part of it is of another kind than upstream's"),
        (
            {"traj": [{"role": "user", "content": {}}, {"role": "x"}]},
            r"run of tau_bench/test/3: messages\[1\].role: found 'x'",
        ),
    ],
)
def test_a_run_with_a_part_of_another_kind_is_named(tmp_path, change, words):
    path = tmp_path / "runs.json"
    run = {"task_id": 3, "reward": 1.0, "info": {}, "traj": [{"role": "user", "content": None}], "trial": 0}
    path.write_text(json.dumps([run]))
    assert [one.trajectory.messages[0]["content"] for one in tau_bench.read(path)] == [""]
    path.write_text(json.dumps([run | change]))
    with pytest.raises(InvalidValueError, match=rf"runs\.json: {words}"):
        list(tau_bench.read(path))
