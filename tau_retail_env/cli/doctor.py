"""`tau-retail doctor`: what this machine has for a run, and what it lacks."""

from __future__ import annotations

import argparse

from tau_retail_env.cli.exits import FAILED

HELP = "what is here, what is missing, and what mends it; exit 1 if a run cannot work"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")


def run(options: argparse.Namespace) -> int:
    """Look around and print what was found."""
    from tau_retail_env.doctor import as_json, as_text, can_run, examine, survey

    findings = examine(survey())
    print(as_json(findings) if options.json else as_text(findings))
    return 0 if can_run(findings) else FAILED
