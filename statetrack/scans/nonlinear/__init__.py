"""Nonlinear recurrences of many independent networks: tanh RNN, GRU, LSTM, sLSTM."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from automata.errors import unknown_name
from statetrack.scans.inputs import (
    broadcast_leading,
    choose_backend,
    compute_dtype,
    in_full_precision,
    require,
    require_numbers,
    shape_of,
)
from statetrack.scans.kernels import fold_leading
from statetrack.scans.nonlinear.cells import CELLS as CELLS
from statetrack.scans.nonlinear.cells import Cell as Cell
from statetrack.scans.nonlinear.launch import MAX_SIZE
from statetrack.scans.nonlinear.operator import nonlinear_scan_triton
from statetrack.scans.nonlinear.parallel import nonlinear_scan_parallel
from statetrack.scans.nonlinear.reference import nonlinear_scan_reference
from statetrack.scans.operators import needs_gradient

BACKENDS: dict[str, Callable[..., Any]] = {
    "reference": nonlinear_scan_reference,
    "parallel": nonlinear_scan_parallel,
    "triton": nonlinear_scan_triton,
}


@in_full_precision
def nonlinear_scan(
    x: Tensor,
    recurrent: Tensor,
    bias: Tensor | None = None,
    initial: Tensor | None = None,
    *,
    cell: str = "lstm",
    backend: str = "auto",
    precision: str = "ieee",
) -> tuple[Tensor, Tensor]:
    """Run a tanh RNN, GRU, LSTM or sLSTM whose inputs have met their weights already.

    At every token, ``u = h R + bias`` for every gate, and the cell makes the next state of x, u and
    the state before:

    - "rnn": ``h = tanh(x + u)``;
    - "gru": ``r, z = sigmoid(x + u)``, ``n = tanh(x_n + r u_n)``, ``h = (1 - z) n + z h``;
    - "lstm": ``i, f, o = sigmoid(x + u)``, ``g = tanh(x + u)``, ``c = f c + i g``,
      ``h = o tanh(c)``, gates in the order i, f, g, o;
    - "slstm", "slstm_exponential": ``c = F c + exp(i) tanh(z)``, ``n = F n + exp(i)``,
      ``h = sigmoid(o) c / n`` with F = sigmoid(f) or exp(f), gates in the order z, i, f, o, and
      both sums carried divided by exp(m).

    Parameters
    ----------
    x : Tensor, [..., B, T, G, D]
        What the token brings to every gate: networks (runs, heads), words, tokens, gates, units.
    recurrent : Tensor, [..., G, D, D]
        Weights R of every network. That of torch.nn is ``weight_hh.unflatten(0, (G, D)).mT``.
    bias : Tensor, [..., G, D], optional
        Added to h R; zeros by default. Only in the last gate of a GRU is this not the same as
        adding it to x.
    initial : Tensor, [..., B, S, D], optional
        State before the first token, its parts in order: h; h and c; h, c, n and m. Zeros by
        default.
    cell : {"rnn", "gru", "lstm", "slstm", "slstm_exponential"}
    backend : {"auto", "reference", "parallel", "triton"}
        "auto" takes the kernel on a GPU for D up to 256, and "parallel" elsewhere: one matrix
        product a token for all networks, words and gates.
    precision : {"ieee", "tf32x3", "tf32"}
        Rounding of products in the kernel. On a GPU, "ieee" multiplies three bfloat16 parts of
        every float32 number on tensor cores, as exactly as float32 units do; infinite
        weights and hidden states count there as NaN.

    Returns
    -------
    hidden : Tensor, [..., B, T, D]
        In the type of `x`.
    final_state : Tensor, [..., B, S, D]
        State after the last token, float32 or wider; `initial` when T = 0.

    Raises
    ------
    InputError
        An unknown cell; shapes, types, devices, backend or precision that do not fit; D above 256
        for the kernel.

    Notes
    -----
    Cost: G D^2 multiply-adds per token and word forward, three times that for both passes, in T
    steps one after the other whatever the backend; `newton_scan` is the form in parallel over time.
    For a backward pass the kernel keeps the states and, per unit and token, one number (rnn) or
    four. Sources: Elman 1990; Cho et al. 2014 (arXiv 1406.1078), in the form of torch.nn;
    Hochreiter and Schmidhuber 1997; Beck et al. 2024 (arXiv 2405.04517). Kernels of this kind:
    Pöppel et al. 2024 (FlashRNN, arXiv 2412.07752).

    Examples
    --------
    A tanh unit with a large negative weight on itself changes sign at every token:

    >>> import torch
    >>> hidden, final = nonlinear_scan(
    ...     torch.zeros(1, 4, 1, 1), torch.full((1, 1, 1), -9.0), initial=torch.ones(1, 1, 1),
    ...     cell="rnn")
    >>> hidden.flatten().round().tolist()
    [-1.0, 1.0, -1.0, 1.0]
    """
    name = "nonlinear_scan"
    if cell not in CELLS:
        raise unknown_name(f"{name} cell", cell, tuple(CELLS))
    kind = CELLS[cell]
    gates, parts = len(kind.gates), len(kind.state)
    require_numbers(name, real=True, x=x, recurrent=recurrent, bias=bias, initial=initial)
    require(
        x.dim() >= 4 and x.shape[-2] == gates and x.shape[-1] >= 1,
        f"{name}: x has shape {shape_of(x)}, expected [..., B, T, G, D] with G = {gates} gates of "
        f"{cell!r}: {', '.join(kind.gates)}",
    )
    size = x.shape[-1]
    require(
        tuple(recurrent.shape[-3:]) == (gates, size, size),
        f"{name}: recurrent has shape {shape_of(recurrent)}, expected [..., G, D, D] = "
        f"[..., {gates}, {size}, {size}]",
    )
    dtype = compute_dtype(*(one for one in (x, recurrent, bias, initial) if one is not None))
    bias = recurrent.new_zeros((gates, size)) if bias is None else bias
    require(
        tuple(bias.shape[-2:]) == (gates, size),
        f"{name}: bias has shape {shape_of(bias)}, expected [..., G, D] = [..., {gates}, {size}]",
    )
    initial = x.new_zeros((parts, size)) if initial is None else initial
    require(
        tuple(initial.shape[-2:]) == (parts, size),
        f"{name}: initial has shape {shape_of(initial)}, expected [..., B, S, D] = "
        f"[..., B, {parts}, {size}] for {', '.join(kind.state)}",
    )
    # Weights are those of all words: an axis of one in the place of the batch.
    weights, biases = recurrent.unsqueeze(-4), bias.unsqueeze(-3)
    leading = broadcast_leading(
        name, x=(x, 3), recurrent=(weights, 3), bias=(biases, 2), initial=(initial, 2)
    )
    networks = leading[:-1]
    inputs = (
        x.expand(*leading, *x.shape[-3:]),
        recurrent.to(dtype).expand(*networks, gates, size, size),
        bias.to(dtype).expand(*networks, gates, size),
        initial.to(dtype).expand(*leading, parts, size),
    )
    chosen = _choose(name, backend, precision, x)
    if chosen == "triton":
        hidden, final_state = _run_kernel(inputs, cell, precision)
    else:
        hidden, final_state = BACKENDS[chosen](kind, inputs[0].to(dtype), *inputs[1:])
    return hidden.to(x.dtype), final_state


def _choose(name: str, backend: str, precision: str, x: Tensor) -> str:
    """The backend to use; "auto" takes the kernel for what it can do."""
    fits = x.shape[-1] <= MAX_SIZE
    backends = BACKENDS
    if backend == "auto" and not fits:
        backends = {key: run for key, run in BACKENDS.items() if key != "triton"}
    chosen = choose_backend(name, backends, backend, precision, x.device)
    require(
        chosen != "triton" or fits,
        f"{name}: D = {x.shape[-1]}, the kernel takes D up to {MAX_SIZE}; use backend='parallel'",
    )
    return chosen


def _run_kernel(inputs: tuple[Tensor, ...], cell: str, precision: str) -> tuple[Tensor, Tensor]:
    networks = inputs[0].shape[:-4]
    save = needs_gradient(inputs)
    folded = (fold_leading(one, own) for one, own in zip(inputs, (4, 3, 2, 3), strict=True))
    hidden, final_state, *_ = nonlinear_scan_triton(*folded, cell, precision, save)
    if len(networks) != hidden.dim() - 3:
        hidden = hidden.reshape(*networks, *hidden.shape[-3:])
        final_state = final_state.reshape(*networks, *final_state.shape[-3:])
    return hidden, final_state
