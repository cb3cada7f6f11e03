"""Our own training tasks over τ²-bench's shop."""

from tau_retail_env.sources.generated.series2 import SERIES2
from tau_retail_env.sources.generated.series3 import SERIES3
from tau_retail_env.sources.generated.series4 import SERIES4
from tau_retail_env.sources.generated.series5 import SERIES5
from tau_retail_env.sources.generated.series6 import SERIES6
from tau_retail_env.sources.generated.tasks import generate_task, generate_tasks

SERIES = (SERIES2, SERIES3, SERIES4, SERIES5, SERIES6)
"""All series with a number, the lowest first."""

__all__ = ["SERIES", "SERIES2", "SERIES3", "SERIES4", "SERIES5", "SERIES6", "generate_task", "generate_tasks"]
