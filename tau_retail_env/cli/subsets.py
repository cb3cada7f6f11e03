"""`tau-retail subsets`: count tasks."""

from __future__ import annotations

import argparse
import sys

from tau_retail_env.errors import MissingDependencyError

HELP = "count the tasks of every subset, by source and split"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--source", help="tau2, tau_bench or generated (default: all that are installed)")


def run(options: argparse.Namespace) -> int:
    """Print the table of subsets of the sources that are here."""
    from tau_retail_env.cli.catalogue import as_markdown, subset_counts
    from tau_retail_env.sources.load import SOURCES

    table: dict[tuple[str, str], dict[str, int]] = {}
    for source in SOURCES if options.source is None else [options.source]:
        try:
            table |= subset_counts([source])
        except MissingDependencyError as error:
            if options.source is not None:
                raise
            print(f"without source {source!r}: {error}", file=sys.stderr)
    print(as_markdown(table))
    return 0
