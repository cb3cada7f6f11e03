"""A tiny tokenizer and a tiny model with random weights, and configurations that use them."""

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the local engine is not installed: pip install '.[train]'")

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer

from tau_retail_env.config import compose
from tau_retail_env.local.config.sft import NewModel
from tau_retail_env.local.models import make
from tau_retail_env.models.checks import set_prompt_style

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ 'user' if message.role == 'tool' else message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHAPE = NewModel(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=4096,
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
    "actor_train.training_args.lr_scheduler_type=constant",
    "actor_train.training_args.warmup_steps=0",
    "max_steps=2",
    "save_steps=1",
    "eval_steps=2",
    "kl_loss_coef=0.1",
)


@pytest.fixture(scope="session")
def tokenizer() -> Qwen2Tokenizer:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = Qwen2Tokenizer().backend_tokenizer.pre_tokenizer
    words = ['"order_id": "#W', '"options": {"', "Retail support agent.", '"product_id": "', "<tool_call>", "\n"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(words * 9, trainer)
    learnt = json.loads(bpe.to_str())["model"]
    return Qwen2Tokenizer(
        vocab=learnt["vocab"],
        merges=[tuple(pair) for pair in learnt["merges"]],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=["<|im_start|>"],
        chat_template=TEMPLATE,
    )


@pytest.fixture(scope="session")
def tiny_checkpoint(tokenizer: Qwen2Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    model = make(SHAPE, tokenizer, seed=0)
    set_prompt_style(model.config, "minimal")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def foreign_checkpoint(tokenizer: Qwen2Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model before anybody said what it was trained on."""
    folder = tmp_path_factory.mktemp("foreign")
    make(SHAPE, tokenizer, seed=0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


TINY_SFT = (
    *(key for key in TINY if not key.startswith(("train_env_manager", "sequence_length"))),
    "sequence_length=4000",
    "custom_envs.retail_train.max_steps=30",
    "custom_envs.retail_train.env_config.max_turns=30",
    "conversations.num=8",
    "conversations.num_workers=1",
    "observation_loss_weight=0.1",
    "max_steps=4",
    "save_steps=2",
    "sft_train.model_args.dtype=fp32",
    "sft_train.training_args.per_device_train_batch_size=2",
    "sft_train.training_args.dataloader_num_workers=0",
    "sft_train.training_args.learning_rate=0.003",
    "model.hidden_size=32",
    "model.intermediate_size=64",
    "model.num_hidden_layers=2",
    "model.num_attention_heads=4",
    "model.num_key_value_heads=2",
    "+model.max_position_embeddings=4096",
)

Composer = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny matrices are slower on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def grpo_in(tiny_checkpoint: Path) -> Composer:
    """Composes a tiny GRPO run that writes to a folder."""
    return lambda folder, *overrides: compose(
        "tau_retail_local", overrides=[*TINY_GRPO, f"pretrain={tiny_checkpoint}", f"output_dir={folder}", *overrides]
    )


@pytest.fixture(scope="session")
def sft_in(tiny_checkpoint: Path) -> Composer:
    """Composes a tiny fine-tuning run that writes to a folder."""
    return lambda folder, *overrides: compose(
        "tau_retail_sft",
        overrides=[*TINY_SFT, f"tokenizer={tiny_checkpoint}", "vocab_size=null", f"output_dir={folder}", *overrides],
    )


@pytest.fixture
def grpo_values(grpo_in: Composer, tmp_path: Path) -> Composer:
    return functools.partial(grpo_in, tmp_path / "run")


@pytest.fixture
def sft_values(sft_in: Composer, tmp_path: Path) -> Composer:
    return functools.partial(sft_in, tmp_path / "run")
