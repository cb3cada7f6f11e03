"""What τ² 1.0's own judge of assertions is asked, read from upstream's source: importing it would import litellm."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.sources.base import Message
from tau_retail_env.sources.tau2.editions import Edition
from tau_retail_env.world.assertions import Said

JUDGE_FILE = Path("evaluator") / "evaluator_nl_assertions.py"
CONFIG_FILE = Path("config.py")
_CLASS, _METHOD = "NLAssertionsEvaluator", "evaluate_nl_assertions"


def judge_messages(assertions: Sequence[str], conversation: Sequence[Said], edition: Edition) -> list[Message]:
    """The messages that upstream's judge sends to its model, word for word.

    Args:
        assertions: upstream's sentences.
        conversation: all messages, tool results included.
        edition: whose words.

    Raises:
        InvalidValueError: the edition has no such judge, or one that is written in another way.
    """
    spoken = "\n".join(f"{said.role}: {said.content}" for said in conversation)
    system, user = _prompts(edition)
    values = {"trajectory_str": spoken, "nl_assertions": list(assertions)}
    return [
        {"role": "system", "content": "".join(_filled(system, values))},
        {"role": "user", "content": "".join(_filled(user, values))},
    ]


@functools.cache
def judge_model(edition: Edition) -> str:
    """The model that upstream's judge is by default.

    Args:
        edition: whose.

    Raises:
        InvalidValueError: the edition names none.
    """
    for node in _tree(edition, CONFIG_FILE).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="DEFAULT_LLM_NL_ASSERTIONS")], value=ast.Constant(value=str(model))):
                return model
    raise _unreadable(edition, CONFIG_FILE, "DEFAULT_LLM_NL_ASSERTIONS")


@functools.cache
def _prompts(edition: Edition) -> tuple[ast.expr, ast.expr]:
    """The expressions of the system prompt and the user prompt."""
    tree = _tree(edition, JUDGE_FILE)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == _CLASS]
    methods = [node for one in classes for node in one.body if isinstance(node, ast.FunctionDef)]
    found: dict[str, ast.expr] = {}
    for method in methods:
        for node in method.body if method.name == _METHOD else ():
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    found[name] = value
    try:
        return found["system_prompt"], found["user_prompt"]
    except KeyError as error:
        raise _unreadable(edition, JUDGE_FILE, str(error)) from None


def _filled(text: ast.expr, values: Mapping[str, object]) -> Iterator[str]:
    """The parts of a string or f-string, its names replaced by values.

    Raises:
        InvalidValueError: it holds anything else.
    """
    for part in text.values if isinstance(text, ast.JoinedStr) else [text]:
        match part:
            case ast.Constant(value=str(words)):
                yield words
            case ast.FormattedValue(value=ast.Name(id=name)) if name in values:
                yield str(values[name])
            case _:
                raise InvalidValueError(
                    f"The prompt of upstream's judge has a part that cannot be read: {ast.unparse(part)}; "
                    "take nl_judge=rules"
                )


def _tree(edition: Edition, file: Path) -> ast.Module:
    try:
        return ast.parse((edition.package / file).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        raise _unreadable(edition, file, str(error)) from error


def _unreadable(edition: Edition, file: Path, reason: str) -> InvalidValueError:
    return InvalidValueError(
        f"nl_judge 'openai' asks what upstream's judge asks, but {edition.package / file} has none ({reason}); "
        "take nl_judge=rules"
    )
