"""Two hundred episodes at once, a fault in three of ten requests: every one is scored, and as without faults."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.customer_faults import SOURCE, lost_and_wrong, play_all, scripted_episodes
from tau_retail_env import load_tasks
from tau_retail_env.users.llm import backoff
from tests.users.llm.server import RETRYABLE, ChatServer, seeded


def test_no_episode_is_lost_or_wrongly_scored(monkeypatch):
    monkeypatch.setattr(backoff, "FIRST_BACKOFF_S", 0.05)
    tasks = load_tasks(SOURCE, "train")[:200]
    expected = scripted_episodes(tasks)
    server = ChatServer(plan=seeded(0.3, seed=2), latency_s=0.02, slow_s=0.1)
    _, played = play_all(expected, server, tasks, timeout_s=2.0)
    assert lost_and_wrong(played, expected) == ([], [])
    assert {episode.reward for episode in played} == {1.0}
    assert set(server.fault_counts()) == set(RETRYABLE)


def test_lost_and_wrong_episodes_are_noticed():
    tasks = load_tasks(SOURCE, "train")[:3]
    expected = scripted_episodes(tasks)
    right, lost, wrong = expected.values()
    played = [right, replace(lost, scorable=False, stop_reason="user_error"), replace(wrong, reward=0.0)]
    assert lost_and_wrong(played, expected) == ([tasks[1].id], [tasks[2].id])
