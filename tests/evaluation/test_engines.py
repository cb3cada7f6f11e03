"""A checkpoint through vLLM: engines in processes of their own, which may die; here a stand-in, or vLLM's CPU build."""

import dataclasses
import functools
import importlib.util
import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.cli import main
from tau_retail_env.evaluation import checkpoint, engines
from tau_retail_env.evaluation.engines import Machine, engines_for
from tau_retail_env.evaluation.generation import Generation
from tau_retail_env.evaluation.record import EPISODES, read_episodes
from tau_retail_env.evaluation.worker_pool import Job
from tau_retail_env.models.serving.engines import Engine
from tau_retail_env.models.shipped import small_checkpoint
from tau_retail_env.models.vllm_engine import EngineMemoryError, EngineSettings, _memory, weights_bytes
from tests.evaluation.broken_env import make_broken_env

IS_HERE = importlib.util.find_spec("vllm") is not None
SHORT = ["--source", "generated", "--limit", "3", "--trials", "2", "--max-turns", "2", "--max-new-tokens", "12"]
GIB = 1 << 30


@pytest.fixture
def stand_in(monkeypatch):
    """Engines find the stand-in for vLLM, and do as they are told."""
    folder = Path(__file__).parent / "fake_vllm"
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(
        "tau_retail_env.models.serving.find_engine", lambda *_: Engine("vllm", "0.22.1", Path(os.sys.executable))
    )

    def tell(**orders):
        monkeypatch.setenv("VLLM_STAND_IN", json.dumps(orders))

    return tell


def run(folder, *arguments):
    return main(["eval", "--agent", "small", *SHORT, "--engine", "vllm", "--output", str(folder), *arguments])


def played(folder):
    return {(one.trajectory.task_id, one.trial): one.trajectory for one in read_episodes(folder / EPISODES)}


def test_two_engines_play_every_episode_once_and_say_what_transformers_says(stand_in, tmp_path, capsys):
    assert run(tmp_path / "vllm", "--engines", "2", "--logprobs") == 0
    told = capsys.readouterr().err
    assert run(tmp_path / "transformers", "--engine", "transformers") == 0
    one, other = played(tmp_path / "vllm"), played(tmp_path / "transformers")
    assert len(list(read_episodes(tmp_path / "vllm" / EPISODES))) == len(one) == 6
    for key, each in one.items():
        assert (each.token_ids, each.response_mask) == (other[key].token_ids, other[key].response_mask)
        assert each.logprobs == pytest.approx(other[key].logprobs, abs=1e-3)
    assert "engine 1 starts, 2 side by side; log" in told
    drawn = int(sum(each.metrics["response_tokens"] for each in one.values()))
    assert f"2 engines drew {drawn:,} tokens" in told


def test_an_engine_that_dies_in_the_middle_is_named_and_the_other_plays_on(stand_in, tmp_path, capsys):
    stand_in(play=["die", [str(tmp_path / "mark")]])
    assert run(tmp_path / "e", "--engines", "2", "--max-turns", "4") == 0
    assert len(played(tmp_path / "e")) == len(list(read_episodes(tmp_path / "e" / EPISODES))) == 6
    assert "it died, exit status 9" in capsys.readouterr().err


def test_without_memory_engines_start_again_without_graphs_and_at_last_one_alone(stand_in, tmp_path, capsys):
    stand_in(start=["fail", [str(tmp_path / "first"), str(tmp_path / "second")]])
    assert run(tmp_path / "e", "--engines", "2") == 0
    told = capsys.readouterr().err
    assert told.count("OutOfMemoryError: CUDA out of memory") >= 2
    assert "engine 1 starts, 2 side by side, without CUDA graphs" in told
    assert "engine 2 starts, 1 side by side, without CUDA graphs" in told
    assert len(played(tmp_path / "e")) == 6
    assert not any(each.logprobs for each in played(tmp_path / "e").values())


def test_where_no_engine_starts_the_record_stays_and_the_same_command_goes_on(stand_in, tmp_path, capsys):
    assert run(tmp_path / "e", "--engines", "1", "--limit", "1", "--trials", "1") == 0
    before = played(tmp_path / "e")
    stand_in(start=["fail", None])
    assert run(tmp_path / "e", "--engines", "1", "--limit", "1", "--trials", "3") == 2
    assert "No vLLM engine is left to play 2 episodes" in capsys.readouterr().err
    assert played(tmp_path / "e") == before
    stand_in()
    assert run(tmp_path / "e", "--engines", "1", "--limit", "1", "--trials", "3") == 0
    assert len(list(read_episodes(tmp_path / "e" / EPISODES))) == 3


@pytest.mark.slow
def test_an_engine_that_hangs_is_ended_and_its_episodes_are_played_again(stand_in, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(engines, "SILENCE_S", 60.0)  # a healthy one on a busy machine was silent for 20 s
    stand_in(play=["hang", [str(tmp_path / "mark")]])
    assert run(tmp_path / "e", "--engines", "1", "--max-turns", "4") == 0
    assert "it did not answer for" in capsys.readouterr().err
    assert len(played(tmp_path / "e")) == 6


def test_an_error_of_an_episode_is_no_fault_of_the_engine_and_comes_out(stand_in, tmp_path):
    told = []
    pool = checkpoint.engine_pool(
        str(small_checkpoint()),
        make_broken_env,
        load_tasks("generated", "test")[:1],
        seed=0,
        prompt_style="minimal",
        generation=Generation(max_new_tokens=4),
        is_offline=True,
        episodes=1,
        log_folder=tmp_path,
        tell=told.append,
    )
    with pytest.raises(RuntimeError, match=r"The environment failed at task generated/test/0 .*KeyError"):
        list(pool.play([Job("generated/test/0", 0)], lambda _: False))
    assert told[0].partition(";")[0] == "engine 0 starts, 1 side by side"
    assert len(told) == 2


def pool_of(split, log_folder, told, **more):
    """Engines, one if not said, for a few tasks of a split, and the jobs to play."""
    tasks = load_tasks("generated", split)[:4]
    pool = checkpoint.engine_pool(
        str(small_checkpoint()),
        functools.partial(TauRetailEnv, source="generated", tasks=tasks, max_turns=2, prompt_style="minimal"),
        tasks,
        seed=0,
        prompt_style="minimal",
        generation=Generation(max_new_tokens=8, sequence_length=more.pop("sequence_length", 1024)),
        is_offline=True,
        episodes=4,
        engines=more.pop("engines", 1),
        log_folder=log_folder,
        tell=told.append,
        **more,
    )
    return pool, [Job(task.id, 0) for task in tasks]


def tokens_of(pool, jobs):
    ends = [one for one in pool.play(jobs, lambda _: False) if one is not None]
    assert len(ends) == len(jobs)
    return {one.job: json.loads(one.line)["token_ids"] for one in ends}


def starts(told):
    return sum(" starts, " in line for line in told)


def test_engines_that_stay_play_other_tasks_as_new_ones_would(stand_in, tmp_path):
    told, fresh = [], []
    first, jobs = pool_of("test", tmp_path / "1", told, stays=True)
    with closing(first):
        tokens_of(first, jobs)
        before = first.counts
        second, others = pool_of("test2", tmp_path / "2", told, stays=True, before=first)
        assert second is first
        played_on = tokens_of(second, others)
        drawn = second.counts
    alone, _ = pool_of("test2", tmp_path / "3", fresh)
    assert played_on == tokens_of(alone, others)
    assert drawn["new_tokens"] == alone.counts["new_tokens"] > 0
    assert before["turns"] > 0
    assert starts(told) == starts(fresh) == 1


@pytest.mark.slow
def test_engines_that_cannot_go_on_with_other_tasks_are_ended_and_others_start(stand_in, tmp_path):
    told = []
    first, jobs = pool_of("test", tmp_path / "1", told, stays=True)
    tokens_of(first, jobs)
    second, others = pool_of("test2", tmp_path / "2", told, stays=True, before=first, sequence_length=900)
    assert second is not first
    with closing(second):
        tokens_of(second, others)
    assert starts(told) == 2


@pytest.mark.slow
def test_an_engine_that_dies_between_two_sets_of_tasks_is_replaced_by_the_other(stand_in, tmp_path):
    told = []
    first, jobs = pool_of("test", tmp_path / "1", told, stays=True, engines=2)
    with closing(first):
        tokens_of(first, jobs)
        os.kill(first._engines[0].process.pid, 9)
        second, others = pool_of("test2", tmp_path / "2", told, stays=True, before=first, engines=2)
        tokens_of(second, others)
    assert sum("is lost" in line for line in told) == 1


def test_draws_depend_on_the_trial_and_come_out_the_same_again(stand_in, tmp_path):
    arguments = ("--temperature", "1", "--limit", "1", "--engines", "1")
    assert run(tmp_path / "a", *arguments) == run(tmp_path / "b", *arguments) == 0
    first, again = played(tmp_path / "a"), played(tmp_path / "b")
    assert {key: each.token_ids for key, each in first.items()} == {k: each.token_ids for k, each in again.items()}
    assert len({each.token_ids for each in first.values()}) == 2


def test_engines_are_for_checkpoints_and_vllm(tmp_path, capsys):
    assert main(["eval", "--engines", "2", "--output", str(tmp_path / "e")]) == 2
    assert "oracle is no checkpoint" in capsys.readouterr().err
    assert run(tmp_path / "f", "--engine", "transformers", "--engines", "2") == 2
    assert "only vLLM runs several" in capsys.readouterr().err
    assert main(["eval", "--gpu-memory", "0.3", "--output", str(tmp_path / "e")]) == 2
    assert "oracle is no checkpoint" in capsys.readouterr().err
    assert run(tmp_path / "f", "--engine", "transformers", "--gpu-memory", "0.3") == 2
    assert "only vLLM takes a share" in capsys.readouterr().err
    assert run(tmp_path / "f", "--engine", "transformers", "--gpu-memory", "0.3", "--engines", "2") == 2
    both = (
        "--engines: only vLLM runs several side by side; --gpu-memory: only vLLM takes a share of a GPU, and transfor"
    )
    assert both in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(tmp_path / "f", "--gpu-memory", "1")
    assert "above 0 and below 1, found '1'" in capsys.readouterr().err


def test_what_changes_nothing_with_vllm_is_refused(stand_in, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tau_retail_env.models.loading.visible_gpus", lambda: ([], 0))
    assert run(tmp_path / "e", "--gpu-memory", "0.3") == 2
    assert (
        "--gpu-memory 0.3: a share of a GPU, and vLLM plays without one here; leave it out" in capsys.readouterr().err
    )
    assert run(tmp_path / "e", "--logprobs", "--temperature", "0.7", "--top-p", "0.9", "--top-k", "5") == 2
    assert "--logprobs: at temperature 0.7 vLLM tells none with --top-p and --top-k" in capsys.readouterr().err
    assert run(tmp_path / "e", "--user-strategy", "human") == 2
    assert "vLLM plays in a process of its own, without the terminal; add --engine transf" in capsys.readouterr().err


def test_engines_beside_other_work_take_the_share_of_the_memory_that_they_are_given(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (140 * GIB, 140 * GIB))
    wanted = {
        share: EngineSettings(sequence_length=4096, at_once=8, engines_on_gpu=2, gpu_memory=share)
        for share in (0.9, 0.3)
    }
    cache = {share: _memory(str(small_checkpoint()), each)["kv_cache_memory_bytes"] for share, each in wanted.items()}
    assert cache[0.9] - cache[0.3] == pytest.approx(0.3 * 140 * GIB, abs=2)
    with pytest.raises(EngineMemoryError, match=r"2 engines may take 2\.8: .*--gpu-memory"):
        _memory(str(small_checkpoint()), dataclasses.replace(wanted[0.3], gpu_memory=0.02))


@pytest.mark.parametrize(
    ("machine", "weights", "episodes", "expected"),
    [
        (Machine(Path("python"), 16, ("0",), 140 * GIB), 270 << 20, 6000, 8),
        (Machine(Path("python"), 16, ("0",), 140 * GIB), 270 << 20, 20, 3),
        (Machine(Path("python"), 16, ("0",), 24 * GIB), 270 << 20, 6000, 2),
        (Machine(Path("python"), 16, ("0",), 140 * GIB), 15 * GIB, 6000, 1),
        (Machine(Path("python"), 64, ("0", "1", "2", "3"), 140 * GIB), 270 << 20, 6000, 32),
        (Machine(Path("python"), 64, ("0", "1", "2", "3"), 140 * GIB, 0.2), 270 << 20, 6000, 12),
        (Machine(Path("python"), 64, ("0", "1", "2", "3"), 140 * GIB), 15 * GIB, 6000, 4),
        (Machine(Path("python"), 2), 270 << 20, 6000, 1),
    ],
)
def test_how_many_engines_is_told_by_cores_gpus_memory_and_work(machine, weights, episodes, expected):
    assert engines_for(machine, weights, episodes) == expected


def test_the_bytes_of_weights_are_those_of_their_files():
    assert weights_bytes(str(small_checkpoint())) == (small_checkpoint() / "model.safetensors").stat().st_size


@pytest.mark.skipif(not IS_HERE, reason="vLLM is not installed; its CPU build is enough")
def test_vllm_itself_says_what_transformers_says(tmp_path):
    shutil.copytree(small_checkpoint(), tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | {"dtype": "float32"}))
    for engine in ("vllm", "transformers"):
        arguments = ["--agent", str(tmp_path / "model"), *SHORT, "--engine", engine, "--output", str(tmp_path / engine)]
        assert main(["eval", *arguments, *(["--engines", "2", "--logprobs"] if engine == "vllm" else [])]) == 0
    one, other = played(tmp_path / "vllm"), played(tmp_path / "transformers")
    assert len(one) == 6
    for key, each in one.items():
        assert each.token_ids == other[key].token_ids
        assert each.logprobs == pytest.approx(other[key].logprobs, abs=0.05)
