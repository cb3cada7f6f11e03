"""The ROLL engine: importing this registers the environment with gem, where gem is installed."""

import contextlib

from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.roll.registration import register_environment

with contextlib.suppress(MissingDependencyError):
    register_environment()
