"""The first update of a warm-up changes the weights."""

import pytest
import torch
from transformers import get_scheduler

from tau_retail_env.models.warm_up import start_above_zero


def rates(kind, *, shift):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=2.0)
    scheduler = get_scheduler(kind, optimizer, num_warmup_steps=4, num_training_steps=20)
    if shift:
        start_above_zero(scheduler, 4)
    found = []
    for _ in range(20):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("kind", ["constant_with_warmup", "linear", "cosine"])
def test_the_rate_rises_from_the_first_update_on_and_then_follows_its_schedule(kind):
    """As transformers has it, the first rate is 0."""
    theirs, ours = rates(kind, shift=False), rates(kind, shift=True)
    assert theirs[0] == 0
    assert ours[:4] == [0.5, 1.0, 1.5, 2.0]
    assert ours[4:] == theirs[4:]


def test_without_a_warm_up_nothing_changes():
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=2.0)
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=4)
    start_above_zero(scheduler, 0)
    assert optimizer.param_groups[0]["lr"] == 2.0
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 1.5


def test_a_run_that_goes_on_has_the_rates_of_one_that_was_never_stopped():
    def begun():
        optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=2.0)
        scheduler = get_scheduler("constant_with_warmup", optimizer, num_warmup_steps=4)
        start_above_zero(scheduler, 4)
        return optimizer, scheduler

    optimizer, scheduler = begun()
    optimizer.step()
    scheduler.step()
    again, resumed = begun()
    again.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    assert again.param_groups[0]["lr"] == 1.0
    again.step()
    resumed.step()
    assert again.param_groups[0]["lr"] == 1.5


def test_the_local_engines_trainers_begin_so():
    """Of the trainer only what makes the schedule is stood in for: TRL's own, by the same call of transformers."""
    from types import SimpleNamespace

    from tau_retail_env.local.grpo import EpisodeTrainer
    from tau_retail_env.local.sft import ConversationTrainer

    for kind in (EpisodeTrainer, ConversationTrainer):
        trainer = kind.__new__(kind)
        trainer.optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=2.0)
        trainer.lr_scheduler = None
        trainer.args = SimpleNamespace(
            lr_scheduler_type="constant_with_warmup",
            lr_scheduler_kwargs=None,
            get_warmup_steps=lambda num_training_steps: 4,
        )
        trainer.create_scheduler(num_training_steps=20)
        assert trainer.optimizer.param_groups[0]["lr"] == 0.5
