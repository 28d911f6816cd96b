"""The recurrence of a one-layer model as one affine map of its state for every token.

Shape suffixes: P tokens, M states, U blocks, V rows of a block, N size of a row, D numbers of the
whole state.
"""

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn

from automata.errors import InputError
from automata.validation import FloatArray, IntArray, read_only
from statetrack.models.mru import MRUMixer

if TYPE_CHECKING:
    from automata.tasks import AutomatonTask, Task

_NUMBERS_PER_CALL = 2**22
_MOST_NUMBERS = 2**27
_AFFINE = 1e-9
_SAME = 1e-12


@dataclass(frozen=True, eq=False)
class AffineRecurrence:
    """A state that every token moves by an affine map, ``H <- H M + B``, block by block.

    Attributes
    ----------
    matrices : ndarray, float64 [num_tokens, U, N, N]
        In row form: a word is the product from left to right.
    offsets : ndarray, float64 [num_tokens, U, V, N]
        What a token adds to the V rows of a block.
    initial : ndarray, float64 [U, V, N]
        State before the first token.
    places : ndarray, int64 [U, V, N]
        Which number of the model's own state each entry is; -1 where there is none.
    scale_free : bool
        Whether every block may be multiplied by a positive number without a change of the logits.
    model : torch.nn.Module
        The model in double precision, which `decode` asks.
    """

    matrices: FloatArray
    offsets: FloatArray
    initial: FloatArray
    places: IntArray
    scale_free: bool
    model: nn.Module

    def __post_init__(self) -> None:
        for array in (self.matrices, self.offsets, self.initial, self.places):
            read_only(array)

    @property
    def num_tokens(self) -> int:
        """Number of tokens."""
        return len(self.matrices)

    @property
    def state_size(self) -> int:
        """Numbers in a state, D."""
        return int((self.places >= 0).sum())

    def step(self, states: FloatArray, tokens: IntArray) -> FloatArray:
        """Move states [M, U, V, N] by one token each, [M]."""
        return states @ self.matrices[tokens] + self.offsets[tokens]

    def decode(self, states: FloatArray, tokens: IntArray) -> FloatArray:
        """Logits of the model, float64 [M, C], after one token each from states [M, U, V, N]."""
        size = max(1, _NUMBERS_PER_CALL // max(1, self.state_size))
        parts = []
        with torch.no_grad():
            for start in range(0, len(states), size):
                piece = torch.from_numpy(np.array(states[start : start + size], dtype=np.float64))
                parts.append(self.logits(piece, tokens[start : start + size]).numpy())
        return np.concatenate(parts)

    def logits(self, states: Tensor, tokens: IntArray) -> Tensor:
        """The same for a tensor of float64, with gradients."""
        used = self.places >= 0
        order = np.empty(self.state_size, dtype=np.int64)
        order[self.places[used]] = np.flatnonzero(used)
        rows = states.flatten(1)[:, torch.from_numpy(order)]
        model: Any = self.model
        found: Tensor
        found, _ = model.step(
            torch.from_numpy(np.asarray(tokens, np.int64)), _codec(model).unflatten(rows)
        )
        return found


def read_affine(model: nn.Module, num_tokens: int) -> AffineRecurrence:
    """Read the affine maps out of a model by letting it take one step from chosen states.

    The model is copied to double precision; the maps are what it does to the zero state and to
    unit vectors, and two random states show whether it is affine at all. Blocks that never mix are
    found from the zeros, and those that move alike become rows of one block.

    Parameters
    ----------
    model : torch.nn.Module
        ``step(token [B], state) -> (logits, state)`` and ``initial_state(batch_size)``, as
        `statetrack.models` builds.
    num_tokens : int

    Returns
    -------
    AffineRecurrence

    Raises
    ------
    InputError
        The model has more than one layer, a convolution, a state that grows, or one that does not
        move by affine maps; or the maps are too large to hold.

    Notes
    -----
    For a state of D numbers in blocks of N ``D + 3`` single steps find the blocks of a token, and
    ``N + 3`` the maps of another that mixes no more, since all blocks are asked at once: the random
    states show whether it does.

    Examples
    --------
    >>> from statetrack.models.constructions import parity_by_sign
    >>> read_affine(parity_by_sign(), 2).matrices.ravel()
    array([ 1., -1.])
    """
    double = _double_copy(model)
    codec = _codec(double)
    size = codec.size
    if size == 0:
        raise InputError("the state grows with the word: it does not move by affine maps")
    if num_tokens * size * size > 64 * _MOST_NUMBERS:
        raise InputError(
            f"the state has {size} numbers and there are {num_tokens} tokens: their affine maps "
            "are too many to read; take a smaller model"
        )
    blocks_GN, matrix_PGNN, offset_PGN = _all_maps(double, codec, num_tokens)
    used_GN = blocks_GN >= 0
    start_D = codec.flatten(codec.initial).numpy()[0]
    initial_GN = np.where(used_GN, start_D[blocks_GN], 0.0)
    order_UV = _rows_that_move_alike(matrix_PGNN)
    return AffineRecurrence(
        matrices=matrix_PGNN[:, order_UV[:, 0]],
        offsets=offset_PGN[:, order_UV],
        initial=initial_GN[order_UV],
        places=blocks_GN[order_UV],
        scale_free=codec.scale_free,
        model=double,
    )


def require_plain(task: "Task", what: str) -> "AutomatonTask":
    """Return the task if it asks for every state of an automaton on independent uniform letters.

    Raises
    ------
    InputError
        It does not; `what` says who asks.
    """
    from automata.tasks import AutomatonTask

    if not isinstance(task, AutomatonTask) or not task.is_plain:
        raise InputError(
            f"{what} takes a task of an automaton with independent uniform letters in which every "
            f"state is asked for; task {task.name!r} is none"
        )
    return task


def require_all_asked(task: "Task", what: str) -> "AutomatonTask":
    """Return the task if it asks for every state of an automaton, on whatever words.

    Raises
    ------
    InputError
        It does not; `what` says who asks.
    """
    from automata.tasks import AutomatonTask

    if not isinstance(task, AutomatonTask) or not task.supervised_states.all():
        raise InputError(
            f"{what} takes a task of an automaton in which every state is asked for; task "
            f"{task.name!r} is none"
        )
    return task


@dataclass(frozen=True, eq=False)
class _Codec:
    """A model's own state as rows of real numbers, and back."""

    initial: Sequence[tuple[Tensor, ...]]
    scaled: bool
    scale_free: bool

    @property
    def size(self) -> int:
        return int(self.flatten(self.initial).shape[1])

    def flatten(self, state: Sequence[tuple[Tensor, ...]]) -> Tensor:
        (layer,) = state
        if self.scaled:
            values, log2_scale = layer
            factor = torch.exp2(log2_scale)[..., None, None]
            return torch.where(values == 0, 0.0, values * factor).flatten(1)
        return torch.cat([_real(part).flatten(1) for part in layer], dim=1)

    def unflatten(self, rows: Tensor) -> list[tuple[Tensor, ...]]:
        (layer,) = self.initial
        if self.scaled:
            values = rows.unflatten(1, layer[0].shape[1:]).contiguous()
            return [(values, rows.new_zeros(len(rows), *layer[1].shape[1:]))]
        parts, start = [], 0
        for part in layer:
            real = _real(part)
            stop = start + real[0].numel()
            piece = rows[:, start:stop].unflatten(1, real.shape[1:]).contiguous()
            parts.append(torch.view_as_complex(piece) if part.is_complex() else piece)
            start = stop
        return [tuple(parts)]


def _real(part: Tensor) -> Tensor:
    return torch.view_as_real(part) if part.is_complex() else part


def _codec(model: nn.Module) -> _Codec:
    read: Any = model
    state = [tuple(part.detach() for part in layer) for layer in read.initial_state(1)]
    blocks: Any = getattr(model, "blocks", ())
    is_scaled = any(isinstance(block.mixer, MRUMixer) for block in blocks)
    return _Codec(state, is_scaled, bool(getattr(model, "scale_free_state", False)))


def _double_copy(model: nn.Module) -> nn.Module:
    name = type(model).__name__
    if not (callable(getattr(model, "step", None)) and hasattr(model, "initial_state")):
        raise InputError(f"{name} has no step and initial_state: it is no recurrent model")
    read: Any = model
    layers = read.initial_state(1)
    if len(layers) != 1:
        raise InputError(
            f"the model has {len(layers)} layers: what a token does to a deeper state depends on "
            "the words before it, so only one-layer models have an affine map for every token"
        )
    if any(
        getattr(block, "convolution", None) is not None for block in getattr(model, "blocks", ())
    ):
        raise InputError(
            "the model has a short convolution, so what a token does depends on those before it: "
            "only models without have an affine map for every token"
        )
    double = copy.deepcopy(model).to("cpu").double()
    double.train(False)
    return double


def _all_maps(
    model: nn.Module, codec: _Codec, num_tokens: int
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Blocks [G, N] of places, and of every token the matrices [P, G, N, N] and offsets [P, G, N].

    The blocks are those of the tokens asked in full so far; a token that mixes more is asked in
    full as well, and all begin anew.
    """
    matrix_DD, _ = _probe(model, codec, 0)
    pattern = matrix_DD != 0
    token = 0
    while True:
        blocks_GN = _blocks(pattern)
        count, width = blocks_GN.shape
        if num_tokens * count * width * width > _MOST_NUMBERS:
            raise InputError(
                f"{count} blocks of {width} numbers for {num_tokens} tokens are too many to hold; "
                "take a smaller model"
            )
        matrices = np.zeros((num_tokens, count, width, width))
        offsets = np.zeros((num_tokens, count, width))
        for token in range(num_tokens):
            found = _probe_blocks(model, codec, token, blocks_GN)
            if found is None:
                break
            matrices[token], offsets[token] = found
        else:
            return blocks_GN, matrices, offsets
        matrix_DD, _ = _probe(model, codec, token)
        grown = pattern | (matrix_DD != 0)
        if (grown == pattern).all():
            raise _not_affine(model, "")
        pattern = grown


def _probe_blocks(
    model: nn.Module, codec: _Codec, token: int, blocks_GN: IntArray
) -> tuple[FloatArray, FloatArray] | None:
    """Matrices [G, N, N] and offsets [G, N] of a token; None if it mixes other numbers too."""
    used_GN = blocks_GN >= 0
    width = blocks_GN.shape[1]
    random = np.random.default_rng(token).standard_normal((2, codec.size))
    units = np.zeros((width, codec.size))
    for place in range(width):
        units[place, blocks_GN[used_GN[:, place], place]] = 1.0
    after = _after(model, codec, token, np.concatenate([np.zeros_like(random[:1]), units, random]))
    in_blocks = np.where(used_GN, after[:, blocks_GN], 0.0)
    offset_GN, matrix_GNN = in_blocks[0], (in_blocks[1 : width + 1] - in_blocks[0]).swapaxes(0, 1)
    matrix_GNN = np.where(used_GN[:, :, None], matrix_GNN, 0.0)
    small = np.abs(matrix_GNN) < _SAME * np.abs(offset_GN)[:, None]
    matrix_GNN[small] = 0.0
    state_MGN = np.where(used_GN, random[:, blocks_GN], 0.0)
    moved = (state_MGN[:, :, None] @ matrix_GNN)[:, :, 0] + offset_GN
    gap = np.abs(moved - in_blocks[width + 1 :]).max()
    return (matrix_GNN, offset_GN) if gap <= _AFFINE * (1.0 + np.abs(after).max()) else None


def _probe(model: nn.Module, codec: _Codec, token: int) -> tuple[FloatArray, FloatArray]:
    """Matrix in row form [D, D] and offset [D] of a token; checked on two random states."""
    size = codec.size
    random = np.random.default_rng(token).standard_normal((2, size))
    after = _after(model, codec, token, np.concatenate([np.zeros((1, size)), np.eye(size), random]))
    offset, matrix = after[0], after[1 : size + 1] - after[0]
    matrix[np.abs(matrix) < _SAME * np.abs(offset)] = 0.0
    gap = np.abs(random @ matrix + offset - after[size + 1 :]).max()
    if not gap <= _AFFINE * (1.0 + np.abs(after).max()):
        raise _not_affine(model, f" (a random state is off by {gap:.1e})")
    return matrix, offset


def _after(model: nn.Module, codec: _Codec, token: int, rows: FloatArray) -> FloatArray:
    """States [M, D] after one token."""
    after = np.empty_like(rows)
    per_call = max(1, _NUMBERS_PER_CALL // codec.size)
    read: Any = model
    with torch.no_grad():
        for start in range(0, len(rows), per_call):
            piece = torch.from_numpy(rows[start : start + per_call])
            letters = torch.full((len(piece),), token, dtype=torch.int64)
            _, state = read.step(letters, codec.unflatten(piece))
            flat = codec.flatten(state)
            if flat.shape != piece.shape:
                raise InputError("the state grows with the word: it does not move by affine maps")
            after[start : start + per_call] = flat.numpy()
    return after


def _not_affine(model: nn.Module, measured: str) -> InputError:
    return InputError(
        f"{type(model).__name__} does not move its state by affine maps{measured}: an LSTM, or a "
        "gate that sees the state, has none"
    )


def _blocks(pattern: NDArray[np.bool_]) -> IntArray:
    """Numbers that never mix apart: blocks [G, N] of places, filled up with -1."""
    count, label = connected_components(csr_matrix(pattern), directed=False)
    members = [np.flatnonzero(label == one) for one in range(count)]
    width = max(len(one) for one in members)
    blocks: list[list[int]] = []
    for one in sorted(members, key=lambda places: (-len(places), places[0])):
        room = next((b for b in blocks if width > 1 and len(b) + len(one) <= width), None)
        if room is None:
            blocks.append(list(one))
        else:
            room.extend(one)
    return np.array([block + [-1] * (width - len(block)) for block in blocks], dtype=np.int64)


def _rows_that_move_alike(matrix_PGNN: FloatArray) -> IntArray:
    """Blocks with the same matrices at all tokens together, [U, V]; V = 1 where counts differ."""
    count = matrix_PGNN.shape[1]
    groups: list[list[int]] = []
    for block in range(count):
        for group in groups:
            gap = np.abs(matrix_PGNN[:, group[0]] - matrix_PGNN[:, block]).max()
            if gap <= _SAME * (1.0 + np.abs(matrix_PGNN[:, block]).max()):
                group.append(block)
                break
        else:
            groups.append([block])
    if len({len(group) for group in groups}) == 1:
        return np.array(groups, dtype=np.int64)
    return np.arange(count)[:, None]


def with_matrices(
    recurrence: AffineRecurrence, matrices: FloatArray, offsets: FloatArray
) -> AffineRecurrence:
    """The same recurrence with other maps; its decoder stays."""
    return dataclasses.replace(recurrence, matrices=matrices, offsets=offsets)
