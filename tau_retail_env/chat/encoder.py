"""Token-exact turns: what a model's own chat template puts before, between and after the model's words."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tau_retail_env.chat.calls import MalformedMessageError
from tau_retail_env.chat.parsing import parse_message
from tau_retail_env.chat.tool_formats import ToolFormat
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.messages import AgentMessage, ToolCall

_REPLY = "The-model's-own-words-stand-here"
_CALL = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
_SEAM = "Qseam"
"""Put into a control token's name while the template renders; ASCII, for templates that escape everything else."""
_USER = {"role": "user", "content": "Hi"}
_TOOL = {"role": "tool", "name": "f", "content": "ok"}
_GREETING = {"role": "assistant", "content": "Hi! How can I help you today?"}
_PROBE = ToolCall("get_order_details", {"order_id": '#W1 "é"', "item_ids": ["1", "2"]}, "abcdefghi")
"""A call that a template writes and that must come back. Mistral's templates want ids of nine letters."""
_PROBE_TOOL = {
    "type": "function",
    "function": {
        "name": _PROBE.name,
        "description": "Looks.",
        "parameters": {
            "type": "object",
            "properties": {"order_id": {"type": "string"}, "item_ids": {"type": "array", "items": {"type": "string"}}},
        },
    },
}
_TEMPLATE_OPTIONS = {"tools_in_user_message": False, "date_string": "26 Jul 2024"}
"""For Llama 3's templates: tools beside the system prompt, and their own default date, so that no prefix changes at
midnight. Other templates do not ask for them."""
_TO_MEND = (
    "use prompt_style=compressed, which shows tools and hermes calls in the system prompt, or write a template into "
    "the model's folder: tau-retail doctor --chat-template FOLDER"
)
_HISTORY_PROBES: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("text before a user message", "Hello.", _USER),
    ("text with space around it before a user message", " Hello.\n", _USER),
    ("a tool call before a tool result", _CALL, _TOOL),
    ("reasoning before a tool result", f"<think>\nHm.\n</think>\n\n{_CALL}", _TOOL),
    ("reasoning on one line before a tool result", f"<think>Hm.</think>{_CALL}", _TOOL),
    ("empty reasoning before a tool result", f"<think>\n\n</think>\n\n{_CALL}", _TOOL),
    ("reasoning before a user message", "<think>\nHm.\n</think>\n\nHello.", _USER),
)

_TAG = re.compile(r"\s*(?:<[^<>]+>|\[/?[A-Z_]+\])\s*")
"""A token that is a tag, such as `</think>` or `[TOOL_CALLS]`."""

Message = Mapping[str, Any]


class ChatEncoder:
    """Turns a growing conversation into tokens that are only ever appended to.

    An episode's tokens are `opening(first messages)`, then turn by turn the model's own tokens, `closing` of them, and
    `following(what came back)`. Nothing that the model produced is ever encoded again. Where the model's tokens are
    those that its tokenizer would choose for its text, the result equals the template's rendering of the whole
    conversation (the model's turns as plain text content) at every turn, including the newline after a turn.

    What a customer, a tool or the model says is text: a control token's name in it, such as `<|im_end|>`, is encoded as
    the characters that it is made of. Special tokens and tags come from the template and the system prompt alone, tags
    (tokens that are not special, such as Qwen's `<tool_call>`) from the model's own words, too.

    The exception is a template that rewrites history, which tokens that are only appended to cannot follow.
    `rewritten_history` names the cases. Qwen2.5's has none. Hybrid Qwen3's drops the reasoning of a turn once a user
    message follows it (and until then of empty reasoning, and spaces what it keeps in its own way): here the model goes
    on seeing its reasoning as it wrote it.

    Args:
        tokenizer: a transformers tokenizer with a chat template, whose turns end in a token of their own.
        system_prompt: the first message of every episode.
        tools: OpenAI schemas for the template to show, None or empty where the model is shown none.
        eos_token_ids: after which the model is to stop by its `generation_config`; Qwen2.5's has two.

    Raises:
        InvalidValueError: the tokenizer has no chat template, one that leaves the tools out or writes calls that are
            not read, or one whose turns cannot be encoded one by one.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        system_prompt: str,
        tools: Sequence[Mapping[str, Any]] | None,
        eos_token_ids: Sequence[int] = (),
    ) -> None:
        self.tokenizer = tokenizer
        self._eos_token_ids = tuple(eos_token_ids)
        self.system_prompt = system_prompt
        self._tools = [dict(tool) for tool in tools] if tools else None
        self._controls = _control_tokens(tokenizer)
        self._prefix_text, self.prefix, self.end_of_turn_id = _frame(
            tokenizer, system_prompt, json.dumps(self._tools, ensure_ascii=False)
        )
        self.tool_format = ToolFormat.HERMES
        if self._tools:
            self.tool_format = template_format(tokenizer, self.end_of_turn_id)

    prefix: tuple[int, ...]
    """What every episode starts with: system prompt and tools; tokenised once per process."""
    end_of_turn_id: int
    """The token that ends a turn."""
    tool_format: ToolFormat
    """How the model writes tool calls: as its template does where that shows the tools, else as the prompts teach."""

    def opening(self, messages: Sequence[Message]) -> list[int]:
        """Tokens up to the model's first turn: `prefix`, the opening history, the generation prompt.

        Args:
            messages: the history after the system prompt, as OpenAI messages.
        """
        words, seam = self._as_text(messages)
        text = _render(self.tokenizer, [self._system, *words], self._tools)
        if not text.startswith(self._prefix_text):
            raise InvalidValueError("The chat template renders the system prompt differently when messages follow it")
        return [*self.prefix, *_encode_parts(self.tokenizer, text[len(self._prefix_text) :].split(seam))]

    def following(self, messages: Sequence[Message]) -> list[int]:
        """Tokens between the end-of-turn token of the model's turn and its next turn.

        Args:
            messages: what came back (tool results or the customer's words), as OpenAI messages.
        """
        words, seam = self._as_text(messages)
        # The first token ends the model's turn, which has its own, or `closing`'s.
        return _encode_parts(self.tokenizer, self._after_reply(words).split(seam))[1:]

    def closing(self, response_ids: Sequence[int]) -> list[int]:
        """Tokens that end the model's turn where it did not do so itself: the end-of-turn token, or nothing.

        Another token that ended the turn stays before it: the model drew it, and is trained on what it drew.
        """
        return [] if response_ids and response_ids[-1] == self.end_of_turn_id else [self.end_of_turn_id]

    def reply(self, text: str) -> list[int]:
        """Tokens of a turn whose words are given: what the model would have to produce, end-of-turn token included."""
        parts = self._controls.cut(text, special_alone=True)
        return [*_encode_parts(self.tokenizer, parts), self.end_of_turn_id]

    def decode(self, response_ids: Sequence[int]) -> str:
        """The text of the model's own tokens, without the special tokens at its end; all others stay."""
        endings = {*self.stop_ids, self.tokenizer.pad_token_id}
        end = len(response_ids)
        while end and response_ids[end - 1] in endings:
            end -= 1
        return self.tokenizer.decode(
            list(response_ids[:end]), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )

    def read(self, text: str) -> AgentMessage:
        """What a turn of the model means.

        Raises:
            MalformedMessageError: it cannot be read.
        """
        return parse_message(text, self.tool_format, self._tools or ())

    def rewritten_history(self) -> tuple[str, ...]:
        """Name the cases in which the template renders a past turn of the model otherwise than the model wrote it."""
        return tuple(case for case, reply, after in _HISTORY_PROBES if self._rewrites(reply, after))

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens after which a turn is over when the model draws one: end of turn, then the tokenizer's and the model's
        EOS where these are others."""
        every = (self.end_of_turn_id, self.tokenizer.eos_token_id, *self._eos_token_ids)
        return tuple(dict.fromkeys(token for token in every if token is not None))

    @property
    def _system(self) -> dict[str, str]:
        return {"role": "system", "content": self.system_prompt}

    def _as_text(self, messages: Sequence[Message]) -> tuple[list[dict[str, Any]], str]:
        """The messages with a seam inside every control token's name in them, and the seam: text that none holds.

        Seams are put in before the template renders, so that only the messages' own words have them.
        """
        texts = [value for message in messages for value in message.values() if isinstance(value, str)]
        seam = _SEAM
        while any(seam in text for text in (self._prefix_text, str(self.tokenizer.chat_template), *texts)):
            seam += _SEAM[-1]
        return [self._controls.seamed(message, seam) for message in messages], seam

    def _after_reply(self, messages: Sequence[Message]) -> str:
        history = [self._system, _USER, {"role": "assistant", "content": _REPLY}, *messages]
        text = _render(self.tokenizer, history, self._tools)
        return text[text.index(_REPLY, len(self._prefix_text)) + len(_REPLY) :]

    def _rewrites(self, reply: str, after: Message) -> bool:
        history = [self._system, _USER]
        appended = _render(self.tokenizer, history, self._tools) + reply + self._after_reply([after])
        return appended != _render(
            self.tokenizer, [*history, {"role": "assistant", "content": reply}, after], self._tools
        )


@dataclass(frozen=True)
class _ControlTokens:
    """The names of a tokenizer's tokens for turns and tags, which it finds wherever they stand in a text."""

    every: re.Pattern[str]
    """Special tokens and tags."""
    special: re.Pattern[str]
    """Those that stand for no text: ends of turns, not tags such as `<tool_call>`."""

    def cut(self, text: str, *, special_alone: bool = False) -> list[str]:
        """The text in parts, cut behind the first character of every name, so that no part holds one."""
        pattern = self.special if special_alone else self.every
        parts, start, place = [], 0, 0
        while found := pattern.search(text, place):
            place = found.start() + 1
            parts.append(text[start:place])
            start = place
        return [*parts, text[start:]]

    def seamed(self, message: Message, seam: str) -> dict[str, Any]:
        """A message with a seam at every cut; an agent's keeps its tags."""
        role = message["role"]
        return {
            key: seam.join(self.cut(value, special_alone=role == "assistant"))
            if isinstance(value, str) and key != "role"
            else value
            for key, value in message.items()
        }


@functools.lru_cache(maxsize=16)
def _control_tokens(tokenizer: Any) -> _ControlTokens:
    """Those of a tokenizer: special ones and tags. The other added tokens, such as the shipped model's pairs of digits,
    are ordinary text."""
    added = [token for token in tokenizer.added_tokens_decoder.values() if len(token.content.strip()) > 1]
    special = [token.content for token in added if token.special]
    tags = [token.content for token in added if not token.special and _TAG.fullmatch(token.content)]
    return _ControlTokens(_any_of([*special, *tags]), _any_of(special))


def _any_of(names: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds the names, and nothing where there is none."""
    return re.compile("|".join(map(re.escape, names)) or r"(?!)")


@functools.lru_cache(maxsize=16)
def template_format(tokenizer: Any, end_of_turn_id: int) -> ToolFormat:
    """How a tokenizer's chat template writes a tool call: the format in which a call that it renders is read back.

    Args:
        tokenizer: a transformers tokenizer with a chat template.
        end_of_turn_id: the token that ends a turn.

    Raises:
        InvalidValueError: the call does not come back in any format that is read, or its result cannot be rendered.
    """
    history = [{"role": "system", "content": "Help."}, _USER]
    function = {"name": _PROBE.name, "arguments": dict(_PROBE.arguments)}
    call = {"id": _PROBE.id, "type": "function", "function": function}
    said = {"role": "assistant", "content": "", "tool_calls": [call]}
    opened = _render(tokenizer, history, [_PROBE_TOOL])
    whole = _render(tokenizer, [*history, said], [_PROBE_TOOL], generation_prompt=False)
    _render(tokenizer, [*history, said, {**_TOOL, "tool_call_id": _PROBE.id}], [_PROBE_TOOL])
    written = whole[len(_common_start(opened, whole)) :].partition(tokenizer.decode([end_of_turn_id]))[0]
    for tool_format in ToolFormat:
        if _comes_back(written, tool_format):
            return tool_format
    raise InvalidValueError(
        f"The chat template of tokenizer {tokenizer.name_or_path!r} writes a tool call as {written.strip()[:200]!r}, "
        f"which is none of the formats that are read ({', '.join(ToolFormat)}): {_TO_MEND}"
    )


def _common_start(one: str, other: str) -> str:
    length = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    return min(one, other, key=len) if length is None else one[:length]


def _comes_back(written: str, tool_format: ToolFormat) -> bool:
    try:
        message = parse_message(written, tool_format, [_PROBE_TOOL])
    except MalformedMessageError:
        return False
    read = [(call.name, call.arguments) for call in message.tool_calls]
    return message.content is None and read == [(_PROBE.name, _PROBE.arguments)]


def _prefix(tokenizer: Any, system: Message, tools: list[dict[str, Any]] | None) -> str:
    """What every conversation starts with.

    Some templates (Qwen3.5's) refuse a system prompt alone: then it is what two conversations have in common, up to
    the token that begins a turn.
    """
    try:
        return _render(tokenizer, [system], tools, generation_prompt=False)
    except InvalidValueError:
        starts = ([system, _USER], [system, _GREETING, _USER])
        common = _common_start(*(_render(tokenizer, start, tools) for start in starts))
        turns = [found.start() for found in _control_tokens(tokenizer).every.finditer(common)]
        return common[: turns[-1]] if turns else ""


@functools.lru_cache(maxsize=16)
def _frame(tokenizer: Any, system_prompt: str, tools_json: str) -> tuple[str, tuple[int, ...], int]:
    """The prefix as text and as tokens, and the end-of-turn token: what is the same in every episode.

    Raises:
        InvalidValueError: see ChatEncoder.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise InvalidValueError(
            f"Tokenizer {tokenizer.name_or_path!r} has no chat template; use an instruction-tuned model, or write one "
            "into the model's folder: tau-retail doctor --chat-template FOLDER"
        )
    tools = json.loads(tools_json)
    system = {"role": "system", "content": system_prompt}
    history = [system, _USER, {"role": "assistant", "content": _REPLY}, _USER]
    prefix_text = _prefix(tokenizer, system, tools)
    whole = _render(tokenizer, history, tools)
    before, found, after = whole.removeprefix(prefix_text).partition(_REPLY)
    parts = [_encode(tokenizer, part) for part in (prefix_text, before, _REPLY, after)]
    seams_hold = found and whole.startswith(prefix_text) and (*itertools.chain(*parts),) == _encode(tokenizer, whole)
    if not seams_hold or not parts[0] or parts[3][0] not in tokenizer.added_tokens_decoder:
        raise InvalidValueError(
            f"The chat template of tokenizer {tokenizer.name_or_path!r} cannot be encoded turn by turn: its system "
            "prompt must come first, and a turn must end in a token of its own (as ChatML's in <|im_end|>). One that "
            "can is written into the model's folder by: tau-retail doctor --chat-template FOLDER"
        )
    if missing := [name for name in _names(tools) if f'"{name}"' not in prefix_text]:
        raise InvalidValueError(
            f"The chat template of tokenizer {tokenizer.name_or_path!r} does not show the model its tools (missing: "
            f"{', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}). Use prompt_style=compressed, which tells "
            "them in the system prompt; a model whose template knows tools; or write a template into the model's "
            "folder: tau-retail doctor --chat-template FOLDER"
        )
    return prefix_text, parts[0], parts[3][0]


def _names(tools: Sequence[Mapping[str, Any]] | None) -> list[str]:
    return [str(tool["function"]["name"]) for tool in tools or ()]


def _render(
    tokenizer: Any,
    messages: Sequence[Message],
    tools: list[dict[str, Any]] | None,
    *,
    generation_prompt: bool = True,
) -> str:
    """The conversation as the template renders it.

    Raises:
        InvalidValueError: the template refuses it.
    """
    try:
        text: str = tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tools=tools,
            tokenize=False,
            add_generation_prompt=generation_prompt,
            **_TEMPLATE_OPTIONS,
        )
    except Exception as error:  # a template is a program of the model's makers, and fails in its own ways
        raise InvalidValueError(
            f"The chat template of tokenizer {tokenizer.name_or_path!r} cannot render a conversation "
            f"({type(error).__name__}: {str(error)[:200]}): {_TO_MEND}"
        ) from error
    return text


@functools.lru_cache(maxsize=1024)
def _encode(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Tokens of a text. What an episode's siblings are told is mostly the same, and found here."""
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def _encode_parts(tokenizer: Any, parts: Iterable[str]) -> list[int]:
    return [token for part in parts for token in _encode(tokenizer, part)]
