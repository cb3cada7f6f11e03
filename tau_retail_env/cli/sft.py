"""`tau-retail sft`: supervised fine-tuning on conversations of the oracle."""

from __future__ import annotations

import argparse

HELP = "supervised fine-tuning on conversations of the oracle"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--config-name", default="tau_retail_sft", metavar="NAME", help="default tau_retail_sft")
    parser.add_argument("--config-path", metavar="DIR", help="another folder of configurations")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="overrides of the configuration")


def run(options: argparse.Namespace) -> int:
    """Compose, check and train."""
    from tau_retail_env.config import check_sft, compose

    values = compose(options.config_name, folder=options.config_path, overrides=options.overrides)
    config = check_sft(values)
    from tau_retail_env.local.sft import run

    run(config, values)
    return 0
