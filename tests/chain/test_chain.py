"""A chain from stage to stage: what is handed on, skipped and refused; its stages leave what real ones do."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tau_retail_env.chain import processes
from tau_retail_env.chain import run as module
from tau_retail_env.chain.plan import plan
from tau_retail_env.chain.run import StageFailedError
from tau_retail_env.chain.settings import read_chain
from tau_retail_env.cli.main import main
from tau_retail_env.cli.train import _checked, chosen_training
from tau_retail_env.config import compose
from tau_retail_env.errors import InvalidValueError

NAMES = ["sft", "samples", "rft", "grpo", "grpo_eval"]


@pytest.fixture
def chain(tmp_path: Path) -> Callable[..., tuple[Path, list[str]]]:
    """Runs the laptop's chain in a folder; returns the last weights and what was said."""

    def run(*overrides: str, folder: str = "chain") -> tuple[Path, list[str]]:
        words = [f"output_dir={tmp_path / folder}", "~stages.sft_eval", "~stages.rft_eval", *overrides]
        values: Mapping[str, Any] = compose("tau_retail_local_pipeline", overrides=words)
        config = read_chain(values)
        lines: list[str] = []
        return module.run(config, plan(config, _checked), values, say=lines.append), lines

    return run


def test_each_stage_begins_with_the_weights_of_the_last_that_trained_and_learns_from_what_was_kept(stages, chain):
    weights, lines = chain()
    assert stages.played == NAMES
    began = [Path(told["pretrain"]).parts[-4:-3] for told in stages.words]
    assert [part[0] for part in began[1:]] == ["sft", "sft", "rft", "grpo"]
    assert stages.words[0]["pretrain"].endswith("checkpoints/small")
    assert stages.words[2]["conversations.kept"].endswith("samples/run/kept")
    assert weights.parts[-4:] == ("grpo", "run", "checkpoints", "checkpoint-2")
    assert "| grpo | 50.0 [25.0, 75.0] |" in lines[-2]


@pytest.mark.parametrize("name", ["tau_retail_pipeline", "tau_retail_smol_pipeline", "tau_retail_local_pipeline"])
def test_one_override_gives_every_stage_another_length_of_episodes(name):
    config = read_chain(compose(name, overrides=["shared.sequence_length=12288"]))
    planned = plan(config, lambda values: chosen_training(values, is_printed=True))
    assert {stage.name: stage.inputs.config["sequence_length"] for stage in planned} == dict.fromkeys(
        config.stages, 12288
    )


def test_a_stage_that_is_no_block_does_not_hide_what_else_is_wrong():
    values = compose("tau_retail_smol_pipeline", overrides=["stages.sft=5", "max_steps=1"])
    with pytest.raises(InvalidValueError, match=r"stages\.sft: found 5(.|\n)*max_steps: no key .*\(NAME: rft or ppo\)"):
        read_chain(values)


def test_a_folder_of_configurations_that_is_no_text_does_not_hide_what_else_is_wrong():
    values = compose("tau_retail_smol_pipeline", overrides=["config_folder=[3]", "max_steps=1"])
    with pytest.raises(
        InvalidValueError, match=r"config_folder: found \[3\], expected a text(.|\n)*max_steps: unknown"
    ):
        read_chain(values)


def test_what_the_recorded_ppo_had_besides_is_a_key_of_its_stage():
    config = read_chain(compose("tau_retail_smol_pipeline", overrides=["stages.ppo.set.reward.partial=0.3"]))
    planned = {one.name: one for one in plan(config, lambda values: chosen_training(values, is_printed=True))}
    envs = planned["ppo"].inputs.config["custom_envs"]
    assert {tag: env["env_config"]["reward"].get("partial", 0) for tag, env in envs.items() if "series" in tag} == {
        **dict.fromkeys(("series4_train", "series5_train", "series6_train"), 0.3),
        **dict.fromkeys(("series2_test", "series3_test"), 0),
    }
    assert "partial" not in planned["rft"].inputs.config["reward"]


def test_a_key_of_all_stages_is_told_where_it_stands():
    with pytest.raises(InvalidValueError, match=r"^sequence_length: .* stages: shared\.sequence_length gives it"):
        read_chain(compose("tau_retail_smol_pipeline", overrides=["sequence_length=12288"]))


def test_the_same_chain_resumed_makes_nothing_twice(stages, chain):
    chain()
    first = len(stages.words)
    _, lines = chain("resume=true")
    assert len(stages.words) == first
    assert sum("whole already" in line for line in lines) == len(NAMES)


def test_a_stage_that_fails_is_named_and_gone_on_with(stages, chain):
    stages.fails = "rft"
    with pytest.raises(StageFailedError, match=r"Stage rft ended with status 1, .* resume with: resume=.*chain"):
        chain()
    stages.fails = None
    chain("resume=true")
    assert stages.played == [*NAMES[:3], *NAMES[2:]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_chain_with_its_own_status_and_the_chain_says_how_to_go_on(
    stages, chain, monkeypatch, capsys, tmp_path, number
):
    def stage(python, words):
        os.kill(os.getpid(), number)
        time.sleep(60)

    monkeypatch.setattr(processes, "run_stage", stage)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell
    try:
        status = main(["train", "--config-name", "tau_retail_local_pipeline", f"output_dir={tmp_path / 'chain'}"])
    except SystemExit as ended:
        status = ended.code
    finally:
        signal.signal(signal.SIGINT, before)
    assert status == {signal.SIGTERM: 143, signal.SIGINT: 130}[number]
    assert capsys.readouterr().out.endswith(f"\ninterrupted; resume with: resume={tmp_path / 'chain'}\n")


def test_a_training_stage_that_had_begun_resumes_its_own_run(stages, chain, tmp_path):
    stages.fails = "sft"
    with pytest.raises(StageFailedError):
        chain()
    (tmp_path / "chain" / "sft" / "run" / "config.yaml").write_text("")
    stages.fails = None
    chain("resume=true")
    assert "resume" not in stages.words[0]
    assert stages.words[1]["resume"] == stages.words[1]["output_dir"]


def test_a_stage_that_was_made_cannot_be_changed(stages, chain, tmp_path):
    chain()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "chain").rglob("*") if path.is_file()}
    with pytest.raises(InvalidValueError, match=r"Stage sft: .* differs in max_steps \(5 there, 6 here\).*Nothing was"):
        chain("resume=true", "stages.sft.set.max_steps=6")
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "chain").rglob("*") if path.is_file()}


def test_a_chain_from_other_weights_or_that_hands_on_others_is_another(stages, chain):
    chain()
    with pytest.raises(InvalidValueError, match=r"Stage sft: .*differs in hands_on \('last' there, 'best' here\)"):
        chain("resume=true", "stages.sft.hands_on=best")
    with pytest.raises(InvalidValueError, match=r"Stage sft: .*differs in weights \('\w+' there, 'Some/model' here\)"):
        chain("resume=true", "pretrain=Some/model")


def test_a_stage_that_has_not_begun_may_still_be_changed(stages, chain):
    stages.fails = "grpo"
    with pytest.raises(StageFailedError):
        chain("stages.grpo.set.max_steps=2")
    stages.fails = None
    with pytest.raises(InvalidValueError, match="Stage grpo"):
        chain("resume=true", "stages.grpo.set.max_steps=3")
    chain("resume=true", "stages.grpo_eval.set.play.sets.series1_test.limit=2")
    assert stages.words[-1]["play.sets.series1_test.limit"] == "2"


def test_how_fast_a_stage_goes_is_no_change_of_it(stages, chain):
    chain()
    chain("resume=true", "stages.samples.set.play.concurrency=3", "stages.sft.set.conversations.num_workers=2")
    assert stages.played == NAMES


def test_a_stage_of_another_chain_is_refused(stages, chain, tmp_path):
    chain("seed=1", folder="other")
    (tmp_path / "mine").mkdir()
    (tmp_path / "other" / "sft").rename(tmp_path / "mine" / "sft")
    with pytest.raises(InvalidValueError, match=r"Stage sft: .*made by another chain.*seed \(1 there, 42 here\)"):
        chain("resume=true", folder="mine")


def test_weights_that_are_not_whole_any_more_are_named(stages, chain, tmp_path):
    chain()
    (tmp_path / "chain/sft/run/checkpoints/checkpoint-2/model.safetensors").write_text("other")
    with pytest.raises(InvalidValueError, match=r"Stage sft: .*checkpoint-2 is not whole: model\.safetensors has 5"):
        chain("resume=true")


def test_a_new_chain_takes_an_empty_folder_only(stages, chain, tmp_path):
    (tmp_path / "chain").mkdir()
    (tmp_path / "chain" / "letter.txt").write_text("mine")
    with pytest.raises(InvalidValueError, match=r"is not empty\. Give another"):
        chain()
    chain(folder="whole")
    with pytest.raises(InvalidValueError, match=r"Resume it with resume=true, or give another"):
        chain(folder="whole")
    assert stages.played == NAMES


def test_a_folder_of_something_else_in_a_stages_place_is_refused(stages, chain, tmp_path):
    (tmp_path / "chain" / "samples").mkdir(parents=True)
    (tmp_path / "chain" / "samples" / "letter.txt").write_text("mine")
    with pytest.raises(InvalidValueError, match=r"samples holds files of something else \(stage\.json is missing\)"):
        chain("resume=true")
    assert stages.words == []


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("stages.rft.learns_from=sft", r"stages\.rft\.learns_from: sft keeps no episodes"),
        ("stages.rft.learns_from=grpo", r"stages\.rft\.learns_from: 'grpo' is no stage before it"),
        ("stages.grpo.weights=samples", r"stages\.grpo\.weights: samples trains nothing"),
        ("stages.grpo.learns_from=samples", r"Stage grpo .*: learns_from: only fine-tuning learns"),
        ("stages.sft.set.max_steps=0", r"Stage sft \(tau_retail_sft\): max_steps: found 0"),
        ("stages.sft.config=tau_retail_sff", r"Unknown config name 'tau_retail_sff'"),
        ("stages.sft.config=tau_retail_local_pipeline", r"Stage sft.*itself a chain|Stage sft \(tau_retail_local_pip"),
        ("stages.samples.set.task_subset=single*lookup", r"Stage samples.*task_subset 'single\*lookup'.* is empty"),
        ("stages.SFT={config: tau_retail_sft}", r"stages\.SFT: expected a name of small letters"),
        ("pretrain=./no/such", r"pretrain: there is no folder \./no/such"),
        (
            "reward.partial=0.3",
            r"^reward: no key of a chain but of its stages: stages\.NAME\.set\.reward\.partial gives it to one "
            r"\(NAME: sft, samples, rft or grpo\)$",
        ),
        ("sequence_length=512", r"shared\.sequence_length gives .* \(NAME: sft, samples, rft, grpo or grpo_eval\)$"),
        ("group_advantages=1", r"^group_advantages: unknown key\. Known here: engine"),
        ("keep.process=true", r"stages\.NAME\.set\.keep\.process gives it to one \(NAME: samples\)$"),
        ("user.timeout_s=7", r"^user: .*stages\.NAME\.set\.user\.timeout_s"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(stages, chain, tmp_path, override, words):
    with pytest.raises(InvalidValueError, match=words):
        chain(override)
    assert stages.words == [] and not (tmp_path / "chain").exists()
