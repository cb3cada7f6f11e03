"""A tiny tokenizer and a tiny model with random weights, and configurations that use them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the local engine is not installed: pip install '.[train]'")

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tau_retail_env.config import compose
from tau_retail_env.config.sft import NewModel
from tau_retail_env.training.models import make

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ 'user' if message.role == 'tool' else message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHAPE = NewModel(
    hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
)
TINY = (
    "max_turns=3",
    "sequence_length=700",
    "train_env_manager.generating_args.max_new_tokens=8",
    "val_env_manager.generating_args.max_new_tokens=8",
    "val_env_manager.num_env_groups=3",
    "val_env_manager.num_groups_partition=[3]",
    "val_batch_size=3",
)
TINY_GRPO = (
    *TINY,
    "rollout_batch_size=4",
    "train_env_manager.num_env_groups=2",
    "train_env_manager.num_groups_partition=[2]",
    "train_env_manager.group_size=2",
    "actor_train.training_args.per_device_train_batch_size=2",
    "actor_train.training_args.gradient_accumulation_steps=2",
    "actor_train.training_args.learning_rate=0.01",
    "max_steps=2",
    "save_steps=1",
    "eval_steps=2",
    "kl_loss_coef=0.1",
)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words = ['"order_id": "#W', '"options": {"', "Retail support agent.", '"product_id": "', "<tool_call>", "\n"]
    bpe.train_from_iterator(
        words * 9, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )


@pytest.fixture(scope="session")
def tiny_checkpoint(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    make(SHAPE, tokenizer, seed=0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def grpo_values(tiny_checkpoint: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def composed(*overrides: str) -> dict[str, Any]:
        own = (f"pretrain={tiny_checkpoint}", f"output_dir={tmp_path / 'run'}")
        return compose("tau_retail_local", overrides=[*TINY_GRPO, *own, *overrides])

    return composed


@pytest.fixture
def sft_values(tiny_checkpoint: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def composed(*overrides: str) -> dict[str, Any]:
        own = (
            f"tokenizer={tiny_checkpoint}",
            f"output_dir={tmp_path / 'run'}",
            "sequence_length=4000",
            "conversations.num=8",
            "conversations.num_workers=1",
            "max_steps=4",
            "save_steps=2",
            "sft_train.model_args.dtype=fp32",
            "sft_train.training_args.per_device_train_batch_size=2",
            "sft_train.training_args.dataloader_num_workers=0",
            "sft_train.training_args.learning_rate=0.003",
            *(f"model.{name}={getattr(SHAPE, name)}" for name in ("hidden_size", "num_hidden_layers")),
        )
        return compose("tau_retail_sft", overrides=[*(key for key in TINY if key[:8] not in ("train_en", "sequence")), *own, *overrides])

    return composed


@pytest.fixture
def said() -> Iterator[list[str]]:
    yield []
