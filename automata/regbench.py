"""The automata of RegBench: sparse, with few symbols leaving every state."""

from dataclasses import dataclass

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError
from automata.philox import PhiloxSource, Stream
from automata.random_draws import random_integers, random_permutation
from automata.validation import IntArray, as_integer

__all__ = ["RegBenchLaw", "regbench_dfa", "sparse_table"]


@dataclass(frozen=True)
class RegBenchLaw:
    """The parameters of the RegBench sampler; each pair is a range with both ends included.

    Attributes
    ----------
    num_states : (int, int)
        States before minimisation, without the sink.
    num_symbols : (int, int)
        Symbols of one automaton, drawn without replacement from the vocabulary.
    out_degree : (int, int)
        Symbols that leave a state, cut to what is possible.
    vocabulary_size : int

    Examples
    --------
    >>> RegBenchLaw().out_degree
    (1, 3)
    """

    num_states: tuple[int, int] = (4, 12)
    num_symbols: tuple[int, int] = (4, 18)
    out_degree: tuple[int, int] = (1, 3)
    vocabulary_size: int = 18

    def __post_init__(self) -> None:
        """Check the ranges."""
        for what in ("num_states", "num_symbols", "out_degree"):
            low, high = getattr(self, what)
            as_integer(
                high, f"the largest {what}", as_integer(low, f"the smallest {what}", 1), 2**16
            )
        as_integer(self.vocabulary_size, "vocabulary_size", self.num_symbols[1], 2**16)
        if self.num_states[0] < 2:
            raise InputError("the smallest num_states is 1: a state needs another one to go to")


def regbench_dfa(seed: int, law: RegBenchLaw | None = None) -> DFA:
    """Draw one automaton of the benchmark, over the whole vocabulary.

    Parameters
    ----------
    seed : int
        0 <= seed < 2**32.
    law : RegBenchLaw, optional

    Returns
    -------
    DFA
        Minimal; all states accept but the sink, to which every symbol that may not follow leads.

    Notes
    -----
    Sizes are uniform. Every state has a uniform number of outgoing symbols, distinct, with distinct
    targets other than the state itself. What is not reached from state 0 is cut off, and equal
    states are merged. Akyürek, Wang, Kim, Andreas: "In-context language learning: architectures and
    algorithms", ICML 2024, whose code draws degrees 1, 2 and 3.

    Examples
    --------
    >>> dfa = regbench_dfa(3)
    >>> dfa.num_symbols, int((~dfa.accepting).sum())
    (18, 1)
    """
    law = RegBenchLaw() if law is None else law
    source = PhiloxSource(seed=seed, stream=Stream.REGBENCH_AUTOMATA)
    num_states, num_symbols = (
        low + int(random_integers(source, high - low + 1, 1)[0])
        for low, high in (law.num_states, law.num_symbols)
    )
    symbols = np.sort(random_permutation(source, law.vocabulary_size)[:num_symbols])
    table = np.full((num_states, law.vocabulary_size), -1, dtype=np.int64)
    table[:, symbols] = sparse_table(num_states, num_symbols, source, law.out_degree)
    return DFA.from_partial(table, 0, np.ones(num_states, dtype=np.bool_)).minimize()


def sparse_table(
    num_states: int, num_symbols: int, source: PhiloxSource, out_degree: tuple[int, int] = (1, 3)
) -> IntArray:
    """Draw a partial table in which few symbols leave every state.

    Parameters
    ----------
    num_states, num_symbols : int
        At least 2 states.
    source : PhiloxSource
    out_degree : (int, int)
        Uniform, both ends included, cut to the number of symbols and of other states.

    Returns
    -------
    ndarray of int64, [num_states, num_symbols]
        -1 where there is no transition.

    Examples
    --------
    >>> sparse_table(4, 5, PhiloxSource(seed=1, stream=39))
    array([[ 2, -1, -1,  3, -1],
           [-1, -1,  0, -1, -1],
           [-1,  1, -1,  0, -1],
           [-1, -1, -1,  0, -1]])
    """
    if num_states < 2:
        raise InputError("num_states is 1: a state of this kind needs another one to go to")
    low, high = out_degree
    table = np.full((num_states, num_symbols), -1, dtype=np.int64)
    for state in range(num_states):
        degree = low + int(random_integers(source, high - low + 1, 1)[0])
        degree = min(degree, num_symbols, num_states - 1)
        symbols = random_permutation(source, num_symbols)[:degree]
        targets = random_permutation(source, num_states - 1)[:degree]
        table[state, symbols] = targets + (targets >= state)
    return table
