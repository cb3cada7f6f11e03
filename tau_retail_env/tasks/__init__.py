"""What is asked: tasks, where they come from, and named subsets of them."""

from tau_retail_env.tasks.generate import generate_task, generate_tasks
from tau_retail_env.tasks.load import find_task, load_tasks
from tau_retail_env.tasks.subsets import SUBSETS, select_subset
from tau_retail_env.tasks.task import Action, Scenario, Task
from tau_retail_env.tasks.writes import WRITE_TOOLS, gold_writes

__all__ = [
    "SUBSETS",
    "WRITE_TOOLS",
    "Action",
    "Scenario",
    "Task",
    "find_task",
    "generate_task",
    "generate_tasks",
    "gold_writes",
    "load_tasks",
    "select_subset",
]
