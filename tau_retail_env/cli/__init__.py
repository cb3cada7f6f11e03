"""The program tau-retail: main.py has the table of its commands, and every command a file of its own."""

from tau_retail_env.cli.main import main, program

__all__ = ["main", "program"]
