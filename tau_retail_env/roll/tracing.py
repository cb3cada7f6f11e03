"""The span of one episode in ROLL's traces; nothing where ROLL is older than its traces."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

try:
    from roll.utils.telemetry import attach_trace_context, get_tracer
except ImportError:
    get_tracer = None


def open_span(trace_meta: Any, attributes: Mapping[str, Any]) -> ExitStack:
    """Open the span "trajectory", under the name that ROLL's own env manager gives it.

    Args:
        trace_meta: where the step's trace is, as ROLL's scheduler gave it.
        attributes: ids of the episode.

    Returns:
        What closes it.
    """
    stack = ExitStack()
    if get_tracer is not None:
        stack.enter_context(attach_trace_context(trace_meta))
        tracer = get_tracer("env_manager")
        stack.enter_context(tracer.start_as_current_span("trajectory", attributes=dict(attributes)))
    return stack
