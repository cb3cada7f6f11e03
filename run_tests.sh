#!/usr/bin/env bash
# Set up if needed, then check style and types and run the tests, with --slow those in a browser, too; with other
# arguments run only pytest, with them.
set -euo pipefail

root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
venv=$root/.venv
stamp=$venv/.dev-complete
cd "$root"

case "${1:-}" in
  --help | -h)
    cat <<'EOF'
Usage: ./run_tests.sh [--slow | arguments of pytest]

Sets up .venv and what the tests need, once. Without arguments it checks style and types and runs the tests but the
slow ones, with --slow those, too; with other arguments it runs pytest alone, with them: tests/world -k "a or b".
EOF
    exit 0 ;;
esac

./run_tau_retail_pipeline.sh --setup-only --config-name tau_retail_local

fingerprint() {
  cat requirements-dev.txt "$venv/.setup-complete" | sha256sum
}

set_up_development() {
  [ -f "$stamp" ] && [ "$(fingerprint)" = "$(cat "$stamp")" ] && return
  exec 9<"$root"
  flock 9
  echo "[set-up] requirements-dev.txt"
  if ! "$venv/bin/python" -m pip install --no-input --progress-bar off -r requirements-dev.txt >"$venv/dev-setup.log" 2>&1; then
    tail -n 25 "$venv/dev-setup.log" >&2
    echo "error: the development requirements could not be installed; the whole log is $venv/dev-setup.log." >&2
    exit 1
  fi
  fingerprint >"$stamp.new"
  mv "$stamp.new" "$stamp"
  exec 9<&-
}

failed=()

# check WORDS...: runs a module of the environment and remembers whether it found something.
check() {
  echo "[check] $*"
  "$venv/bin/python" -m "$@" || failed+=("$*")
}

set_up_development
if [ $# -eq 0 ] || [ "$*" = --slow ]; then
  check ruff check --quiet .
  check ruff format --check --quiet .
  check mypy
fi
both=(-n 2 --dist loadfile) # two processes, a file of tests in one of them
case "$*" in
  "") check pytest "${both[@]}" -m "not slow" ;;
  --slow) check pytest "${both[@]}" ;;
  *) check pytest "$@" ;;
esac
if [ ${#failed[@]} -gt 0 ]; then
  printf 'error: %s found something, see above\n' "${failed[@]}" >&2
  exit 1
fi
