"""What start_agentic_pipeline.py does: compose, check, print or train."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tau_retail_env.config import check_local, compose, to_yaml
from tau_retail_env.errors import TauRetailError

INTERRUPTED = 130
REFUSED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None takes the process's own.

    Returns:
        The exit status: 0, 2 for what was refused, 130 after Ctrl-C.
    """
    options = _parser().parse_intermixed_args(arguments)
    try:
        values = compose(options.config_name, folder=options.config_path, overrides=options.overrides)
        config = check_local(values)
        if options.print_config:
            sys.stdout.write(to_yaml(values))
            return 0
        from tau_retail_env.training.engine import train

        train(config, values)
    except TauRetailError as error:
        sys.stderr.write(f"error: {error}\n")
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="start_agentic_pipeline.py", description="Compose a configuration, check it, and train."
    )
    parser.add_argument("--config-name", "--config_name", default="tau_retail_local", metavar="NAME")
    parser.add_argument("--config-path", "--config_path", metavar="DIR", help="another folder of configurations")
    parser.add_argument("--print-config", action="store_true", help="compose, check, print and stop")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="overrides of the configuration")
    return parser


if __name__ == "__main__":
    sys.exit(main())
