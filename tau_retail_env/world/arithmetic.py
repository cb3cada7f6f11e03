"""Keeps the `calculate` tool from running for ever: upstream evaluates any expression, `9**9**9**9` included."""

from __future__ import annotations

import ast
import math

MAX_BITS = 4096


def is_affordable(expression: object) -> bool:
    """Whether upstream can evaluate the expression at once.

    Only whole-number powers can make a short expression expensive (powers of floats overflow at once), so only they
    are bounded: none may need more than `MAX_BITS` bits. What is not valid arithmetic is left to upstream, which has
    its own error for it.

    Args:
        expression: the tool's argument, of any type.
    """
    if not isinstance(expression, str) or "**" not in expression:
        return True
    try:
        _integer_bits(ast.parse(expression.strip(), mode="eval").body)
    except OverflowError:
        return False
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return True


def _integer_bits(node: ast.AST) -> float | None:
    """Upper bound for the bits of a whole-number result, None for a float; OverflowError above `MAX_BITS`."""
    if isinstance(node, ast.UnaryOp):
        return _integer_bits(node.operand)
    if isinstance(node, ast.Constant):
        return math.log2(abs(node.value) + 1) if isinstance(node.value, int) else None
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _integer_bits(node.left), _integer_bits(node.right)
    if left is None or right is None or isinstance(node.op, ast.Div):
        return None
    if isinstance(node.op, ast.Pow):
        if right > math.log2(MAX_BITS) or left * 2**right > MAX_BITS:
            raise OverflowError
        return left * 2**right
    return left + right + 1
