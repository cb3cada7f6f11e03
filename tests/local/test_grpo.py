"""GRPO through TRL: what it is handed, and that it computes what was sampled."""

import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from trl import GRPOTrainer

from tau_retail_env.config import to_yaml
from tau_retail_env.episodes.plan import TrainingPlan
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.local import models
from tau_retail_env.local.config import LocalConfig, check_local
from tau_retail_env.local.config.workers import ModelArgs
from tau_retail_env.local.grpo import RolloutFunction, _by_length, arguments, make_trainer
from tau_retail_env.local.rollouts import PlaySettings, Rollouts
from tau_retail_env.local.run_folder import ENGINE
from tau_retail_env.runs.folder import RunFolder
from tau_retail_env.runs.trajectories import read_trajectories

Values = Callable[..., dict[str, Any]]


def rollout_and_trainer(config: LocalConfig, folder: RunFolder) -> tuple[RolloutFunction, Any]:
    models.quiet()
    model, tokenizer = models.load(config.pretrain, config.actor_train.model_args)
    plays = {"train": PlaySettings(manager=config.train_env_manager, generating=config.train_generating_args)}
    rollouts = Rollouts(config.custom_envs, plays, model, tokenizer, ModelArgs(dtype="fp32"), config.sequence_length)
    plan = TrainingPlan(rollouts.tasks, config.train_env_manager, seed=config.seed)

    def play(episodes: Any, step: int) -> list[Trajectory]:
        return rollouts.play("train", episodes, step=step, label="test")

    rollout = RolloutFunction(plan, play, folder, config)
    return rollout, make_trainer(model, tokenizer, config, folder, rollout, lambda step, numbers: None)


@pytest.fixture
def played(grpo_values: Values) -> tuple[RolloutFunction, Any, dict[str, Any]]:
    values = grpo_values("train_env_manager.generating_args.temperature=0.7")
    folder = RunFolder(Path(values["output_dir"]), ENGINE)
    folder.open(to_yaml(values))
    rollout, trainer = rollout_and_trainer(check_local(values), folder)
    return rollout, trainer, rollout(["2", "2", "3", "3"], trainer)


def test_a_turn_ends_at_any_eos_of_the_model_and_is_trained_on_it(
    grpo_values: Values, tiny_checkpoint: Path, tmp_path: Path
):
    """Half of the vocabulary ends a turn here, for the model's weights are random."""
    model = shutil.copytree(tiny_checkpoint, tmp_path / "model")
    path, end = model / "generation_config.json", models.load_tokenizer(str(model)).eos_token_id
    others = set(range(200)) - {end}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": [end, *others]}))
    values = grpo_values(f"pretrain={model}")
    folder = RunFolder(Path(values["output_dir"]), ENGINE)
    folder.open(to_yaml(values))
    rollout, trainer = rollout_and_trainer(check_local(values), folder)
    fields = rollout(["2", "2", "3", "3"], trainer)
    after = set()
    for ids, mask in zip(fields["completion_ids"], fields["env_mask"], strict=True):
        tokens = list(zip(ids, mask, strict=True))
        after |= {then for (token, own), then in itertools.pairwise(tokens) if own and token in others}
    assert after == {(end, 0)}


def test_trl_computes_the_log_probabilities_that_were_sampled(played: tuple[RolloutFunction, Any, dict[str, Any]]):
    _, trainer, fields = played
    for prompt, completion, logprobs, mask in zip(
        *(fields[name] for name in ("prompt_ids", "completion_ids", "logprobs", "env_mask")), strict=True
    ):
        ids = torch.tensor([prompt + completion])
        with torch.no_grad():
            computed, _, _ = trainer._get_per_token_logps_and_entropies(
                trainer.model, ids, torch.ones_like(ids), len(completion)
            )
        own = torch.tensor(mask, dtype=torch.bool)
        assert own.sum() > 0
        torch.testing.assert_close(computed[0][own], torch.tensor(logprobs)[own], atol=1e-3, rtol=0)


@pytest.mark.parametrize("batch_size", [None, 2])
def test_padding_left_out_changes_nothing(played: tuple[RolloutFunction, Any, dict[str, Any]], batch_size: int | None):
    _, trainer, _ = played
    ids = torch.randint(3, 300, (3, 30), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    for row, (left, right) in enumerate([(0, 12), (4, 0), (7, 5)]):
        mask[row, :left] = 0
        mask[row, 30 - right :] = 0
    found, entropies, _ = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, 20, batch_size)
    expected, expected_entropies, _ = GRPOTrainer._get_per_token_logps_and_entropies(
        trainer, trainer.model, ids, mask, 20, compute_entropy=True
    )
    own = mask[:, 10:].bool()
    torch.testing.assert_close(found[own], expected[own], atol=1e-5, rtol=0)
    torch.testing.assert_close(entropies[own], expected_entropies[own], atol=1e-5, rtol=0)
    assert not found[~own].any()
    found.sum().backward()
    assert all(weight.grad is not None for weight in trainer.model.parameters())


def test_rows_of_like_length_share_a_batch_and_none_is_lost():
    lengths = [5, 1, 4, 2, 6, 3]
    masks = torch.tensor([[1] * length + [0] * (6 - length) for length in lengths])
    rows = {"prompt_ids": masks, "prompt_mask": masks, "completion_mask": torch.zeros_like(masks)}
    batches = [
        {name: value[start : start + 2] for name, value in rows.items()}
        | {"advantages": torch.tensor(lengths[start : start + 2]), "num_items_in_batch": torch.tensor(21)}
        for start in (0, 2, 4)
    ]
    sorted_batches = _by_length(batches)
    assert [batch["advantages"].tolist() for batch in sorted_batches] == [[1, 2], [3, 4], [5, 6]]
    assert [batch["prompt_mask"].sum(dim=1).tolist() for batch in sorted_batches] == [[1, 2], [3, 4], [5, 6]]
    assert all(batch["num_items_in_batch"] == 21 for batch in sorted_batches)


def test_a_step_is_handed_over_token_by_token(played: tuple[RolloutFunction, Any, dict[str, Any]]):
    rollout, _, fields = played
    for place, trajectory in enumerate(rollout.trajectories):
        assert tuple(fields["prompt_ids"][place] + fields["completion_ids"][place]) == trajectory.token_ids
        assert sum(fields["env_mask"][place]) == sum(trajectory.response_mask)
        assert fields["env_mask"][place][0] == 1
        assert fields["episode_reward"][place] == trajectory.reward
    assert [trajectory.group for trajectory in rollout.trajectories] == [2, 2, 3, 3]


def test_a_steps_trajectories_are_on_the_disk(played: tuple[RolloutFunction, Any, dict[str, Any]], tmp_path: Path):
    rollout, _, _ = played
    assert read_trajectories(tmp_path / "run" / "trajectories" / "train-000002.jsonl") == rollout.trajectories


def test_an_episode_that_cannot_be_scored_teaches_nothing(played: tuple[RolloutFunction, Any, dict[str, Any]]):
    rollout, trainer, _ = played
    failed = replace(rollout.trajectories[0], scorable=False)
    silent = replace(failed, token_ids=(), response_mask=(), logprobs=(), prompt_length=0)
    rollout._play = lambda episodes, step: [failed, silent, *rollout.trajectories[2:]]
    fields = rollout(["2", "2", "3", "3"], trainer)
    assert fields["episode_reward"][:2] == [None, None]
    assert [sum(mask) for mask in fields["env_mask"][:2]] == [0, 0]
    assert all(fields["prompt_ids"]) and all(fields["completion_ids"])
    lengths = [[len(row) for row in fields[name]] for name in ("completion_ids", "logprobs", "env_mask")]
    assert lengths[0] == lengths[1] == lengths[2]


def test_a_failed_customer_does_not_stop_a_step(grpo_values: Values):
    values = grpo_values("max_steps=1")
    folder = RunFolder(Path(values["output_dir"]), ENGINE)
    folder.open(to_yaml(values))
    rollout, trainer = rollout_and_trainer(check_local(values), folder)
    play = rollout._play

    def one_fails(episodes: Any, step: int) -> list[Trajectory]:
        first, *others = play(episodes, step)
        return [
            replace(first, scorable=False),
            *(replace(other, reward=float(n % 2)) for n, other in enumerate(others)),
        ]

    rollout._play = one_fails
    before = [weight.clone() for weight in trainer.model.parameters()]
    trainer.train()
    changes = [(new - old).abs().max() for new, old in zip(trainer.model.parameters(), before, strict=True)]
    assert all(torch.isfinite(change) for change in changes)
    assert max(changes) > 0


def test_a_groups_baseline_leaves_out_what_cannot_be_scored(grpo_values: Values):
    values = grpo_values("train_env_manager.num_env_groups=1", "train_env_manager.num_groups_partition=[1]")
    values["train_env_manager"]["group_size"] = 4
    folder = RunFolder(Path(values["output_dir"]), ENGINE)
    folder.open(to_yaml(values))
    rollout, trainer = rollout_and_trainer(check_local(values), folder)
    play = rollout._play

    def scored(episodes: Any, step: int) -> list[Trajectory]:
        earned = zip(play(episodes, step), (0.0, 1.0, 0.0, 0.0), (False, True, True, True), strict=True)
        return [replace(episode, reward=reward, scorable=scorable) for episode, reward, scorable in earned]

    rollout._play = scored
    found: dict[int, float] = {}
    prepare = trainer._prepare_inputs

    def watched(batch: Any) -> Any:
        inputs = prepare(batch)
        for own, advantage in zip(inputs["tool_mask"].sum(dim=1), inputs["advantages"], strict=True):
            found[len(found)] = float(advantage) if own else 0.0
            assert own or advantage == 0
        return inputs

    trainer._prepare_inputs = watched
    trainer.args.max_steps = 1
    trainer.train()
    third = 1 / 3
    deviation = 3**-0.5 + 1e-4
    expected = [0.0, (1 - third) / deviation, -third / deviation, -third / deviation]
    assert sorted(found.values()) == pytest.approx(sorted(expected), abs=1e-4)


@pytest.mark.parametrize("loss_agg_mode", ["token-mean", "seq-mean-token-mean"])
def test_an_update_without_a_scorable_episode_leaves_the_weights_finite(grpo_values: Values, loss_agg_mode: str):
    values = grpo_values(
        "max_steps=1", f"loss_agg_mode={loss_agg_mode}", "actor_train.training_args.gradient_accumulation_steps=1"
    )
    folder = RunFolder(Path(values["output_dir"]), ENGINE)
    folder.open(to_yaml(values))
    rollout, trainer = rollout_and_trainer(check_local(values), folder)
    play = rollout._play
    rollout._play = lambda episodes, step: [
        replace(episode, scorable=place > 1) for place, episode in enumerate(play(episodes, step))
    ]
    trainer.train()
    assert trainer.state.global_step == 2
    assert all(torch.isfinite(weight).all() for weight in trainer.model.parameters())


def test_rolls_keys_become_trls(grpo_values: Values):
    found = arguments(
        check_local(
            grpo_values(
                "loss_agg_mode=token-mean",
                "use_pg_clip_range=true",
                "pg_clip_low=0.1",
                "pg_clip_high=0.3",
                "reward_normalization.method=mean",
                "entropy_loss_coef=0.01",
                "ppo_epochs=3",
                "train_env_manager.generating_args.temperature=0.7",
            )
        )
    )
    expected = {
        "loss_type": "dapo",
        "epsilon": 0.1,
        "epsilon_high": 0.3,
        "scale_rewards": "none",
        "entropy_coef": 0.01,
        "num_iterations": 3,
        "beta": 0.1,
        "use_bias_correction_kl": False,
        "temperature": 0.7,
        "num_generations": 2,
        "steps_per_generation": 2,
        "max_steps": 6,
        "logging_steps": 3,
        "shuffle_dataset": False,
    }
    assert {name: found[name] for name in expected} == expected


def test_without_kl_there_is_no_reference(grpo_values: Values):
    values = grpo_values("use_kl_loss=false", "kl_loss_coef=0.0")
    _, trainer = rollout_and_trainer(check_local(values), RunFolder(Path(values["output_dir"]), ENGINE))
    assert trainer.beta == 0
    assert trainer.ref_model is None
