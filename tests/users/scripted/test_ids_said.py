"""Which ids the scripted customer of τ² says: those of upstream's text, but for the orders that stand here."""

from __future__ import annotations

import re

from tau_retail_env import TauRetailEnv
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.sources import load_tasks
from tau_retail_env.tasks import Task

ID = re.compile(r"#?W\d{7}\b|\b\d{10}\b|\b[a-z]+_[a-z]+_\d{4}\b")
"""Of an order, an item or a product, a user."""
FROM_THE_GOLD_WRITE = {
    "tau2/2": {"W2378156"},
    "tau2/4": {"W4776164"},
    "tau2/11": {"W5490111", "W7387996"},
    "tau2/16": {"W8665881"},
    "tau2/22": {"W9911714"},
    "tau2/23": {"W3947049"},
    "tau2/41": {"W4082615"},
    "tau2/42": {"W4082615"},
    "tau2/54": {"W7342738", "W4597054"},
    "tau2/55": {"W7342738", "W4597054", "W7773202"},
    "tau2/81": {"W9722559"},
    "tau2/87": {"W2466703", "W6832752"},
    "tau2/104": {"W6239298"},
    "tau2/107": {"W8353027"},
    "tau2/108": {"W1679211"},
}
"""Orders that upstream's text describes ("the other order", "all pending ones"): the customer takes their ids from the
gold write, so that it can be asked for them. It is frozen; docs/customer.md says so."""


def own_ids(env: TauRetailEnv, task: Task) -> set[str]:
    """Ids that the customer says, and neither upstream's text has nor the agent has said before."""
    known, found = f"{task.instruction}\n{task.scenario}", set()
    for message in play_episode(env, OracleAgent(task), EpisodeRequest(task.id, 0)).messages:
        said = message.get("content") or ""
        if message["role"] == "user":
            found |= {name.lstrip("#") for name in ID.findall(said) if name.lstrip("#") not in known}
        elif message["role"] == "assistant":
            known += f"\n{said}"
    return found


def test_the_customer_says_no_id_that_upstreams_text_does_not_have_but_for_those_orders() -> None:
    tasks = load_tasks("tau2", "base")
    assert len(tasks) == 114
    env = TauRetailEnv("tau2", tasks=tasks)
    assert {task.id: ids for task in tasks if (ids := own_ids(env, task))} == FROM_THE_GOLD_WRITE
