"""A run's spending is one number, whoever spends."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tau_retail_env.errors import BudgetError
from tau_retail_env.users.llm.budget import RUN_VARIABLE, Ledger, begin_run, run_name


@pytest.fixture(autouse=True)
def _run_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv(RUN_VARIABLE, f"test-{os.urandom(6).hex()}")


def spend(times: int) -> None:
    for _ in range(times):
        Ledger().add(0.25)


def test_costs_of_threads_and_processes_add_up():
    processes = [multiprocessing.get_context("spawn").Process(target=spend, args=(40,)) for _ in range(2)]
    for process in processes:
        process.start()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(spend, [10] * 8))
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert Ledger().spent_usd == 40.0


def test_who_adds_waits_for_another_process_that_does():
    ledger = Ledger()
    ledger.add(1.0)
    with open(ledger._path, "rb") as held, ThreadPoolExecutor(1) as thread:
        fcntl.flock(held, fcntl.LOCK_EX)
        adding = thread.submit(ledger.add, 0.5)
        with pytest.raises(TimeoutError):
            adding.result(timeout=0.3)
        fcntl.flock(held, fcntl.LOCK_UN)
        assert adding.result(timeout=30) == 1.5


def test_the_budget_stops_the_call_after_the_one_that_reached_it():
    ledger = Ledger()
    ledger.add(0.5)
    ledger.check(0.75)
    ledger.add(0.25)
    with pytest.raises(BudgetError, match=r"\$0.7500 spent of user.budget_usd \$0.75"):
        ledger.check(0.75)


def test_a_run_begins_with_nothing_spent():
    Ledger().add(3.0)
    name = begin_run()
    assert run_name() == name == os.environ[RUN_VARIABLE]
    assert Ledger().spent_usd == 0.0


def test_a_run_that_nobody_began_has_one_name(monkeypatch):
    monkeypatch.delenv(RUN_VARIABLE)
    assert run_name() == run_name() == os.environ[RUN_VARIABLE]


def test_small_costs_are_not_lost():
    ledger = Ledger()
    for _ in range(1000):
        ledger.add(1e-7)
    assert ledger.spent_usd == pytest.approx(1e-4)
