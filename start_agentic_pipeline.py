"""Compose a configuration, check it, and start the engine that it names: python start_agentic_pipeline.py --help."""

from tau_retail_env.cli.exits import leave
from tau_retail_env.cli.train import main

if __name__ == "__main__":
    leave(main)
