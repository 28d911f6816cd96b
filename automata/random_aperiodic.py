"""Random automata without counters: cascades of flip-flops, and partially ordered ones.

Uniform draws almost never are aperiodic (0.7 % of the accessible structures with six states and two
letters), so both laws are built from parts, and stated.

References
----------
Krohn, Rhodes: "Algebraic theory of machines I", Transactions of the AMS 116, 1965: an automaton is
aperiodic if and only if a cascade of flip-flops covers it. Brzozowski, Fich: "Languages of
R-trivial monoids", Journal of Computer and System Sciences 20, 1980: a minimal automaton is
partially ordered if and only if its language is R-trivial.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from automata.errors import InputError
from automata.philox import PhiloxSource
from automata.random_draws import endless_integers, random_integers
from automata.validation import IntArray

__all__ = ["flip_flop_cascade", "partially_ordered"]

_MAX_CASCADE_STATES: Final = 128
_MAX_TRIALS: Final = 200_000
_KEEP: Final = 2


def flip_flop_cascade(num_states: int, num_symbols: int, source: PhiloxSource) -> IntArray:
    """Draw the accessible part of a random cascade of flip-flops, of exactly a given size.

    A cascade has bits ``b_1, b_2, ...``. Under a letter, bit ``i`` becomes 0, becomes 1 or stays,
    each with probability 1/3, chosen once for every letter and every value of the bits before it.
    The walk begins with all bits 0. With ``m`` the bit length of ``num_states - 1``, the number of
    bits is uniform from ``m`` to ``2 m + 2``, and cascades are drawn until exactly `num_states`
    states are reached.

    Parameters
    ----------
    num_states, num_symbols : int
        At most 128 states.
    source : PhiloxSource

    Returns
    -------
    ndarray of int64, [num_states, num_symbols]
        States in breadth-first order. Its monoid is aperiodic.

    Raises
    ------
    InputError
        On too many states, or if no cascade of that size is found.

    Examples
    --------
    >>> flip_flop_cascade(5, 2, PhiloxSource(seed=1, stream=35)).shape
    (5, 2)
    """
    if num_states > _MAX_CASCADE_STATES:
        raise InputError(
            f"num_states is {num_states}: aperiodic automata are drawn up to {_MAX_CASCADE_STATES} "
            "states; partially ordered ones (kind 'r_trivial') have no such limit"
        )
    if num_symbols == 1:
        # A path that stops: the only aperiodic structure over one letter.
        return np.minimum(np.arange(num_states) + 1, num_states - 1).reshape(-1, 1)
    num_bits = (num_states - 1).bit_length()
    sizes = endless_integers(source, num_bits + 3, 64)
    actions = endless_integers(source, 3)
    for _ in range(_MAX_TRIALS):
        table = _reached(num_states, num_symbols, num_bits + next(sizes), actions)
        if table is not None:
            return table
    raise InputError(
        f"no cascade with exactly {num_states} states in {_MAX_TRIALS} trials: give fewer states"
    )


def partially_ordered(num_states: int, num_symbols: int, source: PhiloxSource) -> IntArray:
    """Draw an accessible structure without cycles but for single states that stay.

    For states ``1, 2, ...`` in turn, one cell of the table, uniform among the free ones of earlier
    states, is made to lead there. All other cells of state ``q`` are uniform over
    ``q, ..., num_states - 1``.

    Parameters
    ----------
    num_states, num_symbols : int
    source : PhiloxSource

    Returns
    -------
    ndarray of int64, [num_states, num_symbols]
        Transitions never lead to a smaller state. Its monoid is R-trivial.

    Examples
    --------
    >>> table = partially_ordered(5, 2, PhiloxSource(seed=1, stream=36))
    >>> bool((table >= np.arange(5)[:, None]).all())
    True
    """
    states = np.repeat(np.arange(num_states), num_symbols)
    cells = states + random_integers(source, num_states - states, states.size)
    # When state m + 1 is placed, (m + 1) * num_symbols cells lie before it and m are taken.
    num_free = np.arange(1, num_states) * (num_symbols - 1) + 1
    choices = random_integers(source, num_free, num_states - 1).tolist()
    free: list[int] = []
    for state, chosen in enumerate(choices, start=1):
        free.extend(range((state - 1) * num_symbols, state * num_symbols))
        # The last free cell takes the place of the chosen one.
        free[chosen], free[-1] = free[-1], free[chosen]
        cells[free.pop()] = state
    return cells.reshape(num_states, num_symbols)


def _reached(
    num_states: int, num_symbols: int, num_bits: int, actions: Iterator[int]
) -> IntArray | None:
    """Explore one cascade from all bits 0; None unless it has exactly `num_states` states."""
    chosen: dict[tuple[int, int, int], int] = {}
    names = {0: 0}
    order = [0]
    rows: list[list[int]] = []
    for bits in order:
        row = []
        for symbol in range(num_symbols):
            target = 0
            for level in range(num_bits):
                key = (level, bits & ((1 << level) - 1), symbol)
                if key not in chosen:
                    chosen[key] = next(actions)
                action = chosen[key]
                bit = bits >> level & 1 if action == _KEEP else action
                target |= bit << level
            if target not in names:
                if len(order) == num_states:
                    return None
                names[target] = len(order)
                order.append(target)
            row.append(names[target])
        rows.append(row)
    return np.array(rows, dtype=np.int64) if len(order) == num_states else None
