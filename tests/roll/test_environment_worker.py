"""One tokenizer for all environments of a worker, beside ROLL's own worker."""

import asyncio
import threading
import time
from types import SimpleNamespace

import pytest

ENVIRONMENTS = 6
OURS = "tau_retail_env.roll.env_manager.TauRetailEnvManager"


@pytest.fixture
def initialized(roll, rollout_loop, repository, monkeypatch):
    """The env managers of a worker after ROLL's own `initialize`, which here asks no Ray where a model lies."""
    for module in ("distributed.executor.worker", "models.model_providers", "pipeline.agentic.environment_worker"):
        monkeypatch.setattr(f"roll.{module}.download_model", lambda name: name)
    played = rollout_loop(groups=ENVIRONMENTS, env={"env_manager_cls": OURS})
    folder = str(repository / "checkpoints" / "small")

    def make(worker_class):
        worker = worker_class.__new__(worker_class)
        worker.worker_config, worker.rank = played.manager_config, 0
        worker.worker_config.model_args.model_name_or_path = folder
        worker.env_managers, worker.tokenizer, worker.processor = {}, None, None
        worker.env_configs = played.manager_config.env_configs[0]
        worker.thread_lock, worker.proxy_server = threading.Lock(), None
        asyncio.run(worker.initialize(played.config, None, played.queue))
        return list(worker.env_managers.values())

    return make


def test_environments_share_one_tokenizer(initialized):
    """ROLL's own copies it for each; and, of a text model, a second time as its processor."""
    from roll.pipeline.agentic.environment_worker import EnvironmentWorker

    from tau_retail_env.roll.environment_worker import TauRetailEnvironmentWorker

    theirs, ours = initialized(EnvironmentWorker), initialized(TauRetailEnvironmentWorker)
    assert len(theirs) == len(ours) == ENVIRONMENTS
    assert len({id(manager.tokenizer) for manager in theirs}) == ENVIRONMENTS
    assert len({id(manager.tokenizer) for manager in ours}) == 1
    assert len({id(manager._encoder.prefix) for manager in ours}) == 1
    assert ours[0]._encoder.prefix == theirs[0]._encoder.prefix
    opening = [{"role": "user", "content": "Née: #W1, s'il vous plaît."}]
    assert ours[0]._encoder.opening(opening) == theirs[0]._encoder.opening(opening)


def test_one_thread_at_a_time_uses_a_shared_tokenizer(roll):
    from tau_retail_env.roll.environment_worker import SharedTokenizer

    inside, most = [], []

    def slow(text):
        inside.append(text)
        most.append(len(inside))
        time.sleep(0.01)
        inside.remove(text)
        return text.upper()

    plain = SimpleNamespace(encode=slow, decode=slow, batch_decode=slow, apply_chat_template=slow, eos_token="e")
    shared, told = SharedTokenizer(plain), []
    calls = [getattr(shared, name) for name in ("encode", "decode", "batch_decode", "apply_chat_template")]
    threads = [threading.Thread(target=lambda call=call: told.append(call("a"))) for call in calls * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == ["A"] * 8 and max(most) == 1
    assert shared.eos_token == "e"


def test_a_processor_that_is_none_is_left_out(roll):
    from transformers import ProcessorMixin

    from tau_retail_env.roll.environment_worker import TauRetailEnvironmentWorker

    class Processor(ProcessorMixin):
        def __init__(self):
            pass

    worker, sees = TauRetailEnvironmentWorker.__new__(TauRetailEnvironmentWorker), Processor()
    for loaded, kept in ((object(), None), (sees, sees), (None, None)):
        worker.processor = loaded
        assert worker.processor is kept


def test_what_environments_share_is_loaded_once_by_whichever_comes_first(roll, monkeypatch):
    """ROLL makes a worker's environments on many threads at once, each of which would load 10,000 tasks."""
    from tau_retail_env.roll.preload import in_background, make_one_of_each
    from tau_retail_env.sources import load

    loaded = []
    source = load.get_source("generated", None, "retail")
    read = type(source).load
    monkeypatch.setattr(type(source), "load", lambda self, split: loaded.append(split) or read(self, split))
    load._all_tasks.cache_clear()
    load._selected_tasks.cache_clear()
    settings = {"source": "generated", "split": "test", "prompt_style": "minimal"}
    in_background(lambda: make_one_of_each({"tag": "retail_test", "config": settings} for _ in range(4))).join()
    assert loaded == ["test"]


def test_work_that_fails_ahead_ends_nothing(roll):
    from tau_retail_env.roll.preload import in_background, make_one_of_each

    in_background(lambda: make_one_of_each([{"tag": "retail", "config": {"source": "nowhere"}}])).join()
