"""A local customer server: `tau-retail serve-user` starts vLLM or SGLang, waits until it answers, and stops it."""

from tau_retail_env.models.serving.engines import Engine, command_line, find_engine
from tau_retail_env.models.serving.server import Address, serve, serving

__all__ = ["Address", "Engine", "command_line", "find_engine", "serve", "serving"]
