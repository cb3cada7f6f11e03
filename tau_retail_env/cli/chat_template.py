"""`tau-retail chat-template`: give a model's folder a chat template that shows tools."""

from __future__ import annotations

import argparse
from pathlib import Path

from tau_retail_env.errors import InvalidValueError

HELP = "give a model whose chat template shows no tools, or that has none, one that does"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the model's folder")


def run(options: argparse.Namespace) -> int:
    """Write the template where one is missing."""
    from tau_retail_env.doctor.chat_template import FILE_NAME, give_template
    from tau_retail_env.local.models import load_tokenizer

    folder: Path = options.folder
    if not folder.is_dir():
        raise InvalidValueError(
            f"{str(folder)!r} is no folder; a model of the Hugging Face hub comes into one by: "
            f"hf download {folder} --local-dir FOLDER"
        )
    if give_template(folder, load_tokenizer(str(folder))):
        print(f"{folder / FILE_NAME}: written; pretrain={folder} shows its model the tools now")
    else:
        print(f"{folder}: its chat template shows tools; nothing was changed")
    return 0
