"""What stands in the tables of docs/results.md: the stages, in order, and the files under docs/runs that tell of each.

A new stage is a `Stage` in `STAGES`, a new run also a line in `BEFORE`. Then
python benchmarks/results_tables.py --write
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A model's weights that were judged, or could have been: a row of the tables."""

    name: str
    """How all tables call it."""
    run: str
    """The folder under docs/runs whose README has the command."""
    what: str = ""
    """What was done, for the first table."""
    files: Mapping[str, str] = field(default_factory=dict)
    """By set, the evaluation: a file under docs/runs, after # the name of one of several in it. The sets: `tau2` (all
    114 tasks), `tau2 test`, `tau2 successes` (of the 114 task by task), `v1`, and those of `GENERATED`."""
    told: Mapping[str, str] = field(default_factory=dict)
    """By column, what only the README of the run says (its numbers stand there; a test holds them to it)."""
    in_short: str = ""
    """What README's short table calls it; empty where it is not in it."""


STAGES = (
    Stage(
        name="as it is",
        what="by today's customer; by the first run's the same",
        run="agents",
        files={
            "tau2": "agents/smol_as_it_is.tau2_base.json",
            "tau2 test": "agents/smol_as_it_is.tau2.json",
            "v1": "agents/smol_as_it_is.v1.json",
            "test2": "agents/smol_as_it_is.generated.json",
        },
        in_short="as it is",
    ),
    Stage(
        name="1st run",
        what="fine-tuned on 13,500 oracle conversations",
        run="smol_chain",
        files={"tau2": "smol_chain/sft_tau2.json", "test2 first": "smol_chain/sft_test2.json"},
    ),
    Stage(
        name="1st run, rejection sampling",
        what="fine-tuned on 1,330 kept episodes",
        run="smol_chain",
        told={"test2 first": "45.8 (38.8 to 52.9)"},
    ),
    Stage(name="1st run, PPO", what="four steps from the fine-tuned weights, not judged", run="smol_chain"),
    Stage(
        name="2nd run",
        what="fine-tuned with practice in choosing variants and hearing objections",
        run="smol_practice",
        files={"tau2": "smol_practice/sft_tau2.json", "test2": "smol_practice/sft_test2.json"},
    ),
    Stage(
        name="2nd run, rejection sampling",
        what="fine-tuned on 1,747 kept episodes; the first trial alone",
        run="smol_practice",
        told={"trials": "1", "pass^1": "18.4 (11.4 to 25.4)", "gain": "+3.5 (-0.9 to 8.8)"},
    ),
    Stage(
        name="3rd run, longer",
        what="16,000 conversations, a third series",
        run="smol_orders",
        told={
            "trials": "8",
            "pass^1": "16.7 (10.3 to 23.5)",
            "test2": "64.6 (57.8 to 71.4)",
            "test3": "49.0 (41.7 to 55.7)",
        },
    ),
    Stage(
        name="3rd run, orders",
        what="10,000 conversations, all orders read",
        run="smol_orders",
        files={"tau2": "smol_orders/tau2.json", "test3": "smol_orders/test3.json"},
    ),
    Stage(
        name="4th run",
        what="proposals with the order's status and all ids",
        run="smol_proposals",
        files={
            "tau2": "smol_proposals/tau2.json",
            "test2": "smol_proposals/test2.json",
            "test3": "smol_proposals/test3.json",
        },
        told={"corrected": "19.5", "gain": "+3.3 (-3.0 to +9.6)", "among the 114": "17.5 (7.2 to 29.1)"},
    ),
    Stage(
        name="5th run",
        what="20,000 conversations, look-ups after objections",
        run="smol_lookups",
        files={
            "tau2": "smol_lookups/sft_tau2.json",
            "test2": "smol_lookups/sft_test2.json",
            "test3": "smol_lookups/sft_test3.json",
        },
        told={"corrected": "16.8", "gain": "-2.7 (-8.4 to +2.7)", "among the 114": "12.5 (3.7 to 22.5)"},
        in_short="5th run, fine-tuned",
    ),
    Stage(
        name="5th run, rejection sampling",
        what="fine-tuned on 2,424 kept episodes",
        run="smol_lookups",
        files={
            "tau2": "smol_lookups/rft_tau2.json",
            "test2": "smol_lookups/rft_test2.json",
            "test3": "smol_lookups/rft_test3.json",
        },
        told={"corrected": "17.5", "gain": "+0.8 (-2.4 to +3.8)", "among the 114": "15.6 (5.9 to 26.6)"},
        in_short="5th run, rejection sampling: no gain shown",
    ),
    Stage(
        name="6th run",
        what="on from the 5th's last weights, with reasons, 2,320 updates",
        run="smol_reasons",
        files={
            "tau2": "smol_reasons/tau2.json",
            "tau2 test": "smol_reasons/row.tau2.json",
            "v1": "smol_reasons/row.v1.json",
            "test2": "smol_reasons/test2.json",
            "test2 first": "smol_reasons/row.generated.json",
            "test3": "smol_reasons/test3.json",
            "test4": "smol_reasons/test4.json",
        },
        told={"gain": "+6.9 (-0.1 to +14.0)", "among the 114": "25.9", "the 74": "27.4", "the 41": "32.3"},
    ),
    Stage(
        name="7th run",
        what="on from the 6th's weights, step by step, 3,581 updates on two GPUs",
        run="smol_steps",
        files={
            "tau2": "smol_steps/tau2.json",
            "test2": "smol_steps/test2.json",
            "test3": "smol_steps/test3.json",
            "test4": "smol_steps/test4.json",
            "test5": "smol_steps/test5.json",
        },
        told={"gain": "+11.3 (3.4 to 19.4)", "among the 114": "40.3"},
        in_short="7th run, fine-tuned on from the 5th's and 6th's weights",
    ),
    Stage(
        name="8th run",
        what="from the model as it is, in one fine-tuning of 2,147 updates on four GPUs",
        run="smol_at_once",
        files={
            "tau2": "smol_at_once/tau2.json",
            "tau2 successes": "smol_at_once/successes.json#tau2",
            "v1": "smol_at_once/successes.json#v1",
            "test2": "smol_at_once/test2.json",
            "test2 first": "smol_at_once/row.generated.json",
            "test3": "smol_at_once/test3.json",
            "test4": "smol_at_once/test4.json",
            "test5": "smol_at_once/test5.json",
        },
        in_short="8th run, fine-tuned once from the model as it is",
    ),
    Stage(
        name="8th run, temperature 0.6",
        what="the same weights; all else here is greedy",
        run="smol_at_once",
        files={"tau2": "smol_at_once/tau2_warm.json", "tau2 successes": "smol_at_once/successes.json#tau2_warm"},
    ),
    Stage(
        name="8th run, PPO",
        what="through ROLL on four GPUs, four steps of the actor",
        run="roll_four_gpus",
        files={
            "tau2": "roll_four_gpus/tau2.json",
            "tau2 successes": "roll_four_gpus/successes.json#tau2",
            "test2": "roll_four_gpus/test2.json",
        },
        told={"gain": "-0.9 (-2.4 to +0.4)"},
        in_short="8th run, PPO, four steps of the actor: no gain shown",
    ),
    Stage(
        name="9th run",
        what="on from the 8th's weights, with what is wanted and missing, 1,429 updates on four GPUs",
        run="smol_wants",
        files={
            "tau2": "smol_wants/tau2.json",
            "v1": "smol_wants/v1.json",
            "test2": "smol_wants/test2.json",
            "test3": "smol_wants/test3.json",
            "test4": "smol_wants/test4.json",
            "test5": "smol_wants/test5.json",
            "test6": "roll_shorter/successes.json#before, test6",
        },
    ),
    Stage(
        name="9th run, judged anew",
        what="the same weights, before PPO in groups",
        run="roll_groups",
        files={
            "tau2": "roll_groups/before.json#tau2",
            "tau2 test": "roll_groups/before.json#tau2_test",
            "test2": "roll_groups/before.json#test2",
            "test6 then": "roll_groups/before.json#test6",
        },
    ),
    *(
        Stage(
            name=f"9th run, PPO in groups, seed {seed}",
            what="on one GPU, four steps of the actor",
            run="roll_groups",
            files={
                "tau2": f"roll_groups/seed{seed}.json#tau2",
                "test2": f"roll_groups/seed{seed}.json#test2",
                **({"test4": "roll_groups/seed3.json#test4"} if seed == 3 else {}),
                "test5": f"roll_groups/seed{seed}.json#test5",
                "test6 then": f"roll_groups/seed{seed}.json#test6",
            },
        )
        for seed in (1, 3)
    ),
    Stage(
        name="9th run, PPO with partial reward",
        what="eight and ten steps of the actor, two seeds, not judged",
        run="roll_partial",
    ),
    Stage(
        name="9th run, PPO in shorter episodes",
        what="ten steps of the actor, judged on `test2` alone",
        run="roll_shorter",
        files={"test2": "roll_shorter/successes.json#after step 11, test2"},
    ),
    Stage(
        name="9th run, before the PPO that gains",
        what="the same weights, judged beside it",
        run="roll_gain",
        files={
            "tau2": "roll_gain/before.tau2.json",
            "tau2 successes": "roll_gain/successes.json#before, tau2",
            "tau2 test": "roll_gain/before.tau2_test.json",
            "test2": "roll_gain/before.test2.json",
        },
    ),
    Stage(
        name="9th run, PPO, seed 1",
        what="13 steps of the actor, the last seven of 512 episodes",
        run="roll_gain",
        files={
            "tau2": "roll_gain/seed1.tau2.json",
            "tau2 successes": "roll_gain/successes.json#seed 1, tau2",
            "tau2 test": "roll_gain/seed1.tau2_test.json",
            **{f"test{series}": f"roll_gain/seed1.test{series}.json" for series in (2, 3, 4, 5, 6)},
        },
        told={"gain": "+0.9 (-3.3 to 5.1)"},
        in_short="9th run, PPO, seed 1: none shown here, a gain on generated tasks",
    ),
    Stage(
        name="9th run, PPO, seed 2",
        what="seven steps of the actor, of 512 episodes",
        run="roll_gain",
        files={
            "tau2": "roll_gain/seed2.tau2.json",
            "tau2 successes": "roll_gain/successes.json#seed 2, tau2",
            "tau2 test": "roll_gain/seed2.tau2_test.json",
            **{f"test{series}": f"roll_gain/seed2.test{series}.json" for series in (2, 6)},
            **{f"test{series}": f"roll_third_seed/seed2.test{series}.json" for series in (3, 4, 5)},
        },
        told={"gain": "+2.6 (-2.0 to 7.2)"},
        in_short="9th run, PPO, seed 2: the same",
    ),
    Stage(
        name="9th run, PPO, seed 3",
        what="as seed 2",
        run="roll_third_seed",
        files={
            "tau2": "roll_third_seed/seed3.tau2.json",
            "tau2 successes": "roll_third_seed/successes.json#seed 3, tau2",
            **{f"test{series}": f"roll_third_seed/seed3.test{series}.json" for series in (2, 3, 4, 5, 6)},
        },
        told={"gain": "-0.4 (-5.5 to 4.7)"},
        in_short="9th run, PPO, seed 3: the same; all three +1.0 (-2.9 to 4.9)",
    ),
    Stage(
        name="9th run, τ²'s train added",
        what="174 updates more; judged on τ²'s 40 test tasks",
        run="smol_wants",
        files={"tau2 test": "smol_wants/tau2_added.json"},
    ),
    Stage(
        name="Qwen2.5-Coder-0.5B",
        what="fine-tuned on 11,414 conversations, twelve minutes on one GPU",
        run="qwen_coder",
        files={
            "tau2": "qwen_coder/tau2.json",
            "tau2 successes": "qwen_coder/successes.json#tau2",
            "v1": "qwen_coder/successes.json#v1",
            "test2": "qwen_coder/test2.json",
            "test4": "qwen_coder/test4.json",
            "test5": "qwen_coder/test5.json",
            "test6": "qwen_coder/test6.json",
        },
        in_short="Qwen2.5-Coder-0.5B, fine-tuned once",
    ),
)

GENERATED = {
    "test2": "`test2`, 192 drawn (floor 4.2)",
    "test2 first": "`test2`, the first 192 (5.2)",
    "test3": "`test3` (2.6)",
    "test4": "`test4` (3.1)",
    "test5": "`test5` (2.1)",
    "test6": "`test6` (1.0)",
    "test6 then": "`test6` as it was at b2e3078 (2.6)",
}
"""By set of a stage, the head of its column; in brackets what doing nothing earns."""
UNKNOWN = "unknown"
LOOKED = "what it lost there was looked into"
BEFORE: Mapping[str, tuple[str, str]] = {
    "agents": ("nothing is trained", ""),
    "small_model": (
        "three mixtures of identifiers and weight decay, judged on 600 conversations left out",
        "512 × 1 of its kinds, in held-out and in known phrasings (the laptop's)",
    ),
    "laptop": (
        "about eight runs with an earlier model, judged on this same test split; with this model none",
        "512 others × 1 by six models, by three of them again on a GPU",
    ),
    "grpo_steps": ("the laptop's, with more steps", ""),
    "local_gpu": ("the laptop's as they were then", ""),
    "roll_ppo": (UNKNOWN, ""),
    "roll_ppo_critic": ("roll_ppo, judged on 192 held-out episodes", ""),
    "roll_grpo": (UNKNOWN, "192 × 1 after step 20"),
    "roll_smol": (UNKNOWN, ""),
    "smol_chain": (
        f"{UNKNOWN}; one fine-tuning judged on τ² 0.2's 40 test tasks",
        "`test2` 192 × 1 after rejection sampling",
    ),
    "smol_practice": (
        f"the 1st, judged on τ²'s 114: {LOOKED}",
        "τ² `base`, 411 of 912 episodes, after rejection sampling",
    ),
    "smol_orders": (
        f"the 2nd, judged on τ²'s 114: {LOOKED}; two settings, both recorded",
        "τ² `base` 114 × 8, `test2` and `test3` 192 × 1 by the longer one",
    ),
    "smol_proposals": (f"the 3rd, judged on τ²'s 114: {LOOKED}", ""),
    "smol_lookups": (f"the 4th, judged on τ²'s 114: {LOOKED}", ""),
    "smol_reasons": (f"the 5th, judged on τ²'s 114: {LOOKED}", ""),
    "smol_steps": ("the 6th, judged on τ²'s 114, `test3` and `test4`: what it lost there was read", ""),
    "smol_at_once": ("the 7th, judged on `test3` to `test5`: what it lost there was read, of τ² nothing", ""),
    "smol_wants": ("the 8th, judged on `test3` to `test5`: what it lost there was read, of τ² nothing", ""),
    "qwen_coder": (f"{UNKNOWN}; its conversations are those built against the small model's losses", ""),
    "roll_four_gpus": (UNKNOWN, ""),
    "roll_groups": ("roll_four_gpus, by its success and KL in training", ""),
    "roll_guess": (f"{UNKNOWN}; two steps, for speed", ""),
    "roll_megatron": (f"{UNKNOWN}; three steps, to see that it runs", ""),
    "roll_partial": ("roll_groups and roll_guess, by the signal in training", ""),
    "roll_shorter": (
        "roll_partial and roll_guess, by lengths in training; one start broken off at step 0",
        "before it `test6` 192 × 2, `test5` 192 × 1, τ² `base` 114 × 2; after it `test2` 192 × 1, τ² 370 episodes",
    ),
    "roll_gain": ("roll_shorter, by its success in training; seeds 1 to 3 named before", ""),
    "roll_third_seed": ("roll_gain's seeds 1 and 2; this one was named before them", ""),
    "roll_two_gpus": ("random weights, to see that it runs; resumed, two validations more", ""),
    "grpo_arms": (
        "six arms; one again and one more that equals it are told",
        "validations of eight arms, five each, `test` 192 × 1",
    ),
    "customer_coder": ("nothing is trained", "τ² `base`, 162 of 228 episodes of the small model"),
}
"""By run, in the order of the table: what its README and CHANGELOG.md say was tried before it, and by what that was
judged; and the test tasks it played of which its folder has neither an evaluation nor a validation."""
