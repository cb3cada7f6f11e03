"""Stated addresses held against a wanted one."""

from __future__ import annotations

import pytest

from tau_retail_env.users.scripted.address import right_address
from tau_retail_env.users.scripted.request import Address

WANTED = Address("5 Oak Street", "Suite 7", "Austin", "TX", "USA", "78701")


@pytest.mark.parametrize(
    "text",
    [
        "to 5 Oak Street, Suite 7, Austin, TX, USA, 78701. Confirm (yes/no)?",
        "to 5 Oak Street, Suite 7, Austin, Texas, United States, 78701 as your new default",
        "- **Street:** 5 Oak Street\n- **Suite:** 7\n- **City:** Austin\n- **State:** Texas\n- **Zip:** 78701\nOkay?",
        "New address:\n5 Oak Street\nSuite 7\nAustin, TX 78701\nUSA\n\nConfirm?",
        "from 12 Elm Street, Suite 3, Houston, CA 77001 to 5 Oak Street, Suite 7, Austin, TX 78701 (not Houston, CA)",
        "5 Oak Street, Suite 7 in Austin, Texas 78701 for order #W1234567",
        "5 Oak Street, Suite 7, Austin, TX 78701 and Payment stays",
        "| Street | 5 Oak Street |\n| Suite | Suite 7 |\n| City | Austin |\n| State | TX |\n| Zip | 78701 |",
        "5 Oak Street, Suite 7\nConfirm?",
        "5 Oak Street, Suite 7, Austin TX 78701-1234, U.S.A. → 12 Elm Street, Houston, CA",
        "5 Oak Street, Suite 7, Austin, TX, 78701, Correct?",
    ],
)
def test_the_wanted_address_is_right_in_any_layout(text: str) -> None:
    assert right_address(text, WANTED) is True


@pytest.mark.parametrize(
    "text",
    [
        "to 5 Oak Street, Suite 7, Springfield, TX, USA, 78701. Confirm (yes/no)?",
        "to 5 Oak Street, Suite 7, Austin, AK, USA, 78701.",
        "to 5 Oak Street, Suite 7, Austin, TX, Canada, 78701.",
        "- **Street:** 5 Oak Street\n- **Suite:** 7\n- **City:** Dallas\n- **State:** TX",
        "5 Oak Street\nSuite 7\nDallas, TX 78701",
        "5 Oak Street, Suite 7, Austin, Texas 78701, Canada?",
        "5 Oak Street, Suite 7 in Dallas, TX",
        "| Street | 5 Oak Street |\n| City | Dallas |",
        "Currently 12 Elm Street, Austin, TX; new: 5 Oak Street, Suite 7, Dallas, TX 78701",
        "to 5 Oak Street, Suite 8, Austin, TX 78701",
        "to 5 Oak Street, Suite 7, Austin, TX 78702",
        "to 6 Oak Street, Suite 7, Austin, TX 78701",
    ],
)
def test_one_wrong_part_makes_an_address_wrong(text: str) -> None:
    assert right_address(text, WANTED) is False


def test_a_text_without_an_address_states_none() -> None:
    assert right_address("Shall I change the address of order #W1234567?", WANTED) is None
