"""`python -m tau_retail_env`: the same as the command tau-retail."""

from tau_retail_env.cli import program

program()
