"""The folder of slots and spending is the user's own, and names nobody."""

from __future__ import annotations

import os
import stat

import pytest

from tau_retail_env.errors import UserSetupError
from tau_retail_env.users.llm.shared_folder import shared_file


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_a_name_has_one_path_that_does_not_tell_it(tmp_path):
    path = shared_file("slots", "https://host/v1 MY_KEY")
    assert path == shared_file("slots", "https://host/v1 MY_KEY")
    assert path != shared_file("slots", "https://host/v1 OTHER_KEY")
    assert path.parent.parent == tmp_path
    assert "host" not in path.name


def test_nobody_else_may_look_into_it():
    assert stat.S_IMODE(os.stat(shared_file("slots", "a").parent).st_mode) == 0o700


def test_a_link_in_its_place_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"tau-retail-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserSetupError, match="is not a folder of this user"):
        shared_file("slots", "a")


def test_a_place_that_cannot_hold_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(UserSetupError, match="set TMPDIR"):
        shared_file("slots", "a")
