"""Every observation and reward of episodes that were played on upstream's own environments."""

import gzip
import hashlib
import json
from functools import partial

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.chat.parsing import render_message
from tau_retail_env.messages import AgentMessage, ToolCall

NO_LIMIT = 10**9
SILENCE = "…"
"""Said where the record's agent sent an empty message, which is refused here."""


class RecordedCustomer:
    """Gives the recorded answers."""

    def __init__(self, answers):
        self.answers = iter(answers)

    def reset(self, task, *, seed):
        return "Hello"

    def respond(self, message):
        return next(self.answers)


def episodes(file):
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def as_recorded(observation):
    """Long observations stand in the record as digest and length."""
    if len(observation) <= 400:
        return observation
    return f"sha256:{hashlib.sha256(observation.encode()).hexdigest()}:{len(observation)}"


def as_message(action):
    if action["name"] == "respond":
        return AgentMessage(content=action["kwargs"]["content"] or SILENCE)
    return AgentMessage(tool_calls=(ToolCall(action["name"], action["kwargs"]),))


def as_text(action):
    return render_message(as_message(action))


def play(source, tasks, task_id, episode, write=as_message):
    both = zip(episode["actions"], episode["observations"], strict=True)
    customer = RecordedCustomer(observation for action, observation in both if action["name"] == "respond")
    env = TauRetailEnv(source, user=customer, tasks=tasks, max_turns=NO_LIMIT, max_errors=NO_LIMIT)
    env.reset(task_id)
    return [env.step(write(action)) for action in episode["actions"]]


def compare(episode, turns):
    """Hold one episode against its record; returns how many observations were compared byte for byte."""
    compared = 0
    for index, (expected, (observation, *_)) in enumerate(zip(episode["observations"], turns, strict=True)):
        place = f"{episode['split']} {episode['index']}, {episode['kind']}, action {index}: {episode['actions'][index]}"
        if index in episode["native_error_at"]:
            assert observation.startswith("Error: "), place
        else:
            assert as_recorded(observation) == expected, place
            compared += 1
    _, reward, terminated, truncated, info = turns[-1]
    assert (terminated, truncated) == (True, False)
    assert reward == episode["reward"]
    assert bool(info["reward_breakdown"]["database"]) is episode["db_equal_gold"]
    return compared


def test_tau2_observations_and_rewards_equal_upstreams_own(shared_folder):
    tasks = load_tasks(source="tau2", split="base")
    record = episodes(shared_folder / "parity" / "parity_tau2.jsonl.gz")
    compared = 0
    for episode in record:
        turns = play("tau2", tasks, f"tau2/{episode['task_id']}", episode)
        compared += compare(episode, turns)
        assert turns[-1][-1]["reward_breakdown"]["outputs"] == episode["reward_breakdown"]["COMMUNICATE"]
    assert (len(record), compared) == (798, 7551)


def test_tau_bench_observations_and_rewards_equal_upstreams_own(shared_folder, tau_bench):
    load = partial(load_tasks, source="tau_bench")
    tasks = {split: load(split=split) for split in ("train", "test", "dev")}
    record = episodes(shared_folder / "parity" / "parity_tau_bench.jsonl.gz")
    compared = 0
    for episode in record:
        split = episode["split"]
        turns = play("tau_bench", tasks[split], f"tau_bench/{split}/{episode['index']}", episode)
        compared += compare(episode, turns)
    assert (len(record), compared) == (2540, 16150)


@pytest.mark.parametrize(("source", "wanted"), [("tau2", 3), ("tau_bench", 7)])
def test_a_call_without_a_name_gets_upstreams_answer_in_an_object_and_in_a_text(source, wanted, request):
    if source == "tau_bench":
        request.getfixturevalue("tau_bench")
    record = request.getfixturevalue("shared_folder") / "parity" / f"parity_{source}.jsonl.gz"
    nameless = [one for one in episodes(record) if any(action["name"] == "" for action in one["actions"])]
    for episode in nameless:
        split = "base" if source == "tau2" else episode["split"]
        task_id = f"tau2/{episode['task_id']}" if source == "tau2" else f"tau_bench/{split}/{episode['index']}"
        for write in (as_message, as_text):
            compare(episode, play(source, load_tasks(source, split), task_id, episode, write))
    assert len(nameless) == wanted
