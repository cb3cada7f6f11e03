"""Runs in progress, served: the page, what is new, and to whom."""

import http.client
import json
import socket
import time
import zlib

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.page import live
from tau_retail_env.evaluation.page.live import LiveServer
from tau_retail_env.evaluation.page.report import Report
from tau_retail_env.runs.trajectories import as_line
from tests.plain_trajectory import plain_trajectory


def line(number):
    return (
        as_line(plain_trajectory(task_id=f"tau2/{number}", messages=[{"role": "user", "content": f"words {number}"}]))
        + "\n"
    )


@pytest.fixture
def record(tmp_path):
    (tmp_path / "file.jsonl").write_text(line(1))
    return tmp_path / "file.jsonl"


@pytest.fixture
def server(record, monkeypatch):
    monkeypatch.setattr(live, "REFRESH_S", 0.05)
    report = Report([str(record)])
    report.read_on()
    with LiveServer(report) as serving:
        yield serving


def get(server, path, host=None):
    connection = http.client.HTTPConnection(server.address, timeout=30)
    connection.request("GET", path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def version(server):
    return json.loads(get(server, "/data/version")[1])


def wait_for(server, is_so):
    for _ in range(600):
        if is_so(told := version(server)):
            return told
        time.sleep(0.05)
    raise AssertionError(told)


def test_the_page_and_its_data_are_served_apart(server):
    status, page = get(server, "/")
    assert status == 200
    assert b'id="index"' not in page
    index = json.loads(zlib.decompress(get(server, "/data/index")[1]))
    assert [row["task"] for row in index["rows"]] == ["tau2/1"]
    (conversation,) = json.loads(zlib.decompress(get(server, "/data/conversations-0")[1]))
    assert conversation["messages"][0]["text"] == "words 1"


def test_what_a_run_writes_is_served_soon_after(server, record):
    before = version(server)["version"]
    with record.open("a") as file:
        file.write(line(2))
    wait_for(server, lambda told: told["version"] > before)
    index = json.loads(zlib.decompress(get(server, "/data/index")[1]))
    parcel, place = index["rows"][1]["at"]
    found = json.loads(zlib.decompress(get(server, f"/data/conversations-{parcel}")[1]))[place]
    assert found["messages"][0]["text"] == "words 2"


def test_a_damaged_record_is_told_and_what_was_read_stays(server, record):
    with record.open("a") as file:
        file.write("{}\n")
    assert "line 2" in wait_for(server, lambda told: told["problem"])["problem"]
    assert json.loads(zlib.decompress(get(server, "/data/index")[1]))["episodes"] == 1


@pytest.mark.parametrize(
    "path", ["/other", "/data/", "/data/../x", "/data/conversations-9", "/data/tokens-x", "/data/tokens--1"]
)
def test_nothing_else_is_served(server, path):
    assert get(server, path)[0] == 404


def test_who_comes_by_another_name_gets_nothing(server):
    port = server.address.partition(":")[2]
    assert get(server, "/data/index", host=f"evil.example:{port}")[0] == 404
    assert get(server, "/data/index", host=f"localhost:{port}")[0] == 200


def test_only_this_machine_is_served(server):
    assert server.address.startswith("127.0.0.1:")


def test_a_port_that_is_taken_is_named(record):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidValueError, match=f"--port: 127.0.0.1:{port}"):
            LiveServer(Report([str(record)]), port)
