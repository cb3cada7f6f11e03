"""How long the messages are that a fine-tuning teaches: how many conversations have one beyond a number of tokens.

    python benchmarks/message_lengths.py FOLDER [--conversations 1000]

FOLDER holds the model's tokenizer. The conversations are those of tau_retail_smol_sft, τ-bench v1's among them
(TAU_BENCH_PATH); of their messages those count that are learnt.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tau_retail_env.config import compose
from tau_retail_env.local.config import check_sft
from tau_retail_env.local.conversations import EncodedConversations, Whose, make_conversations
from tau_retail_env.models.loading import load_tokenizer

LIMITS = (160, 256, 512, 768, 1024, 1280, 1536)
"""Tokens."""


def message_lengths(made: EncodedConversations) -> list[list[int]]:
    """By conversation, the tokens of each message that is learnt."""
    found = []
    for start, end in itertools.pairwise(made.starts.tolist()):
        runs = itertools.groupby(made.response_mask[start:end].tolist())
        found.append([len(list(run)) for whose, run in runs if whose == Whose.OWN])
    return found


def main() -> None:
    """Make conversations, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--conversations", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    chosen = (f"conversations.num={options.conversations}", f"conversations.num_workers={options.workers}")
    config = check_sft(compose("tau_retail_smol_sft", overrides=[f"pretrain={options.folder}", *chosen]))
    environments = {tag: env.env_config for tag, env in config.custom_envs.items()}
    made = make_conversations(
        environments, load_tokenizer(options.folder), config.conversations, seed=config.seed, longest=10**6
    )
    lengths = message_lengths(made)
    every = [length for one in lengths for length in one]
    print(f"{len(lengths)} conversations, {len(every)} messages, the longest of {max(every)} tokens")
    print("tokens: conversations with a longer message, messages that are longer")
    for limit in LIMITS:
        print(f"{limit}: {sum(max(one) > limit for one in lengths)}, {sum(length > limit for length in every)}")


if __name__ == "__main__":
    main()
