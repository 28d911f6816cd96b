"""One row per scan: how to draw its inputs, for tests that hold for every kernel alike."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from statetrack.scans import diagonal_scan, matrix_scan, nonlinear_scan
from statetrack.scans.diagonal import operator as diagonal_operator
from statetrack.scans.matrix import operator as matrix_operator
from statetrack.scans.matrix import operator_rescaled as rescaled_operator
from statetrack.scans.nonlinear import CELLS as NONLINEAR_CELLS
from statetrack.scans.nonlinear import operator as nonlinear_operator
from tests.scan_cases_outer_product import householder_case, low_rank_case, outer_product_case
from tests.scan_source import ON_GPU, Draw, Operators, ScanCase, Source

# Every size is a kernel to compile: few of them, each with many lengths, batches and layouts.
SMALL_SIZES = (1, 3, 4, 8) if ON_GPU else (1, 2, 3)
LARGE_SIZES = (9, 16, 33, 64) if ON_GPU else (9,)
# Of nonlinear scans, in numbers: the float64 loop keeps some thirty times as much for its gradient,
# and tests that run at the same time share the memory of one GPU.
LARGEST_INPUT = 2**23


def _draw_diagonal(source: Source) -> dict[str, Tensor]:
    sizes = [1, 3, 8, 31, 33, 64] if ON_GPU else [1, 3, 33]
    channels = 3 if source.tiny else source.pick(sizes)
    inputs = {
        "a": source.uniform(source.length, channels),
        "x": source.normal(source.length, channels),
    }
    if source.pick([True, False]):
        inputs["initial"] = source.normal(channels)
    return inputs


def _diagonal_operators(inputs: dict[str, Tensor]) -> Operators:
    a, x = inputs["a"], inputs["x"]
    initial = inputs.get("initial", torch.zeros_like(x.sum(-2)))
    states, final = diagonal_operator.diagonal_scan_triton(a, x, initial)
    backward = (a.detach(), initial.detach(), states.detach(), states.detach(), final.detach())
    return [
        (diagonal_operator.diagonal_scan_triton, (a, x, initial)),
        (diagonal_operator.diagonal_scan_backward_triton, backward),
    ]


def _diagonal_chain(source: Source) -> dict[str, Tensor]:
    a = torch.sign(source.normal(source.length, 4))
    return {"a": a, "x": torch.zeros_like(a), "initial": torch.ones_like(a.sum(-2))}


def _draw_matrix(sizes: Sequence[int], readout: bool = False) -> Draw:
    """Draw for `matrix_scan`; the transitions are orthogonal, so that errors stay in proportion."""

    def draw(source: Source) -> dict[str, Tensor]:
        if not ON_GPU:
            source.length = min(source.length, 5)
        size = sizes[0] if source.tiny else source.pick(sizes)
        rows = source.pick([size, size, 1])
        raw = source.normal(source.length, size, size)
        orthogonal = torch.linalg.qr(raw.double())[0].to(raw.dtype).contiguous()
        inputs = {"a": orthogonal if source.plain_layout else source.laid_out(orthogonal)}
        if rows != size or source.pick([True, False]):
            inputs["initial"] = source.normal(rows, size)
        if source.pick([True, False]):
            inputs["b"] = source.normal(source.length, rows, size)
        if readout and source.pick([True, False]):
            inputs["readout"] = source.normal(size, source.pick([1, 7]))
        return inputs

    return draw


def _matrix_arguments(inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    a = inputs["a"]
    identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    identity = identity.expand(*a.shape[:-3], *a.shape[-2:])
    return a, inputs.get("b", a.detach()[..., :0, :]), inputs.get("initial", identity)


def _matrix_operators(inputs: dict[str, Tensor]) -> Operators:
    arguments = _matrix_arguments(inputs)
    plain = [one.detach() for one in arguments]
    if "readout" in inputs:
        outputs, final = matrix_operator.matrix_scan_readout_triton(
            *plain, inputs["readout"].detach(), "ieee"
        )
        backward = (*plain, inputs["readout"].detach(), outputs, final, "ieee")
        return [
            (matrix_operator.matrix_scan_readout_triton, (*arguments, inputs["readout"], "ieee")),
            (matrix_operator.matrix_scan_readout_backward_triton, backward),
        ]
    states, final = matrix_operator.matrix_scan_triton(*plain, "ieee")
    return [
        (matrix_operator.matrix_scan_triton, (*arguments, "ieee")),
        (
            matrix_operator.matrix_scan_backward_triton,
            (*plain, states, states.clone(), final, "ieee"),
        ),
    ]


def _rescaled_operators(inputs: dict[str, Tensor]) -> Operators:
    a, b, initial = _matrix_arguments(inputs)
    scale = torch.zeros_like(initial.detach().sum((-1, -2)))
    plain = (a.detach(), b.detach(), initial.detach(), scale)
    values, scales = rescaled_operator.matrix_scan_rescaled_triton(*plain, "ieee")
    return [
        (rescaled_operator.matrix_scan_rescaled_triton, (a, b, initial, scale, "ieee")),
        (
            rescaled_operator.matrix_scan_rescaled_backward_triton,
            (*plain, values, scales, values.clone(), "ieee"),
        ),
    ]


def _rescaled_scan(a: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """`matrix_scan` with its scale carried apart, put together again at the end."""
    states, final = matrix_scan(a, rescale=True, **options)
    outputs = torch.ldexp(states.values, states.log2_scale[..., None, None])
    return outputs.to(a.dtype), torch.ldexp(final.values, final.log2_scale[..., None, None])


def _matrix_chain(size: int) -> Draw:
    def draw(source: Source) -> dict[str, Tensor]:
        order = source.normal(source.length, size).argsort(-1)
        signs = torch.sign(source.normal(source.length, size))
        identity = torch.eye(size, device=source.device)
        return {"a": identity[order] * signs[..., None]}

    return draw


def _draw_nonlinear(cell: str, sizes: Sequence[int]) -> Draw:
    """Draw for `nonlinear_scan`; weights so small that errors do not grow over time."""
    kind = NONLINEAR_CELLS[cell]
    gates, parts = len(kind.gates), len(kind.state)

    def draw(source: Source) -> dict[str, Tensor]:
        size = sizes[0] if source.tiny else source.pick(sizes)
        batch = 2 if source.tiny else source.pick([1, 3, 17, 64] if ON_GPU else [1, 2])
        if not ON_GPU:
            source.length = min(source.length, 3)
        numbers = math.prod(source.leading) * source.length * gates * size
        batch = max(1, min(batch, LARGEST_INPUT // max(1, numbers)))
        inputs = {
            "x": source.normal(batch, source.length, gates, size),
            "recurrent": source.normal(gates, size, size, scale=0.5 / math.sqrt(size)),
        }
        if source.pick([True, False]):
            inputs["bias"] = source.normal(gates, size)
        if source.pick([True, False]):
            initial = source.normal(batch, parts, size)
            if "normaliser" in kind.state:
                # Of a state that tokens made, the normaliser is positive.
                cell_place, place = kind.state.index("cell"), kind.state.index("normaliser")
                initial = initial.clone()
                initial[..., place, :] = 1 + initial[..., cell_place, :].abs()
            inputs["initial"] = initial
        return inputs

    return draw


def _nonlinear_operators(cell: str) -> Callable[..., Operators]:
    kind = NONLINEAR_CELLS[cell]

    def operators(inputs: dict[str, Tensor]) -> Operators:
        x, recurrent = inputs["x"], inputs["recurrent"]
        bias = inputs.get("bias", recurrent.detach()[..., 0] * 0)
        shape = (*x.shape[:-3], len(kind.state), x.shape[-1])
        arguments = (x, recurrent, bias, inputs.get("initial", x.detach().new_zeros(shape)))
        plain = [one.detach() for one in arguments]
        hidden, final, *saved = nonlinear_operator.nonlinear_scan_triton(*plain, cell, "ieee", True)
        return [
            (nonlinear_operator.nonlinear_scan_triton, (*arguments, cell, "ieee", True)),
            (
                nonlinear_operator.nonlinear_scan_backward_triton,
                (plain[1], *saved, hidden, final, cell, "ieee"),
            ),
        ]

    return operators


NONLINEAR = "statetrack.scans.nonlinear.launch"


def _nonlinear_case(cell: str, streamed: bool = False) -> ScanCase:
    """With `streamed`, weights pass by at every token, as do those that do not fit on chip."""
    sizes = (3, 16, 48, 64) if ON_GPU else (3, 17)
    if streamed:
        sizes = (5, 128, 200)
    return ScanCase(
        name=f"nonlinear {cell}" + ", streamed" * streamed,
        scan=partial(nonlinear_scan, cell=cell),
        draw=_draw_nonlinear(cell, sizes),
        operators=_nonlinear_operators(cell),
        time_axis={"x": -3},
        output_time_axis=-2,
        share=4,
        settings={f"{NONLINEAR}.WEIGHT_BYTES": 0} if streamed else {},
    )


FRAGMENTS = "statetrack.scans.matrix.launch_fragments"
NEVER_IN_FRAGMENTS = {f"{FRAGMENTS}.FEWEST_SEQUENCES": math.inf}
# In the interpreter every step costs the same, also one beyond the end.
ALWAYS_IN_FRAGMENTS = {f"{FRAGMENTS}.FEWEST_SEQUENCES": 0} | (
    {} if ON_GPU else {f"{FRAGMENTS}.UNROLL": {1: (2, 1), 2: (1, 2)}}
)

CASES = [
    ScanCase(
        name="diagonal",
        scan=diagonal_scan,
        draw=_draw_diagonal,
        operators=_diagonal_operators,
        time_axis={"a": -2, "x": -2},
        chain=_diagonal_chain,
        # Rows ahead cost the interpreter time, used or not.
        settings={} if ON_GPU else {"statetrack.scans.diagonal.operator.BYTES_AHEAD": 16},
    ),
    outer_product_case("none"),
    outer_product_case("head"),
    outer_product_case("channel"),
    householder_case(1, "none", write=False),
    householder_case(2, "channel", write=False),
    householder_case(3, "head", write=True),
    householder_case(1, "none", write=False, in_chunks=True),
    householder_case(2, "head", write=True, in_chunks=True),
    low_rank_case(1, "none"),
    low_rank_case(2, "channel"),
    ScanCase(
        name="small matrix",
        scan=matrix_scan,
        draw=_draw_matrix(SMALL_SIZES),
        operators=_matrix_operators,
        time_axis={"a": -3, "b": -3},
        chain=_matrix_chain(4),
        share=3,
        settings=NEVER_IN_FRAGMENTS,
    ),
    ScanCase(
        name="large matrix",
        scan=matrix_scan,
        draw=_draw_matrix(LARGE_SIZES, readout=True),
        operators=_matrix_operators,
        time_axis={"a": -3, "b": -3},
        chain=_matrix_chain(12),
        share=3,
        error_factor=2.0,
        settings=NEVER_IN_FRAGMENTS,
    ),
    ScanCase(
        name="matrix in fragments",
        scan=matrix_scan,
        draw=_draw_matrix((5, 8, 12, 16) if ON_GPU else (6, 6, 6, 6, 9)),
        operators=_matrix_operators,
        time_axis={"a": -3, "b": -3},
        chain=_matrix_chain(8),
        share=4,
        settings=ALWAYS_IN_FRAGMENTS,
    ),
    ScanCase(
        name="rescaled matrix",
        scan=_rescaled_scan,
        draw=_draw_matrix((*SMALL_SIZES[1:], LARGE_SIZES[0])),
        operators=_rescaled_operators,
        time_axis={"a": -3, "b": -3},
        share=3,
    ),
    *(_nonlinear_case(cell) for cell in (NONLINEAR_CELLS if ON_GPU else list(NONLINEAR_CELLS)[:4])),
    # In the interpreter these take minutes; `test_scans_nonlinear` has a smaller test of them.
    *(_nonlinear_case(cell, streamed=True) for cell in (NONLINEAR_CELLS if ON_GPU else ())),
]
