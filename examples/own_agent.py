"""An agent of your own: cancels orders as the domain policy wants it, and hands over everything else.

python examples/own_agent.py                                       # one conversation, printed
tau-retail eval --agent examples.own_agent:CancellingAgent --source generated --subset single*cancellations --limit 20
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tau_retail_env import TauRetailEnv
from tau_retail_env.messages import AgentMessage, ToolCall


def call(name: str, **arguments: str) -> AgentMessage:
    """A message that calls a tool."""
    return AgentMessage(tool_calls=(ToolCall(name, arguments),))


class CancellingAgent:
    """Knows how an order is cancelled, and no more."""

    def __init__(self) -> None:
        self.heard = ""
        self.plan = self.serve()

    def act(self, observation: str, info: dict) -> AgentMessage | str:
        """Say or call the next thing."""
        self.heard += f"{observation}\n"
        return next(self.plan)

    def serve(self) -> Iterator[AgentMessage | str]:
        """The whole conversation; each `yield` waits for the answer, which is then part of what was heard."""
        while not (email := re.search(r"\S+@\S+\.com", self.heard)):
            yield "What is your email address?"
        yield call("find_user_id_by_email", email=email[0])
        while not (order := re.search(r"#W\d+", self.heard)):
            yield "Which order should be cancelled? Please tell me its number."
        yield call("get_order_details", order_id=order[0])
        while not (word := re.search("no longer|mistake|accident", self.heard)):
            yield "Why do you want to cancel it: no longer needed, or ordered by mistake?"
        reason = "no longer needed" if word[0] == "no longer" else "ordered by mistake"
        yield f"I will cancel order {order[0]}, reason: {reason}. Please say yes to confirm."
        yield call("cancel_pending_order", order_id=order[0], reason=reason)
        yield "It is cancelled. Is there anything else?"
        yield call("transfer_to_human_agents", summary="something else")


if __name__ == "__main__":
    env, agent = TauRetailEnv("generated", "test", "single*cancellations"), CancellingAgent()
    observation, info = env.reset(seed=0)
    terminated = truncated = False
    while not (terminated or truncated):
        message = agent.act(observation, info)
        print(f"{info['role']}: {observation[:160]}\nagent: {message}")
        observation, reward, terminated, truncated, info = env.step(message)
    print(f"reward {reward}, {info['stop_reason']}")
