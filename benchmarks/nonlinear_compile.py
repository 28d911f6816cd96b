"""Compile the kernels of `nonlinear_scan` for an H100 or H200, on any machine with Triton.

Run ``python benchmarks/nonlinear_compile.py``; ``--cells``, ``--units`` and ``--precision`` choose.
Shown are registers and bytes of stack of a thread (stack is what spilled), bytes of shared memory
of a program, and instructions of a token: those of the longest loop. Nothing is measured.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from statetrack.scans.nonlinear import CELLS, kernel, kernel_backward, kernel_streamed
from statetrack.scans.nonlinear.launch import Plan

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
TARGET = GPUTarget("cuda", 90, 32)


def compiled(function: Any, constants: dict[str, Any]) -> dict[str, int]:
    """Registers, stack, shared memory and instructions of a kernel on float32 tensors."""
    constants = dict(constants)
    options = {name: constants.pop(name) for name in ("num_warps", "num_stages")}
    signature = {
        one.name: "constexpr"
        if one.name in constants
        else "*fp32"
        if one.name.endswith("_pointer")
        else one.annotation_type
        for one in function.params
    }
    aligned = [["tt.divisibility", 16]]
    pointers = [n for n, one in enumerate(function.params) if one.name.endswith("_pointer")]
    attributes = {(place,): aligned for place in pointers}
    source = ASTSource(fn=function, signature=signature, constexprs=constants, attrs=attributes)
    built = triton.compile(source, target=TARGET, options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(built.asm["cubin"])
        file.flush()
        usage = run("cuobjdump", "-res-usage", file.name)
        code = run("nvdisasm", "-c", file.name)
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", usage).groups()  # type: ignore[union-attr]
    return {
        "registers": int(registers),
        "stack": int(stack),
        "shared": built.metadata.shared,
        "instructions": longest_loop(code),
    }


def run(tool: str, *arguments: str) -> str:
    """Output of one of the tools that come with Triton."""
    command = [TOOLS / tool, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def longest_loop(code: str) -> int:
    """Instructions between the farthest jump back and its target."""
    labels: dict[str, int] = {}
    count = longest = 0
    for line in code.splitlines():
        if label := re.match(r"\s*(\.L_x_\d+):", line):
            labels[label[1]] = count
        if re.match(r"\s+/\*[0-9a-f]{4,}\*/", line):
            jump = re.search(r"BRA.*\((\.L_x_\d+)\)", line)
            if jump and jump[1] in labels:
                longest = max(longest, count - labels[jump[1]])
            count += 1
    return longest


def main() -> None:
    """Print one line a kernel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", nargs="+", default=["lstm"], choices=list(CELLS))
    parser.add_argument("--units", nargs="+", type=int, default=[16, 64, 128, 256])
    parser.add_argument("--precision", default="ieee", choices=["ieee", "tf32x3", "tf32"])
    given = parser.parse_args()
    for cell in given.cells:
        for units in given.units:
            plan = Plan(CELLS[cell], units, torch.float32, given.precision, on_gpu=True)
            forward, backward = (
                (kernel, kernel_backward) if plan.fits else (kernel_streamed, kernel_streamed)
            )
            even = {"EVEN": units % 2 == 0} if plan.fits else {}
            for name, function, options in (
                (
                    "forward",
                    forward.scan_forward,
                    {**plan.walk(backward=False), **even, "SAVE": True},
                ),
                ("backward", backward.scan_backward, {**plan.walk(backward=True), **even}),
                ("weights", kernel_backward.weights_backward, plan.gradient()),
            ):
                where = "on chip" if plan.fits else "streamed"
                use = compiled(function, options)
                print(cell, units, where, name, f"{options['num_warps']} warps", use, flush=True)


if __name__ == "__main__":
    main()
