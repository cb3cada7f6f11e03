"""Keeps the `calculate` tool from running for ever: upstream evaluates any expression, `9**9**9**9` included."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

MAX_BITS = 65_536
"""The longest whole number that may come up; it is far beyond what a float holds, which is what upstream returns."""
MAX_CHARACTERS = 19_000
"""The longest expression: without a power no number has more bits than its digits, log2(10) = 3.33 for each of them, so
that a product of this length stays below `MAX_BITS`."""
CHARACTERS = frozenset("0123456789+-*/(). ")
"""What upstream lets through to its evaluation."""
OPERATIONS: Mapping[type, Callable[..., Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


class _TooLargeError(Exception):
    """A whole number would need more than `MAX_BITS` bits."""


def is_affordable(expression: object) -> bool:
    """Whether upstream can evaluate the expression at once.

    Only whole-number powers make a short expression expensive (those of floats overflow at once), so of those that are
    not too long only expressions with a power are looked at, by evaluating them in upstream's order with bounded
    numbers. What is not valid arithmetic is left to upstream, which has its own error for it.

    Args:
        expression: the tool's argument, of any type.

    Returns:
        False if it is longer than `MAX_CHARACTERS`, if a whole number would need more than `MAX_BITS` bits, or if it is
        nested too deeply to tell.
    """
    if not isinstance(expression, str) or not CHARACTERS.issuperset(expression):
        return True
    if len(expression) > MAX_CHARACTERS:
        return False
    if "**" not in expression:
        return True
    try:
        _value(ast.parse(expression.strip(), mode="eval").body)
    except (_TooLargeError, RecursionError):
        return False
    except (SyntaxError, ArithmeticError, TypeError, ValueError, MemoryError):
        return True
    return True


def _value(node: ast.AST) -> Any:
    """The value of an expression; whatever goes wrong here goes wrong at the same place in upstream's evaluation."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp):
        return OPERATIONS[type(node.op)](_value(node.operand))
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Pow) and isinstance(left, int) and isinstance(right, int):
            # The size of the power, before anything computes it.
            _check_bits(left.bit_length() * right if abs(left) > 1 else 1)
        result = OPERATIONS[type(node.op)](left, right)
        _check_bits(result.bit_length() if isinstance(result, int) else 0)
        return result
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.expr, ast.keyword)):
            _value(child)
    raise TypeError("a number is no function")


def _check_bits(bits: int) -> None:
    if bits > MAX_BITS:
        raise _TooLargeError
