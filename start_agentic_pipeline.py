"""Compose a configuration, check it, and start the engine that it names: python start_agentic_pipeline.py --help."""

import sys

from tau_retail_env.start import main

if __name__ == "__main__":
    sys.exit(main())
