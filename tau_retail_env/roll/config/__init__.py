"""What the ROLL engine is told: ROLL's own keys and rules, checked without ROLL, Ray or torch."""

from tau_retail_env.roll.config.check import PINNED, RollConfig, check_roll, fit_groups, is_for_roll, roll_values

__all__ = ["PINNED", "RollConfig", "check_roll", "fit_groups", "is_for_roll", "roll_values"]
