"""Where tasks come from: of each source its tasks, its shop, its rules and its prompts."""

from tau_retail_env.sources.load import find_task, load_tasks
from tau_retail_env.sources.opening import open_shop

__all__ = ["find_task", "load_tasks", "open_shop"]
