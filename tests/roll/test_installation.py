"""How ROLL must be installed: as a checkout, because its own wheel is not whole."""

import ast

import pytest


def test_rolls_own_wheel_leaves_out_what_its_environment_workers_import(roll):
    setuptools = pytest.importorskip("setuptools")
    packaged = set(setuptools.find_packages(str(roll), include=["roll", "roll.*"]))
    worker = ast.parse((roll / "roll" / "pipeline" / "agentic" / "environment_worker.py").read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(worker) if isinstance(node, ast.ImportFrom) and node.module}
    folders = {name.rpartition(".")[0] for name in imported if name.startswith("roll.")}
    assert folders - packaged == {"roll.pipeline.agentic.proxy"}
