"""Judging what upstream's sentences want of a conversation, without a model: NL_ASSERTION of τ² 1.0's retail tasks."""

from tau_retail_env.world.assertions.deeds import Did
from tau_retail_env.world.assertions.evidence import Called, Evidence, Said, play_gold
from tau_retail_env.world.assertions.judge import Assertion, AssertionJudge, RulesJudge, compile_assertion, unmet
from tau_retail_env.world.assertions.told import Told

__all__ = [
    "Assertion",
    "AssertionJudge",
    "Called",
    "Did",
    "Evidence",
    "RulesJudge",
    "Said",
    "Told",
    "compile_assertion",
    "play_gold",
    "unmet",
]
