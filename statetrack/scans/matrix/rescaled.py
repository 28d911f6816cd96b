"""Matrix products that carry their scale apart, so that long chains stay finite.

A matrix is held as ``values * 2**log2_scale`` with the largest magnitude of `values` in [1/2, 1).
Only powers of two are taken out, so nothing is rounded, and the scale is locally constant:
gradients flow through `values` alone.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class ScaledStates(NamedTuple):
    """States held as ``values * 2**log2_scale``.

    Parameters
    ----------
    values : Tensor, [..., M, N]
        Mantissas; the largest magnitude of each matrix lies in [1/2, 1), or the matrix is zero.
    log2_scale : Tensor, [...]
        Whole numbers in the float type of `values`; minus infinity for a zero matrix.
    """

    values: Tensor
    log2_scale: Tensor


def normalise(values: Tensor, log2_scale: Tensor) -> ScaledStates:
    """Move the largest power of two of every matrix into its scale.

    Parameters
    ----------
    values : Tensor, [..., M, N]
    log2_scale : Tensor, [...]
    """
    largest = values.detach().abs().amax(dim=(-1, -2))
    exponent = torch.frexp(largest).exponent.to(values.dtype)
    scale = torch.where(largest > 0, log2_scale + exponent, -torch.inf)
    return ScaledStates(torch.ldexp(values, -exponent[..., None, None]), scale)


def multiply(left: ScaledStates, right: ScaledStates) -> ScaledStates:
    """Product of two scaled matrices, normalised."""
    return normalise(left.values @ right.values, left.log2_scale + right.log2_scale)


def add(left: ScaledStates, right: ScaledStates) -> ScaledStates:
    """Sum of two scaled matrices, normalised."""
    scale = torch.maximum(left.log2_scale, right.log2_scale)
    finite = torch.where(torch.isinf(scale), 0.0, scale)
    total = torch.zeros_like(left.values)
    for part in (left, right):
        total = total + torch.ldexp(part.values, (part.log2_scale - finite)[..., None, None])
    return normalise(total, finite)


def _select(states: ScaledStates, index: slice) -> ScaledStates:
    return ScaledStates(states.values[..., index, :, :], states.log2_scale[..., index])


def _join(parts: list[ScaledStates]) -> ScaledStates:
    values, scales = zip(*parts, strict=True)
    return ScaledStates(torch.cat(values, dim=-3), torch.cat(scales, dim=-1))


def rescaled_reference(
    a: Tensor, b: Tensor | None, initial: ScaledStates
) -> tuple[ScaledStates, ScaledStates]:
    """Loop over time; shapes as in `matrix_scan_reference`."""
    return _run(_loop, a, b, initial)


def rescaled_parallel(
    a: Tensor, b: Tensor | None, initial: ScaledStates
) -> tuple[ScaledStates, ScaledStates]:
    """Same contract as `rescaled_reference` by odd-even reduction."""
    return _run(_reduce, a, b, initial)


def _run(
    strategy: Callable[[ScaledStates, ScaledStates | None, ScaledStates], ScaledStates],
    a: Tensor,
    b: Tensor | None,
    initial: ScaledStates,
) -> tuple[ScaledStates, ScaledStates]:
    start = normalise(initial.values.unsqueeze(-3), initial.log2_scale.unsqueeze(-1))
    if a.shape[-3] == 0:
        return _select(start, slice(0, 0)), initial
    unscaled = torch.zeros_like(a[..., 0, 0])
    states = strategy(normalise(a, unscaled), None if b is None else normalise(b, unscaled), start)
    return states, ScaledStates(states.values[..., -1, :, :], states.log2_scale[..., -1])


def _loop(a: ScaledStates, b: ScaledStates | None, initial: ScaledStates) -> ScaledStates:
    state = initial
    states = []
    for t in range(a.values.shape[-3]):
        state = multiply(state, _select(a, slice(t, t + 1)))
        if b is not None:
            state = add(state, _select(b, slice(t, t + 1)))
        states.append(state)
    return _join(states)


def _reduce(a: ScaledStates, b: ScaledStates | None, initial: ScaledStates) -> ScaledStates:
    length = a.values.shape[-3]
    pairs = slice(0, length // 2)
    even_a = _select(a, slice(0, None, 2))
    even_b = None if b is None else _select(b, slice(0, None, 2))
    before = initial
    if length > 1:
        odd_a = _select(a, slice(1, None, 2))
        pair_b = None
        if b is not None and even_b is not None:
            pair_b = add(multiply(_select(even_b, pairs), odd_a), _select(b, slice(1, None, 2)))
        odd = _reduce(multiply(_select(even_a, pairs), odd_a), pair_b, initial)
        before = _join([initial, _select(odd, slice(0, even_a.values.shape[-3] - 1))])
    even = multiply(before, even_a)
    if even_b is not None:
        even = add(even, even_b)
    if length == 1:
        return even
    paired = _select(even, pairs)
    states = ScaledStates(
        torch.stack([paired.values, odd.values], dim=-3).flatten(-4, -3),
        torch.stack([paired.log2_scale, odd.log2_scale], dim=-1).flatten(-2),
    )
    return states if length % 2 == 0 else _join([states, _select(even, slice(-1, None))])
