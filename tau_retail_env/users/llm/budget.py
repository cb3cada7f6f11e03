"""What a run has spent on customers, over all its threads and processes on one machine."""

from __future__ import annotations

import fcntl
import os
import secrets

from tau_retail_env.errors import BudgetError
from tau_retail_env.users.llm.shared_folder import shared_file

RUN_VARIABLE = "TAU_RETAIL_RUN"
"""Environment variable that names the run; processes started otherwise than by fork or spawn must be given it."""


def begin_run() -> str:
    """Begin a run with nothing spent: processes started from now on belong to it.

    Returns:
        Its name, which stands in the environment variable `RUN_VARIABLE`.
    """
    os.environ[RUN_VARIABLE] = f"{os.getpid()}-{secrets.token_hex(4)}"
    return os.environ[RUN_VARIABLE]


def run_name() -> str:
    """The name of the run that this process belongs to; where none was begun, one begins here."""
    return os.environ.get(RUN_VARIABLE) or begin_run()


class Ledger:
    """The dollars that this run has spent: one number in a file, added to under a lock."""

    def __init__(self) -> None:
        self._path = shared_file("spent", run_name())

    @property
    def spent_usd(self) -> float:
        """What has been spent so far."""
        return self.add(0.0)

    def add(self, cost_usd: float) -> float:
        """Add a cost.

        Returns:
            What has been spent with it.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            spent = float(os.pread(descriptor, 64, 0) or 0.0) + cost_usd
            if cost_usd:
                # 17 digits give the same float back; the width covers a longer number from before.
                os.pwrite(descriptor, f"{spent:<32.17g}".encode(), 0)
            return spent
        finally:
            os.close(descriptor)

    def check(self, budget_usd: float) -> None:
        """Stop before a call that the budget does not allow.

        Raises:
            BudgetError: the budget is used up.
        """
        spent = self.spent_usd
        if spent >= budget_usd:
            raise BudgetError(
                f"The customers' budget is used up: ${spent:.4f} spent of user.budget_usd ${budget_usd:g}; raise it "
                "to go on"
            )
