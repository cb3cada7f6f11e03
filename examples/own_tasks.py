"""Tasks of your own over the shop of τ²: read from a JSON file, played by the oracle, one line each.

python examples/own_tasks.py

A line of the file is one task. The scripted customer asks for what the gold `actions` do; a `story` says what it asks
for besides, in the form that the head of tau_retail_env/users/scripted/stories.toml explains. A model that plays the
customer reads the `instruction`.
"""

from __future__ import annotations

from pathlib import Path

from tau_retail_env import TauRetailEnv
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.files import read_tasks

FILE = Path(__file__).with_name("own_tasks.jsonl")


def play(env: TauRetailEnv, task: Task) -> tuple[float, int]:
    """Play one task to its end: the reward, and how many messages the agent needed."""
    agent = OracleAgent(task)
    observation, info = env.reset(task_id=task.id, seed=0)
    turns, done, reward = 0, False, 0.0
    while not done:
        observation, reward, terminated, truncated, info = env.step(agent.act(observation, info))
        turns, done = turns + 1, terminated or truncated
    return reward, turns


if __name__ == "__main__":
    tasks = read_tasks(FILE)
    env = TauRetailEnv(tasks=tasks)
    for task in tasks:
        reward, turns = play(env, task)
        print(f"{task.id}: reward {reward} after {turns} messages")
