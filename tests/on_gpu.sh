#!/bin/bash
# The tests that show something on a GPU, one worker a core: compiling the kernels is what takes time.
# Needs torch, triton, pydantic, rich and pytest-xdist. More arguments go to pytest; LOG=FILE keeps every line.
set -o pipefail
cd "$(dirname "$0")/.." || exit
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
python3 -m pytest -p no:benchmark -p no:cacheprovider -v --tb=short -n "${WORKERS:-$(($(nproc) - 2))}" \
  tests/test_scans_*.py tests/test_training_packs_gpu.py "$@" | tee "${LOG:-/dev/null}" |
  grep -vE '(PASSED|SKIPPED)' | tail -n "${LINES_SHOWN:-150}"
