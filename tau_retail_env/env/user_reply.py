"""The customer's message, checked, and whether it ends the conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.users.base import UserError, UserMessage, UserSimulator


def own_user(user: UserSimulator) -> UserSimulator:
    """A customer of the caller's own, which has what an episode asks of it.

    Raises:
        InvalidValueError: it lacks a method.
    """
    if lacking := [name for name in ("reset", "respond") if not callable(getattr(user, name, None))]:
        raise InvalidValueError(
            f"user: found {type(user).__name__} without {' and '.join(lacking)}, expected a customer with "
            "reset(task, *, seed) and respond(message) (docs/adding_a_customer.md)"
        )
    return user


def checked_reply(said: UserMessage | str, stop_tokens: Sequence[str]) -> UserMessage:
    """A customer's message, its stop token noticed wherever in the text it stands.

    Args:
        said: what the customer returned.
        stop_tokens: what ends a conversation.

    Raises:
        UserError: it is no message, is empty, or calls a tool.
    """
    message = UserMessage(said) if isinstance(said, str) else said
    if not isinstance(message, UserMessage):
        raise UserError(f"the customer answered with {type(said).__name__} instead of a text or a UserMessage")
    if message.tool_calls:
        raise UserError("the customer called a tool, but retail has no tools for customers", usage=message.usage)
    if not message.content:
        raise UserError("the customer said nothing", usage=message.usage)
    if message.stop is None:
        message = replace(message, stop=next((token for token in stop_tokens if token in message.content), None))
    return message
