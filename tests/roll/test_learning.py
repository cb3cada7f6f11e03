"""What the learners compute, beside what ROLL's own do: the same numbers from shorter rows and fewer log-softmaxes."""

from types import SimpleNamespace

import pytest

VOCABULARY = 64
PADDED = 24
ROWS = ((5, 4, 3, 4), (6, 3, 2, 2))
"""Tokens in turn of the customer's side and of the actor, of each row."""


@pytest.fixture
def module(roll):
    from tau_retail_env.roll import learning

    return learning


def strategy(roll, *, labels=None, cp_size=1):
    """ROLL's FSDP2 strategy around a small model, whose inputs are noted."""
    import torch
    from roll.distributed.strategy.fsdp2_strategy import FSDP2TrainStrategy
    from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2ForTokenClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    config = Qwen2Config(vocab_size=VOCABULARY, num_labels=labels or 2, **sizes, **heads)
    one = FSDP2TrainStrategy.__new__(FSDP2TrainStrategy)
    one.model = (Qwen2ForTokenClassification if labels else Qwen2ForCausalLM)(config).eval()
    one.worker = SimpleNamespace(rank_info=SimpleNamespace(cp_size=cp_size, cp_rank=0))
    one.lengths = []
    one.model.register_forward_pre_hook(
        lambda _, args, given: one.lengths.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    return one


def batch(*rows):
    """Token ids, attention, positions and the actor's tokens of padded rows."""
    import torch

    own = torch.zeros(len(rows), PADDED, dtype=torch.long)
    attention = torch.zeros_like(own)
    for number, turns in enumerate(rows):
        attention[number, : sum(turns)] = 1
        for turn in range(1, len(turns), 2):
            own[number, sum(turns[:turn]) : sum(turns[: turn + 1])] = 1
    ids = torch.randint(VOCABULARY, own.shape, generator=torch.Generator().manual_seed(1)) * attention
    positions = torch.clamp(attention.cumsum(dim=1) - 1, min=0)
    return ids, attention, positions, own


def learnt(one, rows=ROWS):
    """Log-probabilities and entropies as the loss takes them, and the gradients of both."""
    import torch

    ids, attention, positions, own = batch(*rows)
    logits = one._fsdp2_forward(
        input_ids=ids, attention_mask=attention, position_ids=positions, forward_args={"use_cache": False}
    )
    log_probs = one.op_compute_log_probs(logits=logits, input_ids=ids, attention_mask=own)
    entropy = one.op_compute_entropy(logits=logits, attention_mask=own)
    (log_probs.exp().sum() + entropy.pow(2).sum()).backward()
    gradients = torch.cat([weight.grad.flatten() for weight in one.model.parameters()])
    return log_probs.detach(), entropy.detach(), gradients


def test_log_probabilities_entropies_and_gradients_are_rolls_own(roll, module):
    import torch

    theirs, ours = strategy(roll), strategy(roll)
    module.spare(ours)
    for their, our in zip(learnt(theirs), learnt(ours), strict=True):
        assert our.shape == their.shape and our.dtype == their.dtype
        torch.testing.assert_close(our, their, rtol=1e-5, atol=1e-6)
    assert their.abs().max() > 0.1  # the gradients, last of all
    assert (theirs.lengths, ours.lengths) == ([PADDED], [17])


def test_only_the_actors_tokens_meet_the_vocabulary(roll, module, monkeypatch):
    """ROLL's own takes the logarithm of every token's probabilities, the customer's and the padding's too."""
    from roll.distributed.strategy import fsdp2_strategy

    taken = []

    def noting(log_probs_from_logits):
        return lambda logits, labels: taken.append(labels.numel()) or log_probs_from_logits(logits, labels)

    monkeypatch.setattr(fsdp2_strategy, "log_probs_from_logits", noting(fsdp2_strategy.log_probs_from_logits))
    monkeypatch.setattr(module, "log_probs_from_logits", noting(module.log_probs_from_logits))
    ours = strategy(roll)
    module.spare(ours)
    learnt(strategy(roll))
    learnt(ours)
    assert taken == [len(ROWS) * PADDED, sum(sum(turns[1::2]) for turns in ROWS)]


def test_rows_without_a_token_of_the_actors_have_a_gradient_of_zero(roll, module):
    """So an episode that was over before the first turn stops no update."""
    ours = strategy(roll)
    module.spare(ours)
    log_probs, entropy, gradients = learnt(ours, [(7,), (PADDED,)])
    assert not log_probs.any() and not entropy.any() and not gradients.any()


def test_a_row_of_full_length_stays_whole(roll, module):
    import torch

    theirs, ours = strategy(roll), strategy(roll)
    module.spare(ours)
    rows = [(PADDED - 3, 3), (2, 2)]
    for their, our in zip(learnt(theirs, rows), learnt(ours, rows), strict=True):
        torch.testing.assert_close(our, their, rtol=1e-5, atol=1e-6)
    assert ours.lengths == [PADDED]


def test_a_critics_values_keep_their_length(roll, module):
    import torch

    ids, attention, positions, _ = batch(*ROWS)
    theirs, ours = strategy(roll, labels=1), strategy(roll, labels=1)
    module.spare(ours, keep_length=True)
    given = {"input_ids": ids, "attention_mask": attention, "position_ids": positions}
    their, our = (one._fsdp2_forward(**given, forward_args={"use_cache": False}) for one in (theirs, ours))
    assert our.shape == their.shape
    where = attention.bool()
    torch.testing.assert_close(our[where], their[where], rtol=1e-5, atol=1e-6)
    assert not our[:, 17:].any()
    assert ours.lengths == [17]


def test_a_sequence_divided_among_gpus_is_left_to_roll(roll, module):
    one = strategy(roll, cp_size=2)
    module.spare(one)
    assert "_fsdp2_forward" not in vars(one) and "op_compute_log_probs" not in vars(one)


@pytest.mark.parametrize(
    ("name", "strategy_name", "spared"),
    [
        ("LearningActor", "fsdp2_train", {"keep_length": False}),
        ("LearningCritic", "fsdp2_train", {"keep_length": True}),
        ("Reference", "fsdp2_infer", {}),
        ("LearningActor", "megatron_train", None),
        ("Reference", "megatron_infer", None),
    ],
)
def test_which_workers_are_spared(roll, monkeypatch, name, strategy_name, spared):
    from roll.distributed.executor.worker import Worker
    from roll.pipeline import base_worker

    from tau_retail_env.roll import workers

    given = []
    inner = SimpleNamespace(
        initialize=lambda **_: None, offload_states=lambda: None, load_checkpoint=lambda **_: None, tokenizer=None
    )
    monkeypatch.setattr(base_worker, "create_strategy", lambda worker: inner)
    monkeypatch.setattr(base_worker, "download_model", lambda path: path)
    monkeypatch.setattr(Worker, "initialize", lambda self, config: setattr(self, "pipeline_config", config))
    monkeypatch.setattr(workers, "spare", lambda strategy, **said: given.append((strategy, said)))
    kind = getattr(workers, name)
    worker = kind.__new__(kind)
    worker.worker_config = SimpleNamespace(strategy_args=SimpleNamespace(strategy_name=strategy_name))
    worker.cluster_name = worker.worker_name = "role"
    worker.initialize(SimpleNamespace(resume_from_checkpoint=False))
    assert given == ([] if spared is None else [(inner, spared)])
