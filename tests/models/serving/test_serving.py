"""A server beside other work of the same process, as `tau-retail eval` starts one for a checkpoint."""

import urllib.error
import urllib.request

import pytest

from tau_retail_env.models.serving import Address, command_line, find_engine, serving
from tau_retail_env.models.serving.server import ServerError
from tests.models.serving.stand_in import environment


def started(folder, *more):
    engine, address = find_engine("vllm", environment(folder / "venv", "vllm")), Address.free("127.0.0.1", 0)
    return command_line(engine, "tiny", address.host, address.port, more), address


def answers(address):
    try:
        urllib.request.urlopen(f"{address.url}/v1/models", timeout=5)
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


@pytest.mark.parametrize("more", [(), ("--with-worker",)])
def test_the_server_answers_within_and_is_gone_after(tmp_path, more):
    command, address = started(tmp_path, *more)
    with serving(command, address, log=tmp_path / "log") as models:
        assert models == ["tiny"]
        assert answers(address)
    assert not answers(address)


def test_an_error_of_the_work_ends_the_server_too(tmp_path):
    command, address = started(tmp_path)
    with pytest.raises(KeyboardInterrupt), serving(command, address, log=tmp_path / "log"):
        raise KeyboardInterrupt
    assert not answers(address)


def test_a_server_that_dies_before_it_is_ready_is_told_with_its_last_lines(tmp_path):
    command, address = started(tmp_path, "--die-after", "0")
    with pytest.raises(ServerError, match="CUDA out of memory"), serving(command, address, log=tmp_path / "log"):
        pass
