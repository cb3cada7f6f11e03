"""Stages that are not started but stood in for."""

import pytest

from tau_retail_env.chain import processes
from tests.chain.stand_in import Stages


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    stand_in = Stages()
    monkeypatch.setattr(processes, "run_stage", stand_in)
    return stand_in
