"""One row per scan: how to draw its inputs, for tests that hold for every kernel alike."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from statetrack.scans import (
    diagonal_scan,
    householder_scan,
    low_rank_scan,
    matrix_scan,
    nonlinear_scan,
    outer_product_scan,
)
from statetrack.scans.diagonal import operator as diagonal_operator
from statetrack.scans.householder import operator as householder_operator
from statetrack.scans.householder import operator_chunked as householder_chunked_operator
from statetrack.scans.low_rank import operator as low_rank_operator
from statetrack.scans.matrix import operator as matrix_operator
from statetrack.scans.matrix import operator_rescaled as rescaled_operator
from statetrack.scans.nonlinear import CELLS as NONLINEAR_CELLS
from statetrack.scans.nonlinear import operator as nonlinear_operator
from statetrack.scans.outer_product import operator as outer_product_operator

Draw = Callable[["Source"], dict[str, Tensor]]
ON_GPU = torch.cuda.is_available()
# Every size is a kernel to compile: few of them, each with many lengths, batches and layouts.
SMALL_SIZES = (1, 3, 4, 8) if ON_GPU else (1, 2, 3)
LARGE_SIZES = (9, 16, 33, 64) if ON_GPU else (9,)
# Of nonlinear scans, in numbers: the float64 loop keeps some thirty times as much for its gradient,
# and tests that run at the same time share the memory of one GPU.
LARGEST_INPUT = 2**23


@dataclass
class Source:
    """Random inputs of one case: values by torch, sizes and memory layouts by NumPy.

    Values are drawn on the CPU, so that a case is the same one on every device.
    """

    seed: int
    device: torch.device
    dtype: torch.dtype = torch.float32
    leading: tuple[int, ...] = (2,)
    length: int = 7
    plain_layout: bool = True
    tiny: bool = False

    def __post_init__(self) -> None:
        self.choice = np.random.default_rng(self.seed)
        self.values = torch.Generator().manual_seed(self.seed)

    def pick(self, options: Sequence[Any]) -> Any:
        return options[int(self.choice.integers(len(options)))]

    def normal(self, *shape: int, scale: float = 1.0, lead: bool = True) -> Tensor:
        """Normal numbers of shape [leading, shape], in a memory layout drawn at random."""
        full = (*self.leading, *shape) if lead else shape
        values = torch.randn(full, generator=self.values) * scale
        if self.dtype.is_complex:
            other = torch.randn(full, generator=self.values) * scale
            values = torch.complex(values, other) / 2**0.5
        values = values.to(self.device, self.dtype)
        return values if self.plain_layout else self.laid_out(values)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers of magnitude at most one, [leading, shape]."""
        values = self.normal(*shape)
        return torch.tanh(values) if not self.dtype.is_complex else values / (1 + values.abs())

    def chances(self, shape: Sequence[int]) -> Tensor:
        """Numbers from 0 to 1 of this shape."""
        return torch.rand(tuple(shape), generator=self.values).to(self.device)

    def integers(self, high: int, shape: Sequence[int]) -> Tensor:
        """Integers below `high` of this shape."""
        return torch.randint(high, tuple(shape), generator=self.values).to(self.device)

    def laid_out(self, values: Tensor) -> Tensor:
        """The same values in another memory layout."""
        layout = self.pick(["as is", "first axis inside", "offset", "expanded", "last strided"])
        if values.dim() < 2 or values.numel() == 0:
            return values
        if layout == "first axis inside":
            return values.movedim(0, -2).contiguous().movedim(-2, 0)
        if layout == "offset":
            room = torch.empty(values.numel() + 3, dtype=values.dtype, device=values.device)
            return room[3:].view_as(values).copy_(values)
        if layout == "expanded" and self.leading:
            return values[:1].expand_as(values)
        if layout == "last strided":
            return torch.stack([values, values], dim=-1)[..., 0]
        return values


@dataclass(frozen=True)
class ScanCase:
    """A scan under test.

    Parameters
    ----------
    name : str
    scan : callable
        The public function.
    draw : callable
        Keyword arguments of `scan`, all tensors.
    chain : callable, optional
        Arguments of a chain that only permutes and negates: exact in float32.
    operators : callable
        Custom operators with one example of their arguments each, from drawn inputs.
    time_axis : mapping of str to int
        For every argument with a time axis, that axis counted from the end.
    output_time_axis : int, optional
        That of the outputs, where it is not that of the first argument.
    error_factor : float
        What the bound on float32 errors is multiplied with: every entry of a product of order N is
        a sum of N rounded terms.
    settings : mapping of str to object
        Module attributes that are set meanwhile, such as when a kernel is used.
    share : int
        How many cases share the random shapes that an operator is due in the interpreter.
    """

    name: str
    scan: Callable[..., tuple[Tensor, Tensor]]
    draw: Draw
    operators: Callable[[dict[str, Tensor]], list[tuple[Any, tuple[Any, ...]]]]
    time_axis: dict[str, int]
    chain: Callable[["Source"], dict[str, Tensor]] | None = None
    share: int = 1
    output_time_axis: int | None = None
    error_factor: float = 1.0
    settings: dict[str, Any] = field(default_factory=dict)


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


def _diagonal_operators(inputs: dict[str, Tensor]) -> list[tuple[Any, tuple[Any, ...]]]:
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


def _draw_outer_product(decay: str) -> Draw:
    def draw(source: Source) -> dict[str, Tensor]:
        small = source.length <= 4
        on_gpu = ON_GPU and not source.tiny
        keys = source.pick([3, 64] if on_gpu else [1, 2] if small else [1, 3, 17])
        values = source.pick([18, 64] if on_gpu else [1, 3] if small else [1, 4, 18])
        inputs = {
            "q": source.normal(source.length, keys),
            "k": source.normal(source.length, keys),
            "v": source.normal(source.length, values),
        }
        if decay != "none":
            shape = (source.length,) if decay == "head" else (source.length, keys)
            factors = source.uniform(*shape)
            if source.pick(["small and zero", "large", "large"]) == "large":
                factors = torch.where(factors < 0, -1.0, 1.0) * (factors.abs() + 1) / 2
            else:
                drawn = source.chances(factors.shape)
                factors = torch.where(drawn < 0.1, 0.0, factors)
            inputs["decay"] = factors.to(source.dtype)
        if source.pick([True, False]):
            inputs["initial"] = source.normal(keys, values)
        return inputs

    return draw


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


def _outer_product_operators(inputs: dict[str, Tensor]) -> list[tuple[Any, tuple[Any, ...]]]:
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    decay = inputs.get("decay", q.detach()[..., :0])
    if decay.dim() < q.dim():
        decay = decay.detach().unsqueeze(-1).requires_grad_()
    zeros = (q.detach()[..., :1, :, None] * v.detach()[..., :1, None, :]).sum(-3) * 0
    initial = inputs.get("initial", zeros)
    o, final, states = outer_product_operator.outer_product_scan_triton(
        q, k, v, decay, initial, "ieee", True
    )
    backward = [one.detach() for one in (q, k, v, decay, states, o, final)]
    return [
        (outer_product_operator.outer_product_scan_triton, (q, k, v, decay, initial, "ieee", True)),
        (outer_product_operator.outer_product_scan_backward_triton, (*backward, "ieee")),
    ]


def _outer_product_chain(source: Source) -> dict[str, Tensor]:
    q = torch.ones(source.length, 1, device=source.device) * torch.eye(4, device=source.device)[1]
    q = q.expand(*source.leading, *q.shape)
    return {
        "q": q,
        "k": torch.zeros_like(q),
        "v": torch.zeros_like(q),
        "decay": torch.sign(source.normal(source.length, 4)),
        "initial": torch.arange(16.0, device=source.device).view(4, 4),
    }


def _outer_product_case(decay: str) -> ScanCase:
    return ScanCase(
        name=f"outer product, decay {decay}",
        scan=outer_product_scan,
        draw=_draw_outer_product(decay),
        operators=_outer_product_operators,
        time_axis={"q": -2, "k": -2, "v": -2, "decay": -1 if decay == "head" else -2},
        chain=_outer_product_chain if decay == "channel" else None,
        share=3,
    )


def _draw_householder(factors: int, decay: str, write: bool, fewest_keys: int) -> Draw:
    """Draw for `householder_scan`; keys of unit length and beta in [0, 2], its ends included."""

    def draw(source: Source) -> dict[str, Tensor]:
        on_gpu = ON_GPU and not source.tiny
        if not ON_GPU:
            source.length = min(source.length, max(2, 5 // factors))
        small = source.length <= 4
        keys = source.pick([5, 64] if on_gpu else [1, 2] if small else [1, 3, 17])
        keys = max(keys, fewest_keys)
        values = source.pick([18, 64] if on_gpu else [1, 3] if small else [1, 4, 18])
        k = torch.nn.functional.normalize(source.normal(source.length, factors, keys), dim=-1)
        beta = 1 + source.uniform(source.length, factors)
        choice = source.chances(beta.shape)
        beta = torch.where(choice < 0.2, torch.round(beta), beta)
        inputs = {
            "q": source.normal(source.length, keys),
            "k": k if source.plain_layout else source.laid_out(k),
            "v": source.normal(source.length, factors, values),
            "beta": beta,
        }
        if write:
            inputs["write"] = source.normal(source.length, factors)
        if decay != "none":
            shape = (source.length,) if decay == "head" else (source.length, keys)
            factors_of_state = source.uniform(*shape)
            choice = source.chances(factors_of_state.shape)
            inputs["decay"] = torch.where(choice < 0.1, 0.0, factors_of_state)
        if source.pick([True, False]):
            inputs["initial"] = source.normal(keys, values)
        return inputs

    return draw


def _householder_arguments(inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
    q, k, v, beta = (inputs[name] for name in ("q", "k", "v", "beta"))
    write = inputs.get("write", beta.detach())
    decay = inputs.get("decay", q.detach()[..., :0])
    if decay.dim() < q.dim():
        decay = decay.detach().unsqueeze(-1).requires_grad_()
    zeros = q.detach().new_zeros((*q.shape[:-2], k.shape[-1], v.shape[-1]))
    return q, k, v, beta, write, decay, inputs.get("initial", zeros)


def _householder_operators(inputs: dict[str, Tensor]) -> list[tuple[Any, tuple[Any, ...]]]:
    arguments = _householder_arguments(inputs)
    plain = [one.detach() for one in arguments]
    o, final, *saved = householder_operator.householder_scan_triton(*plain, True)
    return [
        (householder_operator.householder_scan_triton, (*arguments, True)),
        (householder_operator.householder_scan_backward_triton, (*plain, *saved, o, final)),
    ]


def _chunked_householder_operators(
    inputs: dict[str, Tensor],
) -> list[tuple[Any, tuple[Any, ...]]]:
    arguments = _householder_arguments(inputs)
    plain = [one.detach() for one in arguments]
    forward = householder_chunked_operator.householder_scan_chunked_triton
    o, final, *saved = forward(*plain, True)
    return [
        (forward, (*arguments, True)),
        (
            householder_chunked_operator.householder_scan_chunked_backward_triton,
            (*plain, *saved, o, final),
        ),
    ]


def _householder_chain(source: Source) -> dict[str, Tensor]:
    """Reflections along unit vectors, two a token: signs of rows change."""
    axis = source.integers(5, (*source.leading, source.length, 2))
    k = torch.nn.functional.one_hot(axis, 5).float()
    return {
        "q": torch.ones_like(k[..., 0, :]),
        "k": k,
        "v": torch.zeros_like(k[..., :4]),
        "beta": torch.full_like(k[..., 0], 2.0),
        "initial": torch.arange(20.0, device=source.device).view(5, 4),
    }


def _householder_case(
    factors: int, decay: str, write: bool, *, in_chunks: bool = False
) -> ScanCase:
    return ScanCase(
        name=f"Householder, {factors} a token, decay {decay}" + (", in chunks" * in_chunks),
        scan=householder_scan,
        # With one key a projection leaves nothing of what came before, exactly or rounded.
        draw=_draw_householder(factors, decay, write, fewest_keys=2 if in_chunks else 1),
        operators=_chunked_householder_operators if in_chunks else _householder_operators,
        time_axis={
            "q": -2,
            "k": -3,
            "v": -3,
            "beta": -2,
            "write": -2,
            "decay": -1 if decay == "head" else -2,
        },
        chain=_householder_chain if factors == 1 and not in_chunks else None,
        share=2 if in_chunks else 3,
        settings={"statetrack.scans.householder.suits_chunks": lambda *_: in_chunks},
    )


def _draw_low_rank(rank: int, decay: str) -> Draw:
    """Draw for `low_rank_scan`, transitions no longer than one.

    Left and right of rank one come without a rank axis.
    """

    def draw(source: Source) -> dict[str, Tensor]:
        on_gpu = ON_GPU and not source.tiny
        if not ON_GPU:
            source.length = min(source.length, 5 // rank)
        small = source.length <= 4
        keys = source.pick([5, 64] if on_gpu else [1, 2] if small else [1, 3, 17])
        values = source.pick([18, 64] if on_gpu else [1, 3] if small else [1, 4, 18])
        shape = (source.length, keys) if rank == 1 else (source.length, rank, keys)
        right = torch.nn.functional.normalize(source.normal(*shape), dim=-1)
        right = right if source.plain_layout else source.laid_out(right)
        inputs = {
            "q": source.normal(source.length, keys),
            "left": right * (1 + source.uniform(source.length, *shape[1:-1], 1)) / rank,
            "right": right,
            "k": source.normal(source.length, keys),
            "v": source.normal(source.length, values),
        }
        if decay != "none":
            factors = source.uniform(source.length, keys)
            choice = source.chances(factors.shape)
            inputs["decay"] = torch.where(choice < 0.1, 0.0, factors)
        if source.pick([True, False]):
            inputs["initial"] = source.normal(keys, values)
        return inputs

    return draw


def _low_rank_operators(inputs: dict[str, Tensor]) -> list[tuple[Any, tuple[Any, ...]]]:
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    left, right = (
        one if one.dim() > q.dim() else one.detach().unsqueeze(-2).requires_grad_()
        for one in (inputs["left"], inputs["right"])
    )
    decay = inputs.get("decay", q.detach()[..., :0])
    zeros = q.detach().new_zeros((*q.shape[:-2], q.shape[-1], v.shape[-1]))
    arguments = (q, left, right, k, v, decay, inputs.get("initial", zeros), True)
    plain = [one.detach() for one in arguments[:-1]]
    o, final, *saved = low_rank_operator.low_rank_scan_triton(*plain, True)
    return [
        (low_rank_operator.low_rank_scan_triton, arguments),
        (low_rank_operator.low_rank_scan_backward_triton, (*plain, *saved, o, final)),
    ]


def _low_rank_chain(source: Source) -> dict[str, Tensor]:
    """Swaps of two rows, or reflections along unit vectors."""
    pair = source.integers(5, (2, *source.leading, source.length))
    first, second = torch.nn.functional.one_hot(pair, 5).float()
    right = torch.where((pair[0] == pair[1])[..., None], first, first - second)
    return {
        "q": torch.ones_like(right),
        "left": right * (2.0 / right.square().sum(-1, keepdim=True)),
        "right": right,
        "k": torch.zeros_like(right),
        "v": torch.zeros_like(right[..., :4]),
        "initial": torch.arange(20.0, device=source.device).view(5, 4),
    }


def _low_rank_case(rank: int, decay: str) -> ScanCase:
    rank_axis = -2 if rank == 1 else -3
    return ScanCase(
        name=f"low rank {rank}, decay {decay}",
        scan=low_rank_scan,
        draw=_draw_low_rank(rank, decay),
        operators=_low_rank_operators,
        time_axis={"q": -2, "left": rank_axis, "right": rank_axis, "k": -2, "v": -2, "decay": -2},
        chain=_low_rank_chain if rank == 1 else None,
        share=2,
    )


def _matrix_arguments(inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    a = inputs["a"]
    identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    identity = identity.expand(*a.shape[:-3], *a.shape[-2:])
    return a, inputs.get("b", a.detach()[..., :0, :]), inputs.get("initial", identity)


def _matrix_operators(inputs: dict[str, Tensor]) -> list[tuple[Any, tuple[Any, ...]]]:
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


def _rescaled_operators(inputs: dict[str, Tensor]) -> list[tuple[Any, tuple[Any, ...]]]:
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


def _nonlinear_operators(cell: str) -> Callable[..., list[tuple[Any, tuple[Any, ...]]]]:
    kind = NONLINEAR_CELLS[cell]

    def operators(inputs: dict[str, Tensor]) -> list[tuple[Any, tuple[Any, ...]]]:
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
    _outer_product_case("none"),
    _outer_product_case("head"),
    _outer_product_case("channel"),
    _householder_case(1, "none", write=False),
    _householder_case(2, "channel", write=False),
    _householder_case(3, "head", write=True),
    _householder_case(1, "none", write=False, in_chunks=True),
    _householder_case(2, "head", write=True, in_chunks=True),
    _low_rank_case(1, "none"),
    _low_rank_case(2, "channel"),
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
