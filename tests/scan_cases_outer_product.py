"""Rows of `scan_cases` whose states are sums of outer products of keys and values."""

import torch
from torch import Tensor

from statetrack.scans import householder_scan, low_rank_scan, outer_product_scan
from statetrack.scans.householder import operator as householder_operator
from statetrack.scans.householder import operator_chunked as householder_chunked_operator
from statetrack.scans.low_rank import operator as low_rank_operator
from statetrack.scans.outer_product import operator as outer_product_operator
from tests.scan_source import ON_GPU, Draw, Operators, ScanCase, Source


def _sizes(source: Source, few_keys: int) -> tuple[int, int]:
    """How many keys and values."""
    small = source.length <= 4
    on_gpu = ON_GPU and not source.tiny
    keys = source.pick([few_keys, 64] if on_gpu else [1, 2] if small else [1, 3, 17])
    values = source.pick([18, 64] if on_gpu else [1, 3] if small else [1, 4, 18])
    return keys, values


def _decays(source: Source, decay: str, keys: int, often_large: bool = False) -> Tensor:
    """Decays of each head or channel: some of them zero, or all from 1/2 to 1 in magnitude."""
    factors = source.uniform(*((source.length,) if decay == "head" else (source.length, keys)))
    if often_large and source.pick(["small and zero", "large", "large"]) == "large":
        factors = torch.where(factors < 0, -1.0, 1.0) * (factors.abs() + 1) / 2
    else:
        factors = torch.where(source.chances(factors.shape) < 0.1, 0.0, factors)
    return factors.to(source.dtype)


def _decay_and_initial(inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """As operators take them: a channel for a decay of heads, and nothing for what is left out."""
    q, v = inputs["q"], inputs["v"]
    decay = inputs.get("decay", q.detach()[..., :0])
    if decay.dim() < q.dim():
        decay = decay.detach().unsqueeze(-1).requires_grad_()
    zeros = q.detach().new_zeros((*q.shape[:-2], q.shape[-1], v.shape[-1]))
    return decay, inputs.get("initial", zeros)


def _draw_outer_product(decay: str) -> Draw:
    def draw(source: Source) -> dict[str, Tensor]:
        keys, values = _sizes(source, few_keys=3)
        inputs = {
            "q": source.normal(source.length, keys),
            "k": source.normal(source.length, keys),
            "v": source.normal(source.length, values),
        }
        if decay != "none":
            inputs["decay"] = _decays(source, decay, keys, often_large=True)
        if source.pick([True, False]):
            inputs["initial"] = source.normal(keys, values)
        return inputs

    return draw


def _outer_product_operators(inputs: dict[str, Tensor]) -> Operators:
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    decay, initial = _decay_and_initial(inputs)
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


def outer_product_case(decay: str) -> ScanCase:
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
        if not ON_GPU:
            source.length = min(source.length, max(2, 5 // factors))
        keys, values = _sizes(source, few_keys=5)
        keys = max(keys, fewest_keys)
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
            inputs["decay"] = _decays(source, decay, keys)
        if source.pick([True, False]):
            inputs["initial"] = source.normal(keys, values)
        return inputs

    return draw


def _householder_arguments(inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
    q, k, v, beta = (inputs[name] for name in ("q", "k", "v", "beta"))
    write = inputs.get("write", beta.detach())
    return q, k, v, beta, write, *_decay_and_initial(inputs)


def _householder_operators(inputs: dict[str, Tensor]) -> Operators:
    arguments = _householder_arguments(inputs)
    plain = [one.detach() for one in arguments]
    o, final, *saved = householder_operator.householder_scan_triton(*plain, True)
    return [
        (householder_operator.householder_scan_triton, (*arguments, True)),
        (householder_operator.householder_scan_backward_triton, (*plain, *saved, o, final)),
    ]


def _chunked_householder_operators(
    inputs: dict[str, Tensor],
) -> Operators:
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


def householder_case(factors: int, decay: str, write: bool, *, in_chunks: bool = False) -> ScanCase:
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
        if not ON_GPU:
            source.length = min(source.length, 5 // rank)
        keys, values = _sizes(source, few_keys=5)
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
            inputs["decay"] = _decays(source, decay, keys)
        if source.pick([True, False]):
            inputs["initial"] = source.normal(keys, values)
        return inputs

    return draw


def _low_rank_operators(inputs: dict[str, Tensor]) -> Operators:
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    left, right = (
        one if one.dim() > q.dim() else one.detach().unsqueeze(-2).requires_grad_()
        for one in (inputs["left"], inputs["right"])
    )
    arguments = (q, left, right, k, v, *_decay_and_initial(inputs), True)
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


def low_rank_case(rank: int, decay: str) -> ScanCase:
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
