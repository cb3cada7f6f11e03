"""What the same engine does alone: clients that replay a ROLL run's recorded turns, with no environment between.

python benchmarks/engine_replay.py RUN, on a machine with a GPU and in the environment of the engine roll. RUN is the
folder of a run with vLLM, one engine on each GPU that plays. Each client plays episodes as they were played: a turn's
prompt is the recorded one, and as many tokens are generated as were. So the engine does the work of the run's rollouts,
and what those took longer is the env manager's, ROLL's and Ray's. Of a run on N GPUs (--of N) one engine replays its
share: every N-th episode, by an N-th of the clients. Its weights are random, as ROLL's flags have it before the first
weight sync: the words that it generates are not the recorded ones, and of a turn's prompt it finds less in its prefix
cache than the run did. Prompt tokens found there are vLLM's count of each request.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.run_files import keys_of, metrics, refuse, trajectories
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.models.shipped import checkpoint

# What ROLL adds to actor_infer.strategy_args.strategy_config when it starts vLLM.
ROLL_FLAGS = {
    "max_num_batched_tokens": 8192,
    "disable_custom_all_reduce": True,
    "enable_sleep_mode": True,
    "load_format": "dummy",
    "attention_config": {"backend": "FLASH_ATTN"},
}
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


@dataclass(frozen=True)
class Turn:
    """One request of the recorded run."""

    prompt: list[int]
    """What the engine got."""
    length: int
    """Tokens that it generated."""


@dataclass
class Played:
    """What a replay came to."""

    seconds: float = 0.0
    """From the first request to the last answer."""
    generated: int = 0
    """Tokens."""
    first: tuple[int, int] = (0, 0)
    """Prompt tokens of the episodes' first turns, and those found in the prefix cache, which a weight sync empties."""
    later: tuple[int, int] = (0, 0)
    """The same of the later turns."""


def main() -> None:
    """Replay the rollouts of some steps and print them beside the run's own seconds."""
    options = _options()
    config = keys_of(options.run / "config.yaml", "train_env_manager", "actor_infer", "pretrain", "seed")
    rows = {row["step"]: row for row in metrics(options.run / "metrics.jsonl")}
    recorded = training_episodes(options.run / "trajectories")
    validated = {step for step, row in rows.items() if "time/step_val" in row}
    steps = [step for step in sorted(rows) if step in recorded and step not in validated][-options.steps :]
    if not steps:
        refuse(f"{options.run} has no step with trajectories and without a validation beside it")
    manager = config["train_env_manager"]
    if options.of < 1:
        refuse(f"--of: found {options.of}, expected 1 or more GPUs")
    clients = options.clients or manager["num_env_groups"] * manager["group_size"] // options.of
    if clients < 1:
        refuse(f"no client is left: give --clients, or a lower --of than {options.of}")
    print(f"steps {steps}: each has its rollout for itself; {clients} clients")
    shares = [recorded[step][:: options.of] for step in steps]
    found = asyncio.run(_replay(config, shares, clients))
    lines = [
        _line(step, rows[step], len(share), played) for step, share, played in zip(steps, shares, found, strict=True)
    ]
    for line in lines:
        print(json.dumps(line))
    print(json.dumps(_total(lines)))
    if options.out:
        options.out.write_text("".join(json.dumps(line) + "\n" for line in [*lines, _total(lines)]), encoding="utf-8")


def training_episodes(folder: Path) -> dict[int, list[Trajectory]]:
    """The episodes that were played for training, by ROLL's step."""
    found: dict[int, list[Trajectory]] = {}
    for episode in trajectories(sorted(folder.glob("train-*.jsonl"))):
        found.setdefault(episode.policy_version or 0, []).append(episode)
    return found


def turns_of(episode: Trajectory) -> Iterator[Turn]:
    """An episode's requests: the actor's own tokens are runs of 1 in the response mask."""
    mask, start = episode.response_mask, 0
    while 1 in mask[start:]:
        begin = mask.index(1, start)
        start = mask.index(0, begin) if 0 in mask[begin:] else len(mask)
        yield Turn(list(episode.token_ids[:begin]), start - begin)


async def _replay(config: Mapping[str, Any], steps: Sequence[Sequence[Trajectory]], clients: int) -> list[Played]:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    os.environ.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")
    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**engine_flags(config)))
    try:
        await _play(engine, config, steps[0], clients)  # the engine's first work takes longer
        return [await _play(engine, config, episodes, clients) for episodes in steps]
    finally:
        engine.shutdown()


def engine_flags(config: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of vLLM as ROLL makes them from a composed configuration."""
    infer = config["actor_infer"]
    model = checkpoint(config["pretrain"])
    given = {"model": model, "dtype": DTYPES[infer["model_args"]["dtype"]], "seed": config["seed"]}
    return ROLL_FLAGS | given | infer["strategy_args"]["strategy_config"]


async def _play(engine: Any, config: Mapping[str, Any], episodes: Sequence[Trajectory], clients: int) -> Played:
    await engine.reset_prefix_cache()  # as a weight sync does
    waiting, played = iter(enumerate(episodes)), Played()

    async def client() -> None:
        for number, episode in waiting:
            for index, turn in enumerate(turns_of(episode)):
                await _request(engine, config, f"{id(played)}-{number}-{index}", turn, played, is_first=index == 0)

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    played.seconds = time.perf_counter() - start
    return played


async def _request(
    engine: Any, config: Mapping[str, Any], name: str, turn: Turn, played: Played, *, is_first: bool
) -> None:
    from vllm import SamplingParams
    from vllm.inputs import TokensPrompt
    from vllm.sampling_params import RequestOutputKind

    sampling = config["train_env_manager"]["generating_args"]
    parameters = SamplingParams(
        **{key: sampling[key] for key in ("temperature", "top_p", "top_k")},
        min_tokens=turn.length,
        max_tokens=turn.length,
        ignore_eos=True,
        logprobs=0,
        detokenize=False,  # as the run's own requests
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
    prompt = TokensPrompt(prompt_token_ids=turn.prompt)
    *_, answer = [told async for told in engine.generate(prompt, parameters, request_id=name)]
    played.generated += len(answer.outputs[0].token_ids)
    tokens, cached = played.first if is_first else played.later
    counted = (tokens + len(turn.prompt), cached + (answer.num_cached_tokens or 0))
    played.first, played.later = (counted, played.later) if is_first else (played.first, counted)


def _line(step: int, row: Mapping[str, Any], episodes: int, played: Played) -> dict[str, Any]:
    rollout_s = row["time/step_rollout"]
    return {
        "step": step,
        "episodes": episodes,
        "generated_tokens": played.generated,
        "rollout_s": round(rollout_s, 3),
        "replay_s": round(played.seconds, 3),
        "rollout_over_replay_throughput": round(played.seconds / rollout_s, 3),
        "prompt_tokens": {"first": played.first[0], "later": played.later[0]},
        "cached_tokens": {"first": played.first[1], "later": played.later[1]},
        "run_prefix_cache_hit_rate": row.get("vllm/prefix_cache_hit_rate"),
    }


def _total(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    def total(key: str, inner: str | None = None) -> float:
        return sum(line[key] if inner is None else line[key][inner] for line in lines)

    return {
        "steps": len(lines),
        "rollout_s": round(total("rollout_s"), 3),
        "replay_s": round(total("replay_s"), 3),
        "throughput_share": round(total("replay_s") / total("rollout_s"), 3),
        "prefix_cache_hits_first_turns": round(total("cached_tokens", "first") / total("prompt_tokens", "first"), 4),
        "prefix_cache_hits_later_turns": round(total("cached_tokens", "later") / total("prompt_tokens", "later"), 4),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run: config.yaml, metrics.jsonl, trajectories/")
    parser.add_argument("--clients", type=int, help="how many play at once (default: the run's environments on a GPU)")
    parser.add_argument("--of", type=int, default=1, metavar="N", help="GPUs on which the run played (default 1)")
    parser.add_argument("--steps", type=int, default=5, help="how many of the run's last steps (default 5)")
    parser.add_argument("--out", type=Path, help="JSONL file to write the figures to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
