"""Exactly uniform accessible transition structures, by unranking and by trimming.

An accessible structure whose states are named in breadth-first order is a string of
``num_states * num_symbols`` letters, the table read row by row: state ``m`` first occurs (its
*flag*) after state ``m - 1`` and before position ``num_symbols * m``, and between two flags any
state met so far may stand. Renaming states never gives the same string twice, so every structure
up to isomorphism is counted once.

References
----------
Almeida, Moreira, Reis: "Enumeration and generation with a string automata representation",
Theoretical Computer Science 387, 2007. Carayol, Nicaud: "Distribution of the number of accessible
states in a random deterministic automaton", STACS 2012.
"""

import math
from typing import Final

import numpy as np

from automata.errors import InputError
from automata.philox import PhiloxSource
from automata.reachability import breadth_first_order
from automata.validation import BoolArray, IntArray, as_integer

__all__ = ["accessible_from_rank", "count_accessible", "uniform_accessible"]

_MAX_STATES_BY_RANK: Final = 50
_MAX_TABLE: Final = 2**24
_CELLS_PER_BATCH: Final = 2**17


def count_accessible(num_states: int, num_symbols: int) -> int:
    """Count accessible complete transition structures up to isomorphism.

    Accepting states are not counted: with them, multiply by ``2 ** num_states``.

    Parameters
    ----------
    num_states, num_symbols : int

    Returns
    -------
    int
        Exact.

    Notes
    -----
    O(num_states**2 * num_symbols) operations on integers of that many letters.

    Examples
    --------
    >>> [count_accessible(n, 2) for n in range(1, 7)]
    [1, 12, 216, 5248, 160675, 5931540]
    """
    num_states = as_integer(num_states, "num_states", 1, 2000)
    num_symbols = as_integer(num_symbols, "num_symbols", 1, 1000)
    completions = _completions_after_last(num_states, num_symbols)
    for state in range(num_states - 2, -1, -1):
        completions = _completions_one_earlier(completions, state, num_symbols)
    return completions[0]


def accessible_from_rank(rank: int, num_states: int, num_symbols: int) -> IntArray:
    """Return one accessible structure by its number.

    Ranks ``0, ..., count_accessible(num_states, num_symbols) - 1`` give every structure once.

    Parameters
    ----------
    rank : int
    num_states, num_symbols : int

    Returns
    -------
    ndarray of int64, [num_states, num_symbols]
        States in breadth-first order; the initial state is 0.

    Raises
    ------
    InputError
        If the rank is out of range.

    Examples
    --------
    >>> accessible_from_rank(11, 2, 2)
    array([[0, 1],
           [1, 1]])
    """
    num_states = as_integer(num_states, "num_states", 1, 2000)
    num_symbols = as_integer(num_symbols, "num_symbols", 1, 1000)
    rows = [_completions_after_last(num_states, num_symbols)]
    for state in range(num_states - 2, -1, -1):
        rows.append(_completions_one_earlier(rows[-1], state, num_symbols))
    rows.reverse()
    rank = as_integer(rank, "rank", 0, rows[0][0] - 1)
    letters: list[int] = []
    for state in range(num_states - 1):
        # `rows[state + 1][flag - state]` completions follow when state + 1 first occurs at `flag`.
        flag, num_fillings = len(letters), 1
        while rank >= num_fillings * rows[state + 1][flag - state]:
            rank -= num_fillings * rows[state + 1][flag - state]
            flag, num_fillings = flag + 1, num_fillings * (state + 1)
        filling, rank = divmod(rank, rows[state + 1][flag - state])
        letters.extend(_digits(filling, state + 1, flag - len(letters)))
        letters.append(state + 1)
    letters.extend(_digits(rank, num_states, num_states * num_symbols - len(letters)))
    return np.array(letters, dtype=np.int64).reshape(num_states, num_symbols)


def uniform_accessible(num_states: int, num_symbols: int, source: PhiloxSource) -> IntArray:
    """Draw an accessible structure, each with the same probability.

    Parameters
    ----------
    num_states, num_symbols : int
    source : PhiloxSource

    Returns
    -------
    ndarray of int64, [num_states, num_symbols]
        States in breadth-first order; the initial state is 0.

    Raises
    ------
    InputError
        If the table would have more than 2**24 cells.

    Notes
    -----
    Up to 50 states (and for one symbol) a uniform rank is unranked. Above, complete structures
    are drawn on slightly more states, so that the accessible part is expected to have the right
    size, and the first whose accessible part has exactly that size is kept: each structure of
    that size is the accessible part of equally many, so the result is exactly uniform. One in
    O(sqrt(num_states)) is kept.

    Examples
    --------
    >>> table = uniform_accessible(4, 2, PhiloxSource(seed=1, stream=4))
    >>> len(breadth_first_order(table, 0))
    4
    """
    if num_states * num_symbols > _MAX_TABLE:
        raise InputError(
            f"{num_states} states and {num_symbols} symbols are too many: the table may have up "
            f"to {_MAX_TABLE} cells"
        )
    if num_states <= _MAX_STATES_BY_RANK and num_symbols <= 1000:
        rank = source.below(count_accessible(num_states, num_symbols))
        return accessible_from_rank(rank, num_states, num_symbols)
    if num_symbols == 1:
        last_target = source.below(num_states)
        return np.append(np.arange(1, num_states), last_target).reshape(-1, 1)
    return _trimmed(num_states, num_symbols, source)


def _completions_after_last(num_states: int, num_symbols: int) -> list[int]:
    """Count the strings that go on after the last state has first occurred.

    Entry ``i`` is for position ``num_states - 2 + i``, the earliest one first.
    """
    num_positions = (num_symbols - 1) * (num_states - 1) + 1
    after_latest = num_states * num_symbols - num_symbols * (num_states - 1)
    counts = [num_states**after_latest]
    for _ in range(num_positions - 1):
        counts.append(counts[-1] * num_states)
    return counts[::-1]


def _completions_one_earlier(later: list[int], state: int, num_symbols: int) -> list[int]:
    """Count the same for a state, given the counts of the next one.

    Entry ``i`` of either list is for a flag ``i`` positions after the earliest possible. After
    the flag of `state`, its next position either flags the next state or repeats one of
    ``state + 1`` known states.
    """
    num_positions = (num_symbols - 1) * state + 1
    counts = [0] * len(later)
    total = 0
    for index in range(len(later) - 1, -1, -1):
        total = later[index] + (state + 1) * total
        counts[index] = total
    return counts[:num_positions]


def _digits(value: int, base: int, count: int) -> list[int]:
    """Write a value with `count` digits, the most significant first."""
    digits = []
    for _ in range(count):
        value, digit = divmod(value, base)
        digits.append(digit)
    return digits[::-1]


def _trimmed(
    num_states: int,
    num_symbols: int,
    source: PhiloxSource,
    cells_per_batch: int = _CELLS_PER_BATCH,
) -> IntArray:
    """Draw complete structures in batches until an accessible part has the right size."""
    num_drawn = max(num_states, round(num_states / _accessible_share(num_symbols)))
    num_trials = max(1, cells_per_batch // (num_drawn * num_symbols))
    # Words below this are dropped so that every state is exactly equally likely.
    num_unfair = 2**32 % num_drawn
    while True:
        words = source.words(num_trials * num_drawn * num_symbols).astype(np.uint64)
        scaled = words * np.uint64(num_drawn)
        is_fair = ((scaled & np.uint64(0xFFFFFFFF)) >= num_unfair).reshape(num_trials, -1)
        tables = (scaled >> np.uint64(32)).astype(np.int64)
        tables = tables.reshape(num_trials, num_drawn, num_symbols)
        sizes = _reachable_masks(tables).sum(axis=1)
        kept = np.flatnonzero((sizes == num_states) & is_fair.all(axis=1))
        if len(kept):
            table = tables[kept[0]]
            order = breadth_first_order(table, 0)
            new_name = np.zeros(num_drawn, dtype=np.int64)
            new_name[order] = np.arange(num_states)
            result: IntArray = new_name[table[order]]
            return result


def _reachable_masks(tables: IntArray) -> BoolArray:
    """Mark what state 0 reaches in each of many tables at once, [num_trials, num_drawn]."""
    num_trials, num_drawn, num_symbols = tables.shape
    offsets = num_drawn * np.arange(num_trials)
    flat = (tables + offsets[:, None, None]).reshape(-1, num_symbols)
    seen = np.zeros(num_trials * num_drawn, dtype=np.bool_)
    seen[offsets] = True
    frontier = offsets
    while frontier.size:
        targets = flat[frontier].reshape(-1)
        targets = targets[~seen[targets]]
        seen[targets] = True
        frontier = np.unique(targets)
    return seen.reshape(num_trials, num_drawn)


def _accessible_share(num_symbols: int) -> float:
    """Solve ``share = 1 - exp(-num_symbols * share)``, the expected accessible share."""
    share = 1.0
    for _ in range(200):
        share = 1.0 - math.exp(-num_symbols * share)
    return share
