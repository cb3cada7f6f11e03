"""What supervised fine-tuning accepts and refuses."""

import pytest

from tau_retail_env.config import compose
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local.config import SftConfig, check_sft


def checked(*overrides: str) -> SftConfig:
    return check_sft(compose("tau_retail_sft", overrides=overrides))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sft_train.training_args.lr=1.0", "sft_train.training_args.lr: unknown key"),
        ("model.layers=4", "model.layers: unknown key"),
        (
            "sft_train.strategy_args.strategy_name=megatron_train",
            "sft_train.strategy_args: the local engine does not read it: remove strategy_args, or train",
        ),
        ("prompt_key=instruction", "prompt_key: the local engine does not read it: conversations come from the oracle"),
        ("pretrain=Qwen/Qwen2.5-0.5B-Instruct", "vocab_size: only with pretrain: scratch"),
        ("vocab_size=null", "pretrain: scratch needs one of them"),
        ("tokenizer=folder", "pretrain: scratch needs one of them"),
        ("model.num_attention_heads=7", "model.num_attention_heads: 7 does not divide hidden_size 256"),
        ("model.num_key_value_heads=3", "model.num_key_value_heads: 3 does not divide num_attention_heads 8"),
        ("conversations.tag=nowhere", "conversations.tag: 'nowhere' is not under custom_envs"),
        ("conversations.num=10", "conversations.num: 10 do not fill one batch of 64"),
        ("sequence_length=2049", "found 2049, but the model is to read 2048 tokens at most (model.max_position_emb"),
        ("observation_loss_weight=2.0", "observation_loss_weight: found 2.0, expected 1 or less"),
        ("val_batch_size=3", "val_batch_size: found 3, expected 256"),
    ],
)
def test_what_cannot_be_is_refused_by_name(override: str, words: str):
    with pytest.raises(InvalidValueError) as caught:
        checked(override)
    assert words in str(caught.value)


def test_a_warm_up_by_ratio_is_rounded_up_and_one_by_steps_wins():
    training = checked("sft_train.training_args.warmup_ratio=0.03").sft_train.training_args
    assert training.num_warmup_steps(110) == 4
    assert checked("sft_train.training_args.warmup_steps=9").sft_train.training_args.num_warmup_steps(110) == 9
