"""Why a tool call failed."""

import pytest

from tau_retail_env import TauRetailEnv
from tau_retail_env.roll.tool_errors import error_kinds


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ('{"name": "fly", "arguments": {}}', "unknown_tool"),
        ('{"name": "get_order_details", "arguments": {}}', "wrong_arguments"),
        ('{"name": "get_order_details", "arguments": {"order_id": "#W1", "colour": "red"}}', "wrong_arguments"),
        ('{"name": "get_order_details", "arguments": {"order_id": "#W1"}}', "refused"),
        ('{"name": "calculate", "arguments": {"expression": "1 + 1"}}', None),
        ('{"name": "get_order_details", ', None),
    ],
)
@pytest.mark.parametrize("source", ["tau2", "tau_bench"])
def test_failed_calls_are_counted_by_kind(source, call, kind, request):
    if source == "tau_bench":
        request.getfixturevalue("tau_bench")
    env = TauRetailEnv(source=source, split="test")
    _, opening = env.reset(seed=0)
    text = f"<tool_call>\n{call}\n</tool_call>"
    *_, info = env.step(text)
    counts = error_kinds(text, info["messages"], opening["tools"])
    assert counts == {
        f"tool_errors_{name}": float(name == kind) for name in ("unknown_tool", "wrong_arguments", "refused")
    }
    assert sum(counts.values()) == info["metrics"]["tool_errors"]
