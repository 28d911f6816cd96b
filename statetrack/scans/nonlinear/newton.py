"""Nonlinear recurrences in parallel over time, by Newton's method.

The states of all tokens are the root of ``F(x_t, s_{t-1}) - s_t``. A Newton step linearises F
around the last guess and solves ``d_t = J_t d_{t-1} + F(x_t, s_{t-1}) - s_t``: a linear recurrence,
which is a `diagonal_scan` or a `matrix_scan`. Danieli et al. 2025 (ParaRNN, arXiv 2510.21450); Lim
et al. 2024 (DEER, arXiv 2309.12252).
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from automata.errors import InputError, unknown_name
from statetrack.scans.diagonal import diagonal_scan
from statetrack.scans.inputs import compute_dtype, require, require_numbers, shape_of
from statetrack.scans.matrix import matrix_scan
from statetrack.scans.nonlinear.cells import CELLS, Cell

STRUCTURES = ("diagonal", "dense")
MAX_BLOCK = 64


@dataclass(frozen=True)
class NewtonSolution:
    """States found by Newton's method, and how.

    Attributes
    ----------
    hidden : Tensor, [..., B, T, D]
    final_state : Tensor, [..., B, S, D]
    iterations : int
        Newton steps until the residual was within the tolerance.
    residuals : tuple of float
        Largest ``|F(x_t, s_{t-1}) - s_t|`` before every step and after the last, over one plus the
        largest ``|s_t|``.
    """

    hidden: Tensor
    final_state: Tensor
    iterations: int
    residuals: tuple[float, ...]


@dataclass(frozen=True)
class Network:
    """A cell with its weights, applied to all tokens at once.

    Parameters
    ----------
    cell : Cell
    x : Tensor, [..., B, T, G, D]
    recurrent : Tensor, [..., G, D] or [..., G, D, D]
    bias : Tensor, [..., G, D]
    initial : Tensor, [..., B, S, D]
    diagonal : bool
        Whether every unit sees itself alone.
    """

    cell: Cell
    x: Tensor
    recurrent: Tensor
    bias: Tensor
    initial: Tensor
    diagonal: bool

    def detached(self) -> "Network":
        """The same without gradients."""
        return replace(
            self,
            x=self.x.detach(),
            recurrent=self.recurrent.detach(),
            bias=self.bias.detach(),
            initial=self.initial.detach(),
        )

    def before(self, states: Tensor) -> Tensor:
        """States before every token, from those after: [..., B, T, S, D]."""
        return torch.cat([self.initial.unsqueeze(-3), states[..., :-1, :, :]], dim=-3)

    def step(self, before: Tensor) -> Tensor:
        """States after every token from those before."""
        hidden = before[..., 0, :]
        if self.diagonal:
            u = hidden.unsqueeze(-2) * self.recurrent[..., None, None, :, :]
        else:
            u = torch.einsum("...btd,...gde->...btge", hidden, self.recurrent)
        u = u + self.bias[..., None, None, :, :]
        after = self.cell.step(self.x.unbind(-2), u.unbind(-2), before.unbind(-2))
        return torch.stack(after, dim=-2)

    def jacobians(self, before: Tensor) -> Tensor:
        """Derivatives of states after by states before, in row form.

        Returns
        -------
        Tensor, [..., B, T, D, S, S] where diagonal, else [..., B, T, S D, S D]
            Rows are what is derived by.
        """
        parts, size = before.shape[-2:]
        if self.diagonal:  # a derivative of one unit is none of another's
            basis = torch.eye(parts, dtype=before.dtype, device=before.device).unsqueeze(-1)
        else:
            basis = torch.eye(parts * size, dtype=before.dtype, device=before.device)
            basis = basis.unflatten(-1, (parts, size))
        with torch.enable_grad():
            leaf = before.detach().requires_grad_()
            after = self.step(leaf)
        wanted = basis.view(-1, *(1,) * (after.dim() - 2), *basis.shape[1:])
        (columns,) = torch.autograd.grad(
            after, leaf, wanted.expand(-1, *after.shape), is_grads_batched=True
        )
        columns = columns.movedim(0, -1)
        return columns.movedim(-2, -3) if self.diagonal else columns.flatten(-3, -2)

    def solve(self, jacobians: Tensor, residual: Tensor) -> Tensor:
        """``d_t = d_{t-1} J_t + r_t`` from zeros, [..., B, T, S, D]."""
        parts, size = residual.shape[-2:]
        if not self.diagonal:
            start = residual.new_zeros(1, parts * size)
            rows = residual.flatten(-2).unsqueeze(-2)
            return matrix_scan(jacobians, rows, start)[0].squeeze(-2).unflatten(-1, (parts, size))
        if parts == 1:
            return diagonal_scan(jacobians[..., 0, 0], residual[..., 0, :])[0].unsqueeze(-2)
        blocks = jacobians.movedim(-3, -4)  # units lead, time comes after
        rows = residual.mT.movedim(-2, -3).unsqueeze(-2)
        found = matrix_scan(blocks, rows, residual.new_zeros(1, parts))[0]
        return found.squeeze(-2).movedim(-3, -2).mT


def newton_scan(
    x: Tensor,
    recurrent: Tensor,
    bias: Tensor | None = None,
    initial: Tensor | None = None,
    *,
    cell: str = "gru",
    structure: str = "diagonal",
    tolerance: float | None = None,
    max_iterations: int = 50,
) -> NewtonSolution:
    """Compute what `nonlinear_scan` does, all tokens at once.

    Parameters
    ----------
    x : Tensor, [..., B, T, G, D]
        As for `nonlinear_scan`; networks are the same axes in all arguments.
    recurrent : Tensor, [..., G, D] or [..., G, D, D]
        Weights of every unit on itself ("diagonal"), or of all on all ("dense").
    bias : Tensor, [..., G, D], optional
    initial : Tensor, [..., B, S, D], optional
    cell : {"rnn", "gru", "lstm", "slstm", "slstm_exponential"}
    structure : {"diagonal", "dense"}
    tolerance : float, optional
        Residual to stop at, in proportion to one plus the largest state; 16 roundings of the type
        by default (2e-6 in float32). A last step, taken in any case, reduces it further.
    max_iterations : int

    Returns
    -------
    NewtonSolution
        Differentiable once, by the implicit function theorem: the backward pass is the linear
        recurrence from the last token to the first, however many steps were taken.

    Raises
    ------
    InputError
        Newton's method did not converge, with the last residuals; arguments that do not fit; more
        than 64 numbers of state for "dense".

    Notes
    -----
    Cost of a step, beside the cell: the Jacobians by S (diagonal) or S D (dense) derivatives and a
    scan of matrices of that order, each in a number of calls that grows with log2(T). After k steps
    the first k states are exact, so that T steps always suffice in exact arithmetic; where the
    recurrence forgets, a few do. Where it amplifies, the linear recurrence leaves the range of
    floats first: it is refused, never returned.

    Examples
    --------
    >>> import torch
    >>> x = torch.linspace(-1.0, 1.0, 300).view(1, 100, 3, 1)
    >>> found = newton_scan(x, torch.full((3, 1), 0.5), cell="gru")
    >>> tuple(found.hidden.shape), found.iterations < 10
    ((1, 100, 1), True)
    """
    network = _network(x, recurrent, bias, initial, cell, structure)
    if x.shape[-3] == 0:
        return NewtonSolution(network.x[..., 0, :], network.initial, 0, ())
    dtype = network.x.dtype
    bound = 16 * torch.finfo(dtype).eps if tolerance is None else tolerance
    with torch.no_grad():
        states, residuals = _iterate(network.detached(), bound, max_iterations)
        fixed = network.detached()
        jacobians = fixed.jacobians(fixed.before(states))
    residual = network.step(network.before(states)) - states
    states = states + OnceDifferentiable.apply(network.solve(jacobians, residual))
    hidden = states[..., 0, :].to(x.dtype)
    return NewtonSolution(hidden, states[..., -1, :, :], len(residuals) - 1, tuple(residuals))


def _iterate(network: Network, bound: float, most: int) -> tuple[Tensor, list[float]]:
    """Newton steps until the residual is within the bound."""
    shape = (*network.x.shape[:-2], *network.initial.shape[-2:])
    states = network.step(network.initial.new_zeros(shape))
    residuals: list[float] = []
    while True:
        before = network.before(states)
        residual = network.step(before) - states
        scale = 1 + states.abs().amax() if states.numel() else torch.ones(())
        residuals.append(float(residual.abs().amax() / scale) if residual.numel() else 0.0)
        if residuals[-1] <= bound:
            return states, residuals
        if len(residuals) > most or not math.isfinite(residuals[-1]):
            last = ", ".join(f"{one:.1e}" for one in residuals[-3:])
            raise InputError(
                f"newton_scan: no convergence after {len(residuals) - 1} steps: the last residuals "
                f"are {last}, at most {bound:.1e} was asked for; use nonlinear_scan"
            )
        states = states + network.solve(network.jacobians(before), residual)


def _network(
    x: Tensor,
    recurrent: Tensor,
    bias: Tensor | None,
    initial: Tensor | None,
    cell: str,
    structure: str,
) -> Network:
    """Check the arguments and fill in what is left out."""
    name = "newton_scan"
    if cell not in CELLS:
        raise unknown_name(f"{name} cell", cell, tuple(CELLS))
    if structure not in STRUCTURES:
        raise unknown_name(f"{name} structure", structure, STRUCTURES)
    require_numbers(name, real=True, x=x, recurrent=recurrent, bias=bias, initial=initial)
    gates, parts = len(CELLS[cell].gates), len(CELLS[cell].state)
    require(
        x.dim() >= 4 and x.shape[-2] == gates and x.shape[-1] >= 1,
        f"{name}: x has shape {shape_of(x)}, expected [..., B, T, G, D] with G = {gates} gates of "
        f"{cell!r}",
    )
    networks, batch, size = x.shape[:-4], x.shape[-4], x.shape[-1]
    diagonal = structure == "diagonal"
    weights = (*networks, gates, size) if diagonal else (*networks, gates, size, size)
    dtype = compute_dtype(*(one for one in (x, recurrent, bias, initial) if one is not None))
    bias = recurrent.new_zeros((*networks, gates, size)) if bias is None else bias
    initial = x.new_zeros((*networks, batch, parts, size)) if initial is None else initial
    for key, one, shape in (
        ("recurrent", recurrent, weights),
        ("bias", bias, (*networks, gates, size)),
        ("initial", initial, (*networks, batch, parts, size)),
    ):
        require(
            shape_of(one) == shape, f"{name}: {key} has shape {shape_of(one)}, expected {shape}"
        )
    require(
        diagonal or parts * size <= MAX_BLOCK,
        f"{name}: {parts} x {size} numbers of state, 'dense' multiplies matrices of that order and "
        f"takes up to {MAX_BLOCK}; use nonlinear_scan",
    )
    x, recurrent, bias, initial = (one.to(dtype) for one in (x, recurrent, bias, initial))
    return Network(CELLS[cell], x, recurrent, bias, initial, diagonal)


class OnceDifferentiable(torch.autograd.Function):
    """The same numbers; a second derivative, which would lack terms, is refused."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor) -> Tensor:
        """Return a view."""
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Pass the gradient on."""
        return RefuseGradient.apply(gradient)


class RefuseGradient(torch.autograd.Function):
    """The same numbers, without a derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor) -> Tensor:
        """Return a view."""
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Refuse."""
        raise InputError(
            "newton_scan has first derivatives only; use nonlinear_scan with backend='parallel'"
        )
