"""The ROLL engine: importing this registers the environment with gem, at once or when the process imports gem."""

from tau_retail_env.roll.registration import register_beside_gem

register_beside_gem()
