"""What this machine has for a run, what is missing, and the command that mends it."""

from tau_retail_env.doctor.findings import Finding, as_json, as_text, can_run, examine
from tau_retail_env.doctor.surroundings import Environment, Pin, Place, Requirement, Surroundings, survey

__all__ = [
    "Environment",
    "Finding",
    "Pin",
    "Place",
    "Requirement",
    "Surroundings",
    "as_json",
    "as_text",
    "can_run",
    "examine",
    "survey",
]
