"""The record of an episode."""

from __future__ import annotations

from typing import Any

import pytest

from tau_retail_env.episodes.trajectory import ADDED_IN, SCHEMA_VERSION
from tau_retail_env.errors import InvalidValueError
from tests.plain_trajectory import plain_trajectory

TOKENS = {"token_ids": (1, 2, 3), "response_mask": (0, 1, 1), "logprobs": (0.0, -0.1, -0.2)}


@pytest.mark.parametrize("changes", [TOKENS, TOKENS | {"logprobs": ()}, {}])
def test_every_token_has_its_mask_and_its_log_probability_or_there_are_none(changes: dict[str, Any]) -> None:
    assert plain_trajectory(**changes).token_ids == changes.get("token_ids", ())


@pytest.mark.parametrize(
    "changes", [{"response_mask": (0, 1)}, {"logprobs": (0.0,)}, {"token_ids": (1, 2)}, {"response_mask": ()}]
)
def test_a_record_whose_parts_do_not_fit_together_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match=r"Trajectory of tau2/1 has \d token_ids, \d in response_mask"):
        plain_trajectory(**(TOKENS | changes))


def test_each_version_of_the_schema_but_the_first_says_what_it_brought() -> None:
    assert sorted(ADDED_IN) == list(range(2, SCHEMA_VERSION + 1))
    assert all(hasattr(plain_trajectory(), name) for names in ADDED_IN.values() for name in names)
