"""The scripted customer: offline, deterministic by task and seed; what it wants, how it listens, how it speaks."""

from tau_retail_env.users.scripted.customer import ScriptedCustomer

__all__ = ["ScriptedCustomer"]
