"""A run over several machines, with Ray's own cluster of two on this one."""

import os
import resource
import time
from types import SimpleNamespace

import pytest

from tau_retail_env.errors import InvalidValueError


@pytest.fixture
def two_machines(roll, monkeypatch, tmp_path):
    """A Ray of two machines, joined as a run joins it; `shell` is what the driver's shell sets."""
    import ray
    from ray.cluster_utils import Cluster

    from tau_retail_env.roll.ray_cluster import ray_of_its_own

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(roll), str(roll.parent)]))
    monkeypatch.setenv("TAU_RETAIL_RUN", "run")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    for name, value in {"NCCL_SOCKET_IFNAME": "eth7", "TAU2_BENCH_PATH": "/there", "HF_TOKEN": "hf_x"}.items():
        monkeypatch.setenv(name, value)
    try:
        with ray_of_its_own(print):
            yield SimpleNamespace(ray=ray, cluster=cluster, second=second)
    finally:
        cluster.shutdown()


def test_both_machines_get_what_the_shell_sets_and_a_lost_one_ends_the_run(two_machines, tmp_path, monkeypatch):
    """One test, since a cluster takes long to start."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from tau_retail_env.roll import nodes

    ray = two_machines.ray
    machines = nodes.alive()
    assert len(machines) == 2
    monkeypatch.setenv("SHOP_KEY", "k-1")
    keeper = nodes.hold_keys(["SHOP_KEY", "OTHER_KEY"])

    def environment():
        nodes.take_keys()
        return dict(os.environ)

    for name in machines:
        where = NodeAffinitySchedulingStrategy(node_id=name, soft=False)
        seen = ray.get(ray.remote(environment).options(num_cpus=0, scheduling_strategy=where).remote())
        assert (seen["NCCL_SOCKET_IFNAME"], seen["TAU2_BENCH_PATH"]) == ("eth7", "/there")
        assert seen["SHOP_KEY"] == "k-1"
    assert keeper is not None

    def wakings(answer):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
        ray.get(answer[0])
        return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before

    answer = ray.remote(lambda: time.sleep(3)).options(num_cpus=0).remote()
    woken = ray.get(ray.remote(wakings).options(num_cpus=0).remote([answer]))
    assert woken < 1000, "a worker that waits in ray.get looks for signals all the time, as by ROLL's setting"

    nodes.check_shared(tmp_path, [tmp_path])
    with pytest.raises(InvalidValueError, match=r"machine .* does not see /nowhere.*machine .* does not see /nowhere"):
        nodes.check_shared(tmp_path, [nodes.Path("/nowhere")])
    assert not list(tmp_path.iterdir())

    said = []
    with pytest.raises(SystemExit), nodes.watched(said.append, look_s=0.2):
        two_machines.cluster.remove_node(two_machines.second)
        time.sleep(60)
    assert "is gone: the run ends" in said[0]


def test_no_secret_is_among_what_ray_is_told():
    from tau_retail_env.roll.nodes import variables

    shell = {"HF_HOME": "/cache", "HF_TOKEN": "x", "NCCL_DEBUG": "INFO", "CUDA_VISIBLE_DEVICES": "1", "PATH": "/bin"}
    assert variables(shell) == {"HF_HOME": "/cache", "NCCL_DEBUG": "INFO"}


def test_keys_are_looked_for_where_customers_and_judges_look():
    from tau_retail_env.roll.nodes import key_names

    envs = [{"user_config": {"api_key_env": "SHOP_KEY"}, "nl_judge_config": {}}, {"user_config": {}}]
    assert key_names(envs) == ["OPENAI_API_KEY", "SHOP_KEY"]
    envs[0]["nl_judge_config"] = {"base_url": "https://gateway.example/$MY_TOKEN/v1"}
    assert key_names(envs) == ["MY_TOKEN", "OPENAI_API_KEY", "SHOP_KEY"]
