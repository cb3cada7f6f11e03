"""A run over several machines, with Ray's own cluster of two on this one; test_machines.py has what needs no Ray."""

import os
import resource
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.interruption import resumable
from tau_retail_env.runs.resume import CONFIG


@pytest.fixture(scope="module")
def two_machines(roll, tmp_path_factory):
    """A Ray of two machines, joined as a run joins it: one for all tests here, since it takes long to start.

    The second has a smaller card.
    """
    import ray
    from ray.cluster_utils import Cluster

    from tau_retail_env.roll.ray_cluster import RayAhead, ray_of_its_own

    changed = pytest.MonkeyPatch()
    changed.setenv("PYTHONPATH", os.pathsep.join([str(roll), str(roll.parent)]))
    changed.setenv("TAU_RETAIL_RUN", "run")
    binaries = tmp_path_factory.mktemp("bin")
    (binaries / "nvidia-smi").write_text("#!/bin/sh\necho ${CARD_MIB-81559}\n")
    (binaries / "nvidia-smi").chmod(0o755)
    changed.setenv("PATH", str(binaries), prepend=os.pathsep)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1, env_vars={"CARD_MIB": "24564"})
    cluster.wait_for_nodes()
    changed.setenv("RAY_ADDRESS", cluster.address)
    for name, value in {"NCCL_SOCKET_IFNAME": "eth7", "TAU2_BENCH_PATH": "/there", "HF_TOKEN": "hf_x"}.items():
        changed.setenv(name, value)
    try:
        with ray_of_its_own(print, RayAhead()):
            yield SimpleNamespace(ray=ray, cluster=cluster)
    finally:
        cluster.shutdown()
        changed.undo()


@pytest.fixture
def third(two_machines):
    """Another machine, to be lost: an actor may be put on it by its resource `third`."""
    machine = two_machines.cluster.add_node(num_cpus=1, resources={"third": 1})
    two_machines.cluster.wait_for_nodes()
    return machine


def test_both_machines_get_what_the_shell_sets(two_machines, monkeypatch):
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from tau_retail_env.roll import nodes
    from tau_retail_env.roll.machines import alive

    ray = two_machines.ray
    machines = alive()
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


def test_workers_of_all_machines_take_the_tasks_that_the_run_has_counted(two_machines):
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from tau_retail_env.config import compose
    from tau_retail_env.roll import run_tasks
    from tau_retail_env.roll.config.check import check_roll
    from tau_retail_env.roll.machines import alive
    from tau_retail_env.roll.ranks import begin_storage
    from tau_retail_env.sources import load

    ray, storage, tag = two_machines.ray, begin_storage(), "series2_test"
    run_tasks.hand_out(storage, {tag: run_tasks.load(check_roll(compose("tau_retail_smol_ppo")), tag)})
    ray.get(storage.get.remote(run_tasks.KEY))

    def taken():
        run_tasks.take([tag])
        return [len(tasks) for tasks in load._brought().values()]

    for name in alive():
        where = NodeAffinitySchedulingStrategy(node_id=name, soft=False)
        assert ray.get(ray.remote(taken).options(num_cpus=0, scheduling_strategy=where).remote()) == [1000]


def test_a_worker_that_waits_for_an_answer_sleeps(two_machines):
    """By ROLL's setting it would look for signals all the time."""
    ray = two_machines.ray

    def wakings(answer):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
        ray.get(answer[0])
        return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before

    answer = ray.remote(lambda: time.sleep(3)).options(num_cpus=0).remote()
    assert ray.get(ray.remote(wakings).options(num_cpus=0).remote([answer])) < 1000


def test_what_a_machine_does_not_see_is_named_with_it(two_machines, tmp_path):
    from tau_retail_env.roll.machines import check_shared

    written = {"output_dir": tmp_path, "rollout_dump_dir": tmp_path / "made"}
    machines = check_shared(written, {str(tmp_path): "pretrain"})
    assert [machine.missing for machine in machines] == [(), ()]
    twice = r"machine .* does not see /nowhere \(HF_HOME\).*machine .* does not see /nowhere \(HF_HOME\)"
    with pytest.raises(InvalidValueError, match=twice):
        check_shared(written, {"/nowhere": "HF_HOME"})
    assert list(tmp_path.rglob("*")) == [tmp_path / "made"]


def test_the_smallest_card_of_all_machines_counts(two_machines, tmp_path):
    from tau_retail_env.config import compose
    from tau_retail_env.roll.config.check import check_roll
    from tau_retail_env.roll.machines import check_machines
    from tau_retail_env.roll.preflight import check_memory

    values = compose("tau_retail_1gpu", overrides=["task_source=tau2"])
    check_memory(values)  # this machine's card is large enough
    with pytest.raises(InvalidValueError, match=r"machine [\d.]+, whose card is the smallest: learning .* has 24"):
        check_machines(check_roll(values), values, tmp_path)


def test_a_lost_machine_ends_a_run_that_does_not_notice(two_machines, third):
    from tau_retail_env.roll import nodes

    said = []
    with pytest.raises(SystemExit), nodes.watched(said.append, look_s=0.2):
        two_machines.cluster.remove_node(third)
        time.sleep(60)
    assert "is gone: the run ends" in said[0]


def test_a_lost_machine_ends_a_run_that_waits_for_an_actor_on_it_with_the_line_that_resumes_it(
    two_machines, third, tmp_path, monkeypatch
):
    """The call fails at once, long before the next look at the machines."""
    from tau_retail_env.config import compose
    from tau_retail_env.roll import nodes, pipeline, train
    from tau_retail_env.roll.config.check import check_roll

    class Learner:  # within, so that Ray sends it to machines without these tests
        def is_up(self):
            return True

        def learn(self):
            time.sleep(120)

    ray = two_machines.ray
    learner = ray.remote(Learner).options(num_cpus=0, resources={"third": 0.1}).remote()
    ray.get(learner.is_up.remote())

    class Waits:
        def __init__(self, pipeline_config, loaded, reached):
            self.state, self.tracker = SimpleNamespace(step=0), SimpleNamespace(finish=lambda: None)
            self.executor = ThreadPoolExecutor(1)

        def run(self):
            threading.Timer(1, two_machines.cluster.remove_node, [third]).start()
            ray.get(learner.learn.remote())

    monkeypatch.setattr(pipeline, "TauRetailPipeline", Waits)
    values = compose("tau_retail_1gpu", overrides=["pretrain=small", "task_source=tau2"])
    config = check_roll(values)
    (tmp_path / CONFIG).touch()
    said = []
    with (
        pytest.raises(SystemExit) as ended,
        resumable(tmp_path, said.append) as interruption,
        nodes.together(config, values, tmp_path, said.append, interruption.end_lost),
    ):
        train.run_pipeline(None, config, said.append, interruption, {})
    assert ended.value.code == 143
    _, gone, resume = said
    assert gone.startswith("[tau-retail] machine ") and gone.endswith(" of the cluster is gone: the run ends")
    assert resume == f"interrupted; resume with: resume={tmp_path}"


def test_an_error_ends_the_run_as_it_is_where_no_machine_is_gone(two_machines):
    from tau_retail_env.roll import nodes

    said = []
    with pytest.raises(ZeroDivisionError), nodes.watched(said.append, look_s=0.2):
        raise ZeroDivisionError
    assert said == []


def answers(monkeypatch, *said):
    """Have Ray answer so to one look after another; the last answer stays."""
    from tau_retail_env.roll import nodes

    left = list(said)

    def alive():
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(nodes, "alive", alive)


def test_a_look_that_ray_does_not_answer_is_followed_by_others(monkeypatch):
    from tau_retail_env.roll import nodes

    answers(monkeypatch, {"a": "10.0.0.1", "b": "10.0.0.2"}, ConnectionError(), {"a": "10.0.0.1"})
    ended = threading.Event()
    said = []
    with nodes.watched(said.append, look_s=0.01, end=ended.set):
        assert ended.wait(10)
    assert said == ["[tau-retail] machine 10.0.0.2 of the cluster is gone: the run ends"]


def test_an_error_is_told_though_ray_does_not_answer_any_more(monkeypatch):
    from tau_retail_env.roll import nodes

    answers(monkeypatch, {"a": "10.0.0.1"}, ConnectionError())
    with pytest.raises(ZeroDivisionError), nodes.watched(print, look_s=0.01):
        raise ZeroDivisionError


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
