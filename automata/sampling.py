"""Random automata whose law is stated exactly."""

from collections.abc import Callable
from typing import Final

import numpy as np

from automata.accessible import count_accessible, uniform_accessible
from automata.dfa import DFA
from automata.errors import InputError, unknown_name
from automata.finite_group import FiniteGroup
from automata.minimal import count_minimal
from automata.philox import PhiloxSource, Stream
from automata.random_aperiodic import flip_flop_cascade, partially_ordered
from automata.random_groups import random_group, random_mixed, random_permutations, read_action
from automata.reachability import breadth_first_order
from automata.regbench import sparse_table
from automata.validation import BoolArray, IntArray, as_integer

__all__ = ["KINDS", "count_accessible", "count_minimal", "random_dfa", "with_random_accepting"]

_MAX_TABLE: Final = 2**24
_MAX_TRIALS: Final = 10_000
_STREAMS: Final = {
    "accessible": Stream.TRANSITIONS,
    "minimal": Stream.MINIMAL_AUTOMATA,
    "strongly_connected": Stream.STRONGLY_CONNECTED_AUTOMATA,
    "permutation": Stream.PERMUTATION_AUTOMATA,
    "aperiodic": Stream.APERIODIC_AUTOMATA,
    "r_trivial": Stream.R_TRIVIAL_AUTOMATA,
    "group": Stream.GROUP_AUTOMATA,
    "mixed": Stream.MIXED_AUTOMATA,
    "regbench": Stream.REGBENCH_AUTOMATA,
}
KINDS: Final = tuple(_STREAMS)


def random_dfa(
    num_states: int,
    num_symbols: int,
    *,
    seed: int,
    kind: str = "accessible",
    group: str | FiniteGroup | None = None,
    reset_probability: float = 0.5,
) -> DFA:
    """Draw a random complete DFA.

    Parameters
    ----------
    num_states, num_symbols : int
    seed : int
        0 <= seed < 2**32. The result is a pure function of all arguments.
    kind : str
        The law of the transitions, states in breadth-first order from the initial state 0.

        * ``accessible``: exactly uniform over structures all of whose states are reached, up to
          isomorphism.
        * ``minimal``: exactly uniform over minimal automata, accepting states included.
        * ``strongly_connected``: exactly uniform over accessible structures in which every state
          reaches every other.
        * ``permutation``: every letter permutes the states; exactly uniform over accessible
          structures of this sort.
        * ``aperiodic``: cascades of flip-flops (`automata.random_aperiodic.flip_flop_cascade`), to
          128 states.
        * ``r_trivial``: no cycles but for single states that stay
          (`automata.random_aperiodic.partially_ordered`).
        * ``group``: letters are a uniform tuple of elements that generate `group`, acting on
          itself or on the points that it permutes.
        * ``mixed``: a planted mix, each letter a reset with probability `reset_probability`, else
          a permutation from `group` or, by default, any (`automata.random_groups.random_mixed`).
        * ``regbench``: sparse with few symbols leaving each state (`automata.regbench`), minimal;
          at most `num_states` states beside the rejecting sink, and often fewer.
    group : str or FiniteGroup, optional
        For ``group`` and ``mixed``.
    reset_probability : float
        For ``mixed``.

    Returns
    -------
    DFA
        Accepting states are uniform, none and all included; ``minimal`` and ``regbench`` have
        their own law (in ``regbench`` all accept but the sink).

    Raises
    ------
    InputError
        On sizes or a seed out of range, an unknown kind, or sizes at which a kind has no member.

    Notes
    -----
    A uniform random DFA of more than a few states mostly forgets: it is a weak test of state
    tracking. `automata.stratified.stratified_dfa` draws an algebraic class first. Minimal and
    strongly connected structures are kept from accessible ones, of which they are a constant
    share, for two letters about 3 in 4.

    Examples
    --------
    >>> dfa = random_dfa(5, 2, seed=3)
    >>> dfa.num_states, dfa == random_dfa(5, 2, seed=3), dfa == dfa.accessible()
    (5, True, True)
    >>> sorted(random_dfa(5, 2, seed=3, kind="permutation").transitions[:, 0].tolist())
    [0, 1, 2, 3, 4]
    """
    if kind not in KINDS:
        raise unknown_name("kind of random DFA", kind, KINDS)
    if group is not None and kind not in ("group", "mixed"):
        raise InputError(f"kind {kind!r} takes no group: leave it out, or give kind='group'")
    num_states = as_integer(num_states, "num_states", 1, 2**24)
    num_symbols = as_integer(num_symbols, "num_symbols", 1, 2**24)
    if num_states * num_symbols > _MAX_TABLE:
        raise InputError(
            f"{num_states} states and {num_symbols} symbols are too many: the table may have up "
            f"to {_MAX_TABLE} cells"
        )
    item = num_states << 32 | num_symbols
    source = PhiloxSource(seed=seed, stream=_STREAMS[kind], item=item)
    if kind == "minimal":
        return _minimal(num_states, num_symbols, source)
    if kind == "regbench":
        table = sparse_table(num_states, num_symbols, source)
        return DFA.from_partial(table, 0, np.ones(num_states, dtype=np.bool_)).minimize()
    if kind == "group":
        table = random_group(read_action(group, num_states), num_symbols, source)
    elif kind == "mixed":
        action = None if group is None else read_action(group, num_states)
        table = random_mixed(
            num_states, num_symbols, source, reset_probability=reset_probability, action=action
        )
    else:
        table = _LAWS[kind](num_states, num_symbols, source)
    return with_random_accepting(table, seed, item)


def with_random_accepting(table: IntArray, seed: int, item: int) -> DFA:
    """Name the states of a table in breadth-first order, and let each accept by a fair coin.

    Parameters
    ----------
    table : ndarray of int64, [num_states, num_symbols]
        Accessible from state 0.
    seed, item : int
        See `automata.philox.PhiloxSource`; the stream is that of accepting states.

    Returns
    -------
    DFA

    Examples
    --------
    >>> with_random_accepting(np.array([[0, 2], [0, 0], [1, 1]]), 0, 0).transitions
    array([[0, 1],
           [2, 2],
           [0, 0]])
    """
    order = breadth_first_order(table, 0)
    new_name = np.empty(len(table), dtype=np.int64)
    new_name[order] = np.arange(len(table))
    coins = PhiloxSource(seed=seed, stream=Stream.ACCEPTING, item=item)
    return DFA(new_name[table[order]], 0, _coin_flips(coins, len(table)))


def _coin_flips(source: PhiloxSource, count: int) -> BoolArray:
    result: BoolArray = source.words(count) >> np.uint32(31) == 1
    return result


def _minimal(num_states: int, num_symbols: int, source: PhiloxSource) -> DFA:
    for _ in range(_MAX_TRIALS):
        table = uniform_accessible(num_states, num_symbols, source)
        dfa = DFA(table, 0, _coin_flips(source, num_states))
        if dfa.minimize().num_states == num_states:
            return dfa
    raise InputError(
        f"no minimal automaton with {num_states} states and {num_symbols} symbols in "
        f"{_MAX_TRIALS} trials: give fewer states"
    )


def _strongly_connected(num_states: int, num_symbols: int, source: PhiloxSource) -> IntArray:
    if num_symbols == 1:
        # Only the cycle.
        return ((np.arange(num_states) + 1) % num_states).reshape(-1, 1)
    for _ in range(_MAX_TRIALS):
        table = uniform_accessible(num_states, num_symbols, source)
        if _reaches_start(table):
            return table
    raise InputError(
        f"no strongly connected structure with {num_states} states and {num_symbols} symbols in "
        f"{_MAX_TRIALS} trials: give fewer states"
    )


def _reaches_start(table: IntArray) -> bool:
    """Whether every state reaches state 0."""
    reaches = np.arange(len(table)) == 0
    while True:
        more = reaches | reaches[table].any(axis=1)
        if np.array_equal(more, reaches):
            return bool(reaches.all())
        reaches = more


_LAWS: Final[dict[str, Callable[[int, int, PhiloxSource], IntArray]]] = {
    "accessible": uniform_accessible,
    "strongly_connected": _strongly_connected,
    "permutation": random_permutations,
    "aperiodic": flip_flop_cascade,
    "r_trivial": partially_ordered,
}
