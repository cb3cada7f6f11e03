"""What is asked: tasks, and named subsets of them."""

from tau_retail_env.tasks.subsets import SUBSETS, select_subset
from tau_retail_env.tasks.task import Action, Scenario, Task
from tau_retail_env.tasks.writes import WRITE_TOOLS, gold_writes

__all__ = [
    "SUBSETS",
    "WRITE_TOOLS",
    "Action",
    "Scenario",
    "Task",
    "gold_writes",
    "select_subset",
]
