"""The customer's message, checked, and whether it ends the conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tau_retail_env.users.base import UserError, UserMessage


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
