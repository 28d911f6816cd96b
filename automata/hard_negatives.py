"""Exactly uniform hard negatives: rejected words one edit away from an accepted one.

Let ``H`` be the rejected words of a length that some substitution, insertion or deletion of one
letter turns into an accepted word, and ``m(u) >= 1`` the number of such edits of ``u``. Each edit
is undone by exactly one edit of the accepted word, so ``u`` is the result of ``m(u)`` pairs of an
accepted word and an edit. Two ways to draw from ``H`` need no automaton for it:

* **edits**: a uniform pair (which kind of edit, an accepted word of the fitting length, a place and
  a letter), kept with probability ``1 / m(u)`` if the result ``u`` is rejected;
* **rejected words**: a uniform rejected word, kept if ``m(u) >= 1``.

Both are exactly uniform. They keep ``|H|`` in as many draws as there are pairs, or rejected words,
so whichever of these two numbers is smaller decides; it is a fact of the language, not of the run.
"""

import functools
import itertools
from typing import Final, NamedTuple

import numpy as np

from automata.dfa import DFA
from automata.digits import choose_by_weight, exact_integers
from automata.edits import apply_edits, count_edits_into
from automata.errors import InputError, unknown_name
from automata.language_words import describe_missing, portion_words
from automata.letters import is_split_by_word
from automata.philox import SPLITS, Stream
from automata.uniform_draw import check_size, draw_words
from automata.validation import BoolArray, IntArray, as_integer, read_only
from automata.word_counts import iterate_counts, lengths_with_words, word_law

__all__ = ["hard_negatives"]

_MAX_TRIALS: Final = 2**20
_MAX_LENGTH: Final = 2**21
_LETTERS_PER_ROUND: Final = 2**20


def hard_negatives(
    dfa: DFA,
    length: int,
    num_words: int,
    *,
    seed: int = 0,
    split: str | None = None,
    first_item: int = 0,
) -> IntArray:
    """Draw rejected words at edit distance 1 from the language, all equally likely.

    Parameters
    ----------
    dfa : DFA
    length : int
        Length of the rejected words; the accepted neighbours may be one letter shorter or longer.
    num_words : int
    seed, split, first_item
        As in `automata.words.sample_words`.

    Returns
    -------
    ndarray of int64, [num_words, length]

    Raises
    ------
    InputError
        If there is no such word, naming the nearest lengths that have some; on any argument out of
        range.

    Notes
    -----
    A trial costs O(length * (num_states + num_symbols)). The share of trials that are kept shrinks
    at worst like a power of the length, since a set of at most half of the words of a length has at
    least as many single substitutions that leave it, up to a constant, as it has words (Lindsey:
    "Assignment of numbers to vertices", American Mathematical Monthly 71, 1964).

    Examples
    --------
    >>> balanced = DFA.from_partial([[1, -1], [2, 0], [-1, 1]], accepting=[0], alphabet="()")
    >>> words = hard_negatives(balanced, 9, 4, seed=2)
    >>> ["".join("()"[letter] for letter in word) for word in words]
    ['()()(())(', '()(())()(', '(())((())', '()((()())']
    """
    length = as_integer(length, "length", 0, _MAX_LENGTH)
    num_words = as_integer(num_words, "num_words", 0)
    check_size(num_words, length)
    if split is not None and split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    first_item = as_integer(first_item, "first_item", 0, 2**63 - 1 - num_words)
    items = np.arange(first_item, first_item + num_words, dtype=np.int64)
    _check_length(dfa, length)
    if split is not None and is_split_by_word(dfa.num_symbols, length):
        choices = _portion_negatives(dfa, length, split)
        if not len(choices):
            raise InputError(
                f"no word of length {length} in the split {split!r} is one edit away from the "
                "language: give a greater length, or no split"
            )
        source = (items, length << 40, 0)
        stream = Stream.NEGATIVE_CHOICES
        result: IntArray = choices[
            exact_integers(len(choices), *source, seed=seed, split=split, stream=stream)
        ]
        return result
    return _by_trials(dfa, length, items, seed, SPLITS[0] if split is None else split)


class _Plan(NamedTuple):
    """How trials are made for one automaton and length."""

    pairs: tuple[int, int, int]
    by_edits: bool


@functools.lru_cache(maxsize=64)
def _plan(dfa: DFA, length: int) -> _Plan:
    """Count the pairs of an accepted word and an edit, by kind, and the rejected words."""
    near = itertools.islice(iterate_counts(dfa), max(0, length - 1), length + 2)
    counts = [0, 0, *(level[dfa.initial] for level in near)]
    shorter, same, longer = counts[-3:]
    pairs = (
        same * length * (dfa.num_symbols - 1),
        shorter * length * dfa.num_symbols,
        longer * (length + 1),
    )
    return _Plan(pairs, sum(pairs) < dfa.num_symbols**length - same)


@functools.lru_cache(maxsize=64)
def _portion_negatives(dfa: DFA, length: int, split: str) -> IntArray:
    """List the short hard negatives that belong to a split."""
    rejected = portion_words(dfa.complement(), length, split)
    negatives: IntArray = rejected[count_edits_into(dfa, rejected) > 0]
    read_only(negatives)
    return negatives


def _lengths_with_negatives(dfa: DFA, longest: int) -> IntArray:
    """List the lengths up to `longest` that have hard negatives.

    Where some words of a length are accepted and some rejected, two of them differ in one letter.
    """
    accepted = lengths_with_words(dfa, longest + 1)
    rejected = lengths_with_words(dfa.complement(), longest)
    near = accepted[1:] | accepted[:-1]
    near[1:] |= accepted[:-2]
    return np.flatnonzero(near & rejected)


def _check_length(dfa: DFA, length: int) -> None:
    lengths = _lengths_with_negatives(dfa, length + 2 * dfa.num_states).tolist()
    if length in lengths:
        return
    if not lengths:
        side = "complement" if dfa.complement().is_empty() else "language"
        if dfa.is_empty() or dfa.complement().is_empty():
            raise InputError(f"the {side} has no word at all: there are no hard negatives")
        raise describe_missing(dfa, "the language", length - 1, length + 1)
    near = [*[n for n in lengths if n < length][-1:], *[n for n in lengths if n > length][:1]]
    listed = " and ".join(map(str, near))
    raise InputError(
        f"no rejected word of length {length} is one edit away from the language: the nearest "
        f"length{'s' if len(near) > 1 else ''} with such words: {listed}"
    )


def _by_trials(dfa: DFA, length: int, items: IntArray, seed: int, split: str) -> IntArray:
    """Make trials 0, 1, ... of every item until one is kept."""
    words = np.empty((items.size, length), dtype=np.int64)
    next_trial = np.zeros(items.size, dtype=np.int64)
    open_rows = np.arange(items.size)
    trials_per_round = max(1, _LETTERS_PER_ROUND // (length + 1))
    while open_rows.size:
        rows = open_rows[:trials_per_round]
        # Few items are left: several trials of each at once; the first that is kept counts.
        num_trials = min(max(1, trials_per_round // rows.size), 1 + int(next_trial[rows[0]]))
        trials = (next_trial[rows, None] + np.arange(num_trials)).reshape(-1)
        if trials[-1] >= _MAX_TRIALS:
            raise InputError(
                f"hard negatives of length {length} are too rare: {_MAX_TRIALS} trials of one "
                "word failed; give a smaller length"
            )
        drawn, kept = _trials(dfa, length, np.repeat(items[rows], num_trials), trials, seed, split)
        kept = kept.reshape(rows.size, num_trials)
        done = kept.any(axis=1)
        first = np.flatnonzero(done) * num_trials + kept[done].argmax(axis=1)
        words[rows[done]] = drawn[first]
        next_trial[rows[~done]] += num_trials
        open_rows = np.concatenate([rows[~done], open_rows[trials_per_round:]])
    return words


def _trials(
    dfa: DFA, length: int, items: IntArray, trials: IntArray, seed: int, split: str
) -> tuple[IntArray, BoolArray]:
    """Make one trial of each item: the words, and which of them are kept."""
    plan = _plan(dfa, length)
    # Bits of a block: length (22), trial (20), block of letters (20).
    blocks = length << 40 | trials << 20
    if not plan.by_edits:
        lengths = np.full(items.size, length, dtype=np.int64)
        drawn = draw_words(
            word_law(dfa.complement()),
            lengths,
            items,
            blocks,
            seed=seed,
            split=split,
            stream=Stream.NEGATIVE_WORDS,
        )
        return drawn, count_edits_into(dfa, drawn) > 0
    choices = Stream.NEGATIVE_CHOICES
    kinds = choose_by_weight(plan.pairs, items, blocks, 0, seed=seed, split=split, stream=choices)
    positives = draw_words(
        word_law(dfa),
        length + np.array([0, -1, 1])[kinds],
        items,
        blocks,
        seed=seed,
        split=split,
        stream=Stream.NEGATIVE_WORDS,
    )
    padding = np.full((items.size, length + 1 - positives.shape[1]), dfa.num_symbols)
    positives = np.concatenate([positives, padding], axis=1)
    places = exact_integers(
        np.array([length, length, length + 1])[kinds],
        items,
        blocks,
        1,
        seed=seed,
        split=split,
        stream=choices,
    )
    letters = exact_integers(
        np.array([max(1, dfa.num_symbols - 1), dfa.num_symbols, 1])[kinds],
        items,
        blocks,
        2,
        seed=seed,
        split=split,
        stream=choices,
    )
    # A substitution never puts the letter that is there already.
    replaced = positives[np.arange(items.size), places]
    letters += (kinds == 0) & (letters >= replaced)
    drawn = apply_edits(positives, kinds, places, letters)
    kept = ~dfa.accepts(drawn)
    rows = np.flatnonzero(kept)
    kept[rows] = (
        exact_integers(
            count_edits_into(dfa, drawn[rows]),
            items[rows],
            blocks[rows],
            3,
            seed=seed,
            split=split,
            stream=choices,
        )
        == 0
    )
    return drawn, kept
