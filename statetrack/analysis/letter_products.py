"""Random words of any length as single affine maps, made by doubling.

Shape suffixes: M words, U blocks, V rows of a block, N size of a row, Q automaton states.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from automata.dfa import DFA
from automata.validation import FloatArray, IntArray
from statetrack.analysis.affine import AffineRecurrence

LETTER_BY_LETTER = 256
"""Words up to this length are drawn letter by letter; longer ones are joined from shorter ones."""


@dataclass(frozen=True, eq=False)
class LetterProducts:
    """What M random words of one length do to the state of a model and of an automaton.

    Attributes
    ----------
    matrices : ndarray, float64 [M, U, N, N]
        Products of the letters' matrices, in row form.
    offsets : ndarray, float64 [M, U, V, N]
    targets : ndarray, int64 [M, Q]
        The state that the word leads to from every state.
    """

    matrices: FloatArray
    offsets: FloatArray
    targets: IntArray

    def then(self, other: "LetterProducts") -> "LetterProducts":
        """Word by word, these words followed by those of `other`."""
        return LetterProducts(
            self.matrices @ other.matrices,
            self.offsets @ other.matrices + other.offsets,
            np.take_along_axis(other.targets, self.targets, axis=1),
        )

    def chosen(self, order: IntArray) -> "LetterProducts":
        """The words at these places."""
        return LetterProducts(self.matrices[order], self.offsets[order], self.targets[order])

    def without_scale(self) -> "LetterProducts":
        """Every block divided by a power of two, so that its largest entry lies in [1/2, 1)."""
        largest = np.abs(self.matrices).max(axis=(-2, -1), keepdims=True)
        exponent = np.frexp(np.where(largest > 0, largest, 1.0))[1]
        return LetterProducts(np.ldexp(self.matrices, -exponent), self.offsets, self.targets)


@dataclass(frozen=True, eq=False)
class WordStates:
    """Where M random words of one length lead, and one more letter for each.

    Attributes
    ----------
    length : int
        Letters, the last one included.
    states : ndarray, float64 [M, U, V, N]
        State of the model before the last letter.
    sources : ndarray, int64 [M]
        State of the automaton before the last letter.
    letters : ndarray, int64 [M]
        The last letter.
    """

    length: int
    states: FloatArray
    sources: IntArray
    letters: IntArray


def word_states(
    recurrence: AffineRecurrence,
    dfa: DFA,
    lengths: Sequence[int],
    *,
    num_words: int = 2048,
    seed: int = 0,
) -> Iterator[WordStates]:
    """Follow an ensemble of random words to chosen lengths, in time that grows with log length.

    Parameters
    ----------
    recurrence : AffineRecurrence
    dfa : DFA
        Its symbols are the tokens; letters are independent and uniform.
    lengths : sequence of int
        Increasing, from 1.
    num_words : int
        Words M.
    seed : int

    Yields
    ------
    WordStates
        One a length.

    Notes
    -----
    Up to `LETTER_BY_LETTER` every word is drawn letter by letter, in equal shares of every letter.
    Longer words are joined from blocks: those of 2 L letters are pairs of those of L in two random
    orders, so that every word of M letters or more is a fresh random one for all that its blocks
    tell, and what all words have in common (a drift) has a relative error of about
    ``sqrt(length / (256 M))`` of the spread between words. What is left over is joined from the
    first 1, 2, 4, ... letters of the blocks. Costs ``M U N^2 (N + V)`` a letter to 256 and a
    doubling.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> from statetrack.analysis.affine import read_affine
    >>> from statetrack.models.constructions import parity_by_sign
    >>> parity = read_affine(parity_by_sign(), 2)
    >>> (words,) = word_states(parity, get_task("parity").dfa, [2**40], num_words=4)
    >>> bool((words.states.ravel() == 1 - 2 * words.sources).all())
    True
    """
    random = np.random.default_rng(seed)
    letters = LetterProducts(
        recurrence.matrices, recurrence.offsets, dfa.transitions.T.astype(np.int64)
    )
    short = [length for length in lengths if length <= LETTER_BY_LETTER]
    long = [length for length in lengths if length > LETTER_BY_LETTER]
    block = _empty(recurrence, dfa, num_words)
    done = 0
    short_blocks: dict[int, LetterProducts] = {}
    last = LETTER_BY_LETTER + 1 if long else max(short, default=1)
    for length in range(1, last + 1):
        drawn = _equal_shares(random, len(letters.targets), num_words)
        if length in short:
            yield _follow(recurrence, dfa, block, length, drawn)
        if length < last:
            block, done = as_scaled(recurrence, block.then(letters.chosen(drawn))), length
            if length & (length - 1) == 0:
                short_blocks[length] = block
    blocks = {0: block}
    for length in long:
        whole, rest = divmod(length - 1, done)
        joined = _empty(recurrence, dfa, num_words)
        for bit in range(whole.bit_length()):
            if bit not in blocks:
                half = blocks[bit - 1]
                first, second = random.permutation(num_words), random.permutation(num_words)
                blocks[bit] = as_scaled(recurrence, half.chosen(first).then(half.chosen(second)))
            if whole >> bit & 1:
                piece = blocks[bit].chosen(random.permutation(num_words))
                joined = as_scaled(recurrence, joined.then(piece))
        for size in short_blocks:
            if rest & size:
                piece = short_blocks[size].chosen(random.permutation(num_words))
                joined = as_scaled(recurrence, joined.then(piece))
        drawn = _equal_shares(random, len(letters.targets), num_words)
        yield _follow(recurrence, dfa, joined, length, drawn)


def horizon_lengths(cap: int, per_octave: int = 4) -> list[int]:
    """Lengths to look at: every one to 32, then `per_octave` for every doubling, to `cap`.

    From 256 on they are one more than a multiple of 256, where that is nearest, so that whole
    blocks make them.
    """
    lengths = set(range(1, min(cap, 32) + 1)) | {cap}
    power = 5.0
    while (length := round(2**power)) <= cap:
        if length > 4 * LETTER_BY_LETTER:
            length = round(length / LETTER_BY_LETTER) * LETTER_BY_LETTER + 1
        lengths.add(min(length, cap))
        power += 1 / per_octave
    return sorted(lengths)


def _empty(recurrence: AffineRecurrence, dfa: DFA, num_words: int) -> LetterProducts:
    count, rows, size = recurrence.initial.shape
    return LetterProducts(
        np.broadcast_to(np.eye(size), (num_words, count, size, size)),
        np.zeros((num_words, count, rows, size)),
        np.broadcast_to(np.arange(dfa.num_states), (num_words, dfa.num_states)),
    )


def _equal_shares(random: np.random.Generator, num_letters: int, num_words: int) -> IntArray:
    """Every letter equally often, in random order; the rest by chance."""
    shares, rest = divmod(num_words, num_letters)
    drawn = np.concatenate(
        [np.tile(np.arange(num_letters), shares), random.choice(num_letters, rest, replace=False)]
    )
    return random.permutation(drawn)


def as_scaled(recurrence: AffineRecurrence, words: LetterProducts) -> LetterProducts:
    """The same words; without their scale where a recurrence does not see it."""
    return words.without_scale() if recurrence.scale_free else words


def _follow(
    recurrence: AffineRecurrence, dfa: DFA, words: LetterProducts, length: int, letters: IntArray
) -> WordStates:
    states = recurrence.initial @ words.matrices + words.offsets
    return WordStates(length, states, words.targets[:, dfa.initial], letters)
