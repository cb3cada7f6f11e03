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
        ("conversations.tag=null", "conversations.tag, conversations.mixture: give one of them"),
        ("+conversations.mixture={retail_test: 1}", "conversations.tag, conversations.mixture: give one of them"),
        ("conversations.num=10", "conversations.num: 10 do not fill one batch of 64"),
        ("sequence_length=2049", "found 2049, but the model is to read 2048 tokens at most (model.max_position_emb"),
        (
            "+custom_envs.retail_train.max_tokens_per_step=9",
            "custom_envs.retail_train.max_tokens_per_step: a limit of training, which nothing reads here",
        ),
        ("observation_loss_weight=2.0", "observation_loss_weight: found 2.0, expected 1 or less"),
        ("val_batch_size=3", "val_batch_size: found 3, expected 256"),
        ("stop_after_worse=2 max_steps=300", "2 with eval_steps 100000 could end the run after step 300000"),
        ("stop_after_worse=2 val_batch_size=0", "stop_after_worse: nothing is judged (val_batch_size: 0); give"),
    ],
)
def test_what_cannot_be_is_refused_by_name(override: str, words: str):
    several = [override] if "{" in override else override.split()
    with pytest.raises(InvalidValueError) as caught:
        checked(*several)
    assert words in str(caught.value)


def test_a_run_that_judges_nothing_asks_nothing_of_how_it_would():
    unfit = ("sequence_length=150", "+custom_envs.retail_test.env_config.exclude_tasks=[nowhere]")
    with pytest.raises(InvalidValueError) as caught:
        checked(*unfit)
    assert "sequence_length: 150 is too small for one message of 160 tokens" in str(caught.value)
    assert "custom_envs.retail_test.env_config: " in str(caught.value)
    assert checked(*unfit, "val_batch_size=0").val_batch_size == 0


def test_a_warm_up_by_ratio_is_rounded_up_and_one_by_steps_wins():
    training = checked("sft_train.training_args.warmup_ratio=0.03").sft_train.training_args
    assert training.num_warmup_steps(110) == 4
    assert checked("sft_train.training_args.warmup_steps=9").sft_train.training_args.num_warmup_steps(110) == 9


@pytest.mark.parametrize(
    ("mixture", "words"),
    [
        ("{retail_train: 1, nowhere: 2}", "conversations.mixture: 'nowhere' is not under custom_envs"),
        ("{retail_train: 0}", "conversations.mixture: every weight is 0; expected one above 0"),
        ("{retail_train: -1}", "conversations.mixture.retail_train: found -1, expected 0 or more"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused_by_name(mixture: str, words: str):
    with pytest.raises(InvalidValueError) as caught:
        checked("conversations.tag=null", f"+conversations.mixture={mixture}")
    assert words in str(caught.value)


def test_limits_that_nothing_reads_are_named_in_the_order_of_the_mixture():
    tags = [f"series{number}" for number in range(8)]
    block = "{env_type: tau_retail, max_tokens_per_step: 9, env_config: {source: generated, split: train}}"
    mixture = ", ".join(f"{tag}: 1" for tag in tags)
    with pytest.raises(InvalidValueError) as caught:
        checked(
            "conversations.tag=null",
            f"+conversations.mixture={{{mixture}}}",
            *(f"+custom_envs.{tag}={block}" for tag in tags),
        )
    lines = [line for line in str(caught.value).splitlines() if "which nothing reads here; set it to null" in line]
    assert [line.split(".")[1] for line in lines] == tags


def test_a_mixture_in_two_prompt_styles_is_refused():
    with pytest.raises(
        InvalidValueError, match="one model learns one prompt_style, found retail_train minimal, retail_t"
    ):
        checked(
            "conversations.tag=null",
            "+conversations.mixture={retail_train: 1, retail_test: 1}",
            "custom_envs.retail_test.env_config.prompt_style=full",
        )


def test_a_mixture_is_divided_by_weight_and_comes_to_the_whole():
    mixture = ("conversations.tag=null", "+conversations.mixture={retail_train: 2, retail_test: 1}")
    args = checked(*mixture, "conversations.num=30000").conversations
    assert args.by_tag() == {"retail_train": 20_000, "retail_test": 10_000}
    uneven = args.model_copy(update={"num": 10, "mixture": {"a": 1.0, "b": 1.0, "c": 1.0, "d": 0.0}})
    assert sum(uneven.by_tag().values()) == 10
    assert list(uneven.by_tag()) == ["a", "b", "c"]


def test_the_shipped_mixture_holds_no_split_that_is_judged():
    config = check_sft(compose("tau_retail_smol_sft", overrides=["conversations.mixture.v1_train=0"]))
    judged = {config.custom_envs[tag].env_config.split for tag in config.val_env_manager.tags}
    learnt = {config.custom_envs[tag].env_config.split for tag in config.conversations.mixture or {}}
    assert judged == {"test2", "test3"}
    assert learnt == {"train", "train2", "train3", "train4", "train5", "train6"}
