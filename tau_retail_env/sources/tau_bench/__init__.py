"""τ-bench v1 retail, from the submodule, a checkout or an installed `tau_bench`."""
