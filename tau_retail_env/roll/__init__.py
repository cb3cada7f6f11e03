"""The ROLL engine: importing this registers the environment with gem, at once or when the process imports gem."""

from tau_retail_env.roll.engine_ahead import engine_process
from tau_retail_env.roll.registration import register_beside_gem

engine_process()  # a rollout worker's, which imports beside this one
register_beside_gem()
