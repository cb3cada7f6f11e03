"""Processor time of an episode in the env manager, without Ray and an engine: python benchmarks/roll_env_manager.py

In the environment of the engine roll, or one with ROLL's source (ROLL_PATH). The env managers run in ROLL's own loop
and queue, on threads as in an environment worker; in the engine's place an oracle answers, whose time is taken off, as
is that of ROLL's proxy and Ray in a run. What remains is environment, chat and env manager. With `--tag series6_train`
the environment is that of tau_retail_smol_ppo.

    git worktree add ../before COMMIT
    python benchmarks/roll_env_manager.py --tag series6_train --before ../before

plays the same episodes with another checkout's package, too, in turns, and prints both sides, their ratio, and whether
both made the same batches and metrics, times aside.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = "tau_retail_smol_ppo"
PARTS = {"environment, customer included": "environment_cpu_s", "chat": "chat_cpu_s"}
MANAGER = "env manager"
ALL = "all"


def main() -> None:
    """Play here, or in turns with another checkout, and print the mean of an episode."""
    options = _options()
    if options.json:
        print(json.dumps(play(options)))
        return
    sides = {"before": options.before, "now": ROOT} if options.before else {"now": ROOT}
    played: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(options.rounds):
        for side, checkout in sides.items():
            played[side].append(_in_its_own_python(checkout))
    first = played["now"][0]
    print(
        f"{first['episodes']} episodes, {options.environments} threads, {first['turns']:.1f} turns and "
        f"{first['tokens']:.0f} tokens each; ms of processor time an episode, medians of {options.rounds}"
    )
    print(f"  {'':34s}{''.join(f'{side:>9s}' for side in sides)}{'ratio':>9s}" if options.before else "")
    for label in first["ms"]:
        row = [median(one["ms"][label] for one in runs) for runs in played.values()]
        ratio = f"{row[-1] / row[0]:9.2f}" if options.before else ""
        print(f"  {label:34s}{''.join(f'{ms:9.2f}' for ms in row)}{ratio}")
    if options.before:
        digests = {one["digest"] for runs in played.values() for one in runs}
        print(f"batches and metrics, times aside: {'the same' if len(digests) == 1 else 'NOT the same'}")


def play(options: argparse.Namespace) -> dict[str, Any]:
    """Play some steps after one to warm up, with the package that is first on the path.

    Args:
        options: of the command line.

    Returns:
        Mean milliseconds of an episode by part, its turns and tokens, and a digest of all that was made.
    """
    import tests  # noqa: F401 — before ROLL's own package of that name is on the path

    sys.path[1:1] = [path for path in (os.environ.get("ROLL_PATH"),) if path]
    os.environ.setdefault("ROLL_LOG_DIR", tempfile.mkdtemp(prefix="roll_logs."))
    import ray
    import torch
    from transformers import AutoTokenizer

    from tau_retail_env.roll.environment_worker import SharedTokenizer
    from tests.roll.rollout_loop import TAG, RolloutLoop

    torch.set_num_threads(1)
    ray.get = lambda future: future.result(600)  # of the rollout_loop's queue
    tokenizer = SharedTokenizer(AutoTokenizer.from_pretrained(options.tokenizer))
    with tempfile.TemporaryDirectory() as folder:
        settings, env = _environment(options)
        groups = options.environments // options.group_size
        rollout_loop = RolloutLoop(
            tokenizer,
            folder,
            groups=groups,
            group_size=options.group_size,
            settings=settings,
            env=env,
            pipeline={"sequence_length": options.sequence_length},
        )
        try:
            rollout_loop.play(0)
            steps = [rollout_loop.play(step) for step in range(1, options.steps + 1)]
        finally:
            rollout_loop.close()
    played = [one for step in steps for one in sorted(step, key=lambda one: str(one.non_tensor_batch["env_ids"][0]))]
    rows = [
        {name.removeprefix(f"env/{TAG}/"): value for name, value in one.meta_info["metrics"].items()} for one in played
    ]
    ours = fmean(row["episode_cpu_s"] - row["proxy_cpu_s"] for row in rows)
    parts = {label: fmean(row[name] for row in rows) for label, name in PARTS.items()}
    parts |= {MANAGER: ours - sum(parts.values()), ALL: ours}
    return {
        "ms": {label: 1000 * seconds for label, seconds in parts.items()},
        "episodes": len(rows),
        "turns": fmean(row["turns"] for row in rows),
        "tokens": fmean(int(one.batch["attention_mask"].sum()) for one in played),
        "digest": _digest(played, rows),
    }


def _digest(played: Sequence[Any], rows: Sequence[Mapping[str, float]]) -> str:
    """Of all tensors, ids and metrics; times and ROLL's names of trajectories, which have a random number, aside."""
    digest = hashlib.sha256()
    for one, row in zip(played, rows, strict=True):
        for name, tensor in sorted(one.batch.items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        beside = {name: value.tolist() for name, value in one.non_tensor_batch.items() if not name.startswith("traj")}
        numbers = {name: value for name, value in row.items() if not name.endswith("_s")}
        digest.update(json.dumps([beside, numbers], sort_keys=True).encode())
    return digest.hexdigest()


def _environment(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """`env_config` and the other keys of the environments' block."""
    silent = {"trajectory_share": 0.0}
    if options.tag is None:
        return {"source": options.source, "prompt_style": options.prompt_style, "task_subset": "all"}, silent
    from tau_retail_env.config import compose
    from tau_retail_env.roll.config.check import check_roll

    block = check_roll(compose(CONFIGURATION)).custom_envs[options.tag].model_dump(exclude_none=True)
    settings = block.pop("env_config")
    return settings, block | silent


def _in_its_own_python(checkout: Path) -> dict[str, Any]:
    """What `play` returns with the package of a checkout."""
    path = os.pathsep.join([str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, __file__, "--json", *sys.argv[1:]]
    said = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", default=str(ROOT / "checkpoints" / "small"), help="folder or Hugging Face name")
    parser.add_argument("--tag", help=f"environments of {CONFIGURATION}, in place of --source and --prompt-style")
    parser.add_argument("--source", default="generated", help="tau2, generated or tau_bench")
    parser.add_argument("--prompt-style", default="minimal", help="minimal, compressed or full")
    parser.add_argument("--sequence-length", type=int, default=4096, help="tokens of an episode")
    parser.add_argument("--environments", type=int, default=16, help="threads (default 16, as in a worker)")
    parser.add_argument("--group-size", type=int, default=1, help="environments that play the same task (default 1)")
    parser.add_argument("--steps", type=int, default=8, help="episodes of each")
    parser.add_argument("--before", type=Path, help="another checkout of this project, to compare with")
    parser.add_argument("--rounds", type=int, default=1, help="how often each side plays, in turns")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.before:
        options.before = options.before.resolve()
    return options


if __name__ == "__main__":
    main()
