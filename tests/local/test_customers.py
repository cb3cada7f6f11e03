"""The local engine with customers behind an API: nothing is lost and nothing scored wrongly when they fail."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import Qwen2Tokenizer

pytest.importorskip("openai", reason="customers behind an API need: pip install '.[api]'")

from tau_retail_env.cli import main
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import UserSetupError
from tau_retail_env.local import sft
from tau_retail_env.local.config import check_local, check_sft
from tau_retail_env.local.conversations import conversation_texts, make_conversations
from tau_retail_env.local.loop import RunStoppedError
from tau_retail_env.local.train import train
from tau_retail_env.runs.files import read_rows
from tau_retail_env.runs.trajectories import read_trajectories
from tau_retail_env.users.llm import backoff
from tests.local.test_train import LEARNING, arguments_of, without_time
from tests.users.llm.server import ChatServer, always, seeded

Values = Callable[..., dict[str, Any]]

KEY = "sk-never-to-be-written-down"
PASSING = ("429_retry_after", "500", "503", "closed", "half_body", "wrong_json", "no_choices", "empty")
"""Faults that are gone at the next attempt."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer() as here:
        yield here


def customers(server: ChatServer, *overrides: str) -> tuple[str, ...]:
    return ("user_strategy=llm", "user_model=tiny", f"user.base_url={server.base_url}", *overrides)


def run(values: dict[str, Any]) -> tuple[Any, list[str]]:
    said: list[str] = []
    return train(check_local(values), values, say=said.append), said


def records(folder: Path, kind: str) -> list[Trajectory]:
    files = sorted(folder.joinpath("trajectories").glob(f"{kind}-*.jsonl"))
    return [trajectory for file in files for trajectory in read_trajectories(file)]


def test_at_thirty_percent_faults_no_episode_is_lost(
    grpo_values: Values, server: ChatServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backoff, "FIRST_BACKOFF_S", 0.05)
    server.plan = seeded(0.3, 1, PASSING)
    prices = ("user.usd_per_million_input_tokens=1.0", "user.usd_per_million_output_tokens=2.0")
    outcome, said = run(grpo_values(*LEARNING, *customers(server, *prices)))
    assert server.fault_counts(), "there were faults"
    played = [*records(outcome.folder, "train"), *records(outcome.folder, "val")]
    assert len(played) == 2 * 4 + 2 * 3
    assert {(t.scorable, t.user_strategy, t.customer_error) for t in played} == {(True, "llm", "")}
    assert all(t.customer_usage for t in played)
    rows = read_rows(outcome.folder / "metrics.jsonl")
    for row in rows[1:]:
        assert (row["customer/llm/episodes"], row["customer/llm/failures"], row["rollout/unscorable"]) == (4, 0, 0)
        assert row["time/customer/llm/latency_p95_s"] >= row["time/customer/llm/latency_p50_s"] > 0
        assert row["customer/llm/cost_usd"] == pytest.approx(
            (row["customer/llm/prompt_tokens"] + 2 * row["customer/llm/completion_tokens"]) / 1e6
        )
    assert {"val/customer/llm/success", "time/val_customer/llm/latency_p50_s"} <= rows[0].keys()
    assert sum(row["customer/llm/retries"] for row in rows[1:]) + sum(
        row["val/customer/llm/retries"] for row in (rows[0], rows[2])
    ) == sum(t.metrics["customer_retries"] for t in played)
    assert outcome.summary["customers"]["llm"]["run"]["episodes"] == len(played)
    assert "customer llm: success after" in said[-1] and "latency p50" in said[-1] and "cost $0." in said[-1]
    for path in outcome.folder.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_a_key_in_the_path_of_a_customers_address_is_in_no_file_of_a_run(
    grpo_values: Values, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(os, "environ", os.environ.copy())
    key = "gk7Hq2mZx9RtLw4Vb8Nc"
    with ChatServer(under=f"/{key}") as server:
        outcome, said = run(grpo_values(*LEARNING, *customers(server), "max_steps=1"))
        folder = outcome.folder
        variable = f"TAU_RETAIL_URL_KEY_127_0_0_1_{server.port}"
        assert f"http://127.0.0.1:{server.port}/${variable}/v1" in (folder / "config.yaml").read_text()
        again = ["train", f"resume={folder}", "max_steps=2"]
        monkeypatch.delenv(variable)  # as in another shell
        assert main(again) == 2
        assert f"{variable}, which is not set" in (told := capsys.readouterr().err) and "give the address again" in told
        assert main([*again, f"user.base_url={server.base_url}"]) == 0
    shown = capsys.readouterr()
    assert key not in "".join(said) + told + shown.out + shown.err
    for path in folder.rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes(), path


def test_what_fails_for_good_is_counted_and_never_scored(grpo_values: Values, server: ChatServer):
    server.plan = lambda order: "500" if order % 4 == 0 else None
    values = grpo_values(*LEARNING, *customers(server, "user.max_retries=0"), "max_steps=3")
    outcome, _ = run(values)
    trained = records(outcome.folder, "train")
    failed = [t for t in trained if not t.scorable]
    assert {t.stop_reason for t in failed} == {"user_error"}
    assert {t.metrics["turns"] == 0 for t in failed} == {True, False}, "at reset, and later"
    assert all(t.customer_error and t.metrics["customer_failures"] == 1 for t in failed)
    rows = read_rows(outcome.folder / "metrics.jsonl")
    assert sum(row["rollout/unscorable"] for row in rows[1:]) == len(failed)
    assert sum(row["customer/llm/failures"] for row in rows[1:]) >= len(failed)
    assert all(row["actor/total_loss"] is not None for row in rows[1:])
    after = outcome.summary["after"]
    assert (after["asked"], after["episodes"] + after["unscorable"]) == (3, 3)


def test_a_validation_plays_again_what_failed_and_counts_the_vain_tries(grpo_values: Values, server: ChatServer):
    server.plan = lambda order: "500" if order == 1 else None  # the first is the check
    outcome, _ = run(grpo_values(*LEARNING, *customers(server, "user.max_retries=0"), "max_steps=1"))
    row = read_rows(outcome.folder / "metrics.jsonl")[0]
    assert (row["val/unscorable"], row["val/customer/llm/failures"], row["val/customer/llm/episodes"]) == (0, 1, 3)
    assert all(t.scorable for t in read_trajectories(outcome.folder / "trajectories" / "val-000000.jsonl"))


BUDGET = ("user.usd_per_million_input_tokens=1000000", "user.usd_per_million_output_tokens=0")
"""A dollar a token."""

CHECK_USD = 1
"""What the check before the first episode asks: one word."""


def test_every_run_of_a_process_has_the_whole_budget(grpo_values: Values, server: ChatServer, tmp_path: Path):
    keys = (*LEARNING, *customers(server, *BUDGET), "max_steps=1")
    first, _ = run(grpo_values(*keys, "user.budget_usd=1e9"))
    rows = read_rows(first.folder / "metrics.jsonl")
    budget = 1.5 * sum(value for row in rows for name, value in row.items() if name.endswith("cost_usd"))
    for name in ("second", "third"):
        run(grpo_values(*keys, f"user.budget_usd={budget}", f"output_dir={tmp_path / name}"))


def test_over_budget_the_run_stops_with_everything_saved_and_goes_on_with_more(
    grpo_values: Values,
    server: ChatServer,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
):
    keys = (*LEARNING, *customers(server, *BUDGET), "max_steps=3", "save_steps=50", "eval_steps=50")
    whole, _ = run(grpo_values(*keys, f"output_dir={tmp_path / 'whole'}"))
    rows = read_rows(whole.folder / "metrics.jsonl")
    budget = rows[0]["val/customer/llm/cost_usd"] + rows[1]["customer/llm/cost_usd"] + CHECK_USD + 1
    server.requests.clear()
    assert main(["train", *arguments_of(grpo_values, *keys, f"user.budget_usd={budget}")]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    folder = tmp_path / "run"
    assert last.startswith("error: The customers' budget is used up: $")
    assert "Stopped after step 1 of 3; the customers of this run cost $" in last
    assert last.endswith(f"resume with: resume={folder}")
    assert [row["step"] for row in read_rows(folder / "metrics.jsonl")] == [0, 1]
    assert [path.name for path in folder.joinpath("checkpoints").iterdir()] == ["checkpoint-1"]
    stopped = records(folder, "stopped")
    assert stopped and {t.stop_reason for t in stopped} <= {"stopped", "max_turns", "length"}
    told = float(last.split("this run cost $")[1].split()[0].rstrip(","))
    spent = sum(len(str(m["content"]).split()) for r in server.requests for m in r.messages)
    assert told == pytest.approx(spent - CHECK_USD)
    again, _ = run(grpo_values(*keys, "user.budget_usd=1e9", "resume=true"))
    assert [row["step"] for row in read_rows(again.folder / "metrics.jsonl")] == [0, 1, 2, 3]
    assert not records(folder, "stopped")


def test_a_run_stopped_in_a_validation_owes_it_when_it_goes_on(grpo_values: Values, server: ChatServer, tmp_path: Path):
    server.reply = lambda request: "Hello"
    keys = (*LEARNING, *customers(server, "user.max_retries=0"))
    whole, _ = run(grpo_values(*keys, f"output_dir={tmp_path / 'whole'}"))
    orders = len(server.requests)
    after = sum(len(t.customer_usage) for t in read_trajectories(whole.folder / "trajectories" / "val-000002.jsonl"))
    server.plan = lambda order: "401" if order >= 2 * orders - after else None
    with pytest.raises(RunStoppedError, match=r"Stopped after step 2 of 2.*cost an unknown amount"):
        run(grpo_values(*keys))
    folder = tmp_path / "run"
    assert "time/step_val" not in read_rows(folder / "metrics.jsonl")[-1]
    assert (folder / "checkpoints" / "checkpoint-2").is_dir()
    server.plan = lambda order: None
    again, _ = run(grpo_values(*keys, "resume=true"))
    rows, expected = (without_time(read_rows(path / "metrics.jsonl")) for path in (folder, whole.folder))
    assert rows == expected
    assert again.summary["after"] == whole.summary["after"]


def test_a_customer_that_never_answers_stops_the_run(grpo_values: Values, server: ChatServer, tmp_path: Path):
    server.plan = always("500")
    with pytest.raises(RunStoppedError, match=r"failed in every one of 3 episodes, 3 times.*Stopped after step 0"):
        run(grpo_values(*customers(server, "user.max_retries=0")))
    assert not list((tmp_path / "run" / "checkpoints").glob("*"))
    assert {t.scorable for t in records(tmp_path / "run", "stopped")} == {False}


def test_a_recorded_run_is_repeated_without_a_server(grpo_values: Values, server: ChatServer, tmp_path: Path):
    keys = (*LEARNING, *customers(server, f"user.cassette={tmp_path / 'customers.jsonl'}"))
    first, _ = run(grpo_values(*keys))
    server.stop()
    again, _ = run(grpo_values(*keys, f"output_dir={tmp_path / 'again'}"))
    assert again.summary["after"] == first.summary["after"]
    conversations = [[t.messages for t in records(each.folder, "train")] for each in (first, again)]
    assert conversations[0] == conversations[1]
    assert KEY not in (tmp_path / "customers.jsonl").read_text()


def test_ctrl_c_does_not_wait_for_a_customer_that_hangs(grpo_values: Values, server: ChatServer):
    server.plan = lambda order: "hang" if order else None  # the first is the check

    def interrupt() -> None:
        while len(server.requests) < 3:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(grpo_values(*customers(server, "user.timeout_s=300")))
    assert time.monotonic() - start < 60
    for thread in threading.enumerate():
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join(10)
            assert not thread.is_alive()


def test_a_wrong_key_ends_it_before_anything_is_made(
    grpo_values: Values, server: ChatServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    server.key = "another"
    assert main(["train", *arguments_of(grpo_values, *customers(server))]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "OPENAI_API_KEY" in error and KEY not in error
    assert not server.requests
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserSetupError, match="unknwon"):
        server.key = None
        run(grpo_values(*customers(server), "user_model=unknwon"))


def test_a_group_has_one_customer_of_the_mixture_and_each_is_counted(grpo_values: Values, server: ChatServer):
    mixture = customers(server)[1:]
    outcome, said = run(
        grpo_values(*LEARNING, *mixture, "user_strategy={scripted: 0.75, llm: 0.25}", "max_steps=4", "eval_steps=9")
    )
    trained = records(outcome.folder, "train")
    strategies: dict[int, set[str]] = {}
    for trajectory in trained:
        strategies.setdefault(trajectory.group, set()).add(trajectory.user_strategy)
        assert bool(trajectory.customer_usage) == (trajectory.user_strategy == "llm")
    assert all(len(found) == 1 for found in strategies.values())
    assert set.union(*strategies.values()) == {"scripted", "llm"}
    files = outcome.folder.joinpath("trajectories").glob("train-*.jsonl")
    by_step = [{trajectory.user_strategy for trajectory in read_trajectories(file)} for file in files]
    assert {"scripted"} in by_step, "in some step nobody else is drawn"
    rows = read_rows(outcome.folder / "metrics.jsonl")[1:]
    for strategy in ("scripted", "llm"):
        counted = sum(row.get(f"customer/{strategy}/episodes", 0) for row in rows)
        played = sum(trajectory.user_strategy == strategy for trajectory in trained)
        assert counted == played
        assert f"customer {strategy}:" in said[-1]


def test_fine_tuning_leaves_out_conversations_whose_customer_failed(
    sft_values: Values, tokenizer: Qwen2Tokenizer, server: ChatServer
):
    server.plan = lambda order: "500" if order in (0, 2) else None
    server.reply = lambda request: "###STOP###" if len(request.messages) > 2 else "Hello"
    keys = customers(server, "user.max_retries=0")
    mixed = check_sft(sft_values(*keys, "user_strategy={scripted: 0.5, llm: 0.5}"))
    envs = {"retail_train": mixed.custom_envs["retail_train"].env_config}
    made = make_conversations(envs, tokenizer, mixed.conversations, seed=1, longest=9000)
    assert made.num_unscorable == 2, "one failed at its opening, one later; neither counts as played without reward"
    assert len(made) and made.num_failed, "scripted customers were served, others left at once"
    assert len(made) + made.num_failed + made.num_unscorable == mixed.conversations.num
    envs = {"retail_train": check_sft(sft_values(*keys)).custom_envs["retail_train"].env_config}
    first = len(server.requests)
    server.plan = lambda order: "500" if order == first else None
    assert conversation_texts(envs["retail_train"], 4, seed=1).count("Hello") == 3


def test_fine_tuning_in_several_processes_ends_where_the_key_is_refused(sft_values: Values, server: ChatServer):
    server.plan = lambda order: "401" if order > 2 else None
    values = sft_values(*customers(server), "conversations.num=120", "conversations.num_workers=2")
    with pytest.raises(UserSetupError, match="OPENAI_API_KEY"):
        sft.run(check_sft(values), values, say=lambda line: None)
