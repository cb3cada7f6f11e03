"""What a run will cost: seconds fitted to recorded runs, memory by shape, a customer's tokens."""

import pytest

from tau_retail_env.config import compose
from tau_retail_env.config.roll_schema import RollSchema
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.models.shapes import from_config, shape_of
from tau_retail_env.roll.config.memory import CONTEXTS_GIB, memory
from tau_retail_env.roll.config.plan import plan
from tau_retail_env.roll.config.rules import RollValues
from tau_retail_env.roll.config.step_costs import seconds, step_of, table

QWEN = "Qwen/Qwen2.5-0.5B-Instruct"
SMOL = "HuggingFaceTB/SmolLM2-135M-Instruct"


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
    asked = config("tau_retail_1gpu", f"pretrain={name}")
    shape = shape_of(name)
    waiting = (12 + 4) * shape.parameters / 2**30  # the critic's weights and moments, the reference's weights
    assert memory(asked, shape).learning - CONTEXTS_GIB - waiting == pytest.approx(measured, rel=0.05)


def test_checkpointing_and_more_gpus_take_less_memory():
    shape = shape_of(QWEN)
    plain = memory(config("tau_retail_1gpu"), shape).learning
    off = [f"{role}.model_args.disable_gradient_checkpointing=false" for role in ("actor_train", "critic")]
    assert memory(config("tau_retail_1gpu", *off), shape).learning < 0.4 * plain
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


def test_the_plan_says_where_a_run_is_of_another_kind_than_the_recorded_ones():
    def told(name, *overrides):
        return "\n".join(plan(compose(name, overrides=overrides)))

    assert "filter_groups: what it leaves out is not taken off" in told("tau_retail_smol_ppo")
    assert "filter_groups" not in told("tau_retail_smol_ppo", "filter_groups=false")
    assert "max_tokens_per_episode: the rollout's seconds are those without" in told("tau_retail_smol_ppo")
    assert "engines_per_gpu: the rollout's seconds are those of one" in told("tau_retail_smol_ppo")
    assert "engines_per_gpu" not in told("tau_retail_smol_ppo", "engines_per_gpu=1")
    assert "max_tokens_per_episode" not in told("tau_retail_config")
    ahead = "async_generation_ratio: the rollout's seconds are those in turn"
    assert ahead in told("tau_retail_1gpu", "async_generation_ratio=1")
    assert ahead not in told("tau_retail_1gpu") + told("tau_retail_grpo")
    assert "Megatron: seconds and memory are those of FSDP2" in told("tau_retail_1gpu", "train=megatron")
    assert "Megatron" not in told("tau_retail_1gpu")


def test_what_does_not_fit_names_the_roles_that_learn():
    ppo, grpo = ("\n".join(plan(compose(name))) for name in ("tau_retail_config", "tau_retail_grpo"))
    assert "of actor_train and critic lower max_tokens_per_microbatch_in_train" in ppo
    assert "of actor_train lower max_tokens_per_microbatch_in_train" in grpo and "critic" not in grpo


def test_messages_with_room_for_reasons_are_of_a_model_that_reasons():
    lines = plan(compose("tau_retail_smol_ppo"))
    assert "as recorded with prompt_style compressed of models that reason;" in lines[0]
    short = "train_env_manager.generating_args.max_new_tokens=512"
    assert "of models that do not reason;" in plan(compose("tau_retail_smol_ppo", overrides=[short]))[0]


def test_the_command_prints_it_and_starts_nothing(capsys):
    from tau_retail_env.cli.main import main

    assert main(["train", "--config-name", "tau_retail_1gpu", "--plan"]) == 0
    assert "GPU hours" in capsys.readouterr().out
