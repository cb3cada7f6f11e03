#!/usr/bin/env bash
# What reinforcement adds to fine-tuning: a small model learns some customers and phrasings, meets new ones, is judged on others.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: benchmarks/new_words.sh [--print] OUT [STAGE ...]

  tune    a model from random weights is fine-tuned on the customers and phrasings of train_fit
  longer  its fine-tuning goes on, with new conversations of the same: whether more of it would help
  meet    it learns by GRPO from the customers and phrasings of train_dev, once for each seed, as the first command does
  judge   all of these models play the test's customers in held-out phrasings; the first also in those that it knows;
          each is compared with the first, and the seeds of meet together with where they began

Without a stage all of them, in this order. Each leaves its runs in folders of OUT; started again, a stage leaves alone
what is finished. `tune` and `longer` want a GPU; `meet` and `judge` go on two CPU cores, too. Stages and single seeds
may run on different machines, if OUT/tune travels.

  SEEDS          of meet (default "1 2 3")
  STEPS          updates of tune (default 3000); longer makes a fifth of them
  CONVERSATIONS  of tune (default 16000); longer plays a quarter of them
  WORKERS        processes that play them (default 8)
  DTYPE          of tune and longer (default bf16; fp32 where there is no GPU)
  EPISODES       held-out episodes of each evaluation (default 512)
  TOKENIZER      folder of a tokenizer (default: one is learnt from conversations)
  PYTHON         interpreter (default .venv/bin/python)
  MORE           further overrides of meet, such as "max_steps=40 eval_steps=20"
  --print        compose, check and print the configurations of tune, longer and meet; starts nothing
TEXT
}

print_only=no
case "${1-}" in
  "" | -h | --help) usage; exit 0 ;;
  --print) print_only=yes; shift ;;
esac
out=${1:?benchmarks/new_words.sh: OUT is missing; see --help}
shift
stages=("$@")
[ $# -gt 0 ] || stages=(tune longer meet judge)

python=${PYTHON:-.venv/bin/python}
steps=${STEPS:-3000} conversations=${CONVERSATIONS:-16000} episodes=${EPISODES:-512}
kinds='single*cancellations+single*address+single*payment+single*profile'
tuned=$out/tune/checkpoints/checkpoint-$steps
longer=$out/longer/checkpoints/checkpoint-$((steps / 5))
[ "$print_only" = no ] || tuned=small # for what is not made yet

# train NAME CONFIG overrides...: a run in OUT/NAME; one that was stopped is resumed, one that is finished left alone.
train() {
  local name=$1 config=$2 folder=$out/$1
  shift 2
  if [ "$print_only" = yes ]; then
    echo "--- # $name"
    "$python" start_agentic_pipeline.py --config-name "$config" --print-config "exp_name=$name" "output_dir=$folder" "$@"
  elif [ -f "$folder/summary.json" ]; then
    echo "[new words] $name is finished"
  elif [ -f "$folder/config.yaml" ]; then
    "$python" start_agentic_pipeline.py --config-name "$config" "resume=$folder"
  else
    "$python" start_agentic_pipeline.py --config-name "$config" "exp_name=$name" "output_dir=$folder" "$@"
  fi
}

fine_tune() { # NAME CONVERSATIONS UPDATES overrides...
  local name=$1 num=$2 updates=$3
  shift 3
  train "$name" tau_retail_sft \
    "conversations.num=$num" "conversations.num_workers=${WORKERS:-8}" "max_steps=$updates" "save_steps=$updates" \
    max_ckpt_to_keep=1 val_batch_size=0 "sft_train.model_args.dtype=${DTYPE:-bf16}" "$@"
}

tune() {
  local tokenizer=()
  [ -z "${TOKENIZER-}" ] || tokenizer=(vocab_size=null "tokenizer=$TOKENIZER")
  fine_tune tune "$conversations" "$steps" "${tokenizer[@]}"
}

longer() {
  fine_tune longer $((conversations / 4)) $((steps / 5)) "pretrain=$tuned" model=null vocab_size=null seed=43 \
    sft_train.training_args.learning_rate=2e-4
}

meet() {
  local seed more
  read -r -a more <<<"${MORE-}"
  for seed in ${SEEDS:-1 2 3}; do
    train "meet_$seed" tau_retail_local "pretrain=$tuned" "seed=$seed" \
      "val_batch_size=$episodes" "val_env_manager.num_env_groups=$episodes" "val_env_manager.num_groups_partition=[$episodes]" \
      "${more[@]}"
  done
}

# judge_one NAME FOLDER [PHRASINGS]
judge_one() {
  "$python" -m tau_retail_env eval --agent "$2" --source generated --subset "$kinds" --limit "$episodes" \
    --prompt-style minimal --max-turns 20 --sequence-length 1024 --temperature 1 --max-new-tokens 160 \
    --engine transformers --concurrency "$episodes" --user "phrasings=${3:-auto}" --output "$out/judged/$1"
}

# The seeds together: every held-out task before and after, with a trial of each seed.
pooled() {
  local run
  : >"$out/before.jsonl" >"$out/after.jsonl"
  for run in "$out"/meet_*/trajectories; do
    cat "$run/val-000000.jsonl" >>"$out/before.jsonl"
    cat "$(find "$run" -name 'val-*.jsonl' | sort | tail -n 1)" >>"$out/after.jsonl"
  done
  "$python" -m tau_retail_env compare "$out/before.jsonl" "$out/after.jsonl"
}

judge() {
  local run newest
  judge_one tune "$tuned"
  judge_one tune_known "$tuned" train_fit
  [ ! -d "$longer" ] || judge_one longer "$longer"
  for run in "$out"/meet_*/; do
    run=${run%/}
    newest=$(find "$run/checkpoints" -maxdepth 1 -name 'checkpoint-*' 2>/dev/null | sort -V | tail -n 1)
    [ -z "$newest" ] || judge_one "${run##*/}" "$newest"
  done
  for run in "$out"/judged/*; do
    [ "${run##*/}" = tune ] || "$python" -m tau_retail_env compare "$out/judged/tune" "$run"
  done
  pooled
}

for stage in "${stages[@]}"; do
  case "$stage" in
    tune | longer | meet) "$stage" ;;
    judge) [ "$print_only" = yes ] || judge ;;
    *) echo "benchmarks/new_words.sh: '$stage' is none of tune, longer, meet and judge; see --help" >&2; exit 2 ;;
  esac
done
