"""In the place of a stage's process: leaves checkpoints, evaluations and kept episodes where its words say."""

import json
from collections.abc import Sequence
from pathlib import Path

from tau_retail_env.chain.kept import AboutKept, write_kept
from tau_retail_env.runs.checkpoints import write_manifest

ABOUT_KEPT = AboutKept(
    tokenizer="abc",
    prompt_style="compressed",
    task_versions={"tau2": "0.2"},
    model="def",
    tasks=3,
    tasks_won=1,
    tasks_partly=0,
    episodes=1,
)


class Stages:
    """Called as `processes.run_stage` is; remembers the words of each stage, and lets one fail."""

    def __init__(self) -> None:
        self.words: list[dict[str, str]] = []
        self.fails: str | None = None

    def __call__(self, python: str, words: Sequence[str]) -> int:
        told = dict(word.split("=", 1) for word in words if "=" in word)
        self.words.append(told)
        run = Path(told["output_dir"])
        stage = run.parent.name
        run.mkdir(parents=True, exist_ok=True)
        if stage == self.fails:
            return 1
        if stage == "samples":
            write_kept(run / "kept", ABOUT_KEPT, [])
        elif stage.endswith("_eval"):
            (run / "series1_test").mkdir(exist_ok=True)
            value = {"value": 0.5, "interval": [0.25, 0.75], "tasks": 4}
            results = {"pass^1": value, "trials": 1, "episodes": {"not_played": 0}}
            (run / "series1_test" / "results.json").write_text(json.dumps(results))
        else:
            checkpoint = run / "checkpoints" / "checkpoint-2"
            checkpoint.mkdir(parents=True)
            (checkpoint / "model.safetensors").write_text(stage)
            (run / "config.yaml").write_text("")
            write_manifest(checkpoint)
        return 0

    @property
    def played(self) -> list[str]:
        """The stages in the order in which they were started."""
        return [Path(told["output_dir"]).parent.name for told in self.words]
