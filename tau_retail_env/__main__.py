"""`python -m tau_retail_env`: the same as the command tau-retail."""

import sys

from tau_retail_env.cli import main

sys.exit(main())
