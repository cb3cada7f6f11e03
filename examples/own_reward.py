"""A reward of your own: upstream's, less a hundredth a message, less a tenth for writing what nobody confirmed.

python examples/own_reward.py
"""

from __future__ import annotations

from typing import Any

from tau_retail_env import TauRetailEnv
from tau_retail_env.agents.bad import BAD_AGENTS
from tau_retail_env.agents.oracle import OracleAgent

A_MESSAGE = 0.01
UNCONFIRMED = 0.1


class Considerate:
    """An environment whose reward likes short conversations and asked customers; everything else is as it was."""

    def __init__(self, env: TauRetailEnv) -> None:
        self.env = env

    def reset(self, **options: Any) -> tuple[str, Any]:
        """Begin an episode."""
        return self.env.reset(**options)

    def step(self, message: Any) -> tuple[str, float, bool, bool, Any]:
        """One message of the agent; `reward_breakdown` is in the info of the last."""
        observation, reward, terminated, truncated, info = self.env.step(message)
        confirmed = info.get("reward_breakdown", {}).get("process_confirmed", 1.0)
        return observation, reward - A_MESSAGE - UNCONFIRMED * (1 - confirmed), terminated, truncated, info


def total(env: Considerate, make: Any, task_id: str) -> float:
    """The rewards of one episode, added up."""
    agent = make(next(task for task in env.env.tasks if task.id == task_id))
    observation, info = env.reset(task_id=task_id, seed=0)
    reward, done = 0.0, False
    while not done:
        observation, part, terminated, truncated, info = env.step(agent.act(observation, info))
        reward, done = reward + part, terminated or truncated
    return reward


if __name__ == "__main__":
    env = Considerate(TauRetailEnv("generated", "test", "single*cancellations"))
    task_id = env.env.tasks[0].id
    for name, make in {"oracle": OracleAgent, **BAD_AGENTS}.items():
        print(f"{name:<8} {total(env, make, task_id):.2f}")
