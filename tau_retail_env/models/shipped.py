"""What the package ships beside its code: configurations and the small model, installed or in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE_FOLDER = Path(__file__).resolve().parents[1]
SMALL = "small"
"""What `pretrain` calls the small model."""


def checkout() -> Path | None:
    """The project's folder; None for an installed package."""
    return PACKAGE_FOLDER.parent if (PACKAGE_FOLDER.parent / "run_tau_retail_pipeline.sh").is_file() else None


def default_config_folder() -> Path:
    """Folder of the shipped configurations."""
    return _shipped("configs", in_checkout="configs")


def small_checkpoint() -> Path:
    """Folder of the small model: weights and tokenizer."""
    return _shipped(SMALL, in_checkout=f"checkpoints/{SMALL}")


def checkpoint(pretrain: str) -> str:
    """The folder or Hugging Face name that a value of `pretrain` means."""
    return str(small_checkpoint()) if pretrain == SMALL else pretrain


def _shipped(name: str, *, in_checkout: str) -> Path:
    inside = PACKAGE_FOLDER / "_data" / name
    return inside if inside.is_dir() else PACKAGE_FOLDER.parent / in_checkout
