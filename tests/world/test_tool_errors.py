"""Why a tool call failed."""

import pytest

from tau_retail_env import TauRetailEnv
from tau_retail_env.world.tool_errors import KINDS


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
    env.reset(seed=0)
    *_, info = env.step(f"<tool_call>\n{call}\n</tool_call>")
    counts = {name: info["metrics"][f"tool_errors_{name}"] for name in KINDS}
    assert counts == {name: float(name == kind) for name in KINDS}
    assert sum(counts.values()) == info["metrics"]["tool_errors"]
