#!/bin/bash
# The tests that show something on a GPU, one worker a core: compiling the kernels is what takes time.
# Needs torch, triton, pydantic, rich and pytest-xdist; with fla (flash-linear-attention) importable, the models are
# held to its layers as well. More arguments go to pytest; LOG=FILE keeps every line.
set -o pipefail
cd "$(dirname "$0")/.." || exit
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
python3 -m pytest -p no:benchmark -p no:cacheprovider -v --tb=short -n "${WORKERS:-$(($(nproc) - 2))}" \
  $(printf "%s\n" tests/test_scans_*.py tests/test_*gpu.py tests/test_layers*.py | sort -u) tests/test_training_adamw.py "$@" |
  tee "${LOG:-/dev/null}" |
  grep -vE '(PASSED|SKIPPED)' | tail -n "${LINES_SHOWN:-150}"
