"""`tau-retail report`: runs as a page for the browser: figures, curves, and every conversation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tau_retail_env.cli.options import examples, natural
from tau_retail_env.cli.output import say
from tau_retail_env.errors import InvalidValueError

if TYPE_CHECKING:
    from tau_retail_env.evaluation.page.report import Report

HELP = "runs as a page for the browser: figures, curves, conversations"
OUTPUT = Path("report.html")
MEGABYTE = 1_000_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="an evaluation's folder, a training run's folder, τ²'s results.json or its folder, τ-bench v1's file, or "
        "a file of trajectories",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help=f"the page (default {OUTPUT}); a report there is replaced"
    )
    parser.add_argument(
        "--live", action="store_true", help="write no file: serve the page on this machine, and renew it as runs go on"
    )
    parser.add_argument("--port", type=natural, metavar="N", help="port of --live (default 0: any free one)")
    parser.add_argument(
        "--tokenizer", type=Path, metavar="FOLDER", help="a checkpoint whose tokenizer spells out the tokens"
    )
    examples(
        parser,
        "tau-retail report outputs/eval/A",
        "tau-retail report outputs/eval/A outputs/eval/B --output ab.html",
        "tau-retail report outputs/RUN --live",
        "tau-retail report results.json",
    )


def run(options: argparse.Namespace) -> int:
    """Write the page, or serve it."""
    from tau_retail_env.evaluation.page.document import check_free

    _check(options)
    output = options.output or OUTPUT
    if options.live:
        from tau_retail_env.evaluation.page.live import serve

        serve(_read(options), options.port or 0, say)
    else:
        check_free(output)
        _write(output, _read(options))
    return 0


def _read(options: argparse.Namespace) -> Report:
    from tau_retail_env.evaluation.page.report import Report
    from tau_retail_env.runs.bar import Bar

    report = Report(options.runs, options.tokenizer)
    with Bar(unit="episode") as bar:
        report.read_on(bar.update)
    return report


def _write(output: Path, report: Report) -> None:
    from tau_retail_env.evaluation.page.document import write_page

    written = write_page(output, report)
    if written.shown < written.episodes:
        say(
            f"a sample: {written.shown:,} of {written.episodes:,} conversations are in the page; its figures are over "
            "all. --live shows the whole"
        )
    say(f"written: {output} ({written.bytes / MEGABYTE:.1f} MB, {written.episodes:,} episodes)")


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together, and a tokenizer that is not there.

    Raises:
        InvalidValueError: names them.
    """
    if options.live and options.output is not None:
        raise InvalidValueError("--output: --live writes no file; leave out one of the two")
    if options.port is not None and not options.live:
        raise InvalidValueError("--port is for --live alone")
    if options.tokenizer is not None and not (options.tokenizer / "tokenizer.json").is_file():
        raise InvalidValueError(f"--tokenizer: {options.tokenizer} holds no tokenizer.json; name a checkpoint's folder")
