"""Every observation and reward of episodes that were played on upstream's own environment."""

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.chat.messages import AgentMessage, ToolCall

RECORD = Path(__file__).parents[3] / "shared" / "parity" / "parity_tau2.jsonl.gz"
NO_LIMIT = 10**9


class RecordedCustomer:
    """Says "ok" to everything but the last text, and the recorded stop token to that: as the record was made."""

    def __init__(self, texts: int, last_words: str) -> None:
        self.texts_left = texts
        self.last_words = last_words

    def reset(self, task, *, seed):
        return "Hello"

    def respond(self, message):
        self.texts_left -= 1
        return "ok" if self.texts_left else self.last_words


def episodes():
    with gzip.open(RECORD, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def as_recorded(observation):
    """Long observations stand in the record as digest and length."""
    if len(observation) <= 400:
        return observation
    return f"sha256:{hashlib.sha256(observation.encode()).hexdigest()}:{len(observation)}"


def as_message(action):
    if action["name"] == "respond":
        return AgentMessage(content=action["kwargs"]["content"])
    return AgentMessage(tool_calls=(ToolCall(action["name"], action["kwargs"]),))


def play(tasks, episode):
    texts = sum(action["name"] == "respond" for action in episode["actions"])
    customer = RecordedCustomer(texts, episode["observations"][-1])
    env = TauRetailEnv(user=customer, tasks=tasks, max_turns=NO_LIMIT, max_errors=NO_LIMIT)
    env.reset(f"tau2/{episode['task_id']}")
    return [env.step(as_message(action)) for action in episode["actions"]]


@pytest.mark.skipif(
    not RECORD.exists(), reason="shared/parity, the recorded upstream episodes, is not beside the repository"
)
def test_observations_and_rewards_equal_upstreams_own():
    tasks = load_tasks(source="tau2", split="base")
    played = compared = 0
    for episode in episodes():
        turns = play(tasks, episode)
        assert len(turns) == len(episode["actions"])
        for index, (expected, (observation, *_)) in enumerate(zip(episode["observations"], turns, strict=True)):
            place = f"task {episode['task_id']}, {episode['kind']}, action {index}: {episode['actions'][index]}"
            if index in episode["native_error_at"]:
                assert observation.startswith("Error: "), place
            else:
                assert as_recorded(observation) == expected, place
                compared += 1
        _, reward, terminated, truncated, info = turns[-1]
        assert (terminated, truncated) == (True, False)
        assert reward == episode["reward"]
        assert bool(info["reward_breakdown"]["database"]) is episode["db_equal_gold"]
        assert info["reward_breakdown"]["outputs"] == episode["reward_breakdown"]["COMMUNICATE"]
        played += 1
    assert played == 798
    assert compared > 7000
