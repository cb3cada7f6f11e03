"""`python -m tau_retail_env.cli`."""

from tau_retail_env.cli import program

program()
