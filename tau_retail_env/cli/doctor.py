"""`tau-retail doctor`: what this machine has for a run, and what it lacks; or what a model's chat template lacks."""

from __future__ import annotations

import argparse
from pathlib import Path

from tau_retail_env.cli.exits import FAILED
from tau_retail_env.cli.options import examples
from tau_retail_env.cli.output import say
from tau_retail_env.errors import InvalidValueError

HELP = "say what is missing here, and the command that brings it"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object, for programs")
    form.add_argument(
        "--chat-template",
        type=Path,
        metavar="FOLDER",
        help="instead, give the model in FOLDER a chat template that shows the tools, where its own does not",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="let the new chat template take the place of the one that is there, which is kept under another name",
    )
    examples(parser, "tau-retail doctor", "tau-retail doctor --chat-template models/mine")


def run(options: argparse.Namespace) -> int:
    """Look around and print what was found."""
    from tau_retail_env.doctor import as_json, as_text, can_run, examine, survey

    if options.chat_template is not None:
        return _give_template(options.chat_template, overwrite=options.overwrite)
    if options.overwrite:
        raise InvalidValueError("--overwrite goes with --chat-template FOLDER")
    findings = examine(survey())
    if options.json:
        print(as_json(findings))
    else:
        say(as_text(findings))
    return 0 if can_run(findings) else FAILED


def _give_template(folder: Path, *, overwrite: bool) -> int:
    from tau_retail_env.doctor.chat_template import BESIDE_NAME, give_template
    from tau_retail_env.models.loading import load_tokenizer

    if not folder.is_dir():
        raise InvalidValueError(
            f"--chat-template: {str(folder)!r} is no folder; a model of the Hugging Face hub comes into one by: "
            f"hf download {folder} --local-dir FOLDER"
        )
    written = give_template(folder, load_tokenizer(str(folder)), overwrite=overwrite)
    if written is None:
        say(f"{folder}: its chat template shows tools; nothing was changed")
    elif written.name == BESIDE_NAME:
        say(
            f"{written}: written beside the model's own, which does not show tools and still counts;\n"
            f"in its place: tau-retail doctor --chat-template {folder} --overwrite"
        )
    else:
        say(f"{written}: written; pretrain={folder} shows its model the tools now")
    return 0
