"""What the page is told of runs: rows, conversations, changes beside gold's, tokens, figures, comparisons."""

import json
import shutil

import pytest

from tau_retail_env import load_tasks
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.cli import main
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.page.report import Report, labels
from tau_retail_env.evaluation.page.store import as_json
from tau_retail_env.evaluation.record import EPISODES, SETTINGS, read_episodes
from tau_retail_env.models.shipped import small_checkpoint
from tau_retail_env.runs.trajectories import write_trajectories
from tests.evaluation.evaluations import TASKS, evaluate
from tests.plain_trajectory import plain_trajectory


@pytest.fixture(scope="module")
def silent(tmp_path_factory):
    folder = tmp_path_factory.mktemp("silent") / "silent"
    evaluate(folder)
    return folder


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("oracle") / "oracle"
    evaluate(folder, make_agent=lambda task, seed: OracleAgent(task), agent="oracle")
    return folder


def read(*names, **options):
    report = Report([str(name) for name in names], **options)
    report.read_on()
    return report


def index(report):
    return report.index(report.rows())


def conversation(report, row):
    parcel, place = row["at"]
    return report.stores.conversations.items(parcel)[place]


def test_every_trial_of_an_evaluation_is_a_row_that_filters_can_use(silent):
    rows = read(silent).rows()
    assert sorted((row["task"], row["trial"]) for row in rows) == sorted((task.id, n) for task in TASKS for n in (0, 1))
    first = rows[0]
    expected = {"outcome": "failure", "strategy": "scripted", "version": "0.2", "part": "eval", "step": None, "run": 0}
    assert first | expected == first
    assert "missing write" in first["failures"]
    assert "exchanges" in first["subsets"]


def test_a_conversation_has_calls_apart_from_words_and_results_after_them(oracle):
    report = read(oracle)
    messages = conversation(report, report.rows()[0])["messages"]
    called = next(place for place, message in enumerate(messages) if message.get("calls"))
    name, arguments = messages[called]["calls"][0]
    assert name.startswith("find_user_id")
    assert isinstance(json.loads(arguments), dict)
    assert messages[called + 1]["role"] == "tool"


def test_what_a_model_wrote_is_told_apart_and_kept_as_it_was_written(tmp_path):
    call = '<tool_call>{"name": "calculate", "arguments": {"expression": "1 + 1"}}</tool_call>'
    written = ["Hello.", f"<think>hm</think>Wait.{call}", "<tool_call>{"]
    messages = [{"role": "assistant", "content": text} for text in written]
    write_trajectories(tmp_path / "file.jsonl", [plain_trajectory(messages=messages)])
    report = read(tmp_path / "file.jsonl")
    plain, calling, malformed = conversation(report, report.rows()[0])["messages"]
    assert plain == {"role": "assistant", "text": "Hello."}
    expected = {"text": "Wait.", "calls": [["calculate", '{"expression": "1 + 1"}']], "raw": written[1]}
    assert calling == {"role": "assistant", **expected}
    assert malformed["text"] == "<tool_call>{"
    assert malformed["malformed"]


def test_a_system_prompt_that_many_share_is_kept_once(silent):
    report = read(silent)
    told = {conversation(report, row)["messages"][0]["text"] for row in report.rows()}
    (text,) = index(report)["texts"]
    assert told == {0}
    assert "Retail agent policy" in text


def test_what_gold_changes_stands_beside_what_the_episode_left_alone(silent):
    report = read(silent)
    (entry, *_) = conversation(report, report.rows()[0])["changes"]
    path, before, made, gold = next(field for field in entry["fields"] if field[0] == "status")
    assert entry["entry"].startswith("orders #W")
    assert (path, before, made, gold) == ("status", "delivered", "delivered", "exchange requested")


def test_an_episode_that_does_what_gold_does_changes_just_that(oracle):
    report = read(oracle)
    for row in report.rows():
        changes = conversation(report, row)["changes"]
        assert changes
        assert all(made == gold for entry in changes for _, _, made, gold in entry["fields"])


def test_the_figures_are_those_of_the_evaluation(tmp_path):
    folder = tmp_path / "evaluation"
    main(["eval", "--agent", "silent", "--subset", "exchanges", "--limit", "2", "--output", str(folder)])
    (run,) = index(read(folder))["runs"]
    assert run["figures"] == json.loads((folder / "results.json").read_text())


def test_two_runs_are_compared_and_flips_named(silent, oracle):
    told = index(read(silent, oracle))
    (one,) = told["comparisons"]
    assert one["difference"] == 1.0
    assert [flip["task"] for flip in one["flipped"]] == sorted(task.id for task in TASKS)
    assert {row["run"] for row in told["rows"]} == {0, 1}


def test_a_comparison_says_what_was_not_played_alike(silent, tmp_path):
    evaluate(tmp_path / "short", max_turns=9)
    (one,) = index(read(silent, tmp_path / "short"))["comparisons"]
    assert one["played_otherwise"] == {"max_turns": (None, 9)}


def test_runs_that_cannot_be_compared_are_shown_with_the_reason(silent, tmp_path):
    other = [plain_trajectory(task_id="tau2/1", reward=1.0)]
    write_trajectories(tmp_path / "other.jsonl", other)
    (one,) = index(read(silent, tmp_path / "other.jsonl"))["comparisons"]
    assert "no scored task in common" in one["refused"]


def test_tokens_are_kept_with_their_texts_masks_and_log_probabilities(tmp_path):
    one = plain_trajectory(token_ids=(5, 6, 7, 8), response_mask=(0, 0, 1, 1), logprobs=(0.0, 0.0, -0.25, -1.5))
    write_trajectories(tmp_path / "file.jsonl", [one])
    report = read(tmp_path / "file.jsonl", tokenizer=small_checkpoint())
    parcel, place = report.rows()[0]["tokens_at"]
    told = report.stores.tokens.items(parcel)[place]
    assert (told["ids"], told["mask"], told["logprobs"]) == ([5, 6, 7, 8], [2, 2], [-0.25, -1.5])
    assert set(told["texts"]) == {"5", "6", "7", "8"}


def test_what_a_run_writes_later_is_read_on(silent, tmp_path):
    lines = (silent / EPISODES).read_bytes().splitlines(keepends=True)
    for name in ("eval.json",):
        (tmp_path / name).write_bytes((silent / name).read_bytes())
    (tmp_path / EPISODES).write_bytes(b"".join(lines[:3]) + lines[3][:40])
    report = read(tmp_path)
    assert len(report.rows()) == 3
    with (tmp_path / EPISODES).open("ab") as file:
        file.write(lines[3][40:] + lines[4])
    assert report.read_on()
    assert len(report.rows()) == 5
    assert not report.read_on()


def test_a_task_of_the_same_name_that_asks_something_else_is_not_taken_for_the_one_that_was_played(silent, tmp_path):
    settings = json.loads((silent / "eval.json").read_text())
    changed = TASKS[0].id
    settings["tasks"][changed] = "0" * 12
    (tmp_path / "eval.json").write_text(json.dumps(settings))
    (tmp_path / EPISODES).write_bytes((silent / EPISODES).read_bytes())
    report = read(tmp_path)
    without = {row["task"] for row in report.rows() if conversation(report, row)["task"] is None}
    assert without == {changed}


def test_generated_tasks_are_found_with_their_gold_actions_and_version(tmp_path):
    (task, *_) = load_tasks("generated", "test")
    one = plain_trajectory(task_id=task.id, source="generated", split="test")
    write_trajectories(tmp_path / "file.jsonl", [one])
    report = read(tmp_path / "file.jsonl")
    (row,) = report.rows()
    assert (row["version"], row["gold"]) == ("1", len(task.actions))
    assert conversation(report, row)["task"]["instruction"] == task.instruction


def test_a_record_that_was_begun_anew_is_read_anew(silent, tmp_path):
    lines = (silent / EPISODES).read_bytes().splitlines(keepends=True)
    file = tmp_path / "file.jsonl"
    file.write_bytes(b"".join(lines[:3]))
    report = read(file)
    file.write_bytes(lines[4])
    assert report.read_on()
    (row,) = report.rows()
    (episode,) = read_episodes(file)
    assert row["task"] == episode.trajectory.task_id


def test_a_scored_try_takes_the_place_of_one_that_the_customer_failed(silent, tmp_path):
    lines = (silent / EPISODES).read_text().splitlines()
    failed = json.loads(lines[0]) | {"scorable": False, "stop_reason": "user_error", "customer_error": "gone"}
    (tmp_path / "eval.json").write_bytes((silent / "eval.json").read_bytes())
    (tmp_path / EPISODES).write_text(f"{json.dumps(failed)}\n{lines[0]}\n")
    (row,) = read(tmp_path).rows()
    assert row["outcome"] == "failure"


def training_run(folder, *, steps=(0, 2)):
    """A small training run: a validation of four tasks at each step, which solves more and more; its curves."""
    (folder / "trajectories").mkdir(parents=True)
    tasks = load_tasks("generated", "test")[:4]
    for place, step in enumerate(steps):
        episodes = [
            plain_trajectory(
                task_id=task.id,
                source="generated",
                split="test",
                reward=float(number < place + 1),
                terminated=True,
                sampling_seed=number,
            )
            for number, task in enumerate(tasks)
        ]
        write_trajectories(folder / "trajectories" / f"val-{step:06d}.jsonl", episodes)
    rows = [{"step": step, "val/score/mean": 0.25 * (place + 1)} for place, step in enumerate(steps)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_training_run_has_curves_bands_and_its_validations_compared(tmp_path):
    told = index(read(training_run(tmp_path / "run")))
    (run,) = told["runs"]
    assert run["curves"]["val/score/mean"] == [[0, 2], [0.25, 0.5]]
    steps = run["points"]["val"]
    assert [(step, value, episodes) for step, value, _, _, episodes in steps] == [(0, 0.25, 4), (2, 0.5, 4)]
    assert all(low <= value <= high for _, value, low, high, _ in steps)
    assert run["figures"]["pass^1"]["value"] == 0.5
    (one,) = told["comparisons"]
    assert (one["first"]["name"], one["difference"]) == (f"{tmp_path / 'run'}@0", 0.25)
    assert [(row["part"], row["step"]) for row in told["rows"]] == [("val", 0)] * 4 + [("val", 2)] * 4


def test_a_run_of_rolls_is_read_by_the_steps_that_its_episodes_tell(tmp_path):
    (tmp_path / "run" / "trajectories").mkdir(parents=True)
    for number, step in enumerate((0, 0, 20)):
        one = plain_trajectory(policy_version=step, sampling_seed=62, reward=float(number > 0), group=number)
        write_trajectories(tmp_path / "run" / "trajectories" / f"val-a-host-8-17-{number:06d}.jsonl", [one])
    told = index(read(tmp_path / "run"))
    assert [(row["step"], row["outcome"]) for row in told["rows"]] == [(0, "success"), (20, "success")]


def test_two_environments_with_the_same_task_are_two_trials_of_it(tmp_path):
    (tmp_path / "run" / "trajectories").mkdir(parents=True)
    both = [plain_trajectory(tag=tag, reward=float(tag == "b")) for tag in ("a", "b")]
    write_trajectories(tmp_path / "run" / "trajectories" / "val-000001.jsonl", both)
    told = index(read(tmp_path / "run"))
    assert [row["trial"] for row in told["rows"]] == [0, 1]
    assert told["runs"][0]["figures"]["pass^1"]["value"] == 0.5


def test_a_training_run_without_episodes_shows_its_curves(repository):
    (run,) = index(read(repository / "docs" / "runs" / "laptop" / "seed1"))["runs"]
    assert run["figures"] is None
    assert len(run["curves"]["rollout/score/mean"][0]) == 20


def test_an_evaluation_that_has_just_begun_is_shown_empty(silent, tmp_path):
    (tmp_path / "eval.json").write_bytes((silent / "eval.json").read_bytes())
    (tmp_path / EPISODES).touch()
    told = index(read(tmp_path))
    assert (told["episodes"], told["runs"][0]["figures"]) == (0, None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{\n", "line 1: not one whole JSON object"),
        (b'{"schema_version": 99}\n', "schema_version is 99"),
        (b"\xff\xfe\n", "line 1: not one whole JSON object"),
    ],
)
def test_a_damaged_record_is_refused_with_its_line(tmp_path, content, told):
    (tmp_path / "file.jsonl").write_bytes(content)
    with pytest.raises(InvalidValueError, match=told):
        read(tmp_path / "file.jsonl")


@pytest.mark.parametrize("content", ["", "words", '{"other": 1}', '[{"other": 1}]', '[{"task_id": 0, "reward": 1'])
def test_a_foreign_or_truncated_file_is_refused_by_name(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(InvalidValueError, match=r"results\.json"):
        read(tmp_path / "results.json")


def test_a_folder_of_something_else_and_a_missing_one_are_refused(tmp_path):
    with pytest.raises(InvalidValueError, match=r"no evaluation \(eval\.json\)"):
        read(tmp_path)
    with pytest.raises(InvalidValueError, match="There is no file or folder"):
        read(tmp_path / "none")


def test_numbers_that_a_browser_cannot_read_become_missing():
    assert as_json({"a": [float("nan"), 1], "b": float("inf")}) == '{"a":[null,1],"b":null}'


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["outputs/eval/a"], ["a"]),
        (["outputs/eval/a", "outputs/eval/b"], ["a", "b"]),
        (["outputs/x/seed1", "outputs/y/seed1"], ["x/seed1", "y/seed1"]),
        (["a", "a/b"], ["a", "a/b"]),
    ],
)
def test_names_of_runs_leave_out_the_folders_that_all_share(names, short):
    assert labels(names) == short


@pytest.mark.parametrize("version", ["1.0", ""])
def test_an_evaluation_whose_episodes_are_of_another_version_is_refused(silent, tmp_path, version):
    shutil.copytree(silent, tmp_path / "mixed")
    settings = tmp_path / "mixed" / SETTINGS
    changed = json.loads(settings.read_text(encoding="utf-8")) | {"task_version": version}
    settings.write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(InvalidValueError, match=f"of task version 0.2, but eval.json says {version or 'none'}"):
        read(tmp_path / "mixed")


def test_a_run_that_is_named_twice_is_refused(silent):
    with pytest.raises(InvalidValueError, match="given twice"):
        read(silent, silent)
