"""Random automata whose law is stated exactly."""

from typing import Final

import numpy as np

from automata.accessible import count_accessible, uniform_accessible
from automata.dfa import DFA
from automata.errors import unknown_name
from automata.philox import PhiloxSource, Stream
from automata.validation import as_integer

__all__ = ["count_accessible", "random_dfa"]

_KINDS: Final = ("accessible",)


def random_dfa(num_states: int, num_symbols: int, *, seed: int, kind: str = "accessible") -> DFA:
    """Draw a random complete DFA.

    Parameters
    ----------
    num_states, num_symbols : int
    seed : int
        0 <= seed < 2**32. The result is a pure function of all arguments.
    kind : {"accessible"}
        ``accessible``: exactly uniform over complete DFAs all of whose states are reached, up to
        isomorphism, with uniform accepting states (none and all included).

    Returns
    -------
    DFA
        States in breadth-first order; the initial state is 0.

    Raises
    ------
    InputError
        On sizes or a seed out of range, or an unknown kind.

    Notes
    -----
    See `automata.accessible`. A uniform random DFA of more than a few states mostly forgets: it
    is a weak test of state tracking.

    Examples
    --------
    >>> dfa = random_dfa(5, 2, seed=3)
    >>> dfa.num_states, dfa == random_dfa(5, 2, seed=3), dfa == dfa.accessible()
    (5, True, True)
    """
    if kind not in _KINDS:
        raise unknown_name("kind of random DFA", kind, _KINDS)
    num_states = as_integer(num_states, "num_states", 1, 2**24)
    num_symbols = as_integer(num_symbols, "num_symbols", 1, 2**24)
    item = num_states << 32 | num_symbols
    structure = PhiloxSource(seed=seed, stream=Stream.TRANSITIONS, item=item)
    transitions = uniform_accessible(num_states, num_symbols, structure)
    coins = PhiloxSource(seed=seed, stream=Stream.ACCEPTING, item=item).words(num_states)
    return DFA(transitions, 0, coins >> np.uint32(31) == 1)
