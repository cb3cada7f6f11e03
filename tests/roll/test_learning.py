"""What the learners compute, beside ROLL's own: the same numbers from whole buckets of rows and fewer log-softmaxes."""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.roll_learning import make_batch, make_model, make_worker

OPTIONS = SimpleNamespace(shape="toy", tokens=60, spread=0.6, own=25, sequence_length=128, dtype="float32")
ROWS = 6
MICRO_BATCH = 150
"""Tokens: buckets of one to four of these rows."""


@pytest.fixture
def module(roll):
    from tau_retail_env.roll import learning

    return learning


@pytest.fixture
def process_group(roll):
    """Of this process alone."""
    import torch.distributed as dist

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def workers(module, process_group):
    """ROLL's own actor or critic and one without padding, with the same weights."""

    def make(*, values, multiple=1):
        theirs, ours = (make_worker(OPTIONS, values=values, update=ROWS) for _ in range(2))
        for one in (theirs, ours):
            module.still(one.strategy.model)
        module.trim_padding(ours.strategy, **sizes(multiple=multiple), values=values)
        return theirs, ours

    return make


def sizes(tokens=MICRO_BATCH, multiple=1):
    """Of micro-batches, with a gradient and without."""
    from tau_retail_env.roll.learning import Sizes

    return {"train": Sizes(tokens, multiple), "infer": Sizes(tokens, multiple)}


def batch(rows=ROWS, **changed):
    made = make_batch(SimpleNamespace(**(vars(OPTIONS) | changed)), rows, seed=1)
    made.meta_info["micro_batch_size"] = 1
    return made


def forward(worker, data):
    """What ROLL asks of the role without a gradient: values, or log-probabilities and entropies."""
    critic = hasattr(worker, "forward_func_values")
    function = worker.forward_func_values if critic else worker.forward_func_log_probs
    return worker.strategy.forward_step(batch=data, forward_func=function)


def update(worker, data):
    """Gradients and metrics of one update."""
    import torch

    kept = []
    worker.strategy.optimizer.step = lambda: kept.extend(
        weight.grad.full_tensor().flatten() for weight in worker.strategy.model.parameters()
    )
    metrics = worker.strategy.train_step(batch=data, loss_func=worker.loss_func)
    return torch.cat(kept), metrics


@pytest.mark.parametrize("multiple", [1, 64])
def test_log_probabilities_and_entropies_are_rolls_own_in_the_order_of_the_rows(workers, multiple):
    import torch

    data = batch()
    theirs, ours = (forward(worker, data) for worker in workers(values=False, multiple=multiple))
    for name in ("log_probs", "entropy"):
        assert theirs[name].abs().max() > 1
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("multiple", [1, 64])
def test_values_are_rolls_own_at_the_tokens_that_count_and_keep_their_length(workers, multiple):
    import torch

    data = batch()
    theirs, ours = (forward(worker, data)["values"] for worker in workers(values=True, multiple=multiple))
    where = data.batch["attention_mask"][:, :-1].bool()
    assert ours.shape == theirs.shape and theirs[where].abs().max() > 0.01
    torch.testing.assert_close(ours[where], theirs[where], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("multiple", [1, 64])
@pytest.mark.parametrize("values", [False, True], ids=["actor", "critic"])
def test_gradient_and_metrics_of_an_update_are_rolls_own(workers, values, multiple):
    """ROLL's micro-batches have one row each; ours here one to four, of different lengths."""
    import torch
    from roll.utils.functionals import reduce_metrics

    data = batch()
    pair = workers(values=values, multiple=multiple)
    (theirs, their_metrics), (ours, our_metrics) = (update(worker, data) for worker in pair)
    assert theirs.abs().max() > 1e-3
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    their_metrics, our_metrics = reduce_metrics(their_metrics), reduce_metrics(our_metrics)
    told = {name for name in their_metrics if not name.startswith("system/") and not name.endswith("@sum")}
    assert told and told <= set(our_metrics)
    for name in told:
        assert our_metrics[name] == pytest.approx(their_metrics[name], rel=1e-4, abs=1e-6), name


def test_the_sums_of_an_actors_metrics_are_rolls_own(workers):
    from roll.utils.functionals import flatten_sum

    data = batch()
    theirs, ours = (update(worker, data)[1] for worker in workers(values=False))
    for name in [name for name in theirs if name.endswith("@sum")]:
        assert ours[name] == pytest.approx(flatten_sum(theirs[name]), rel=1e-4, abs=1e-5), name


@pytest.mark.parametrize("values", [False, True], ids=["actor", "critic"])
def test_updates_with_different_numbers_of_micro_batches_are_told_together(workers, values):
    """As ROLL's worker does at the end of a step."""
    from roll.utils.functionals import append_to_dict, reduce_metrics

    step = {}
    updates = [update(workers(values=values)[1], batch(rows))[1] for rows in (ROWS, 1)]
    for told in updates:
        append_to_dict(step, told)
    reduced = reduce_metrics(step)
    assert set(reduced) == set(updates[0])
    for name in [name for name in reduced if name.endswith("@max")]:
        assert reduced[name] == max(told[name] for told in updates), name


@pytest.mark.parametrize("mode", ["seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm"])
def test_so_is_the_gradient_of_losses_averaged_over_rows(workers, mode):
    import torch

    pair = workers(values=False)
    for worker in pair:
        worker.pipeline_config.loss_agg_mode = mode
    data = batch()
    theirs, ours = (update(worker, data)[0] for worker in pair)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_rows_are_padded_to_the_multiple_and_no_further_than_rolls(workers):
    worker, lengths = workers(values=False, multiple=48)[1], []
    worker.strategy.model.register_forward_pre_hook(
        lambda _, __, named: lengths.append(named["input_ids"].shape[1]), with_kwargs=True
    )
    forward(worker, batch())
    assert {length % 48 for length in lengths if length < OPTIONS.sequence_length} == {0}
    assert max(lengths) <= OPTIONS.sequence_length


@pytest.mark.parametrize(("train", "infer", "cudnn"), [(128, 256, True), (64, 256, False), (256, 4, False)])
def test_cudnns_attention_is_in_where_all_micro_batches_have_few_lengths(
    module, process_group, monkeypatch, train, infer, cudnn
):
    import torch

    told = []
    monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", told.append)
    strategy = make_worker(OPTIONS, values=False, update=ROWS).strategy
    module.trim_padding(strategy, train=module.Sizes(MICRO_BATCH, train), infer=module.Sizes(MICRO_BATCH, infer))
    assert told == [cudnn]


@pytest.mark.parametrize("values", [False, True], ids=["actor", "critic"])
def test_gradient_checkpointing_changes_no_gradient(workers, values):
    import torch

    theirs, ours = workers(values=values)
    ours.strategy.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    data = batch()
    torch.testing.assert_close(update(ours, data)[0], update(theirs, data)[0], rtol=1e-4, atol=1e-6)


def test_rows_without_a_token_of_the_actors_have_a_gradient_of_zero(workers):
    """So an episode that was over before the first turn stops no update."""
    _, ours = workers(values=False)
    data = batch()
    data.batch["response_mask"].zero_()
    data.batch["advantages"].zero_()
    gradient, _ = update(ours, data)
    assert not gradient.any()
    assert not forward(ours, data)["log_probs"].any()


def test_only_the_actors_tokens_meet_the_vocabulary(workers):
    data = batch()
    _, ours = workers(values=False)
    met = []
    ours.strategy.model.lm_head.register_forward_hook(lambda module, given, output: met.append(output.shape[0]))
    forward(ours, data)
    assert sum(met) == int(data.batch["response_mask"][:, 1:].sum())


def waits(run):
    """How often the CPU would wait for a GPU's answer: for a number, or for the size of what a mask picks."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    asking = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero"}
    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            name = function.overloadpacket.__name__
            picks = name in ("index", "index_put", "index_put_") and any(
                place is not None and place.dtype == torch.bool for place in args[1]
            )
            if name in asking or picks:
                seen.append(name)
            return function(*args, **(kwargs or {}))

    with Watch():
        run()
    return seen


@pytest.mark.parametrize("values", [False, True], ids=["actor", "critic"])
@pytest.mark.parametrize("shape", ["toy", "SmolLM2-135M"], ids=["qwen2", "llama"])
def test_more_micro_batches_make_the_cpu_wait_for_the_gpu_no_more_often(
    module, process_group, monkeypatch, values, shape
):
    from benchmarks.roll_learning import SHAPES

    family, _ = SHAPES[shape]
    monkeypatch.setitem(SHAPES, shape, (family, SHAPES["toy"][1]))
    options = SimpleNamespace(**vars(OPTIONS) | {"shape": shape})
    data = batch(shape=shape)
    number, waited = [], []
    for tokens in (10_000, MICRO_BATCH):
        worker = make_worker(options, values=values, update=ROWS)
        module.trim_padding(worker.strategy, **sizes(tokens), values=values)
        runs = []
        worker.strategy.model.register_forward_hook(lambda *_, runs=runs: runs.append(1))

        def loss(rows, output, worker=worker):
            """As an actor's and a critic's, without their metrics, each of which ROLL reads with a wait."""
            if values:
                return output.square().mean(), {}
            marks = rows.batch["response_mask"]
            return worker.strategy.op_compute_log_probs(output, rows.batch["input_ids"], marks).sum(), {}

        waited.append(
            (
                sorted(waits(lambda worker=worker: forward(worker, data))),
                sorted(waits(lambda worker=worker, loss=loss: worker.strategy.train_step(data, loss))),
            )
        )
        number.append(len(runs))
    assert number[0] == 2 < number[1]
    assert waited[0] == waited[1]
    assert len(waited[0][0]) <= 3 and waited[0][0].count("nonzero") == 1  # where the actor's tokens stand


def test_weights_of_a_small_model_are_gathered_once_for_a_batch_and_the_numbers_stay(workers, module, monkeypatch):
    import torch
    from torch.distributed.fsdp import FSDPModule

    monkeypatch.setattr(module, "_is_small", lambda model: True)
    data = batch()
    theirs, ours = workers(values=False)
    model = ours.strategy.model
    layer = next(one for one in model.model.layers if isinstance(one, FSDPModule))
    gathered = []
    state = layer._get_fsdp_state()
    groups = getattr(state, "_fsdp_param_groups", None)  # a list in torch 2.13
    group = groups[0] if groups else state._fsdp_param_group
    monkeypatch.setattr(group, "unshard", wrapped(group, gathered))
    torch.testing.assert_close(
        forward(ours, data)["log_probs"], forward(theirs, data)["log_probs"], rtol=1e-5, atol=1e-5
    )
    assert sum(gathered) == 1
    torch.testing.assert_close(update(ours, data)[0], update(theirs, data)[0], rtol=1e-4, atol=1e-6)
    assert sum(gathered) == 2
    with torch.no_grad():
        for one in (theirs, ours):
            for weight in one.strategy.model.parameters():
                weight.mul_(1.1)
    torch.testing.assert_close(
        forward(ours, data)["log_probs"], forward(theirs, data)["log_probs"], rtol=1e-5, atol=1e-5
    )


def wrapped(group, gathered):
    """FSDP2's own gathering, which does nothing where the weights are there already."""
    plain = group.unshard

    def unshard(*given, **named):
        gathered.append(group.is_sharded and group._all_gather_result is None)
        return plain(*given, **named)

    return unshard


def test_rows_padded_elsewhere_than_at_the_end_are_refused(workers):
    _, ours = workers(values=False)
    data = batch()
    data.batch["attention_mask"][:, 0] = 0
    with pytest.raises(ValueError, match="padding before or between tokens"):
        forward(ours, data)


def test_buckets_are_divided_until_there_are_as_many_as_on_another_gpu(module):
    parts = module.in_parts([[0, 1, 2, 3], [4]], 4)
    assert sorted(place for part in parts for place in part) == [0, 1, 2, 3, 4]
    assert len(parts) == 4 and all(parts)


def head_of(worker):
    """Weights and bias of a critic's head."""
    import torch

    return torch.cat([weight.full_tensor().flatten() for weight in worker.strategy.model.score.parameters()])


def on_one_of_two_gpus(folder):
    """Both sides' update of half of the rows: the short ones on one GPU, the long ones on the other."""
    import torch
    import torch.distributed as dist

    from tau_retail_env.roll import learning
    from tau_retail_env.roll.value_head import ValueHead

    dist.init_process_group("gloo")
    rank, found = dist.get_rank(), {}
    for values in (False, True):
        for side in ("theirs", "ours"):
            worker = make_worker(OPTIONS, values=values, update=ROWS // 2)
            learning.still(worker.strategy.model)
            if side == "ours":
                trimmed = learning.trim_padding(worker.strategy, **sizes(), values=values)
            rows = batch()
            order = rows.batch["attention_mask"].sum(dim=1).argsort()
            rows = rows.select_idxs(order[rank * ROWS // 2 : (rank + 1) * ROWS // 2])
            buckets = learning.by_length(rows.batch["attention_mask"].sum(dim=1).tolist(), MICRO_BATCH)
            told = forward(worker, rows)["values" if values else "log_probs"]
            found[side, values] = (update(worker, rows)[0], told, len(buckets))
    ValueHead(trimmed).fit(rows)
    found["head"] = head_of(worker)
    torch.save(found, Path(folder) / f"{rank}.pt")


def test_two_gpus_with_different_numbers_of_buckets_give_rolls_gradient(roll, tmp_path, module, workers):
    """FSDP2 exchanges weights in every micro-batch: with one more on one GPU it would wait for ever."""
    import torch

    from tau_retail_env.roll.value_head import ValueHead

    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(root), str(roll), *sys.path])
    shared = {**os.environ, "PYTHONPATH": path, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29617", "WORLD_SIZE": "2"}
    shared |= {"ROLL_LOG_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([sys.executable, __file__, str(tmp_path)], env=shared | {"RANK": str(rank)}, cwd=root)
        for rank in range(2)
    ]
    assert [rank.wait(600) for rank in ranks] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert first["ours", False][2] != second["ours", False][2]
    for one in (first, second):
        torch.testing.assert_close(one["ours", False][1], one["theirs", False][1], rtol=1e-5, atol=1e-5)
    for values in (False, True):
        alone, _ = update(workers(values=values)[0], batch())
        for one in (first, second):
            torch.testing.assert_close(one["ours", values][0], one["theirs", values][0], rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(one["ours", values][0], alone, rtol=1e-4, atol=1e-6)
    fitted = make_worker(OPTIONS, values=True, update=ROWS)
    before = head_of(fitted).clone()
    ValueHead(module.trim_padding(fitted.strategy, **sizes(), values=True)).fit(batch())
    assert (head_of(fitted) - before).abs().max() > 0.01
    for one in (first, second):
        torch.testing.assert_close(one["head"], head_of(fitted), rtol=1e-3, atol=1e-5)


def test_a_sequence_divided_among_gpus_is_left_to_roll(module):
    one = SimpleNamespace(worker=SimpleNamespace(rank_info=SimpleNamespace(cp_size=2)))
    module.trim_padding(one)
    assert set(vars(one)) == {"worker"}


def test_no_dropout_is_left_in_a_value_model(module):
    import torch

    model = make_model("toy", values=True).train()
    assert model.dropout.p == 0.1  # transformers' own
    module.still(model)
    ids = torch.arange(8)[None]
    assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)


def test_a_new_value_head_starts_at_zero_and_a_trained_one_stays(module):
    import torch

    new, trained = (make_model("toy", values=True) for _ in range(2))
    new.config.architectures, trained.config.architectures = ["Qwen2ForCausalLM"], ["Qwen2ForTokenClassification"]
    for model in (new, trained):
        module.start_at_zero(model)
    ids = torch.arange(8)[None]
    assert not new(input_ids=ids).logits.any()
    assert trained(input_ids=ids).logits.abs().max() > 0


def test_explained_variance_is_1_for_the_returns_and_0_for_their_mean(module):
    import torch

    mask = torch.tensor([[1, 1, 0], [1, 1, 0]])
    returns = torch.tensor([[0.0, 0.0, 9.0], [1.0, 1.0, 9.0]])
    assert module.explained_variance(returns, returns, mask) == 1
    assert module.explained_variance(torch.full_like(returns, 0.5), returns, mask) == 0
    assert module.explained_variance(1 - returns, returns, mask) == -3
    assert module.explained_variance(returns, torch.ones_like(returns), mask) is None


def test_a_critic_learns_what_the_returns_are(module, process_group, monkeypatch):
    """Zero head, no dropout: explained variance starts at or below 0 and ends above it."""
    import torch

    worker = make_worker(OPTIONS, values=True, update=ROWS)
    worker.strategy.model.config.architectures = ["Qwen2ForCausalLM"]
    module.still(worker.strategy.model)
    module.start_at_zero(worker.strategy.model)
    module.trim_padding(worker.strategy, **sizes(), values=True)
    worker.strategy.optimizer = torch.optim.AdamW(worker.strategy.model.parameters(), lr=3e-3)
    data = batch()
    won = (torch.arange(ROWS) % 2)[:, None]
    data.batch["returns"] = won.expand(-1, OPTIONS.sequence_length - 1).float().clone()
    data.batch["input_ids"][:, 0] = won[:, 0]  # the first token says it

    def explained():
        data.batch["values"] = forward(worker, data)["values"]
        return module.explained_variance(
            data.batch["values"], data.batch["returns"], data.batch["response_mask"][:, 1:]
        )

    assert explained() <= 0
    for _ in range(30):
        worker.strategy.train_step(batch=data, loss_func=worker.loss_func)
        explained()
    assert explained() > 0.3


def foreseeable(rows=48, seed=1):
    """Rows whose returns are told by which half of the vocabulary they use, beside chance."""
    import torch

    data = make_batch(OPTIONS, rows, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    won = torch.rand(rows, 1, generator=draw) < 0.5
    data.batch["input_ids"] = (data.batch["input_ids"] % 32 + 32 * won) * data.batch["attention_mask"]
    luck = torch.rand(rows, 1, generator=draw)
    data.batch["returns"] = 0.3 + 0.4 * won + 0.3 * luck.expand(-1, OPTIONS.sequence_length - 1)
    data.meta_info["micro_batch_size"] = 1
    return data


@pytest.fixture
def critic(module, process_group):
    """A critic of the run, as the worker's `initialize` leaves it, in a warm-up of one step."""
    import torch

    from tau_retail_env.roll.workers import LearningCritic

    worker = make_worker(OPTIONS, values=True, update=ROWS)
    worker.__class__ = LearningCritic
    worker.pipeline_config.critic_warmup = 1
    worker.strategy.model.config.architectures = ["Qwen2ForCausalLM"]
    worker.strategy.optimizer = torch.optim.AdamW(worker.strategy.model.parameters(), lr=3e-3)
    worker.worker_config.model_args = SimpleNamespace(disable_gradient_checkpointing=True)
    worker.prepare(worker.strategy.model)
    worker.learn_by(module.trim_padding(worker.strategy, **sizes(), values=True))
    return worker


def explained(module, worker, data):
    data.batch["values"] = forward(worker, data)["values"]
    return module.explained_variance(data.batch["values"], data.batch["returns"], data.batch["response_mask"][:, 1:])


def test_after_one_step_of_warm_up_a_critic_foresees_episodes_that_it_has_not_seen(critic, module):
    new = foreseeable(seed=2)
    assert explained(module, critic, new) < 0
    data = foreseeable(seed=1)
    data.meta_info["global_step"] = 0
    trunk = [weight.full_tensor().clone() for weight in critic.strategy.model.model.parameters()]
    told = critic.strategy.train_step(data, critic.loss_func)
    assert 0.5 < told["critic/head_r2"] < 1
    assert explained(module, critic, new) > 0.3
    now = critic.strategy.model.model.parameters()
    assert all(before.equal(weight.full_tensor()) for before, weight in zip(trunk, now, strict=True))


def test_the_fitted_head_is_the_ridge_regression_of_all_rows_each_weighing_the_same(critic):
    """In two batches, whose rows go through the model in several micro-batches, beside the formula."""
    import torch

    from tau_retail_env.roll.value_head import STRENGTH

    batches = [foreseeable(seed=seed) for seed in (1, 2)]
    inputs, targets, weights = [], [], []
    for data in batches:
        for row in range(len(data)):
            alone = data.slice(row, row + 1)
            ((rows, _, before, hidden),) = critic.head._rows.head_inputs(alone)
            inputs.append(hidden.double())
            targets.append(rows.batch["returns"][0, before].double())
            weights.append(torch.full((len(hidden),), 1 / len(hidden), dtype=torch.float64))
    x, y, w = torch.cat(inputs), torch.cat(targets), torch.cat(weights)
    x_mean, y_mean = w @ x / w.sum(), w @ y / w.sum()
    centred = x - x_mean
    spread = (centred * w[:, None]).T @ centred
    against = STRENGTH * spread.diagonal().mean() / w.sum()
    expected = torch.linalg.solve(spread + against * torch.eye(len(spread)), (centred * w[:, None]).T @ (y - y_mean))
    for data in batches:
        critic.head.fit(data)
    score = critic.strategy.model.score
    torch.testing.assert_close(score.weight.full_tensor()[0].double(), expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(
        score.bias.full_tensor()[0].double(), y_mean - x_mean @ expected, rtol=1e-3, atol=1e-5, check_dtype=False
    )


def test_after_the_warm_up_values_follow_the_mean_return_at_once_and_all_weights_learn(critic, module, monkeypatch):
    from roll.pipeline.base_worker import CriticWorker

    given = []

    def plain(self, data):
        given.append(data.batch["values"].clone())
        return SimpleNamespace(meta_info={"metrics": {}})

    monkeypatch.setattr(CriticWorker.train_step, "__wrapped__", plain)
    data = foreseeable()
    data.meta_info["global_step"] = 1
    explained(module, critic, data)
    said = data.batch["values"]
    told = type(critic).train_step.__wrapped__(critic, data)
    assert told.meta_info["metrics"]["critic/explained_variance"] < 0  # of the values before
    mask = data.batch["response_mask"][:, 1:].bool()
    means = [(data.batch["returns"][row][mask[row]]).mean() for row in range(len(data))]
    shift = sum(means) / len(means)
    assert (given[0] - said)[mask].tolist() == pytest.approx([float(shift)] * int(mask.sum()), abs=1e-5)
    assert explained(module, critic, data) == pytest.approx(0, abs=0.05)
    before = critic.strategy.model.model.embed_tokens.weight.full_tensor().clone()
    critic.strategy.train_step(data, critic.loss_func)
    assert not before.equal(critic.strategy.model.model.embed_tokens.weight.full_tensor())


@pytest.mark.parametrize(
    ("name", "strategy_name", "trimmed"),
    [
        ("LearningActor", "fsdp2_train", {"train": (20, 4), "infer": (30, 256), "values": False}),
        ("LearningCritic", "fsdp2_train", {"train": (20, 4), "infer": (30, 256), "values": True}),
        ("Reference", "fsdp2_infer", {"train": (30, 256), "infer": (30, 256)}),
        ("LearningActor", "megatron_train", None),
        ("Reference", "megatron_infer", None),
    ],
)
def test_which_workers_trim_padding(roll, module, monkeypatch, name, strategy_name, trimmed):
    from roll.distributed.executor.worker import Worker
    from roll.pipeline import base_worker

    from tau_retail_env.roll import workers

    given = []
    inner = SimpleNamespace(
        initialize=lambda **_: None,
        offload_states=lambda: None,
        load_checkpoint=lambda **_: None,
        tokenizer=None,
        model=None,
        scheduler=None,
    )
    monkeypatch.setattr(base_worker, "create_strategy", lambda worker: inner)
    monkeypatch.setattr(base_worker, "download_model", lambda path: path)
    monkeypatch.setattr(Worker, "initialize", lambda self, config: setattr(self, "pipeline_config", config))
    monkeypatch.setattr(workers, "trim_padding", lambda strategy, **said: given.append((strategy, said)))
    monkeypatch.setattr(workers, "start_above_zero", lambda scheduler, warmup_steps: None)
    monkeypatch.setattr(workers, "megatron", lambda worker: nullcontext())  # it is not installed everywhere
    kind = getattr(workers, name)
    monkeypatch.setattr(kind, "prepare", lambda self, model: None, raising=False)
    worker = kind.__new__(kind)
    worker.worker_config = SimpleNamespace(
        strategy_args=SimpleNamespace(strategy_name=strategy_name),
        training_args=SimpleNamespace(max_steps=3, get_warmup_steps=lambda steps: 1),
        max_tokens_per_microbatch_in_train=20,
        max_tokens_per_microbatch_in_infer=30,
        sequence_length_round_in_train=4,
        sequence_length_round_in_infer=256,
    )
    worker.cluster_name = worker.worker_name = "role"
    worker.initialize(SimpleNamespace(resume_from_checkpoint=False))
    if trimmed is not None:
        trimmed = {name: module.Sizes(*said) if name != "values" else said for name, said in trimmed.items()}
    assert given == ([] if trimmed is None else [(inner, trimmed)])


if __name__ == "__main__":
    on_one_of_two_gpus(sys.argv[1])
