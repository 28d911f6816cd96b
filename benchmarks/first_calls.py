"""Time the first call of every scan on a GPU: what a user waits for before anything runs.

Every row is a process of its own with an empty folder of compiled kernels. What is timed is the
first forward call and the first backward call, from a ready device to finished results.

Run ``python benchmarks/first_calls.py --out first_calls.json``; two at a time with ``--workers 2``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from statetrack.benchmark.cases import Case, case
from statetrack.benchmark.scan_rows import SCANS, inputs_of
from statetrack.provenance import provenance

HEADS = "B64 H4 K64 V64 T64"
CASES = [
    *(case("diagonal", "B64 D512 T64", dtype) for dtype in ("float32", "bfloat16", "complex64")),
    *(case("diagonal", "B1 D512 T4096", dtype) for dtype in ("float32", "bfloat16", "complex64")),
    *(
        case("outer_product", HEADS, dtype, variant=decay)
        for dtype in ("float32", "bfloat16")
        for decay in SCANS["outer_product"].variants
    ),
    *(case("matrix", f"B256 T64 N{size}") for size in (4, 8, 16, 32, 64)),
    *(
        case("householder", f"{HEADS} R{factors}", dtype)
        for dtype in ("float32", "bfloat16")
        for factors in (1, 2)
    ),
    *(case("low_rank", f"{HEADS} P1", dtype) for dtype in ("float32", "bfloat16")),
]


def first_call(one: Case) -> dict[str, float]:
    """Seconds of the first forward and the first backward call in this process."""
    device = torch.device("cuda")
    inputs = {name: tensor.requires_grad_() for name, tensor in inputs_of(one, device).items()}
    scan = SCANS[one.scan].scan(one)
    torch.cuda.synchronize()
    start = time.perf_counter()
    outputs, _ = scan(**inputs)
    torch.cuda.synchronize()
    middle = time.perf_counter()
    outputs.real.sum().backward()
    torch.cuda.synchronize()
    return {"forward": middle - start, "backward": time.perf_counter() - middle}


def in_a_new_process(one: Case) -> dict[str, Any]:
    """The same with nothing compiled before."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TRITON_CACHE_DIR": folder}
        command = [sys.executable, __file__, "--case", json.dumps(one.to_json())]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        return {"case": one.key, "error": done.stderr.strip().splitlines()[-1]}
    return {"case": one.key, **json.loads(done.stdout.splitlines()[-1])}


def main() -> None:
    """Print the table, and write it where that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file for the numbers with provenance")
    parser.add_argument("--workers", type=int, default=1, help="processes at a time")
    parser.add_argument("--scans", nargs="*", help="these scans alone; all by default")
    parser.add_argument("--names", nargs="*", help="rows that start so alone, as they are printed")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(first_call(Case.from_json(json.loads(arguments.case)))))
        return
    with ThreadPoolExecutor(arguments.workers) as pool:
        rows = []
        chosen = [
            one
            for one in CASES
            if one.scan in (arguments.scans or SCANS)
            and one.key.startswith(tuple(arguments.names or [""]))
        ]
        for row in pool.map(in_a_new_process, chosen):
            rows.append(row)
            times = "  ".join(
                f"{row[name]:8.2f} s" for name in ("forward", "backward") if name in row
            )
            print(f"{row['case']:<52}{row.get('error', times)}", flush=True)
    if arguments.out:
        written = {**provenance("cuda"), "workers": arguments.workers, "rows": rows}
        arguments.out.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
