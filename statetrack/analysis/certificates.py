"""Lengths up to which a model is proved to answer every word right.

Shape suffixes: Q automaton states, P tokens, E edges (state, token), U blocks, V rows of a block, N
size of a row.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from torch import nn

from automata.errors import InputError
from automata.validation import BoolArray, FloatArray, IntArray, as_integer
from statetrack.analysis.affine import require_all_asked
from statetrack.analysis.bit_patterns import search_patterns
from statetrack.analysis.sound_balls import Balls, spectral_norms
from statetrack.analysis.sound_steps import SoundModel, read_sound_model

if TYPE_CHECKING:
    from automata.tasks import AutomatonTask, Task

ARITHMETIC = "float32 on the CPU, model.step on one word at a time"

_RIDGES = (1.0, 1e-2, 1e-4)
_AVERAGED = 64
_MOST_EDGES = 4096
_WIDER = 1.0 + 1e-9


@dataclass(frozen=True, eq=False)
class Certificate:
    """What is proved of a model's answers.

    Attributes
    ----------
    task : str
    length : int
        Every word of up to so many letters is answered right at every position. Where
        `all_lengths`, a word of any length.
    all_lengths : bool
        The bit patterns of the state are finitely many, and right in all of them.
    method : {"closed", "searched", "bounded", "none"}
        What `length` comes from: closed bit patterns, all words followed one by one, a bound on the
        error of the state, or nothing.
    num_patterns : int
        Bit patterns seen.
    searched_length, bounded_length : int
        Length that either way proves alone; the bound's is -1 where none is known for the model.
    shortest_failure : int or None
        Length of the shortest word answered wrong, where the search met it: then it is exactly one
        more than `length`.
    arithmetic : str
        The program that the proof speaks about.
    """

    task: str
    length: int
    all_lengths: bool
    method: str
    num_patterns: int
    searched_length: int
    bounded_length: int
    shortest_failure: int | None
    arithmetic: str = ARITHMETIC

    def to_frame(self) -> pd.DataFrame:
        """One row."""
        return pd.DataFrame([vars(self)])


def certify(
    model: nn.Module, task: "Task", *, max_steps: int = 5000, cap: int = 1024
) -> Certificate:
    """Prove up to which length a model answers every word right.

    Parameters
    ----------
    model : torch.nn.Module
        In float32 on the CPU.
    task : Task
        Of an automaton, in which every state is asked for.
    max_steps : int
        Most steps of the model in the search through bit patterns.
    cap : int
        Longest length that the bound on errors is followed to.

    Returns
    -------
    Certificate

    Raises
    ------
    InputError
        The task is of another kind, or the model is not in float32 on the CPU.

    Notes
    -----
    The proof is about one program: the model's ``step`` on one word at a time in float32, on the
    CPU, with the libraries at hand. A batch, a GPU or a parallel scan sums in another order and
    rounds differently.

    First all words are followed, merging those with the same bits (`search_patterns`). Where that
    does not end, the state of the model is held, for every length and state of the automaton, in a
    ball about a centre (one for every last few letters too): a step moves the centre exactly and
    the ball by the norm of the token's matrix, and adds the distance between centres and all that
    rounding can do (`sound_steps`). The length ends where the decoder's margin over such a ball is
    not above zero. What is taken for granted: that libraries sum in some order, with float32
    operands, that one call of erf or of a reciprocal root is off by at most eight units roundoff,
    and that a singular value of float64 is right to ten digits.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> from statetrack.models.constructions import parity_by_sign
    >>> proof = certify(parity_by_sign(), get_task("parity"))
    >>> proof.all_lengths, proof.num_patterns
    (True, 2)
    """
    plain = require_all_asked(task, "certify")
    max_steps = as_integer(max_steps, "max_steps", 1)
    cap = as_integer(cap, "cap", 0, 2**20)
    if any(p.device.type != "cpu" for p in model.parameters()):
        raise InputError("certify speaks about the CPU: move the model there")
    was_training = model.training
    model.train(False)
    searched = search_patterns(model, plain, max_steps)
    bounded = -1
    if not searched.closed and searched.failing_word is None:
        bounded = _bounded_length(model, plain, cap)
    model.train(was_training)
    length = max(searched.length, bounded)
    failure = searched.failing_word
    method = "bounded" if bounded > searched.length else "searched" if length > 0 else "none"
    return Certificate(
        task.name,
        length,
        searched.closed,
        "closed" if searched.closed else method,
        searched.num_patterns,
        searched.length,
        bounded,
        None if failure is None else len(failure),
    )


def _bounded_length(model: nn.Module, task: "AutomatonTask", cap: int) -> int:
    try:
        sound = read_sound_model(model, task.num_tokens)
    except InputError:
        return -1
    matrices = np.stack([step.matrix for step in sound.steps])
    return _Follower(sound, _histories(task), _basis(matrices)).length(cap)


@dataclass(frozen=True, eq=False)
class _Histories:
    """The automaton, its states told apart by the last letters as well; node 0 is the empty word.

    What a state of a model remembers of the last letters is no error then.
    """

    transitions: IntArray
    classes: IntArray


def _histories(task: "AutomatonTask") -> _Histories:
    """As many last letters as keep the number of nodes and letters small."""
    dfa, depth = task.dfa, 0
    while dfa.num_states * dfa.num_symbols ** (depth + 2) <= _MOST_EDGES:
        depth += 1
    start = (dfa.initial, ())
    numbers: dict[tuple[int, tuple[int, ...]], int] = {start: 0}
    queue: list[tuple[int, tuple[int, ...]]] = [start]
    rows = []
    for state, suffix in queue:
        row = []
        for letter in range(dfa.num_symbols):
            longer = (*suffix, letter)[-depth:] if depth else ()
            node = (int(dfa.transitions[state, letter]), longer)
            if node not in numbers:
                numbers[node] = len(queue)
                queue.append(node)
            row.append(numbers[node])
        rows.append(row)
    classes = task.state_classes[[state for state, _ in queue]]
    return _Histories(np.array(rows, dtype=np.int64), classes)


def _basis(matrices_PUNN: FloatArray) -> FloatArray:
    """Basis L of rows in which no token's matrix makes an error much longer, [U, N, N].

    Of the mean of ``A(w) A(w)^T`` over random words w the Cholesky factor: for a representation
    that mean is invariant, and every token's matrix is orthogonal in the basis. A multiple of the
    identity keeps it regular; for each block the best of some multiples is taken.
    """
    size = matrices_PUNN.shape[-1]
    one = np.broadcast_to(np.eye(size), matrices_PUNN.shape[1:])
    moment, total = one, np.zeros(one.shape)
    for _ in range(_AVERAGED):
        moment = (matrices_PUNN @ moment @ matrices_PUNN.swapaxes(-1, -2)).mean(axis=0)
        trace = np.trace(moment, axis1=-2, axis2=-1)[:, None, None] / size
        moment = moment / np.where(trace > 0, trace, 1.0)
        total = total + moment
    bases = [np.linalg.cholesky(total / _AVERAGED + ridge * one) for ridge in _RIDGES]
    growth = [
        spectral_norms(np.linalg.inv(basis) @ matrices_PUNN @ basis).max(axis=0) for basis in bases
    ]
    best_U = np.argmin(growth, axis=0)
    return np.stack(bases)[best_U, np.arange(len(best_U))]


class _Follower:
    """Centres and radii of the states of the automaton, step by step.

    A state of the model is ``centre + E`` with ``|E L|_F <= radius``, block by block.
    """

    def __init__(self, model: SoundModel, nodes: _Histories, basis_UNN: FloatArray) -> None:
        self.model, self.nodes = model, nodes
        self.basis = basis_UNN
        self.inverse = np.linalg.inv(basis_UNN)
        steps = model.steps
        self.matrix, self.offset, self.rounding, self.extra, self.reading = (
            np.stack([getattr(step, name) for step in steps])
            for name in ("matrix", "offset", "rounding", "extra", "reading")
        )
        self.read_rounding = np.stack([step.read_rounding for step in steps])
        self.read_extra = np.stack([step.read_extra for step in steps])
        self.stream = np.stack([step.stream for step in steps])
        moved = self.inverse @ self.matrix
        # E M L = (E L) (L^-1 M L): how much longer a token makes an error.
        self.growth = spectral_norms(moved @ basis_UNN)
        read = moved @ self.reading
        self.read_norm = spectral_norms(read)
        self.read_column = np.linalg.norm(read, axis=-2) * _WIDER
        self.column = np.linalg.norm(self.inverse, axis=-2) * _WIDER

    def length(self, cap: int) -> int:
        """Longest length, up to `cap`, at which every answer is sure to be right."""
        transitions = self.nodes.transitions
        shape = self.model.initial.shape
        centre_QUVN = np.zeros((len(transitions), *shape))
        centre_QUVN[0] = self.model.initial
        radius_QU = np.zeros((len(transitions), shape[0]))
        share_Q = np.zeros(len(transitions))
        share_Q[0] = 1.0
        for length in range(cap):
            source_E, token_E = (part.ravel() for part in np.indices(transitions.shape))
            reached = share_Q[source_E] > 0
            source_E, token_E = source_E[reached], token_E[reached]
            target_E = transitions[source_E, token_E]
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                image_EUVN = centre_QUVN[source_E] @ self.matrix[token_E] + self.offset[token_E]
                size_EUVN = (
                    np.abs(centre_QUVN[source_E])
                    + (radius_QU[source_E][..., None] * self.column)[:, :, None]
                ) * _WIDER
                if not self._all_right(
                    image_EUVN, size_EUVN, radius_QU[source_E], token_E, target_E
                ):
                    return length
                share_Q, centre_QUVN, radius_QU = self._move(
                    share_Q, image_EUVN, size_EUVN, radius_QU, source_E, token_E, target_E
                )
        return cap

    def _move(
        self,
        share_Q: FloatArray,
        image_EUVN: FloatArray,
        size_EUVN: FloatArray,
        radius_QU: FloatArray,
        source_E: IntArray,
        token_E: IntArray,
        target_E: IntArray,
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Shares of words, centres and radii after one more letter."""
        states = len(share_Q)
        weight_E = share_Q[source_E] / self.nodes.transitions.shape[1]
        share = np.bincount(target_E, weight_E, minlength=states).astype(np.float64)
        centre = np.zeros((states, *image_EUVN.shape[1:]))
        np.add.at(centre, target_E, weight_E[:, None, None, None] * image_EUVN)
        centre /= np.where(share > 0, share, 1.0)[:, None, None, None]
        terms = size_EUVN @ np.abs(self.matrix)[token_E] + np.abs(self.offset[token_E])
        error = size_EUVN @ self.rounding[token_E] + self.extra[token_E] + 1e-14 * terms
        gap = np.abs(image_EUVN - centre[target_E]) + error * _WIDER
        moved = np.linalg.norm((image_EUVN - centre[target_E]) @ self.basis, axis=(-2, -1))
        lost = np.linalg.norm(error @ np.abs(self.basis), axis=(-2, -1))
        padding = 1e-14 * np.linalg.norm(
            (gap + np.abs(centre[target_E])) @ np.abs(self.basis), axis=(-2, -1)
        )
        grown = radius_QU[source_E] * self.growth[token_E]
        radius = np.zeros_like(radius_QU)
        np.maximum.at(radius, target_E, (grown + moved + lost + padding) * _WIDER)
        return share, centre, radius

    def _all_right(
        self,
        image_EUVN: FloatArray,
        size_EUVN: FloatArray,
        radius_EU: FloatArray,
        token_E: IntArray,
        target_E: IntArray,
    ) -> bool:
        """Whether the computed logit of the target is sure to be the largest on every edge."""
        reading = self.reading[token_E]
        middle = image_EUVN @ reading
        terms = size_EUVN @ np.abs(self.matrix)[token_E] + np.abs(self.offset[token_E])
        error = size_EUVN @ self.read_rounding[token_E] + self.read_extra[token_E]
        error = error + 1e-14 * (terms @ np.abs(reading))
        box = (radius_EU[..., None] * self.read_column[token_E])[:, :, None] + error
        ball = radius_EU * self.read_norm[token_E] + np.linalg.norm(error, axis=(-2, -1))
        if not (np.isfinite(middle).all() and np.isfinite(box).all()):
            return False
        seen = self.model.last_stream(self._grouped(middle, box, ball), self.stream[token_E])
        target = self.nodes.classes[target_E]
        certain: BoolArray = self.model.margins(seen, target) > 0
        return bool(certain.all())

    def _grouped(self, middle: FloatArray, box: FloatArray, ball_EU: FloatArray) -> Balls:
        """Numbers of blocks in the groups that the readout normalises."""
        edges, groups = len(middle), self.model.groups
        box = np.broadcast_to(box, middle.shape)
        flat = [part.reshape(edges, -1)[:, self.model.order] for part in (middle, box)]
        by_group = ball_EU.reshape(edges, groups, -1)
        return Balls.make(
            flat[0].reshape(edges, groups, -1),
            flat[1].reshape(edges, groups, -1),
            np.linalg.norm(by_group, axis=-1),
        )
