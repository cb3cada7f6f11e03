"""TensorBoard's files of a run of the local engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tau_retail_env.runs.episode_table import NAME, Row, as_markdown
from tau_retail_env.runs.files import writing


class TensorBoard:
    """Writes each row's numbers, and tables of episodes, where TensorBoard reads them.

    Args:
        path: the folder.
        step: the step from which the run resumes; what was written after it will come again.
    """

    def __init__(self, path: Path, *, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._path = path
        goes_on = path.is_dir()
        with writing(path):
            self._writer = SummaryWriter(str(path), purge_step=step + 1 if goes_on else None)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Keep the numbers of a step."""
        with writing(self._path):
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()

    def show(self, episodes: Sequence[Row], step: int) -> None:
        """Keep a table of episodes, under the tab Text."""
        with writing(self._path):
            self._writer.add_text(NAME, as_markdown(episodes), step)
            self._writer.flush()

    def close(self) -> None:
        """Finish writing."""
        with writing(self._path):
            self._writer.close()
