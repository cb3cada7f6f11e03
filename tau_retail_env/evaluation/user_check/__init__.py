"""How often a perfect agent fails because of its customer: `tau-retail review --customer`."""

from tau_retail_env.evaluation.user_check.playing import Played, play, spread
from tau_retail_env.evaluation.user_check.report import as_text
from tau_retail_env.evaluation.user_check.verdict import REASONS, failure_of

__all__ = ["REASONS", "Played", "as_text", "failure_of", "play", "spread"]
