"""What models say as the customer in these tests: the scripted customer's words, or misbehaviour."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources import get_source, open_shop
from tau_retail_env.tasks import Task
from tau_retail_env.users import ScriptedUser
from tests.users.llm.server import ChatServer, Request

Words = Callable[[Task, Sequence[str]], str]
"""What a customer says, by its task and all that the agent has said to it after the greeting."""


def scripted(task: Task, heard: Sequence[str]) -> str:
    """The scripted customer's words: it hears the whole conversation again for each of them."""
    customer = ScriptedUser(open_shop(task.source).database)
    said = customer.reset(task, seed=0)
    for words in heard:
        said = customer.respond(AgentMessage(words))
    return said.content


def model(tasks: Sequence[Task], words: Words) -> Callable[[Request], str]:
    """A model for the test server that speaks so: it knows its task by the scenario in its prompt.

    What has no such prompt asks only whether the model is there.
    """

    def reply(request: Request) -> str:
        prompt, *history = (message["content"] for message in request.messages)
        found = [task for task in tasks if get_source("tau2").user_briefing(task) in prompt]
        return words(found[0], history[2::2]) if found else "Hello."

    return reply


def conversation(server: ChatServer) -> list[Request]:
    """The requests of conversations that were answered, in order: those that only ask for the model are left out."""
    return [request for request in server.requests if request.fault is None and len(request.messages) > 1]
