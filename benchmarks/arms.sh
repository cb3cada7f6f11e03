#!/usr/bin/env bash
# GRPO of the small model once for each way that might keep what it wins; called by benchmarks/roll_run.sh arms.
set -euo pipefail

out=$1 print_only=$2
shift 2
engine=${ENGINE:-roll}
steps=${STEPS:-20}

# What each arm changes. The first is the recorded run (docs/runs/roll_grpo): KL so weak that it is absent, four updates a step.
declare -A arm=(
  [base]="kl_loss_coef=0.001"
  [kl]="kl_loss_coef=0.02"
  [whiten]="kl_loss_coef=0.001 whiten_advantages=true advantage_clip=2"
  [one_update]="kl_loss_coef=0.001 actor_train.training_args.gradient_accumulation_steps=16"
  [weights]="kl_loss_coef=0.001 train_infer_correction.is_weight.enabled=true train_infer_correction.is_weight.upper_bound=2.0"
  [seq_mean]="kl_loss_coef=0.001 loss_agg_mode=seq-mean-token-mean"
  [clip_higher]="kl_loss_coef=0.001 use_pg_clip_range=true pg_clip_low=0.2 pg_clip_high=0.28"
  [dual_clip]="kl_loss_coef=0.001 dual_clip_loss=true"
  [centred]="kl_loss_coef=0.001 reward_normalization.method=mean"
  [curriculum]="kl_loss_coef=0.001 curriculum=0.2"
  [partial]="kl_loss_coef=0.001 reward.partial=0.3"
  [process]="kl_loss_coef=0.001 reward.require_process=true"
  [together]="kl_loss_coef=0.02 whiten_advantages=true advantage_clip=2 actor_train.training_args.gradient_accumulation_steps=16"
)
order=(base kl whiten one_update weights seq_mean clip_higher dual_clip centred partial process together)

case "$engine" in
  local | roll) ;;
  *) echo "benchmarks/arms.sh: ENGINE is '$engine', expected roll or local" >&2; exit 2 ;;
esac
if [ "$engine" = local ]; then
  python=${PYTHON:-.venv/bin/python} config=tau_retail_local
  order=(base kl seq_mean centred curriculum partial process) # the others are of ROLL alone, or (one update a step) what this engine does anyway
  common=()
else
  python=${PYTHON:-.venv-roll/bin/python} config=tau_retail_grpo
  . benchmarks/small_model.sh
  common=("${small_model[@]}")
  case "${GPUS:-1}" in
    1) common+=(num_gpus_per_node=1 async_generation_ratio=0 'actor_infer.device_mapping=[0]' infer_gpu_memory=0.4) ;;
    2) common+=(num_gpus_per_node=2) ;;
    *) echo "benchmarks/arms.sh: GPUS is '$GPUS', expected 1 or 2" >&2; exit 2 ;;
  esac
fi
for name in "$@"; do
  if [[ " ${order[*]} " != *" $name "* ]]; then
    echo "benchmarks/arms.sh: there is no arm '$name' with ENGINE=$engine; the arms are ${order[*]}" >&2
    exit 2
  fi
done
[ $# -eq 0 ] || order=("$@")

for name in "${order[@]}"; do
  folder=$out/$name
  read -r -a changed <<<"${arm[$name]}"
  overrides=("${common[@]}" "${changed[@]}" "exp_name=$name" "output_dir=$folder" "max_steps=$((steps + 1))" eval_steps=5 save_steps=5 max_ckpt_to_keep=1)
  [ "$engine" = roll ] || overrides+=("max_steps=$steps") # this engine counts from 1
  if [ "$print_only" = yes ]; then
    echo "--- $name"
    "$python" start_agentic_pipeline.py --config-name "$config" --print-config "${overrides[@]}"
  elif [ -f "$folder/summary.json" ]; then
    echo "[arms] $name is done"
  elif [ -f "$folder/config.yaml" ]; then
    echo "[arms] $name goes on"
    "$python" start_agentic_pipeline.py --config-name "$config" "resume=$folder"
  else
    echo "[arms] $name: ${arm[$name]}"
    "$python" start_agentic_pipeline.py --config-name "$config" "${overrides[@]}"
  fi
done
[ "$print_only" = yes ] || "$python" benchmarks/arms.py "$out"
