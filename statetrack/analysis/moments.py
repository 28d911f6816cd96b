"""Exact mean and covariance of a model's state, for every state of the automaton.

Under independent letters the mean and the second moment of an affine recurrence, taken over all
words that lead to one state of the automaton, follow a linear recursion of their own. No word is
drawn: one step costs the same whatever it stands for, and a power of the step is any length.
Shape suffixes: Q automaton states, D numbers of the state, P tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError
from automata.validation import FloatArray
from statetrack.analysis.affine import AffineRecurrence

_MOST_NUMBERS = 2**22
_LARGEST_POWER = 2**11


@dataclass(frozen=True, eq=False)
class StateMoments:
    """Moments of the state over all words of one length that lead to a state of the automaton.

    Attributes
    ----------
    length : int
    shares : ndarray, float64 [Q]
        Probability of the automaton's states.
    means : ndarray, float64 [Q, D]
        Mean of the model's state, times the share.
    seconds : ndarray, float64 [Q, D, D]
        Mean of ``h^T h`` for state rows h, times the share.
    """

    length: int
    shares: FloatArray
    means: FloatArray
    seconds: FloatArray

    def centres(self) -> FloatArray:
        """Conditional means [Q, D]; zero for states that no word leads to."""
        return self.means / np.where(self.shares > 0, self.shares, 1.0)[:, None]

    def covariances(self) -> FloatArray:
        """Conditional covariances [Q, D, D]."""
        centre_QD = self.centres()
        share_Q11 = np.where(self.shares > 0, self.shares, 1.0)[:, None, None]
        return self.seconds / share_Q11 - centre_QD[:, :, None] * centre_QD[:, None, :]


def initial_moments(recurrence: AffineRecurrence, dfa: DFA) -> StateMoments:
    """Moments of the empty word."""
    initial = recurrence.initial.reshape(-1)
    size = len(initial)
    shares = np.zeros(dfa.num_states)
    means, seconds = np.zeros((dfa.num_states, size)), np.zeros((dfa.num_states, size, size))
    shares[dfa.initial], means[dfa.initial] = 1.0, initial
    seconds[dfa.initial] = np.outer(initial, initial)
    return StateMoments(0, shares, means, seconds)


def moments_step(before: StateMoments, recurrence: AffineRecurrence, dfa: DFA) -> StateMoments:
    """Moments after one more uniform letter.

    Parameters
    ----------
    before : StateMoments
    recurrence : AffineRecurrence
    dfa : DFA

    Returns
    -------
    StateMoments

    Notes
    -----
    ``m'_r = sum p(x) (m_q A_x + pi_q b_x)`` and
    ``S'_r = sum p(x) (A^T S_q A + A^T m^T b + b^T m A + pi b^T b)`` over all (q, x) that lead to
    r: O(Q P D^2 N) with blocks of size N.
    """
    probability = 1.0 / dfa.num_symbols
    shares, means, seconds = (np.zeros_like(one) for one in _parts(before))
    offsets_PD = recurrence.offsets.reshape(recurrence.num_tokens, -1)
    for token, (matrix_UNN, offset) in enumerate(zip(recurrence.matrices, offsets_PD, strict=True)):
        moved = _right(before.means, matrix_UNN, recurrence.initial.shape)
        cross = moved[:, :, None] * offset
        once = _right(before.seconds, matrix_UNN, recurrence.initial.shape).swapaxes(1, 2)
        spread = _right(once, matrix_UNN, recurrence.initial.shape) + cross
        spread += cross.swapaxes(1, 2) + before.shares[:, None, None] * np.outer(offset, offset)
        target = dfa.transitions[:, token]
        np.add.at(shares, target, probability * before.shares)
        np.add.at(means, target, probability * (moved + before.shares[:, None] * offset))
        np.add.at(seconds, target, probability * spread)
    return StateMoments(before.length + 1, shares, means, seconds)


def moments_at(
    recurrence: AffineRecurrence, dfa: DFA, lengths: Sequence[int]
) -> Iterator[StateMoments]:
    """Moments at chosen lengths.

    Parameters
    ----------
    recurrence : AffineRecurrence
        A scale-free one should be `scale_normalised` first: its moments may overflow otherwise.
    dfa : DFA
    lengths : sequence of int
        Increasing, from 0.

    Yields
    ------
    StateMoments
        One a length.

    Raises
    ------
    InputError
        The state is too large.

    Notes
    -----
    Where the linear map of all moments together has at most 2,048 rows, ``Q (1 + D + D^2)``, it is
    squared again and again, so that any length costs a product of its powers of two. Beyond that
    steps are taken one by one.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> from statetrack.analysis.affine import read_affine
    >>> from statetrack.models.constructions import parity_by_sign
    >>> parity = read_affine(parity_by_sign(), 2)
    >>> (far,) = moments_at(parity, get_task("parity").dfa, [10**9])
    >>> far.centres().ravel(), far.covariances().ravel()
    (array([ 1., -1.]), array([0., 0.]))
    """
    states, width = dfa.num_states, recurrence.initial.size
    size = states * (1 + width + width**2)
    if size > _MOST_NUMBERS:
        raise InputError(
            f"{states} states of {width} numbers have too many second moments; use the method "
            "'ensemble'"
        )
    moments = initial_moments(recurrence, dfa)
    if size > _LARGEST_POWER:
        for length in lengths:
            while moments.length < length:
                moments = moments_step(moments, recurrence, dfa)
            yield moments
        return
    powers = [_step_matrix(recurrence, dfa)]
    for length in lengths:
        gap, bit = length - moments.length, 0
        vector = _to_vector(moments)
        while gap >> bit:
            if bit == len(powers):
                powers.append(powers[-1] @ powers[-1])
            if gap >> bit & 1:
                vector = vector @ powers[bit]
            bit += 1
        moments = _of_vector(vector, length, states, width)
        yield moments


def sample_states(
    moments: StateMoments, num_states: int, *, seed: int = 0
) -> tuple[FloatArray, FloatArray]:
    """Draw states as if they were Gaussian within every state of the automaton.

    Parameters
    ----------
    moments : StateMoments
    num_states : int
        Drawn for each state of the automaton.
    seed : int

    Returns
    -------
    states : ndarray, float64 [Q, num_states, D]
    shares : ndarray, float64 [Q]
    """
    random = np.random.default_rng(seed)
    values_QD, vectors_QDD = np.linalg.eigh(moments.covariances())
    roots_QDD = np.sqrt(np.clip(values_QD, 0.0, None))[:, :, None] * vectors_QDD.swapaxes(1, 2)
    normal = random.standard_normal((len(values_QD), num_states, values_QD.shape[1]))
    return moments.centres()[:, None] + normal @ roots_QDD, moments.shares


def _parts(moments: StateMoments) -> tuple[FloatArray, FloatArray, FloatArray]:
    return moments.shares, moments.means, moments.seconds


def _to_vector(moments: StateMoments) -> FloatArray:
    return np.concatenate([part.reshape(-1) for part in _parts(moments)])


def _of_vector(vector: FloatArray, length: int, states: int, size: int) -> StateMoments:
    shares, means, seconds = np.split(vector, [states, states * (1 + size)])
    return StateMoments(
        length, shares, means.reshape(states, size), seconds.reshape(states, size, size)
    )


def _step_matrix(recurrence: AffineRecurrence, dfa: DFA) -> FloatArray:
    """The linear map of all moments, row form: what a step makes of every unit vector."""
    states, width = dfa.num_states, recurrence.initial.size
    rows = states * (1 + width + width**2)
    return np.stack(
        [
            _to_vector(moments_step(_of_vector(unit, 0, states, width), recurrence, dfa))
            for unit in np.eye(rows)
        ]
    )


def _right(rows: FloatArray, matrix_UNN: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Rows [..., D] times the block-diagonal matrix of a token."""
    return (rows.reshape(*rows.shape[:-1], *shape) @ matrix_UNN).reshape(rows.shape)
