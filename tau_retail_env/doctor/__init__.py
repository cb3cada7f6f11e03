"""What this machine has for a run, what is missing, and the command that fixes it."""

from tau_retail_env.doctor.environment_survey import Environment, EnvironmentSurvey, Pin, Place, Requirement, survey
from tau_retail_env.doctor.findings import Finding, as_json, as_text, can_run, examine

__all__ = [
    "Environment",
    "EnvironmentSurvey",
    "Finding",
    "Pin",
    "Place",
    "Requirement",
    "as_json",
    "as_text",
    "can_run",
    "examine",
    "survey",
]
