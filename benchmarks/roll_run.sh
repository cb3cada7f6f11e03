#!/usr/bin/env bash
# Record a run of the engine roll from the small model: trained, validated, saved, stopped, resumed and continued.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: benchmarks/roll_run.sh ppo|grpo OUT [key=value ...]
       benchmarks/roll_run.sh arms OUT [ARM ...]

  ppo   configs/tau_retail_1gpu.yaml: PPO with critic and KL in the reward, on one GPU
  grpo  configs/tau_retail_grpo.yaml: GRPO with KL in the loss, on two GPUs, one to learn and one to play ahead
  arms  GRPO once for each way that might keep what it wins, one after another, in the folders OUT/ARM; at the end a
        table of them all (benchmarks/arms.py). Started again it leaves finished arms alone and resumes the one that
        was under way. Arms: base kl whiten one_update weights seq_mean clip_higher dual_clip centred partial process
        together (default all). With ENGINE=local on a CPU, with the arms that configs/tau_retail_local.yaml can have,
        and curriculum, which is its alone.

Runs in the environment of the engine roll (see run_tau_retail_pipeline.sh; PYTHON names another interpreter) and leaves
in the folder OUT what a reader needs: the composed configuration, versions, metrics, curves, success before and after,
excerpts of both logs, a sample of trajectories. Starts from the shipped small model with the tasks, customer and prompt
of configs/tau_retail_local.yaml.

  STEPS       training steps of the first part, or of an arm (default 20)
  GPUS        of arms: 1 (default; learning and playing take turns) or 2 (played ahead by one step)
  MORE_STEPS  training steps after the resume (default 10)
  PYTHON      interpreter (default .venv-roll/bin/python; with ENGINE=local, and with --print where that is not there,
              .venv/bin/python)
  key=value   further overrides, the same in both parts
  --print     before ppo or grpo: compose, check and print both configurations; starts nothing and needs no GPU
TEXT
}

print_only=no
case "${1-}" in
  "" | -h | --help) usage; exit 0 ;;
  --print) print_only=yes; shift ;;
esac
algorithm=${1-}
case "$algorithm" in
  ppo | grpo | arms) ;;
  *) echo "benchmarks/roll_run.sh: '$algorithm' is none of ppo, grpo and arms; see --help" >&2; exit 2 ;;
esac
out=$(readlink -m "${2:?the folder OUT}")
shift 2
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
environment=.venv-roll
if [ "$algorithm-${ENGINE-}" = arms-local ] || { [ "$print_only" = yes ] && [ ! -d "$root/.venv-roll" ]; }; then
  environment=.venv # ROLL is not needed
fi
export PYTHON=${PYTHON:-$root/$environment/bin/python}
python=$PYTHON
command -v "$python" >/dev/null || {
  echo "benchmarks/roll_run.sh: there is no interpreter $python; ./run_tau_retail_pipeline.sh makes one, PYTHON names another" >&2
  exit 2
}
steps=${STEPS:-20} more_steps=${MORE_STEPS:-10}
cd "$root"

if [ "$algorithm" = arms ]; then
  exec benchmarks/arms.sh "$out" "$print_only" "$@"
fi

. benchmarks/small_model.sh
overrides=(
  "${small_model[@]}"
  "exp_name=roll_$algorithm"
  "output_dir=$out/run"
  "save_steps=$steps"
  "eval_steps=10"
  warm_start=none # the small model was fine-tuned before
)
case "$algorithm" in
  ppo)
    config=tau_retail_1gpu
    overrides+=(
      critic.training_args.learning_rate=5.0e-5 # 3e-4 moved all values by 0.15 an update, 5e-5 by a sixth of that
      critic.training_args.per_device_train_batch_size=16
      critic.training_args.gradient_accumulation_steps=4
      critic.infer_batch_size=32
      critic_warmup=5 # 640 episodes for the value head
    )
    ;;
  grpo)
    config=tau_retail_grpo
    overrides+=(
      kl_loss_coef=0.02 # as in tau_retail_local.yaml; with 0.001 half of what was won was lost again (docs/runs/roll_grpo)
      num_gpus_per_node=2
    )
    ;;
esac
overrides+=("$@")
# ROLL counts from 0: with one more than the steps asked for, the last one validates what they have learnt.
first=("${overrides[@]}" "max_steps=$((steps + 1))")
second=("${overrides[@]}" "max_steps=$((steps + more_steps + 1))" "resume=true")

start() {
  "$python" start_agentic_pipeline.py --config-name "$config" "$@"
}

if [ "$print_only" = yes ]; then
  start --print-config "${first[@]}"
  echo "---"
  start --print-config "${second[@]}"
  exit 0
fi

mkdir -p "$out"
"$python" -c 'import importlib.metadata as m
names = {d.name for d in m.distributions()}
print("\n".join(sorted(f"{name}=={m.version(name)}" for name in names)))' >"$out/versions.txt"
{ "$python" --version; nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv; git rev-parse HEAD; } >"$out/machine.txt" 2>&1 || true
start --print-config "${first[@]}" >"$out/config.yaml"

start "${first[@]}" 2>&1 | tee "$out/first.log"
start "${second[@]}" 2>&1 | tee "$out/second.log"

cp "$out/run/metrics.jsonl" "$out/run/summary.json" "$out/run/curves.png" "$out"
find "$out/run/checkpoints" -maxdepth 2 | sort >"$out/checkpoints.txt"
for part in first second; do
  { head -n 60 "$out/$part.log"; echo "..."; tail -n 60 "$out/$part.log"; } | cut -c -400 >"$out/$part.excerpt.log"
done
"$python" - "$out/run/trajectories" >"$out/trajectories_sample.jsonl" <<'PYTHON'
import json
import pathlib
import sys

# Two episodes each of the first, a middle and the last step; of validations the same tasks each time.
for kind in ("train", "val"):
    lines = {}
    for path in pathlib.Path(sys.argv[1]).glob(f"{kind}-*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            lines.setdefault(json.loads(line)["policy_version"], []).append(line)
    steps = sorted(lines)
    for step in dict.fromkeys((steps[0], steps[len(steps) // 2], steps[-1])):
        sys.stdout.writelines(sorted(lines[step])[:2])
PYTHON
"$python" - "$out/metrics.jsonl" <<'PYTHON'
import json
import sys

rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
print(f"{len(rows)} steps, from {rows[0]['step']} to {rows[-1]['step']}")
for name in ("critic/kl_coef", "critic/kl", "actor/kl_loss"):
    print(f"{name}: {rows[0].get(name)} at first, {rows[-1].get(name)} at last")
for row in rows:
    judged = {name: value for name, value in row.items() if name.startswith("val/env/") and name.endswith("/success")}
    if judged:
        print(row["step"], judged)
PYTHON
