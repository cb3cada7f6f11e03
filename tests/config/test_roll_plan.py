"""What a run will cost: seconds fitted to recorded runs, memory by shape, a customer's tokens."""

import pytest

from tau_retail_env.config import compose
from tau_retail_env.config.roll_schema import RollSchema
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.models.shapes import from_config, shape_of
from tau_retail_env.roll.config.memory import CONTEXT_GIB, memory
from tau_retail_env.roll.config.plan import plan
from tau_retail_env.roll.config.rules import RollValues
from tau_retail_env.roll.config.step_costs import ENGINES_THAT_HELP, seconds, step_of, table

QWEN = "Qwen/Qwen2.5-0.5B-Instruct"
SMOL = "HuggingFaceTB/SmolLM2-135M-Instruct"
MICROBATCHES = [f"{role}.max_tokens_per_microbatch_in_train=32768" for role in ("actor_train", "critic")]


def config(name, *overrides):
    return RollValues(compose(name, overrides=overrides), RollSchema.load("main"))


@pytest.mark.parametrize(("name", "millions"), [(QWEN, 494), (SMOL, 134.5), ("Qwen/Qwen3-4B-Instruct-2507", 4022)])
def test_a_known_shape_has_as_many_parameters_as_its_makers_say(name, millions):
    assert shape_of(name).parameters / 1e6 == pytest.approx(millions, rel=0.01)


def test_the_shipped_models_shape_is_that_of_its_weights(repository):
    from safetensors import safe_open

    with safe_open(repository / "checkpoints" / "small" / "model.safetensors", "pt") as file:
        counted = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118
    assert shape_of("small").parameters == pytest.approx(counted, rel=0.01)


def test_a_model_that_is_not_known_is_named_with_those_that_are():
    with pytest.raises(InvalidValueError, match=r"nobody/model.*Qwen/Qwen2\.5-0\.5B"):
        shape_of("nobody/model")
    with pytest.raises(InvalidValueError, match="no shape can be read"):
        from_config({"num_attention_heads": 2}, "config.json")


@pytest.mark.parametrize(("name", "measured"), [(QWEN, 50.8), (SMOL, 22.8)])
def test_memory_is_what_was_measured_on_a_gpu(name, measured):
    """docs/runs/roll_learning: the actor alone, in micro-batches of 32,768 tokens."""
    needed = memory(config("tau_retail_1gpu", f"pretrain={name}", *MICROBATCHES), shape_of(name))
    assert needed.learner == pytest.approx(measured, rel=0.05)


def test_actor_and_critic_learn_at_once():
    """docs/runs/roll_two_gpus: 97.2 GiB of each card, of which 42.4 were the critic's own."""
    needed = memory(config("tau_retail_config", "num_gpus_per_node=2", *MICROBATCHES), shape_of(QWEN))
    reference = 4 * shape_of(QWEN).parameters / 2 / 2**30
    assert needed.learning == pytest.approx(2 * needed.learner + reference + 4 * CONTEXT_GIB)
    assert needed.learning == pytest.approx(97.2, rel=0.08)
    apart = ["critic.device_mapping=[1]", "actor_train.device_mapping=[0]", "reference.device_mapping=[0]"]
    alone = memory(
        config("tau_retail_1gpu", "num_gpus_per_node=2", "actor_infer.device_mapping=[0]", *apart), shape_of(QWEN)
    )
    assert alone.learning == pytest.approx(alone.learner + 2 * reference + 3 * CONTEXT_GIB)


def test_adams_step_of_a_large_model_takes_more_than_its_activations():
    """docs/runs/roll_two_gpus: 75.2 GiB; the reference, which is too large to stay beside it, is not counted."""
    shape = shape_of("Qwen/Qwen3-4B-Instruct-2507")
    needed = memory(config("tau_retail_grpo", "num_gpus_per_node=2"), shape)
    assert needed.learner == pytest.approx(75.2, rel=0.02)
    assert needed.learning == pytest.approx(needed.learner + 2 * CONTEXT_GIB)


@pytest.mark.parametrize("name", ["tau_retail_1gpu", "tau_retail_config", "tau_retail_smol_ppo"])
def test_the_shipped_ppo_fits_cards_of_80_gb(name):
    assert not list(memory(config(name), shape_of(SMOL if "smol" in name else QWEN)).problems(79.6))


def test_checkpointing_and_more_gpus_take_less_memory():
    shape = shape_of(QWEN)
    plain = memory(config("tau_retail_1gpu"), shape).learning
    off = [f"{role}.model_args.disable_gradient_checkpointing=false" for role in ("actor_train", "critic")]
    assert memory(config("tau_retail_1gpu", *off), shape).learning < 0.5 * plain
    assert memory(config("tau_retail_config"), shape).learning < plain


def test_a_step_costs_more_with_more_work_and_less_with_more_gpus():
    base = sum(seconds(step_of(config("tau_retail_config"))).values())
    assert sum(seconds(step_of(config("tau_retail_config", "num_gpus_per_node=4"))).values()) > base
    larger = ["rollout_batch_size=512", "train_env_manager.num_env_groups=128"]
    assert sum(seconds(step_of(config("tau_retail_config", *larger))).values()) > base
    assert 0 < table()["unseen"]["error"] < 0.5


def test_the_plan_tells_time_memory_and_a_customers_dollars():
    prices = ("user.usd_per_million_input_tokens=1", "user.usd_per_million_output_tokens=2")
    lines = plan(compose("tau_retail_config", overrides=["user_strategy=llm", "user_model=m", *prices]))
    text = "\n".join(lines)
    assert "as recorded with prompt_style full of models that reason" in lines[0]
    short = "train_env_manager.generating_args.max_new_tokens=512"
    assert "full of models that do not reason" in plan(compose("tau_retail_config", overrides=[short]))[0]
    assert "GPUs: 8" in lines[0] and "GPU hours" in text and "24 GB: no" in text and "80 GB: fits" in text
    assert "dollars: " in lines[-1] and "a step" in lines[-1]
    assert "customer" not in "\n".join(plan(compose("tau_retail_config")))


def test_the_plan_says_what_it_assumes_and_where_a_run_is_of_another_kind_than_the_recorded_ones():
    def told(name, *overrides):
        return "\n".join(plan(compose(name, overrides=overrides)))

    assert "224 of 512 episodes are learnt from, an assumption: as recorded without" in told("tau_retail_smol_ppo")
    assert "288 of 512 episodes are learnt from, an assumption: as recorded with reward.partial, 44%" in told(
        "tau_retail_smol_ppo", "reward.partial=0.3"
    )
    assert "filter_groups" not in told("tau_retail_smol_ppo", "filter_groups=false")
    assert "2,172 of them the actor's (3,500 in the longest)" in told("tau_retail_smol_ppo")
    assert "max_tokens_per_episode" not in told("tau_retail_smol_ppo")
    assert "engines_per_gpu" not in told("tau_retail_smol_ppo", f"engines_per_gpu={ENGINES_THAT_HELP}")
    assert "engines_per_gpu: 4 are taken to play as fast as 2" in told("tau_retail_smol_ppo", "engines_per_gpu=4")
    ahead = "async_generation_ratio: the rollout's seconds are those in turn"
    assert ahead in told("tau_retail_1gpu", "async_generation_ratio=1")
    assert ahead not in told("tau_retail_1gpu") + told("tau_retail_grpo")
    turned = ("num_gpus_per_node=2", "actor_infer.device_mapping=[1,0]", "async_generation_ratio=1")
    assert ahead in told("tau_retail_1gpu", *turned)
    assert "Megatron: seconds and memory are those of FSDP2" in told("tau_retail_1gpu", "train=megatron")
    assert "Megatron" not in told("tau_retail_1gpu")
    assert "stop_after_worse: all steps are counted" in told("tau_retail_1gpu", "stop_after_worse=2")
    assert "stop_after_worse" not in told("tau_retail_1gpu")


def test_more_engines_and_shorter_episodes_shorten_the_rollout_and_nothing_else():
    limit = "custom_envs.series{}_train.max_tokens_per_episode={}"

    def spent(engines, tokens):
        overrides = [f"engines_per_gpu={engines}", *(limit.format(series, tokens) for series in (4, 5, 6))]
        return seconds(step_of(config("tau_retail_smol_ppo", *overrides)))

    base, faster, shorter = spent(1, "null"), spent(2, "null"), spent(1, 3500)
    assert faster["rollout"] < base["rollout"] > shorter["rollout"]
    for other in (faster, shorter):
        assert {**other, "rollout": 0} == {**base, "rollout": 0}


def test_no_episode_is_longer_than_a_limit_allows_where_all_tags_have_one():
    def episode(*overrides):
        return step_of(config("tau_retail_smol_ppo", *overrides)).episode

    tags = [f"custom_envs.series{series}_train.max_tokens_per_episode" for series in (4, 5, 6)]
    assert episode(f"{tags[0]}=4000").longest == 4000
    unlimited = episode(f"{tags[0]}=null")
    assert unlimited.longest > 6000
    short = episode(*(f"{tag}=1086" for tag in tags))
    assert short.longest == short.own == 1086 and short.turns == pytest.approx(unlimited.turns / 2)
    room = episode("sequence_length=4096", *(f"{tag}=null" for tag in tags))
    assert room.tokens <= 4096 and room.longest < 4096


def test_groups_without_a_signal_are_left_out_in_whole_updates():
    assert step_of(config("tau_retail_smol_ppo")).learnt == 224  # 39 % of 512 is 200; an update takes 32
    all_of_them = step_of(config("tau_retail_smol_ppo", "filter_groups=false"))
    assert all_of_them.learnt == 512 and all_of_them.updates == 32
    larger = "training_args.gradient_accumulation_steps=128"
    assert step_of(config("tau_retail_smol_ppo", f"actor_train.{larger}", f"critic.{larger}")).learnt == 256
    assert step_of(config("tau_retail_smol_ppo", f"critic.{larger}", "reward.partial=0.3")).learnt == 384
    some, every = seconds(step_of(config("tau_retail_smol_ppo"))), seconds(all_of_them)
    assert some["training"] == pytest.approx(every["training"] * 224 / 512)
    assert some["log-probabilities and values"] < every["log-probabilities and values"]
    assert some["rollout"] == every["rollout"]


def test_what_does_not_fit_names_the_roles_that_learn():
    ppo, grpo = ("\n".join(plan(compose(name))) for name in ("tau_retail_config", "tau_retail_grpo"))
    assert "of actor_train and critic lower max_tokens_per_microbatch_in_train and sequence_length or set" in ppo
    assert "of actor_train lower max_tokens_per_microbatch_in_train" in grpo and "critic" not in grpo


def test_what_does_not_fit_names_the_keys_that_make_micro_batches_smaller():
    """A longest episode is a micro-batch of its own, however low the limit of micro-batches is."""

    def remedy(*overrides):
        lines = plan(compose("tau_retail_1gpu", overrides=overrides))
        return next(line for line in lines if "24 GB: no" in line)

    assert "critic lower sequence_length or set" in remedy("sequence_length=65536")
    assert "critic lower max_tokens_per_microbatch_in_train or set" in remedy(*MICROBATCHES)
    both = "critic lower max_tokens_per_microbatch_in_train and sequence_length or set"
    assert both in remedy() and both in remedy(MICROBATCHES[0], "sequence_length=20000")


def test_messages_with_room_for_reasons_are_of_a_model_that_reasons():
    lines = plan(compose("tau_retail_smol_ppo"))
    assert "as recorded with prompt_style compressed of models that reason;" in lines[0]
    short = "train_env_manager.generating_args.max_new_tokens=512"
    assert "of models that do not reason;" in plan(compose("tau_retail_smol_ppo", overrides=[short]))[0]


def test_the_command_prints_it_and_starts_nothing(capsys):
    from tau_retail_env.cli.main import main

    assert main(["train", "--config-name", "tau_retail_1gpu", "--plan"]) == 0
    assert "GPU hours" in capsys.readouterr().out
