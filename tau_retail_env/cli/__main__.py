"""`python -m tau_retail_env.cli`."""

import sys

from tau_retail_env.cli import main

sys.exit(main())
