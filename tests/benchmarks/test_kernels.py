"""Kernels by kind, and roll_time over runs of several tags."""

import subprocess
import sys

import pytest

from benchmarks.kernels import by_kind, kind_of, profile


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("cudnn_generated_fort_native_sdpa_sm90_flash_bprop_wgmma_f16", "attention"),
        ("pytorch_flash::flash_bwd_dq_dk_dv_loop_seqk_parallel_kernel", "attention"),
        ("nvjet_tst_192x192_64x4_2x1_v_bz_coopB_NNT", "matrix products"),
        ("void at::native::vectorized_layer_norm_kernel<c10::BFloat16>", "norms"),
        ("void at::native::elementwise_kernel<128, 2, direct_copy_kernel_cuda>", "copies"),
        ("void at::native::vectorized_elementwise_kernel<4, silu_kernel>", "pointwise"),
        ("multi_tensor_apply_kernel<FusedAdam>", "optimizer"),
        ("cunn_SoftMaxForward", "softmax and reductions"),
        ("anything else", "others"),
    ],
)
def test_a_kernel_has_the_kind_that_its_name_says(kernel, kind):
    assert kind_of(kernel) == kind


def test_what_no_kernel_takes_is_idle():
    told = by_kind([("flash_fwd", 1.0), ("nvjet", 2.0), ("flash_bwd", 0.5)], wall_s=4.0)
    assert told == {"attention": 1.5, "matrix products": 2.0, "idle": 0.5}


def test_a_profile_of_real_operations_leaves_a_trace(tmp_path):
    import torch

    matrix = torch.randn(256, 256)
    told = profile(lambda: [matrix @ matrix for _ in range(20)], tmp_path / "trace.json.gz")
    assert told["others"] > 0 and told["idle"] >= 0  # a CPU's operation has another name than a GPU's kernel
    assert (tmp_path / "trace.json.gz").stat().st_size > 100


def test_each_tag_of_a_run_is_told_and_each_roles_process(repository):
    metrics = repository / "docs" / "runs" / "smol_chain" / "ppo_metrics.jsonl"
    command = [
        sys.executable,
        repository / "benchmarks" / "roll_time.py",
        metrics,
        "--episodes",
        "256",
        "--cores",
        "32",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for words in ("an episode of series2_train", "an episode of v1_train", "critic/train_step"):
        assert said.count(words) == 1
