"""The same as `tau-retail train`: compose a configuration, check it, and start the training that it describes."""

import sys

from tau_retail_env.cli import main
from tau_retail_env.cli.exits import leave

if __name__ == "__main__":
    leave(lambda: main(["train", *sys.argv[1:]]))
