"""Give a model's folder a chat template that shows tools: `tau-retail doctor --chat-template`."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.chat.template import fallback_template
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.files import write_atomically

FILE_NAME = "chat_template.jinja"
"""The file in a model's folder that transformers, vLLM and SGLang read before any other template."""
REPLACED_NAME = "chat_template.before.jinja"
"""What the file that was there is called afterwards; nothing reads it."""
BESIDE_NAME = "chat_template.tools.jinja"
"""What the new file is called beside one that is there; nothing reads it."""
_TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


def give_template(folder: Path, tokenizer: Any, *, overwrite: bool = False) -> Path | None:
    """Put the fallback template into a model's folder, where the model's own does not show tools.

    Args:
        folder: the model's folder.
        tokenizer: the folder's tokenizer.
        overwrite: whether the new file takes the place of a `chat_template.jinja` that is there, which then stays as
            `chat_template.before.jinja`; else it is written beside.

    Returns:
        The file that was written; None where the model's own is good.

    Raises:
        InvalidValueError: turns of this tokenizer cannot be encoded one by one, or an earlier template would be lost.
            Nothing is written then.
    """
    if _shows_tools(tokenizer):
        return None
    fitted = copy.deepcopy(tokenizer)
    fitted.chat_template = fallback_template(tokenizer)
    _encoder(fitted)
    file, replaced = folder / FILE_NAME, folder / REPLACED_NAME
    if file.is_file() and not overwrite:
        file = folder / BESIDE_NAME
    elif file.is_file():
        text = file.read_text(encoding="utf-8")
        if replaced.exists() and replaced.read_text(encoding="utf-8") != text:
            raise InvalidValueError(f"{replaced} is there already, from an earlier change; move it away first")
        write_atomically(replaced, text)
    write_atomically(file, fitted.chat_template)
    return file


def _shows_tools(tokenizer: Any) -> bool:
    try:
        _encoder(tokenizer)
    except InvalidValueError:
        return False
    return True


def _encoder(tokenizer: Any) -> ChatEncoder:
    return ChatEncoder(tokenizer, system_prompt="Help.", tools=[_TOOL])
