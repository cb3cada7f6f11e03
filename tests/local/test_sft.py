"""Supervised fine-tuning on oracle conversations."""

import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Tokenizer

from tau_retail_env.chat.parsing import parse_message
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.errors import InvalidValueError, TauRetailError
from tau_retail_env.local import loop, sft
from tau_retail_env.local.config import SftConfig, check_sft
from tau_retail_env.local.conversations import Chunk, EncodedConversations, _parts, encode, make_conversations
from tau_retail_env.local.identifiers import IDENTIFIER
from tau_retail_env.local.run_folder import claim
from tau_retail_env.models.checks import max_new_tokens_of, prompt_style_of
from tau_retail_env.runs.files import read_rows
from tau_retail_env.runs.temporary import temporary_folder

Values = Callable[..., dict[str, Any]]


def run(values: dict[str, Any]) -> Any:
    return sft.run(check_sft(values), values, say=lambda line: None)


def rows_of(outcome: Any) -> list[dict[str, Any]]:
    rows = read_rows(outcome.folder / "metrics.jsonl")
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows]


def conversations(config: SftConfig, tokenizer: Any, **changes: Any) -> EncodedConversations:
    longest = changes.pop("longest", 9000)
    wanted = config.conversations.model_copy(update={"num": 4, **changes})
    envs = {tag: env.env_config for tag, env in config.custom_envs.items()}
    return make_conversations(envs, tokenizer, wanted, seed=7, longest=longest)


@pytest.fixture
def config(sft_values: Values) -> SftConfig:
    return check_sft(sft_values())


@pytest.fixture
def data(config: SftConfig, tokenizer: Qwen2Tokenizer) -> EncodedConversations:
    return conversations(config, tokenizer)


def test_what_the_mask_marks_is_what_the_oracle_said(config: SftConfig, tokenizer: Qwen2Tokenizer):
    env = TauRetailEnv(**vars(config.custom_envs["retail_train"].env_config))
    encoded = encode(env, tokenizer, task_id=env.tasks[0].id, seed=1, show_tools=False)
    assert encoded.won
    own = tokenizer.decode(
        [token for token, mine in zip(encoded.token_ids, encoded.response_mask, strict=True) if mine]
    )
    *turns, rest = own.split("<|im_end|>")
    assert rest == ""
    assert any(parse_message(turn).tool_calls for turn in turns)
    whole = tokenizer.decode(encoded.token_ids)
    assert all(f"<|im_start|>assistant\n{turn}<|im_end|>" in whole for turn in turns)
    assert whole.startswith("<|im_start|>system\nRetail support agent.<|im_end|>\n<|im_start|>assistant\nHi!")


def test_redrawn_numbers_are_new_and_the_same_wherever_they_stand(config: SftConfig, tokenizer: Qwen2Tokenizer):
    env = TauRetailEnv(**vars(config.custom_envs["retail_train"].env_config))
    plain, drawn = (
        tokenizer.decode(
            encode(env, tokenizer, task_id=env.tasks[0].id, seed=1, show_tools=False, redraw=redraw).token_ids
        )
        for redraw in (None, "seed")
    )
    numbers, others = (IDENTIFIER.findall(text) for text in (plain, drawn))
    assert len(numbers) > 10
    assert re.sub(r"\d", "0", plain) == re.sub(r"\d", "0", drawn)
    assert not set(numbers) & set(others)
    assert len(set(zip(numbers, others, strict=True))) == len(set(numbers))


def test_several_processes_make_the_same_conversations(config: SftConfig, tokenizer: Qwen2Tokenizer):
    alone, together = (conversations(config, tokenizer, num=60, num_workers=workers) for workers in (1, 2))
    for name in ("token_ids", "response_mask", "starts"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(together, name))


def test_a_killed_process_ends_the_conversations_with_an_error(config: SftConfig, tokenizer: Qwen2Tokenizer):
    def kill_the_first() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.05)
        os.kill(children[0].pid or 0, signal.SIGKILL)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    with pytest.raises(TauRetailError, match="One of 2 processes that played conversations died"):
        conversations(config, tokenizer, num=400, num_workers=2)
    killer.join()


class Flood:
    """A worker that says that it has a part ready, which is more than a pipe holds."""

    def __init__(self, ready: Path) -> None:
        self._ready = ready

    def __call__(self, chunk: Chunk) -> Any:
        self._ready.touch()
        return bytes(20_000_000)


@pytest.mark.timeout(180)
def test_a_process_that_is_killed_while_it_hands_over_what_it_played_does_not_hold_up_the_others(tmp_path: Path):
    over = threading.Event()

    def wait_for_a_part() -> None:
        while not (tmp_path / "ready").exists() and not over.is_set():
            time.sleep(0.01)

    def hurry() -> None:
        wait_for_a_part()
        while not over.is_set():  # so that the thread that reads gets little time
            pass

    def kill_all() -> None:
        wait_for_a_part()
        time.sleep(0.5)
        for child in multiprocessing.active_children():
            child.kill()

    threads = [threading.Thread(target=one) for one in (hurry, kill_all)]
    for one in threads:
        one.start()
    try:
        with suppress(TauRetailError):
            list(_parts(Flood(tmp_path / "ready"), [("retail_train", range(1))] * 4, 2))
    finally:
        over.set()
        for one in threads:
            one.join()


def test_a_full_temporary_folder_ends_the_conversations_with_an_error_that_names_another(tmp_path: Path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(TauRetailError, match=r"^Conversations go by temporary files: .* TMPDIR=FOLDER"):
            list(_parts(Flood(tmp_path / "ready"), [("retail_train", range(1))] * 4, 2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_temporary_folder_ends_the_conversations_with_an_error_that_names_another(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(TauRetailError, match=r"^Conversations go by temporary files: .*; TMPDIR=FOLDER"):
        list(_parts(Flood(Path("ready")), [("retail_train", range(1))] * 4, 2))


SLOW = """
import pathlib, signal, sys, time
from tau_retail_env.local.conversations import _parts
from tau_retail_env.runs.interruption import terminate

class Slow:
    def __call__(self, chunk):
        pathlib.Path(sys.argv[1]).touch()
        time.sleep(3600)

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, terminate)
    list(_parts(Slow(), [("retail_train", range(1))] * 4, 2))
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_processes_that_play_conversations_end_with_the_first_and_their_folder_with_the_next(
    tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, str(tmp_path / "slow.py"), str(tmp_path / "ready")]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    first = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True)
    try:
        while not (tmp_path / "ready").exists():
            time.sleep(0.1)
        first.send_signal(number)
        assert first.stdout is not None
        first.stdout.read()  # ends when no process is left that could write
        first.wait()
    finally:
        with suppress(ProcessLookupError):  # of a test that was cut short
            os.killpg(first.pid, signal.SIGKILL)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as folder:
        assert [path for path in tmp_path.iterdir() if path.is_dir()] == [folder]


def test_a_mixture_holds_the_conversations_of_each_environment_by_weight(config: SftConfig, tokenizer: Qwen2Tokenizer):
    first = config.custom_envs["retail_train"].env_config
    envs = {"first": first, "second": first.model_copy(update={"split": "train2", "task_subset": "easy"})}

    def made(num: int, **where: Any) -> EncodedConversations:
        wanted = config.conversations.model_copy(update={"num": num, "tag": None, **where})
        return make_conversations(envs, tokenizer, wanted, seed=7, longest=90_000)

    mixed = made(8, mixture={"second": 1.0, "first": 3.0})
    alone = [made(2, tag="second"), made(6, tag="first")]
    np.testing.assert_array_equal(mixed.token_ids, np.concatenate([each.token_ids for each in alone]))
    assert len(mixed) == sum(map(len, alone)) == 8


def test_proposals_are_whole_only_where_that_is_asked_for(config: SftConfig, tokenizer: Qwen2Tokenizer):
    assert not config.conversations.whole_proposals
    first = config.custom_envs["retail_train"].env_config
    envs = {"retail_train": first.model_copy(update={"split": "train2", "task_subset": "all"})}

    def made(**changes: Any) -> str:
        wanted = config.conversations.model_copy(update={"num": 20, **changes})
        return tokenizer.decode(make_conversations(envs, tokenizer, wanted, seed=7, longest=90_000).token_ids)

    plain, off, whole = made(), made(whole_proposals=False), made(whole_proposals=True)
    named_whole = re.compile(r"order #W\d+: (?:exchange|modify) .* \(item \d{10}\) to .* \(\$\d+\.\d+, item \d{10}\)")
    assert plain == off
    assert not named_whole.search(plain)
    assert named_whole.search(whole)


def test_more_orders_are_read_only_where_that_is_asked_for(config: SftConfig, tokenizer: Qwen2Tokenizer):
    assert config.conversations.read_every_order == 0
    first = config.custom_envs["retail_train"].env_config
    envs = {"retail_train": first.model_copy(update={"split": "train2", "task_subset": "all"})}

    def orders_read(**changes: Any) -> int:
        wanted = config.conversations.model_copy(update={"num": 40, **changes})
        made = make_conversations(envs, tokenizer, wanted, seed=7, longest=90_000)
        return tokenizer.decode(made.token_ids).count("get_order_details")

    none, some, every = (orders_read(read_every_order=share) for share in (0.0, 0.5, 1.0))
    assert none == orders_read()
    assert none < some < every


def test_customers_mistype_only_where_that_is_asked_for(config: SftConfig, tokenizer: Qwen2Tokenizer):
    assert config.conversations.mistyped == 0

    def words(**changes: Any) -> set[str]:
        return set(re.findall(r"[a-z]{5,}", tokenizer.decode(conversations(config, tokenizer, **changes).token_ids)))

    none, some, every = (words(mistyped=share) for share in (0.0, 0.5, 1.0))
    assert none == words()
    assert len(none) < len(some) <= len(every)


def test_numbers_that_are_not_redrawn_each_time_may_be_the_shops_own(config: SftConfig, tokenizer: Qwen2Tokenizer):
    def numbers(**changes: Any) -> set[str]:
        return set(IDENTIFIER.findall(tokenizer.decode(conversations(config, tokenizer, **changes).token_ids)))

    plain = numbers(redraw_identifiers=None)
    assert numbers(redraw_identifiers=0.0, own_identifiers=True) == plain
    assert not numbers(redraw_identifiers=0.0) & plain
    assert not numbers(redraw_identifiers=1.0, own_identifiers=True) & plain


def test_conversations_that_are_too_long_are_left_out_and_counted(
    config: SftConfig, tokenizer: Qwen2Tokenizer, data: EncodedConversations
):
    longest = int(data.lengths.max())
    shorter = conversations(config, tokenizer, longest=longest - 1)
    assert len(shorter) + shorter.num_long == len(data) + data.num_long
    assert shorter.lengths.max() < longest
    with pytest.raises(InvalidValueError, match="4 longer than sequence_length 10"):
        conversations(config, tokenizer, longest=10)


def test_a_run_learns_and_is_judged_by_playing(sft_values: Values):
    outcome = run(
        sft_values(
            "sft_train.training_args.lr_scheduler_type=constant",
            "sft_train.training_args.warmup_ratio=0.0",
            "max_steps=12",
        )
    )
    rows = rows_of(outcome)
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert rows[-1]["sft/loss"] < rows[0]["sft/loss"] - 0.1
    assert "val/retail_test/score/mean" in rows[-1]
    assert outcome.summary["after"]["episodes"] == 3
    model = AutoModelForCausalLM.from_pretrained(outcome.folder / outcome.summary["files"]["checkpoint"])
    assert model.config.hidden_size == 32
    assert model.config.tie_word_embeddings


def test_a_killed_process_that_loads_batches_ends_the_run_with_an_error(sft_values: Values):
    def kill_every_one() -> None:
        while not ended.wait(0.02):
            for child in multiprocessing.active_children():
                os.kill(child.pid or 0, signal.SIGKILL)

    ended = threading.Event()
    killer = threading.Thread(target=kill_every_one)
    killer.start()
    try:
        with pytest.raises(TauRetailError, match=r"A process that loads batches died .* resume=true"):
            run(sft_values("sft_train.training_args.dataloader_num_workers=1"))
    finally:
        ended.set()
        killer.join()


def test_a_death_that_is_told_while_another_error_is_looked_at_is_one(monkeypatch):
    def interrupted(_: object) -> None:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    monkeypatch.setattr(loop.traceback, "walk_tb", interrupted)
    assert loop._is_of_a_loader(ConnectionResetError("reset by peer"))


def test_a_broken_connection_to_a_process_that_loads_batches_is_told_as_its_death():
    def die(*_: object) -> None:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    def read() -> None:
        exec(compile("raise ConnectionResetError(104, 'reset')", "torch/utils/data/dataloader.py", "exec"))

    before = signal.signal(signal.SIGALRM, die)  # stands for the SIGCHLD that comes after the connection has broken
    try:
        with pytest.raises(ConnectionResetError) as broken:
            read()
        assert loop._is_of_a_loader(broken.value)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        assert "is killed by signal" in str(loop._death(broken.value))
        assert not loop._is_of_a_loader(ConnectionResetError("of a tracker"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_checkpoint_is_compared_with_itself_before(sft_values: Values, foreign_checkpoint: Path):
    """Any model may begin, and its checkpoints say what it was trained on."""
    outcome = run(sft_values(f"pretrain={foreign_checkpoint}", "tokenizer=null", "model=null", "max_steps=1"))
    assert outcome.summary["difference"]["episodes"] == 3
    config = AutoConfig.from_pretrained(outcome.folder / outcome.summary["files"]["checkpoint"])
    assert (prompt_style_of(config), max_new_tokens_of(config)) == ("minimal", 8)


def test_fine_tuning_into_the_folder_of_another_run_is_refused(sft_values: Values):
    values = sft_values()
    with claim(check_sft(values), values), pytest.raises(InvalidValueError, match="another process is writing to it"):
        run(values)


def test_conversations_longer_than_the_model_reads_are_refused(sft_values: Values, foreign_checkpoint: Path):
    with pytest.raises(InvalidValueError, match=r"sequence_length: found 4097, but the model is to read 4096 tokens"):
        check_sft(sft_values("sequence_length=4097"))
    keys = (f"pretrain={foreign_checkpoint}", "tokenizer=null", "model=null", "sequence_length=4097")
    with pytest.raises(InvalidValueError, match=r"sequence_length: found 4097, but .* reads 4096 tokens"):
        run(sft_values(*keys))


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(sft_values: Values, tmp_path: Path):
    whole = run(sft_values(f"output_dir={tmp_path / 'whole'}"))
    values = sft_values()
    write = sft.ConversationTrainer._write

    def interrupted(self: Any, path: Path) -> None:
        write(self, path)
        if path.name.startswith(".checkpoint-4"):
            raise KeyboardInterrupt

    sft.ConversationTrainer._write = interrupted  # type: ignore[method-assign]
    try:
        with pytest.raises(KeyboardInterrupt):
            run(values)
    finally:
        sft.ConversationTrainer._write = write  # type: ignore[method-assign]
    assert rows_of(run(sft_values("resume=true"))) == rows_of(whole)
