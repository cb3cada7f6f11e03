"""A hub that does not answer costs seconds, not minutes, and what was downloaded before still plays."""

import socket
import sys
import threading
import time

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.models import hub

pytest.importorskip("huggingface_hub", reason="needs huggingface_hub")
NAME = "nobody/a-model-that-nobody-has"


@pytest.fixture
def at(monkeypatch):
    """The hub at another address."""
    from huggingface_hub import constants, hf_api

    def set_address(address):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(hf_api, "ENDPOINT", address, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", address)
        hub.on_disk_or_hub.cache_clear()

    return set_address


def test_nothing_listens_there(at):
    at("http://127.0.0.1:9")
    with pytest.raises(InvalidValueError, match=rf"{NAME}' is no folder, and the Hugging Face hub does not answer"):
        hub.on_disk_or_hub(NAME)


def test_one_that_takes_the_call_and_says_nothing_is_left_within_ten_seconds(at, monkeypatch):
    monkeypatch.setattr(hub, "PATIENCE_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at(f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(InvalidValueError, match="does not answer"):
            hub.on_disk_or_hub(NAME)
    assert time.monotonic() - began < 10
    assert threading.active_count() < 50


def test_a_folder_asks_nobody(at, tmp_path):
    at("http://127.0.0.1:9")
    assert hub.on_disk_or_hub(str(tmp_path)) == str(tmp_path)


def test_what_was_downloaded_before_is_taken(at, tmp_path, monkeypatch):
    from huggingface_hub import constants

    at("http://127.0.0.1:9")
    snapshot = tmp_path / f"models--{NAME.replace('/', '--')}" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert hub.on_disk_or_hub(NAME) == str(snapshot)


def test_where_its_library_is_missing_that_is_said_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    hub.on_disk_or_hub.cache_clear()
    with pytest.raises(ModuleNotFoundError, match="huggingface_hub"):
        hub.on_disk_or_hub(NAME)
