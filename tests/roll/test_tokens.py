"""Token-exactness with real tokenizers: what the engine gets is what the model's own template renders."""

import pytest

from tau_retail_env import TauRetailEnv

ONE_TASK = {"source": "tau2", "split": "train", "task_subset": "single*address", "prompt_style": "full"}
ROLLS_KEYS = {
    "max_steps": 40,
    "max_tokens_per_step": 512,
    "agent_system_template": "You are a retail support agent.",
    "agent_template": "{observation}",
}


@pytest.fixture(scope="module")
def qwen(roll, shared_folder):
    """Loads one of the real tokenizers."""
    from transformers import AutoTokenizer

    return lambda name: AutoTokenizer.from_pretrained(shared_folder / "tokenizers" / name)


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3"])
@pytest.mark.parametrize("style", ["full", "compressed"])
def test_every_prompt_is_what_the_template_renders_with_tools(rollout_loop, qwen, name, style):
    tokenizer = qwen(name)
    played = rollout_loop(tokenizer, settings=ONE_TASK | {"prompt_style": style}, pipeline={"sequence_length": 16384})
    (episode,) = played.play()
    manager = played.managers[0]
    tools = TauRetailEnv(**ONE_TASK).reset(seed=0)[1]["tools"] if style == "full" else None
    turns = int(episode.meta_info["metrics"]["env/retail/turns"])
    assert turns > 4
    for (prompt, _), messages in zip(manager.llm_proxy.requests, manager.llm_proxy.messages[:turns], strict=False):
        rendered = tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=True)["input_ids"]
        assert prompt == rendered
    if style == "full":
        shown = tokenizer.decode(manager.llm_proxy.requests[0][0])
        assert all(f'"name": "{tool["function"]["name"]}"' in shown for tool in tools)


def test_rolls_own_manager_doubles_the_end_of_turn_and_shows_no_tools(rollout_loop, qwen):
    from roll.pipeline.agentic.env_manager.traj_env_manager import TrajEnvManager

    tokenizer = qwen("qwen2_5")

    def text(cls):
        keys = ROLLS_KEYS if cls is TrajEnvManager else {}
        played = rollout_loop(
            tokenizer,
            settings=ONE_TASK,
            env=keys | {"trajectory_share": 0},
            pipeline={"sequence_length": 16384},
            **({"cls": cls} if cls else {}),
        )
        (episode,) = played.play()
        length = int(episode.batch["attention_mask"].sum())
        ids = episode.batch["input_ids"][0, :length]
        return tokenizer.decode(ids), tokenizer.decode(ids[episode.batch["prompt_mask"][0, :length].bool()])

    theirs, their_prompt = text(TrajEnvManager)
    ours, our_prompt = text(None)
    assert "<|im_end|><|im_end|><|im_start|>user\n" in theirs
    assert "<|im_end|><|im_end|>" not in ours and "<|im_end|>\n<|im_start|>user\n" in ours
    assert "get_order_details" not in their_prompt and '"name": "get_order_details"' in our_prompt
    assert "<tool_response>" not in theirs and "<tool_response>" in ours
