"""The scripted customer: offline, deterministic by task and seed; what it wants, how it listens, how it speaks."""

from tau_retail_env.users.scripted.user import ScriptedUser

__all__ = ["ScriptedUser"]
