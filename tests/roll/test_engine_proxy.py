"""The line between env managers and the rollout engine, with real Ray, and who is let in while weights change."""

import asyncio
from types import SimpleNamespace

import pytest


@pytest.fixture
def local_ray(roll, monkeypatch):
    """Ray on this machine, which ends with the test."""
    import ray

    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(num_cpus=2, include_dashboard=False, namespace="roll", log_to_driver=False)
    yield ray
    ray.shutdown()


def test_each_environment_asks_an_engine_of_its_own_in_the_order_of_ranks(local_ray, roll):
    from roll.distributed.scheduler.protocol import DataProto

    from tau_retail_env.roll import engine_proxy

    class Engine:
        def __init__(self, rank):
            self.rank = rank

        def answer(self, prompt_ids, generation_config):
            return [prompt_ids[-1] + 1, self.rank], [-0.5, -0.25]

    remote = local_ray.remote(Engine)
    kept = [remote.options(name=f"actor_infer-{rank}-G{rank}", num_cpus=0).remote(rank) for rank in (10, 2)]
    kept.append(remote.options(name="actor_train-0-G0", num_cpus=0).remote(-1))
    engine_proxy.engines.cache_clear()
    proxy = engine_proxy.EngineProxy(None, None, None, None)

    def ask(env_id):
        import torch

        given = DataProto.from_dict({"input_ids": torch.tensor([[5, 6, 7]])}, meta_info={"src_rank": env_id})
        return proxy.generate([], given, {"max_new_tokens": 8})

    answers = [ask(env_id) for env_id in range(4)]
    engine_proxy.engines.cache_clear()
    assert [one.batch["responses"].tolist() for one in answers] == [[[8, 2]], [[8, 10]], [[8, 2]], [[8, 10]]]
    assert answers[0].batch["infer_logprobs"].tolist() == [[-0.5, -0.25]]
    assert len(kept) == 3


class FakeStrategy:
    """An engine whose answers wait until they are let go or broken off.

    Args:
        said: what a request has said when it is broken off.
        deaf: how many first calls of abort it does not heed.
    """

    def __init__(self, said=(), *, deaf=0):
        self.said, self.deaf = list(said), deaf
        self.asked, self.payloads, self.aborted, self.moves = {}, [], [], []

    async def generate_request(self, payload):
        self.asked[payload["rid"]] = asyncio.get_running_loop().create_future()
        self.payloads.append(payload)
        return await self.asked[payload["rid"]]

    async def abort_requests(self, names):
        self.aborted.append(names)
        for name in names if len(self.aborted) > self.deaf else ():
            self.end(name, "abort", self.said)

    def end(self, name, reason, tokens):
        """End a request with some tokens, each with the log-probability of its negative."""
        told = {"output_token_ids": [tokens], "output_logprobs": [[-float(token) for token in tokens]]}
        self.asked[name].set_result({"finish_reasons": [reason], **(told if tokens else {})})

    async def load_states(self):
        self.moves.append("load")

    async def offload_states(self, include=None):
        self.moves.append(("offload", include, sum(not one.done() for one in self.asked.values())))


@pytest.fixture
def worker(roll, monkeypatch):
    from tau_retail_env.roll import workers
    from tau_retail_env.roll.requests import Requests

    monkeypatch.setattr(workers, "sampling", lambda config, tokenizer: config)
    one = workers.RolloutWorker.__new__(workers.RolloutWorker)
    one.requests, one.strategy, one.tokenizer = Requests(), FakeStrategy(), None
    return one


@pytest.mark.parametrize("said", [[], [3], [3, 4]])
def test_a_request_waits_until_the_engine_is_awake_and_goes_on_after_it_was_put_to_sleep(worker, said):
    """What was said before counts: asked anew, as in ROLL, a message under way could become a shorter one."""
    worker.strategy.said = said

    async def play():
        answer = asyncio.create_task(worker.answer([1, 2], {"max_new_tokens": 4}))
        await asyncio.sleep(0.02)
        assert not worker.strategy.asked
        await worker.load_states()
        await asyncio.sleep(0.02)
        assert len(worker.strategy.asked) == 1
        await worker.offload_states(include="other_params")
        await asyncio.sleep(0.02)
        assert len(worker.strategy.asked) == 1 and not answer.done()
        await worker.load_states()
        await asyncio.sleep(0.02)
        worker.strategy.end(worker.strategy.payloads[-1]["rid"], "stop", [7, 8])
        return await answer

    assert asyncio.run(play()) == ([*said, 7, 8], [*(-float(token) for token in said), -7.0, -8.0])
    first, second = worker.strategy.payloads
    assert (first["input_ids"], first["sampling_params"]["max_new_tokens"]) == ([1, 2], 4)
    assert (second["input_ids"], second["sampling_params"]["max_new_tokens"]) == ([1, 2, *said], 4 - len(said))
    assert worker.strategy.moves == ["load", ("offload", "other_params", 0), "load"]
    assert len(worker.strategy.aborted) == 1


def test_a_message_that_was_broken_off_with_its_last_token_is_over(worker):
    worker.strategy.said = [3, 4]

    async def play():
        answer = asyncio.create_task(worker.answer([1, 2], {"max_new_tokens": 2}))
        await worker.load_states()
        await asyncio.sleep(0.02)
        await worker.offload_states()
        return await asyncio.wait_for(answer, 10)

    assert asyncio.run(play()) == ([3, 4], [-3.0, -4.0])


def test_a_request_that_the_engine_had_not_heard_of_yet_is_broken_off_all_the_same(worker):
    worker.strategy.deaf = 2

    async def play():
        answer = asyncio.create_task(worker.answer([1, 2], {"max_new_tokens": 4}))
        await worker.load_states()
        await asyncio.sleep(0.02)
        await asyncio.wait_for(worker.offload_states(), 10)
        answer.cancel()

    asyncio.run(play())
    assert len(worker.strategy.aborted) == 3 and worker.strategy.moves[-1] == ("offload", None, 0)


def test_vllm_is_asked_for_tokens_alone(roll):
    pytest.importorskip("vllm", reason="vLLM is not installed")
    from roll.configs import GeneratingArguments
    from vllm import SamplingParams

    from tau_retail_env.roll.workers import sampling

    tokenizer = SimpleNamespace(eos_token_id=2, pad_token_id=0)
    plain = GeneratingArguments(max_new_tokens=16, temperature=1.0, top_p=1.0, top_k=-1).to_dict()
    made = SamplingParams(**sampling(plain, tokenizer))
    assert not made.detokenize and made.stop_token_ids == [2, 0] and made.logprobs == 0 and made.max_tokens == 16
    assert SamplingParams(**sampling(plain | {"stop_strings": ["x"]}, tokenizer)).detokenize


@pytest.mark.parametrize(("learning", "proxy"), [([0, 1], "tau_retail"), ([2, 3], "tau_retail"), ([0], "policy")])
def test_environments_ask_directly_unless_the_actor_learns_on_a_part_of_the_engines_gpus(roll, learning, proxy):
    from tau_retail_env.roll.settings import RESERVED_CALLS, ask_the_engine_directly

    def manager():
        return SimpleNamespace(llm_proxy=SimpleNamespace(proxy_type="policy"), num_env_groups=100, group_size=8)

    config = SimpleNamespace(
        actor_train=SimpleNamespace(device_mapping=learning),
        actor_infer=SimpleNamespace(
            device_mapping=[0, 1], max_concurrency=1000, strategy_args=SimpleNamespace(strategy_name="vllm")
        ),
        train_env_manager=manager(),
        val_env_manager=manager(),
    )
    ask_the_engine_directly(config)
    assert config.train_env_manager.llm_proxy.proxy_type == config.val_env_manager.llm_proxy.proxy_type == proxy
    assert config.actor_infer.max_concurrency == (1600 + RESERVED_CALLS if proxy == "tau_retail" else 1000)


def test_roll_starts_vllm_in_a_way_for_which_it_has_no_number_of_messages_at_once(repository):
    """So vLLM takes its smallest default; the shipped files say how many."""
    import yaml

    arguments = pytest.importorskip("vllm.engine.arg_utils", reason="vLLM is not installed")
    from vllm.config import SchedulerConfig
    from vllm.usage.usage_lib import UsageContext

    known = arguments.EngineArgs.get_batch_defaults(1)[1]
    assert UsageContext.ENGINE_CONTEXT not in known and SchedulerConfig.DEFAULT_MAX_NUM_SEQS == 128
    shipped = yaml.safe_load((repository / "configs" / "infer" / "vllm.yaml").read_text())["strategy_config"]
    assert shipped["max_num_seqs"] == 512 and max(shipped["compilation_config"]["cudagraph_capture_sizes"]) >= 512
