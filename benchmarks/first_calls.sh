#!/bin/sh
# What a change of kernels may move, on a GPU: how long first calls take, how many kernels they compile,
# and the speed of the scans whose first calls are long. Usage: benchmarks/first_calls.sh [FOLDER]
set -eu
folder=${1:-runs/first-calls}
mkdir -p "$folder"
python benchmarks/first_calls.py --workers 2 --out "$folder/first_calls.json"
python -m pytest -q tests/test_scans_kernels.py -k test_lengths_and_batches_share_compiled_kernels
python -m statetrack.cli bench scans --scans diagonal outer_product --only statetrack --minutes 5 \
    --out "$folder/scans"
