"""Part of the stand-in for vLLM: an engine that draws a token a step for each of `max_num_seqs` requests."""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace
from typing import Any

import torch


class LLMEngine:
    """Vllm's engine, as far as it is used."""

    def __init__(self, arguments: Any) -> None:
        print(f"stand-in: {arguments}", flush=True)
        self._arguments = arguments
        self._plan = json.loads(os.environ.get("VLLM_STAND_IN", "{}"))
        self._obey("start")
        from transformers import AutoModelForCausalLM  # takes seconds, which an engine that fails at start need not

        self._model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
        self._requests: dict[str, tuple[list[int], Any, list[int], list[float], dict[str, Any]]] = {}
        self._steps = 0

    @classmethod
    def from_engine_args(cls, engine_args: Any) -> LLMEngine:
        """Make an engine."""
        return cls(engine_args)

    def add_request(self, request_id: str, prompt: dict[str, Any], params: Any) -> str:
        """Take a request; what vLLM refuses is refused."""
        ids = prompt["prompt_token_ids"]
        assert prompt["type"] == "token"
        assert request_id not in self._requests
        assert len(ids) + params.max_tokens <= self._arguments.max_model_len
        self._requests[request_id] = (list(ids), params, [], [], {})
        return request_id

    @torch.inference_mode()
    def step(self) -> list[Any]:
        """Draw a token for the first requests; returns those that ended."""
        self._steps += 1
        if self._steps > 20:
            self._obey("play")
        ended = []
        for name, (ids, params, said, chances, kept) in list(self._requests.items())[: self._arguments.max_num_seqs]:
            told = self._model(torch.tensor([said[-1:] or ids]), use_cache=True, logits_to_keep=1, **kept)
            kept["past_key_values"] = told.past_key_values
            logits = told.logits[0, -1].float()
            token = int(logits.argmax()) if params.temperature == 0 else self._drawn(logits, params, len(said))
            said.append(token)
            chances.append(float(torch.log_softmax(logits, -1)[token]))
            reason = "stop" if token in params.stop_token_ids else "length" if len(said) == params.max_tokens else None
            if reason:
                ended.append(self._output(name, ids, params, said, chances, reason))
                del self._requests[name]
        return ended

    def _drawn(self, logits: Any, params: Any, place: int) -> int:
        generator = torch.Generator().manual_seed(params.seed + place)
        return int(torch.multinomial(torch.softmax(logits / params.temperature, -1), 1, generator=generator))

    def _output(self, name: str, ids: list[int], params: Any, said: list[int], chances: list[float], why: str) -> Any:
        logprobs = SimpleNamespace(logprobs=chances) if params.logprobs is not None else None
        completion = SimpleNamespace(token_ids=said, logprobs=logprobs, finish_reason=why)
        return SimpleNamespace(
            request_id=name, finished=True, prompt_token_ids=ids, num_cached_tokens=0, outputs=[completion]
        )

    def _obey(self, when: str) -> None:
        """Do what the test has told: ever again, or once for each mark that it names."""
        what, marks = self._plan.get(when, (None, []))
        if what is None or (marks is not None and not any(_made(mark) for mark in marks)):
            return
        if what == "die":
            os._exit(9)
        if what == "hang":
            time.sleep(600)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def _made(mark: str) -> bool:
    """Whether a mark was not there before."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
