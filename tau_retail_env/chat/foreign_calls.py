"""Noticing a tool call that is written in another format than the episode's, and so is speech to the customer."""

from __future__ import annotations

import re
from collections.abc import Collection

from tau_retail_env.chat.tool_formats import FORMS, ToolFormat

_MARKS = re.compile(
    r"<tool_call>|<tools>|<function=|<function_call>|<\|tool_call_start\|>|<\|tool▁call▁begin\|>|<\|python_tag\|>|\[TOOL_CALLS\]"
)
"""Tags that begin a call in some model's format."""
_OWN_MARKS = {
    ToolFormat.HERMES: ("<tool_call>",),
    ToolFormat.QWEN_XML: ("<tool_call>", "<function="),
    ToolFormat.LLAMA3_JSON: ("<|python_tag|>",),
    ToolFormat.MISTRAL: ("[TOOL_CALLS]",),
}
_JSON_CALL = re.compile(
    r'"(?:name|function)"\s*:\s*"[^"\n]{0,200}"\s*,\s*"(?:arguments|parameters)"\s*:'
    r'|"(?:arguments|parameters)"\s*:\s*\{[^{}]{0,2000}\}\s*,\s*"name"\s*:'
)
_PYTHON_CALL = re.compile(r"(?:^|[\[`])[ \t]{0,8}(\w{1,100})\((?:\s*\w{1,100}\s*=|\s*\))", re.MULTILINE)


def holds_foreign_call(text: str, tool_format: ToolFormat, tool_names: Collection[str]) -> bool:
    """Whether a text that is speech looks like a tool call to a reader: a guess, for counting and nothing else.

    Noticed are another format's tags, a JSON object with a name and arguments, bare or fenced, and a call as Python
    writes it at the beginning of a line or of a list (of a tool that exists).

    Args:
        text: the content of a message, or the whole text of one that cannot be read.
        tool_format: the episode's own format, whose tags are not foreign.
        tool_names: the tools that exist.
    """
    if any(mark[0] not in _OWN_MARKS[tool_format] for mark in _MARKS.finditer(text)):
        return True
    own_json = tool_format is not ToolFormat.QWEN_XML and FORMS[tool_format].tag.search(text)
    if not own_json and _JSON_CALL.search(text):
        return True
    return any(call[1] in tool_names for call in _PYTHON_CALL.finditer(text))
