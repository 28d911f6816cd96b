"""What one step of a model computes in float32, as an exact affine map and what rounding may add.

A step of one word (``model.step`` with a batch of one, on the CPU) computes from the token alone
the numbers of the map, always the same bits. They are read here, and the map they stand for is
exact: only its application to the state rounds. Shape suffixes: U blocks, V rows of a block, N size
of a row, R factors, K keys.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from automata.errors import InputError
from automata.validation import FloatArray, IntArray
from statetrack.analysis.sound_balls import EPS, SMALLEST, UNIT, Balls, gamma, spectral_norm
from statetrack.models.backbone import Backbone, Letters
from statetrack.models.block_diagonal import BlockDiagonalMixer
from statetrack.models.complex_diagonal import ComplexDiagonalMixer
from statetrack.models.dense import DenseMixer
from statetrack.models.diagonal import DiagonalMixer
from statetrack.models.householder import HouseholderMixer
from statetrack.models.mru import MRUMixer
from statetrack.models.permutation_diagonal import PermutationDiagonalMixer

_READ = 2.0 * UNIT
"""Numbers rounded from float64 may differ from those read here by one place."""


@dataclass(frozen=True, eq=False)
class SoundStep:
    """The step of one token.

    Attributes
    ----------
    stream : ndarray, float64 [width]
        The residual stream before the recurrence.
    matrix, offset : ndarray, float64 [U, N, N], [U, V, N]
        The exact map of the state, ``H M + B``.
    rounding, extra : ndarray, float64 [U, N, N], [U, V, N]
        A computed state is off by at most ``|H| rounding + extra``, entry by entry.
    reading : ndarray, float64 [U, N, E]
        What the readout takes of every row, ``H' reading``: all of it, or its product with a query.
    read_rounding, read_extra : ndarray, float64 [U, N, E], [U, V, E]
        What it takes is off by at most ``|H| read_rounding + read_extra``.
    """

    stream: FloatArray
    matrix: FloatArray
    offset: FloatArray
    rounding: FloatArray
    extra: FloatArray
    reading: FloatArray
    read_rounding: FloatArray
    read_extra: FloatArray


@dataclass(frozen=True, eq=False)
class SoundModel:
    """A one-layer model with all its steps.

    Attributes
    ----------
    initial : ndarray, float64 [U, V, N]
    steps : tuple of SoundStep
        One a token.
    groups : int
        Rows that are normalised apart from each other in the readout.
    scale : ndarray, float64 [groups, size]
        Scale of that norm.
    order : ndarray of int, [groups * size]
        Which number of the state, or of what is read of it, the readout takes at each place.
    scaled : bool
        Whether powers of two are taken out of every block before it is read.
    weights : dict
        Matrices of the linear maps after the recurrence, with their norms.
    biases : dict
        Their biases, and the scales of the norms.
    """

    initial: FloatArray
    steps: tuple[SoundStep, ...]
    groups: int
    scale: FloatArray
    order: IntArray
    scaled: bool
    weights: dict[str, tuple[FloatArray, float]]
    biases: dict[str, FloatArray]

    def last_stream(self, read: Balls, stream: FloatArray) -> Balls:
        """What the head reads, from what the readout takes of the state.

        Parameters
        ----------
        read : Balls, [M, groups, size]
        stream : ndarray, float64 [M, width]
        """
        if self.scaled:
            low = np.clip(np.abs(read.middle) - read.box, 0.0, None).max(axis=-1)
            high = read.largest.max(axis=-1)
            heads = read.normalised(self.scale, EPS * low**2, 4 * EPS * high**2)
        else:
            heads = read.normalised(self.scale)
        flat = Balls.make(
            heads.middle.reshape(len(stream), -1),
            heads.box.reshape(len(stream), -1),
            np.linalg.norm(heads.ball, axis=-1),
        )
        total = Balls.exactly(stream).plus(flat.linear(*self.weights["output"]))
        inner = total.normalised(self.biases["mlp_norm"]).linear(*self.weights["up"])
        hidden = inner.plus(Balls.exactly(np.broadcast_to(self.biases["up"], inner.box.shape)))
        outer = hidden.gelu().linear(*self.weights["down"])
        added = outer.plus(Balls.exactly(np.broadcast_to(self.biases["down"], outer.box.shape)))
        return total.plus(added).normalised(self.biases["norm"])

    def margins(self, seen: Balls, target: IntArray) -> FloatArray:
        """Sound lower bound on the target's computed logit minus each other one, least of them.

        Parameters
        ----------
        seen : Balls, [M, width]
            From `last_stream`.
        target : ndarray of int, [M]
        """
        weight, _ = self.weights["head"]
        bias, count = self.biases["head"], weight.shape[1]
        own = weight[target]
        terms = seen.largest @ np.abs(weight).T + np.abs(bias)
        error = gamma(count + 2) * terms + (count + 1) * SMALLEST
        difference = own[:, None] - weight
        middle = np.einsum("md,mcd->mc", seen.middle, difference) + bias[target][:, None] - bias
        spread = np.minimum(
            np.einsum("md,mcd->mc", seen.box, np.abs(difference)),
            seen.ball[:, None] * np.linalg.norm(difference, axis=-1),
        )
        rows = np.arange(len(target))
        own_terms = terms[rows, target][:, None]
        lost = error + error[rows, target][:, None] + count * 2.0**-50 * (terms + own_terms)
        least = middle - (spread + lost) * (1 + 1e-9)
        least[rows, target] = np.inf
        return least.min(axis=1)


def read_sound_model(model: nn.Module, num_tokens: int) -> SoundModel:
    """Read the steps of a model for which rounding is understood.

    Parameters
    ----------
    model : torch.nn.Module
        A `Backbone` in float32 on the CPU, of one layer without convolution, whose recurrence is
        diagonal (real or complex), of matrices (MRU with the normalised readout and no addition,
        SD-SSM, PD-SSM, block-diagonal), or of Householder factors without decay.
    num_tokens : int

    Returns
    -------
    SoundModel

    Raises
    ------
    InputError
        Another model.
    """
    read_step = _reader(model)
    backbone: Any = model
    block = backbone.blocks[0]
    mixer = block.mixer
    steps = []
    with torch.no_grad():
        for token in range(num_tokens):
            letter = Letters(torch.tensor([[token]]), backbone.embedding.weight)
            stream, seen, *_ = block.mixer_input(letter, block.initial_state(1))
            steps.append(read_step(mixer, _numbers(stream[0, 0]), seen))
        start = block.initial_state(1)[0]
    initial = _numbers(torch.view_as_real(start).flatten(-2) if start.is_complex() else start)[0]
    if isinstance(mixer, HouseholderMixer):
        initial = initial.swapaxes(-1, -2)
    scale = _numbers(mixer.norm.scale)
    groups = len(scale) if scale.ndim > 1 else 1
    layers = {
        "output": mixer.output,
        "up": block.mlp.up,
        "down": block.mlp.down,
        "head": backbone.head,
    }
    weights = {name: _numbers(layer.weight) for name, layer in layers.items()}
    biases = {name: _numbers(layer.bias) for name, layer in layers.items() if name != "output"}
    biases |= {"mlp_norm": _numbers(block.mlp_norm.scale), "norm": _numbers(backbone.norm.scale)}
    return SoundModel(
        initial.reshape(steps[0].offset.shape),
        tuple(steps),
        groups,
        scale.reshape(groups, -1),
        _order(groups, scale.size, is_complex=start.is_complex()),
        isinstance(mixer, MRUMixer),
        {name: (weight, spectral_norm(weight)) for name, weight in weights.items()},
        biases,
    )


def _reader(model: nn.Module) -> Callable[[Any, FloatArray, Tensor], SoundStep]:
    if not isinstance(model, Backbone):
        raise InputError(
            f"{type(model).__name__}: bounds on rounding are known for models of "
            "statetrack.models alone"
        )
    if len(model.blocks) != 1 or model.blocks[0].convolution is not None:
        raise InputError("bounds on rounding are known for one layer without convolution")
    if any(p.dtype != torch.float32 or p.device.type != "cpu" for p in model.parameters()):
        raise InputError("bounds on rounding are for a float32 model on the CPU: move it there")
    mixer: Any = model.blocks[0].mixer
    reader = READERS.get(type(mixer))
    if reader is None or (isinstance(mixer, MRUMixer) and not mixer.scale_free_state):
        raise InputError(
            f"bounds on rounding are not known for {type(mixer).__name__} with these parameters"
        )
    return reader


def _diagonal(mixer: Any, stream: FloatArray, seen: Tensor) -> SoundStep:
    a_U = _numbers(mixer.range.eigenvalue(mixer.to_eigenvalue(seen))[0, 0])
    b_U = _numbers(mixer.to_input(seen)[0, 0])
    return _plain_step(stream, a_U[:, None, None], b_U[:, None, None], products=1)


def _complex_diagonal(mixer: Any, stream: FloatArray, seen: Tensor) -> SoundStep:
    eigenvalue_U = mixer._eigenvalues(seen)[0, 0]
    real, imaginary = _numbers(mixer.to_input(seen)[0, 0]).reshape(2, -1)
    matrix = _real_matrices(eigenvalue_U[:, None, None])
    return _plain_step(stream, matrix, np.stack([real, imaginary], -1)[:, None], products=2)


def _matrices(mixer: Any, stream: FloatArray, seen: Tensor) -> SoundStep:
    matrix_HNN = mixer._matrices(seen)[0, :, 0].mT
    if isinstance(mixer, MRUMixer):
        # The state is a whole matrix: N rows, and nothing is added.
        matrix = _numbers(matrix_HNN.mT)
        size = matrix.shape[-1]
        return _plain_step(stream, matrix, np.zeros((len(matrix), size, size)), products=size)
    offset = mixer.to_input(seen)[0, 0].unflatten(-1, (len(matrix_HNN), -1))
    if matrix_HNN.is_complex():
        half = offset.shape[-1] // 2
        offset = torch.stack([offset[..., :half], offset[..., half:]], -1).flatten(-2)
        matrix = _real_matrices(matrix_HNN)
    else:
        matrix = _numbers(matrix_HNN)
    return _plain_step(stream, matrix, _numbers(offset)[:, None], products=matrix.shape[-1])


def _block_diagonal(mixer: Any, stream: FloatArray, seen: Tensor) -> SoundStep:
    matrix = _numbers(mixer._blocks(seen)[0, 0].mT)
    offset = _numbers(mixer.to_value(seen)[0, 0]).reshape(len(matrix), 1, -1)
    return _plain_step(stream, matrix, offset, products=matrix.shape[-1])


def _householder(mixer: Any, stream: FloatArray, seen: Tensor) -> SoundStep:
    """Updates ``u = U - W S`` from what the factors solve to, then ``S + k^T u``, and q S."""
    k_URK, beta_UR = (part[0, :, 0] for part in mixer.factors_of(seen))
    heads, factors, size = k_URK.shape
    k_URK, beta_UR1 = _numbers(k_URK), _numbers(beta_UR)[..., None]
    v_URV = _numbers(mixer.to_value(seen)[0, 0]).reshape(heads, factors, -1)
    q_UK = _numbers(mixer.to_query(seen)[0, 0]).reshape(heads, size)
    system = np.tril(beta_UR1 * (k_URK @ k_URK.swapaxes(-1, -2)), -1) + np.eye(factors)
    w_URK = np.linalg.solve(system, beta_UR1 * k_URK)
    u_URV = np.linalg.solve(system, beta_UR1 * v_URV)
    matrix = np.eye(size) - w_URK.swapaxes(-1, -2) @ k_URK
    offset = u_URV.swapaxes(-1, -2) @ k_URK
    # |W| and |U| are off by what rounding them to float32 loses, then K products, R more.
    w_terms, u_terms = (np.abs(one) + 1e-9 * np.abs(one).max() for one in (w_URK, u_URV))
    terms = w_terms.swapaxes(-1, -2) @ np.abs(k_URK)
    writes = u_terms.swapaxes(-1, -2) @ np.abs(k_URK)
    relative = gamma(size + factors + 4) + _READ
    query = np.abs(q_UK)[..., None]
    read_relative = gamma(2 * size + 2 * factors + 8) + _READ
    lost = (size + factors + 2) * SMALLEST * (1.0 + np.abs(k_URK).max())
    return SoundStep(
        stream,
        matrix,
        offset,
        gamma(factors + 1) * np.eye(size) + relative * terms,
        relative * writes + lost,
        q_UK[..., None],
        read_relative * (np.eye(size) + terms) @ query,
        read_relative * writes @ query + lost * (1.0 + query.sum(axis=1, keepdims=True)),
    )


def _plain_step(
    stream: FloatArray, matrix: FloatArray, offset: FloatArray, products: int
) -> SoundStep:
    """``H M + B`` by sums of `products` products, in any order."""
    rounding = gamma(2 * products + 2) * np.abs(matrix)
    extra = 2 * UNIT * np.abs(offset) + (2 * products + 1) * SMALLEST
    whole = np.broadcast_to(np.eye(matrix.shape[-1]), matrix.shape)
    return SoundStep(stream, matrix, offset, rounding, extra, whole, rounding, extra)


def _real_matrices(matrix: Tensor) -> FloatArray:
    """Complex row-form matrices [..., n, n] on rows (re, im, re, im, ...)."""
    real, imaginary = _numbers(matrix.real), _numbers(matrix.imag)
    pairs = np.empty((*real.shape[:-2], 2 * real.shape[-2], 2 * real.shape[-1]))
    pairs[..., 0::2, 0::2] = pairs[..., 1::2, 1::2] = real
    pairs[..., 0::2, 1::2], pairs[..., 1::2, 0::2] = imaginary, -imaginary
    return pairs


def _order(groups: int, count: int, *, is_complex: bool) -> IntArray:
    """Places in the readout of numbers kept as (re, im) pairs: real parts of a group first."""
    places = np.arange(count).reshape(groups, -1)
    if is_complex:
        places = np.concatenate([places[:, 0::2], places[:, 1::2]], axis=1)
    return places.reshape(-1)


def _numbers(tensor: Tensor) -> FloatArray:
    return tensor.detach().double().numpy()


READERS: dict[type, Callable[[Any, FloatArray, Tensor], SoundStep]] = {
    DiagonalMixer: _diagonal,
    ComplexDiagonalMixer: _complex_diagonal,
    MRUMixer: _matrices,
    DenseMixer: _matrices,
    PermutationDiagonalMixer: _matrices,
    BlockDiagonalMixer: _block_diagonal,
    HouseholderMixer: _householder,
}
