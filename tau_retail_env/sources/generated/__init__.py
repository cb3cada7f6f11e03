"""Our own training tasks over τ²-bench's shop."""

from tau_retail_env.sources.generated.series2 import generate_task2, generate_tasks2
from tau_retail_env.sources.generated.tasks import generate_task, generate_tasks

__all__ = ["generate_task", "generate_task2", "generate_tasks", "generate_tasks2"]
