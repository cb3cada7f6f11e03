"""`tau-retail serve-user`: a customer's model on this machine."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tau_retail_env.cli.options import examples, natural, positive
from tau_retail_env.cli.output import complain, say

if TYPE_CHECKING:
    from tau_retail_env.models.serving import Address, Engine

HELP = "start a server for a customer's model here, with vLLM or SGLang"
VLLM_KEY = "VLLM_API_KEY"
"""The environment variable whose key vLLM asks for where it is set."""
MAX_TOKENS = 1024
"""Tokens of a reply in the ready line. 2,000 characters of English, the longest message that is sent, are about 450; a
small model that finds no end would write until its context is full, and time out again and again."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options; what stands behind -- is the engine's."""
    parser.usage = "tau-retail serve-user [OPTIONS] MODEL [-- ENGINE ARGUMENTS]"
    parser.add_argument("model", metavar="MODEL", help="a name on the Hugging Face hub, or a folder")
    parser.add_argument("--engine", default="auto", metavar="NAME", help="vllm, sglang or auto (default)")
    parser.add_argument(
        "--python",
        type=Path,
        metavar="PATH",
        help="the interpreter, or the environment's folder, that has the engine (default this one, then .venv-roll)",
    )
    parser.add_argument("--host", default="127.0.0.1", metavar="HOST", help="where to listen (default 127.0.0.1)")
    parser.add_argument("--port", type=natural, default=0, metavar="N", help="default 0: one that is free")
    parser.add_argument(
        "--timeout", type=positive, default=1800, metavar="SECONDS", help="to get ready within (default 1800)"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="default outputs/serve_user_PORT.log")
    examples(parser, "tau-retail serve-user --python .venv-vllm org/model -- --max-model-len 8192")


def run(options: argparse.Namespace) -> int:
    """Start the engine, say when it is ready, and wait for its end."""
    from tau_retail_env.models.serving import Address, command_line, find_engine, serve

    engine = find_engine(options.engine, options.python)
    address = Address.free(options.host, options.port)
    command = command_line(engine, options.model, address.host, address.port, options.more)
    log = options.log or Path("outputs") / f"serve_user_{address.port}.log"
    say(f"starting {engine.name} {engine.version} on {address.url}; log: {log}")
    if not address.is_loopback:
        complain(
            f"warning: --host {address.host} lets everybody who reaches this machine use the model, without a password "
            "unless the engine asks for one"
        )
    return serve(
        command,
        address,
        log=log,
        timeout_s=options.timeout,
        ready=lambda models: say(_ready_lines(models, options.model, engine, address)),
    )


def _ready_lines(models: Sequence[str], model: str, engine: Engine, address: Address) -> str:
    """What to put in a run, now that the server is ready; vLLM asks for a key where its variable holds one."""
    name = model if model in models or not models else models[0]
    settings = [f"user.base_url={address.url}/v1", f"user.max_tokens={MAX_TOKENS}"]
    if engine.name == "vllm" and os.environ.get(VLLM_KEY):
        settings.append(f"user.api_key_env={VLLM_KEY}")
    block = " ".join(setting.removeprefix("user.") for setting in settings)
    return (
        f"ready: user_strategy=llm user_model={shlex.quote(name)} {' '.join(settings)}\n"
        f"check: tau-retail review --customer --user-strategy llm --user-model {shlex.quote(name)} --user {block}\n"
        "Ctrl-C stops it."
    )
