"""What makes vLLM start sooner."""

from __future__ import annotations


def look_up_models_here() -> None:
    """Have vLLM find out in this process what a model's class can do.

    Where it has not done so before on this machine, vLLM starts a Python for that, which imports PyTorch and vLLM anew:
    23 of the 145 s that an engine took to start in a recorded run (docs/runs/roll_groups). It does so to leave the GPU
    alone, which importing a model's class does as well. For processes that have imported vLLM, or are about to; a
    version of vLLM without that step is left as it is.
    """
    try:
        from vllm.model_executor.models import registry
    except ImportError:
        return
    if hasattr(registry, "_run_in_subprocess"):
        registry._run_in_subprocess = lambda look_up: look_up()
