"""Errors of products of reflections over length, ours and flash-linear-attention's, on a GPU.

Chains of random reflections (keys of unit length, beta = 2) from the identity, against float64 on
the same inputs: outputs and every gradient. Then the norm of a state after 4,096 reflections, which
should not change, and words of S5 spelled as reflections and decoded after 2^20 tokens.

Run ``python benchmarks/householder_precision.py --out FOLDER``: results.json, table.md, figure.png.
``--from FOLDER`` draws table and figure again. What is not installed is left out.
"""

import argparse
import importlib
import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import normalize

from automata.tasks import get_task
from statetrack.analysis.styles import paper_style
from statetrack.benchmark.checks import relative_error
from statetrack.provenance import provenance
from statetrack.scans import householder_scan

LENGTHS = (64, 512, 4096, 65536)
SEQUENCES, KEYS = 4, 64
REFLECTIONS = 4096
LETTERS = 2**20
QUANTITIES = ("outputs", "dq", "dk", "dv", "dbeta")

Run = Callable[[dict[str, Tensor]], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Kind:
    """Something that computes the recurrence, and the type that it gets."""

    name: str
    dtype: torch.dtype
    run: Run


def ours(inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Our kernel."""
    return householder_scan(**inputs)


def theirs(name: str) -> Run:
    """A function of flash-linear-attention, in our layout."""
    function = getattr(importlib.import_module("fla.ops.delta_rule"), name)

    def run(inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        q, k, v, beta = (inputs[one].transpose(1, 2) for one in ("q", "k", "v", "beta"))
        outputs, final = function(
            q.contiguous(), k.squeeze(3).contiguous(), v.squeeze(3).contiguous(),
            beta.squeeze(3).contiguous(), scale=1.0, initial_state=inputs["initial"],
            output_final_state=True,
        )  # fmt: skip
        return outputs.transpose(1, 2), final

    return run


def kinds() -> list[Kind]:
    """Everything that is installed."""
    found = [
        Kind("statetrack float32", torch.float32, ours),
        Kind("statetrack bfloat16", torch.bfloat16, ours),
    ]
    if importlib.util.find_spec("fla") is not None:
        found += [
            Kind("fla recurrent float32", torch.float32, theirs("fused_recurrent_delta_rule")),
            Kind("fla recurrent bfloat16", torch.bfloat16, theirs("fused_recurrent_delta_rule")),
            Kind("fla chunk bfloat16", torch.bfloat16, theirs("chunk_delta_rule")),
        ]
    return found


def chain(length: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """Reflections in random directions, of a state that starts as the identity."""
    generator = torch.Generator("cuda").manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(SEQUENCES, 1, length, *shape, generator=generator, device="cuda")

    identity = torch.eye(KEYS, device="cuda").expand(SEQUENCES, 1, KEYS, KEYS).contiguous()
    return {
        "q": (normal(KEYS) / KEYS**0.5).to(dtype),
        "k": normalize(normal(1, KEYS), dim=-1).to(dtype),
        "v": torch.zeros(SEQUENCES, 1, length, 1, KEYS, dtype=dtype, device="cuda"),
        "beta": torch.full((SEQUENCES, 1, length, 1), 2.0, dtype=dtype, device="cuda"),
        "initial": identity,
    }


def with_gradients(run: Run, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Outputs, final state, and gradients for fixed cotangents of the outputs."""
    leaves = {name: one.detach().requires_grad_() for name, one in inputs.items()}
    outputs, final = run(leaves)
    generator = torch.Generator("cuda").manual_seed(1)
    weights = torch.randn(outputs.shape, generator=generator, device="cuda").to(torch.bfloat16)
    wanted = [leaves[name] for name in ("q", "k", "v", "beta")]
    gradients = torch.autograd.grad(outputs, wanted, weights.to(outputs.dtype))
    named = dict(zip(("dq", "dk", "dv", "dbeta"), gradients, strict=True))
    return {"outputs": outputs.detach(), "final": final.detach(), **named}


def measure_errors(found: list[Kind]) -> list[dict[str, Any]]:
    """One row for every kind, length and quantity."""
    rows = []
    for length in LENGTHS:
        for kind in found:
            inputs = chain(length, kind.dtype)
            wide = {name: one.double() for name, one in inputs.items()}
            truth = with_gradients(lambda one: householder_scan(**one, backend="parallel"), wide)
            values = with_gradients(kind.run, inputs)
            for name in QUANTITIES:
                error = relative_error(values[name], truth[name])
                rows.append({"kind": kind.name, "T": length, "of": name, "error": error})
            print(f"{kind.name:<24} T = {length:<6}", *(f"{r['error']:.1e}" for r in rows[-5:]))
    return rows


def measure_drift(found: list[Kind]) -> list[dict[str, Any]]:
    """Norm of a state after many reflections over its norm before, less one."""
    rows = []
    for kind in found:
        with torch.no_grad():
            _, final = kind.run(chain(REFLECTIONS, kind.dtype))
        drift = float(final.double().norm(dim=(-2, -1)).mean() / KEYS**0.5 - 1.0)
        rows.append({"kind": kind.name, "reflections": REFLECTIONS, "drift": drift})
        print(f"{kind.name:<24} norm after {REFLECTIONS} reflections: {drift:+.1e}")
    return rows


def decode_s5() -> dict[str, Any]:
    """Run words of S5, every element as at most four swaps, and read every prefix."""
    task = get_task("s5")
    images = np.array(task.group.elements)
    size = images.shape[1]
    word = task.sample(seed=0, batch_size=1, length=LETTERS).tokens[0]
    swaps = [swaps_of(image) for image in images]
    keys = np.zeros((len(images), size - 1, size), dtype=np.float32)
    for element, pairs in enumerate(swaps):
        for place, (i, j) in enumerate(pairs):
            keys[element, place, [i, j]] = (1.0, -1.0)
    keys /= np.sqrt(2.0)
    tokens = torch.from_numpy(word).cuda()
    k = torch.from_numpy(keys).cuda()[tokens]
    strength = torch.from_numpy((np.abs(keys).sum(-1) > 0) * np.float32(2.0)).cuda()
    with torch.no_grad():
        outputs, _ = householder_scan(
            q=torch.arange(1.0, size + 1, device="cuda").expand(LETTERS, size),
            k=k,
            v=torch.zeros(LETTERS, size - 1, size, device="cuda"),
            beta=strength[tokens],
            initial=torch.eye(size, device="cuda"),
        )
    # Factors act on the left, so that the state is the transposed product of the word.
    expected = torch.from_numpy(images[task.targets_of(word)]).cuda() + 1
    decoded = (outputs.round() == expected).all(-1)
    error = float((outputs - expected).abs().max())
    print(f"S5: {int(decoded.sum())} of {LETTERS} prefixes decoded, largest error {error:.1e}")
    return {"letters": LETTERS, "decoded": int(decoded.sum()), "largest_error": error}


def swaps_of(image: np.ndarray) -> list[tuple[int, int]]:
    """Swaps of two points that make a permutation, in the order in which factors act.

    Examples
    --------
    >>> swaps_of(np.array([1, 2, 0]))
    [(0, 1), (1, 2)]
    """
    swaps = []
    rest = list(image)
    for place in range(len(rest)):
        while rest[place] != place:
            other = rest[place]
            swaps.append((min(place, other), max(place, other)))
            rest[place], rest[other] = rest[other], rest[place]
    return swaps


def table_of(results: dict[str, Any]) -> str:
    """Everything as Markdown."""
    rows = pd.DataFrame(results["errors"])
    lines = []
    for name in QUANTITIES:
        wide = rows[rows["of"] == name].pivot(index="kind", columns="T", values="error")
        order = [kind for kind in dict.fromkeys(rows["kind"]) if kind in wide.index]
        lines += [f"## {name}", "", "| kind | " + " | ".join(f"T = {t}" for t in wide) + " |"]
        lines.append("|---|" + "---:|" * len(wide.columns))
        lines += [
            f"| {kind} | " + " | ".join(f"{value:.1e}" for value in wide.loc[kind]) + " |"
            for kind in order
        ] + [""]
    lines += [
        f"## Norm after {REFLECTIONS} reflections, less one",
        "",
        "| kind | drift |",
        "|---|---:|",
    ]
    lines += [f"| {row['kind']} | {row['drift']:+.1e} |" for row in results["drift"]]
    s5 = results["s5"]
    lines += [
        "",
        f"S5 by reflections in float32: {s5['decoded']} of {s5['letters']} prefixes decoded right, "
        f"largest error {s5['largest_error']:.1e}.",
    ]
    return "\n".join(lines) + "\n"


def figure_of(results: dict[str, Any]) -> Figure:
    """Draw error over length, one panel for outputs and each gradient."""
    rows = pd.DataFrame(results["errors"])
    names = list(dict.fromkeys(rows["kind"]))
    colors = mpl.colormaps["viridis"](np.linspace(0.0, 0.85, len(names)))
    titles = {
        "outputs": "outputs",
        "dq": "gradient of q",
        "dk": "of k",
        "dv": "of v",
        "dbeta": "of β",
    }
    with mpl.rc_context(paper_style()):
        figure = Figure(figsize=(1.5 * len(QUANTITIES) + 0.4, 2.7), layout="constrained")
        axes = figure.subplots(1, len(QUANTITIES), sharex=True, sharey=True)
        for axis, quantity in zip(axes, QUANTITIES, strict=True):
            for number, name in enumerate(names):
                one = rows[(rows["kind"] == name) & (rows["of"] == quantity)]
                axis.plot(
                    one["T"], one["error"], label=name, color=colors[number],
                    marker="osD^vPX"[number], markersize=3,
                    linestyle="--" if name.startswith("fla") else "-",
                )  # fmt: skip
            axis.set(xscale="log", yscale="log", title=titles[quantity], xlabel="reflections T")
        axes[0].set_ylabel("relative error (RMS)")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def main() -> None:
    """Measure, or read, then write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, help="measure, and write here")
    where.add_argument("--from", type=Path, dest="source", help="draw again what lies here")
    arguments = parser.parse_args()
    folder: Path = arguments.out or arguments.source
    if arguments.out:
        found = kinds()
        results = {
            "provenance": provenance("cuda"),
            "errors": measure_errors(found),
            "drift": measure_drift(found),
            "s5": decode_s5(),
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    results = json.loads((folder / "results.json").read_text())
    (folder / "table.md").write_text(table_of(results))
    figure_of(results).savefig(folder / "figure.png", dpi=200)
    print(f"results  {folder}")


if __name__ == "__main__":
    main()
