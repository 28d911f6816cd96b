"""Where words that repeat a short block fail, from the weights and in time of log length.

A block is one affine map, so its repetitions are powers of it: they cost a few products whatever
their number, and the model's own decoder reads what they leave. Shape suffixes: M blocks, P letters
of a block.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automata.validation import BoolArray, IntArray
from statetrack.analysis.affine import AffineRecurrence
from statetrack.analysis.horizon_prediction import is_right
from statetrack.analysis.letter_products import LetterProducts, as_scaled, horizon_lengths

if TYPE_CHECKING:
    from automata.tasks import AutomatonTask


@dataclass(frozen=True)
class PeriodicFailure:
    """The repeated block that fails first.

    Attributes
    ----------
    block : tuple of int
        Letters that are repeated.
    length : float
        Position, from 1, of the first wrong answer; infinite where no block fails.
    """

    block: tuple[int, ...]
    length: float


def short_blocks(num_tokens: int, most: int) -> list[IntArray]:
    """Blocks of one, two and three letters, [M, P] for each, shortest first, up to a number."""
    blocks: Iterator[tuple[int, ...]] = itertools.chain.from_iterable(
        itertools.product(range(num_tokens), repeat=period) for period in (1, 2, 3)
    )
    chosen = itertools.groupby(itertools.islice(blocks, most), key=len)
    return [np.array(list(group), dtype=np.int64) for _, group in chosen]


def first_periodic_failure(
    recurrence: AffineRecurrence, task: "AutomatonTask", blocks: IntArray, cap: int
) -> PeriodicFailure:
    """Find the block whose repetition is the first to get a wrong answer.

    Parameters
    ----------
    recurrence : AffineRecurrence
    task : AutomatonTask
    blocks : ndarray of int, [M, P]
    cap : int
        Longest word looked at.

    Returns
    -------
    PeriodicFailure

    Notes
    -----
    In float64. All numbers of repetitions to 31 are looked at, then four for every doubling;
    between two of these, bisection takes for granted that a word that has failed goes on failing.

    Examples
    --------
    An eigenvalue of exactly -1 never forgets:

    >>> from automata.tasks import get_task
    >>> from statetrack.analysis.affine import read_affine
    >>> from statetrack.models.constructions import parity_by_sign
    >>> exact = read_affine(parity_by_sign(), 2)
    >>> first_periodic_failure(exact, get_task("parity"), np.array([[0], [1]]), 2**20)
    PeriodicFailure(block=(0,), length=inf)
    """
    period = blocks.shape[1]
    powers = [_once(recurrence, task, blocks)]
    before = -1
    for repeats in (count - 1 for count in horizon_lengths(cap // period + 1)):
        wrong_MP = _wrong(recurrence, task, powers, blocks, repeats)
        if wrong_MP.any():
            break
        before = repeats
    else:
        return PeriodicFailure(tuple(blocks[0].tolist()), math.inf)
    kept = wrong_MP.any(axis=1)
    blocks, wrong_MP = blocks[kept], wrong_MP[kept]
    powers = [power.chosen(np.flatnonzero(kept)) for power in powers]
    while repeats - before > 1:
        middle = (before + repeats) // 2
        there_MP = _wrong(recurrence, task, powers, blocks, middle)
        if there_MP.any():
            repeats, wrong_MP = middle, there_MP
        else:
            before = middle
    place_M = np.where(wrong_MP.any(axis=1), wrong_MP.argmax(axis=1), period)
    first = int(place_M.argmin())
    length = repeats * period + int(place_M[first]) + 1
    return PeriodicFailure(tuple(blocks[first].tolist()), length if length <= cap else math.inf)


def _once(recurrence: AffineRecurrence, task: "AutomatonTask", blocks: IntArray) -> LetterProducts:
    letters = LetterProducts(
        recurrence.matrices, recurrence.offsets, task.dfa.transitions.T.astype(np.int64)
    )
    product = letters.chosen(blocks[:, 0])
    for place in range(1, blocks.shape[1]):
        product = product.then(letters.chosen(blocks[:, place]))
    return as_scaled(recurrence, product)


def _wrong(
    recurrence: AffineRecurrence,
    task: "AutomatonTask",
    powers: list[LetterProducts],
    blocks: IntArray,
    repeats: int,
) -> BoolArray:
    """Whether each letter of one more block is answered wrong after some, [M, P].

    `powers` holds the blocks repeated 1, 2, 4, ... times, and grows as needed.
    """
    states = np.broadcast_to(recurrence.initial, (len(blocks), *recurrence.initial.shape))
    sources = np.full(len(blocks), task.dfa.initial)
    for bit in range(repeats.bit_length()):
        if bit == len(powers):
            powers.append(as_scaled(recurrence, powers[-1].then(powers[-1])))
        if repeats >> bit & 1:
            states = states @ powers[bit].matrices + powers[bit].offsets
            sources = np.take_along_axis(powers[bit].targets, sources[:, None], axis=1)[:, 0]
    wrong_MP = np.empty(blocks.shape, dtype=bool)
    for place, letters in enumerate(blocks.T):
        logits = recurrence.decode(states, letters)
        states = recurrence.step(states, letters)
        sources = task.dfa.transitions[sources, letters]
        wrong_MP[:, place] = ~is_right(logits, task.state_classes[sources])
    return wrong_MP
