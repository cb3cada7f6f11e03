"""Where tasks come from: of each source its tasks, its shop, its rules and its prompts."""

from tau_retail_env.sources.base import Source
from tau_retail_env.sources.load import find_task, load_tasks
from tau_retail_env.sources.registry import SOURCES, get_source, open_shop, register_source

__all__ = ["SOURCES", "Source", "find_task", "get_source", "load_tasks", "open_shop", "register_source"]
