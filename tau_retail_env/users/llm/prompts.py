"""What the supervisor of a customer's model is asked, and what the model hears of it, in our own words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tau_retail_env.sources.base import Message

_JUDGE = """\
You supervise the customer of a conversation with a customer service agent. The customer is played by a model that \
follows the instructions under "System". Judge its next message before it is sent. The message is good if it fits the \
instructions and the conversation: it is something that this customer may say at this point, claims nothing that the \
instructions do not tell, agrees only to what the instructions want, and does not end the conversation while something \
is still to be done. Answer with a single word: true if the message can be sent, false if it cannot.

# Conversation
{transcript}

# Next message of the customer
{draft}

# Can it be sent (true or false)?
"""

_REFLECT = """\
You supervise the customer of a conversation with a customer service agent. The customer is played by a model that \
follows the instructions under "System". You have judged that its next message must not be sent. Say what is wrong \
with it, and write a message for the customer that mends this.

# Conversation
{transcript}

# Next message of the customer, as it stands
{draft}

# Write
Reflection:
<what is wrong>

Response:
<the better message>
"""

_ADVICE = """\
(This is your supervisor, not the agent. The agent has not seen your last draft, which was:
{draft}

Your supervisor's advice:
{reflection}

Now write your message to the agent.)"""

_AGAIN = """

(A note for you, not from the agent: what you wrote was not sent, because {reason}. Write your message again.)"""


def judge_prompt(history: Iterable[Mapping[str, str]], draft: str) -> list[Message]:
    """Ask the supervisor whether a draft can be sent.

    Args:
        history: the customer's model's prompt and messages so far.
        draft: the customer's next message.

    Returns:
        The messages to send: one, in the role "user", as upstream's.
    """
    return [{"role": "user", "content": _JUDGE.format(transcript=_transcript(history), draft=draft)}]


def reflect_prompt(history: Iterable[Mapping[str, str]], draft: str) -> list[Message]:
    """Ask the supervisor what is wrong with a draft that it has rejected, and for a better one.

    Args:
        history: the customer's model's prompt and messages so far.
        draft: the customer's next message.

    Returns:
        The messages to send: one, in the role "user", as upstream's.
    """
    return [{"role": "user", "content": _REFLECT.format(transcript=_transcript(history), draft=draft)}]


def advised(history: Iterable[Message], draft: str, reflection: str) -> list[Message]:
    """The history followed by the supervisor's advice, in the role "user", where upstream puts it."""
    return [*history, {"role": "user", "content": _ADVICE.format(draft=draft, reflection=reflection)}]


def asked_again(history: Iterable[Message], reason: str) -> list[Message]:
    """The history with a note at its end why a message has to be written again.

    The note is part of the last message, for the templates of some models refuse two messages of one role in a row.
    """
    *before, last = history
    return [*before, {**last, "content": last["content"] + _AGAIN.format(reason=reason)}]


def _transcript(history: Iterable[Mapping[str, str]]) -> str:
    """The conversation as a supervisor reads it; to the customer's model the agent is the "user"."""
    labels = {"system": "System", "user": "Agent", "assistant": "Customer"}
    return "\n".join(f"{labels[message['role']]}: {message['content']}" for message in history)
