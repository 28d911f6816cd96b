#!/bin/bash
# Everything about the scans that is measured on a GPU, into one folder: benchmarks/on_gpu.sh FOLDER [MINUTES]
# The doctor, first calls, errors of reflections, and all times with the peers that are installed.
set -u
cd "$(dirname "$0")/.." || exit
folder=${1:?usage: benchmarks/on_gpu.sh FOLDER [MINUTES]}
mkdir -p "$folder"
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
python3 -m statetrack.cli doctor >"$folder/doctor.txt" 2>&1
tail -n 3 "$folder/doctor.txt"
python3 benchmarks/first_calls.py --workers 4 --out "$folder/first_calls.json"
python3 benchmarks/householder_precision.py --out "$folder/householder_precision"
python3 -m statetrack.cli bench scans --minutes "${2:-10}" --out "$folder/scans"
