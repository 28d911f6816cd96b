"""The outer-product recurrence as torch operators whose CUDA code is Triton.

Registered: fake tensors, autograd, vmap (the mapped axis becomes one more leading axis). A decay
per head is [..., T, 1] here, one per channel [..., T, K]; without decay it is [..., T, 0].
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from statetrack.scans.kernels import (
    is_aligned,
    leading_sizes,
    leading_strides,
    num_items,
    with_unit_stride,
)
from statetrack.scans.launches import Launches
from statetrack.scans.operators import register_gradient, register_operator
from statetrack.scans.outer_product.tiles import Tiles, choose_tiles, num_chunks

# What `around_chunks` does, chosen when it is launched.
SWEEP, VALUES, WALK = range(3)


def _run(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, initial: Tensor, precision: str, save: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs [..., T, V], final state [..., K, V] and, if `save`, the states before all chunks."""
    outputs = _allocate(q, k, v, decay, initial, precision, save)
    if v.shape[-2] == 0:
        outputs[1].copy_(initial)
    elif outputs[1].shape[:-2].numel() > 0:
        inputs = [with_unit_stride(tensor) for tensor in (q, k, v, decay, initial)]
        _launch_forward(inputs, outputs, precision, save)
    return outputs


def _run_backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    states: Tensor,
    grad_o: Tensor,
    grad_final: Tensor,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of q, k, v, decay and initial state."""
    if v.shape[-2] == 0 or grad_final.shape[:-2].numel() == 0:
        d_q, d_k, d_v, d_decay = (torch.zeros_like(tensor) for tensor in (q, k, v, decay))
        return d_q, d_k, d_v, d_decay, grad_final.clone()
    inputs = (q, k, v, decay, states, grad_o, grad_final)
    strided = [with_unit_stride(tensor) for tensor in inputs]
    parts, grad_v, grad_initial = _launch_backward(strided, precision)
    grad_q, grad_k, grad_decay = (
        part[0] if len(part) == 1 else part.sum(0).to(tensor.dtype)
        for part, tensor in zip(parts, (strided[0], strided[1], strided[3]), strict=True)
    )
    return grad_q, grad_k, grad_v, grad_decay, grad_initial


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    q, k, v, decay, initial, ctx.precision, ctx.saved = inputs
    ctx.set_materialize_grads(False)
    ctx.output_dtype = output[0].dtype
    ctx.save_for_backward(q, k, v, decay, initial, output[2])


def _differentiate(
    ctx: Any, grad_o: Tensor | None, grad_final: Tensor | None, _grad_states: Tensor | None
) -> tuple[Tensor | None, ...]:
    q, k, v, decay, initial, states = ctx.saved_tensors
    if grad_o is None:
        grad_o = v.new_zeros((), dtype=ctx.output_dtype).expand(v.shape)
    if grad_final is None:
        grad_final = initial.new_zeros(()).expand(initial.shape)
    if not ctx.saved:
        states = outer_product_scan_triton(q, k, v, decay, initial, ctx.precision, True)[2]
    grads = outer_product_scan_backward_triton(
        q, k, v, decay, states, grad_o, grad_final, ctx.precision
    )
    return (*grads, None, None)


def _empty(shape: tuple[int, ...] | torch.Size, beside: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=beside.device)


def _allocate(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, initial: Tensor, precision: str, save: bool
) -> tuple[Tensor, Tensor, Tensor]:
    leading = v.shape[:-2]
    shape = (q.shape[-1], v.shape[-1])
    dtype = torch.promote_types(torch.promote_types(q.dtype, k.dtype), v.dtype)
    tiles = choose_tiles(q, k, v, decay, precision)
    chunks = num_chunks(v.shape[-2], tiles.chunk) if save else 0
    return (
        _empty(v.shape, v, dtype),
        _empty((*leading, *shape), v, initial.dtype),
        _empty((*leading, chunks, *shape), v, tiles.stored(initial.dtype)),
    )


def _allocate_gradients(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    states: Tensor,
    grad_o: Tensor,
    grad_final: Tensor,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    grads = (_empty(tensor.shape, tensor, tensor.dtype) for tensor in (q, k, v, decay))
    return (*grads, _empty(grad_final.shape, grad_final, grad_final.dtype))  # type: ignore[return-value]


def _launch_forward(
    inputs: list[Tensor], outputs: tuple[Tensor, Tensor, Tensor], precision: str, save: bool
) -> None:
    from statetrack.scans.outer_product.kernel import scan_forward

    q, k, v, decay, initial = inputs
    o, final, states = outputs
    tiles = choose_tiles(q, k, v, decay, precision)
    rows = [_row_strides(tensor) for tensor in (q, k, v, decay)]
    of_o = _row_strides(o)
    aligned = _aligned((q, k, v, o), [*rows[:3], of_o, rows[3]], decay, tiles)
    leading = leading_sizes(v.shape[:-2])
    with Launches(q) as launch:
        launch(
            scan_forward, (num_items(leading) * tiles.num_blocks,),
            q, k, v, decay, initial, o, final, states, *leading[1:], v.shape[-2],
            *(stride for row in rows for stride in row), *_row_strides(initial), *of_o,
            SAVE=save, ALIGNED=aligned, **tiles.products(), **tiles.options(final.dtype),
            **tiles.launch("forward"),
        )  # fmt: skip
        if save:
            launch.later(_launch_backward, (q, k, v, decay, states, o, final), precision)


def _launch_backward(
    inputs: Sequence[Tensor], precision: str, launches: Callable[[Tensor], Launches] = Launches
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Gradients of queries, keys and decays in parts [blocks of values, ...]; of v and initial."""
    from statetrack.scans.outer_product.kernel_backward import around_chunks, chunk_backward

    q, k, v, decay, states, grad_o, grad_final = inputs
    tiles = choose_tiles(q, k, v, decay, precision)
    rows = [_row_strides(tensor) for tensor in (q, k, v, decay)]
    of_decay = rows[3]
    of_o = _row_strides(grad_o)
    leading = leading_sizes(v.shape[:-2])
    sequences = num_items(leading)
    chunks = num_chunks(v.shape[-2], tiles.chunk)
    parts = [
        _empty((tiles.num_blocks, *tensor.shape), tensor, tiles.partial(tensor, grad_final))
        for tensor in (q, k, decay)
    ]
    grad_v = _empty(v.shape, v, v.dtype)
    grad_initial = _empty(grad_final.shape, v, grad_final.dtype)
    adjoints = _empty(states.shape, v, states.dtype)
    again = _empty((sequences * chunks * tiles.num_blocks,), v, torch.int32)
    aligned = _aligned((q, k, v, grad_o), [*rows[:3], of_o, of_decay], decay, tiles)
    pointers = (
        q, k, v, decay, grad_o, states, adjoints, parts[0], parts[1], grad_v, parts[2], again,
    )  # fmt: skip
    numbers = (
        *leading[1:], v.shape[-2], sequences, *(stride for row in rows for stride in row), *of_o,
    )  # fmt: skip
    products = tiles.products() | tiles.options(grad_final.dtype)
    products |= {"ALIGNED": aligned, "SMALL": tiles.small}

    def launch_around(launch: Launches, stage: int, programs: int) -> None:
        launch(
            around_chunks, (programs,), *pointers, grad_final, grad_initial, *numbers,
            *_row_strides(grad_final), stage, **products, SEPARATE=tiles.separate_values,
            **tiles.launch("sweep"),
        )  # fmt: skip

    with launches(q) as launch:
        launch_around(launch, SWEEP, sequences * tiles.num_blocks)
        if tiles.separate_values:
            launch_around(launch, VALUES, again.numel())
        launch(
            chunk_backward, (again.numel(),), *pointers, *numbers, **products,
            PASS=2 if tiles.separate_values else 0, **tiles.launch("chunks"),
        )  # fmt: skip
        launch_around(launch, WALK, again.numel())
    return parts, grad_v, grad_initial


def _row_strides(tensor: Tensor) -> list[int]:
    return [*leading_strides(tensor, 2), tensor.stride(-2)]


def _aligned(
    tensors: tuple[Tensor, ...], rows: list[list[int]], decay: Tensor, tiles: Tiles
) -> bool:
    """Whether rows start at multiples of 8 elements, so that loads can be 16 bytes wide."""
    if tiles.decay == 2:
        tensors = (*tensors, decay)
    return is_aligned(tensors, rows[: len(tensors)]) and all(
        stride % 8 == 0 for row in rows[: len(tensors)] for stride in row
    )


outer_product_scan_triton = register_operator(
    "outer_product_scan(Tensor q, Tensor k, Tensor v, Tensor decay, Tensor initial, "
    "str precision, bool save) -> (Tensor, Tensor, Tensor)",
    _run,
    _allocate,
    own_axes=(2, 2, 2, 2, 2),
)
outer_product_scan_backward_triton = register_operator(
    "outer_product_scan_backward(Tensor q, Tensor k, Tensor v, Tensor decay, Tensor states, "
    "Tensor grad_o, Tensor grad_final, str precision) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _run_backward,
    _allocate_gradients,
    own_axes=(2, 2, 2, 2, 3, 2, 2),
)
register_gradient(
    outer_product_scan_triton, outer_product_scan_backward_triton, _differentiate, _save
)
