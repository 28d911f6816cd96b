"""Walks with memory: Markov chains of letters, and random weighted automata."""

import numpy as np
from numpy.typing import ArrayLike

from automata.errors import InputError
from automata.philox import PhiloxSource, Stream
from automata.random_draws import random_integers
from automata.sampling import random_dfa
from automata.validation import as_integer, as_integer_array
from automata.weighted import WeightedDFA, read_weights

__all__ = ["markov_chain", "random_weighted_dfa"]


def markov_chain(
    weights: ArrayLike,
    initial_weights: ArrayLike | None = None,
    stop_weights: ArrayLike | None = None,
) -> WeightedDFA:
    """Return the walk in which the law of each letter depends on the letter before.

    Parameters
    ----------
    weights : array_like of int, [num_symbols, num_symbols]
        Row ``a`` holds the weights of the letters after ``a``.
    initial_weights : array_like of int, [num_symbols], optional
        Weights of the first letter; by default all equal.
    stop_weights : array_like of int, [num_symbols], optional
        Weight of ending after each letter; the empty word has weight 0.

    Returns
    -------
    WeightedDFA
        State 0 is the start; state ``a + 1`` is reached by letter ``a``.

    Examples
    --------
    >>> sticky = markov_chain([[9, 1], [1, 9]])
    >>> sticky.sample(12, 2, seed=1).words
    array([[0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1],
           [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]])
    """
    rows = as_integer_array(weights, "weights")
    if rows.ndim != 2 or rows.shape[0] != rows.shape[1] or not len(rows):
        raise InputError(f"weights has shape {rows.shape}: give [num_symbols, num_symbols]")
    num_symbols = len(rows)
    if initial_weights is None:
        initial_weights = np.ones(num_symbols, dtype=np.int64)
    first = read_weights(initial_weights, "initial_weights", (num_symbols,))
    table = np.tile(np.arange(1, num_symbols + 1), (num_symbols + 1, 1))
    if stop_weights is not None:
        stop_weights = np.append(0, read_weights(stop_weights, "stop_weights", (num_symbols,)))
    return WeightedDFA(table, np.concatenate([first[None], rows]), 0, stop_weights)


def random_weighted_dfa(
    num_states: int,
    num_symbols: int,
    *,
    seed: int,
    kind: str = "strongly_connected",
    max_weight: int = 100,
    max_stop_weight: int | None = None,
) -> WeightedDFA:
    """Draw a random deterministic language model.

    Parameters
    ----------
    num_states, num_symbols : int
    seed : int
        0 <= seed < 2**32. The result is a pure function of all arguments.
    kind : str
        The structure, as in `automata.sampling.random_dfa`; the sink of ``regbench`` gets no
        letter, so that it is never entered.
    max_weight : int
        Weights are independent and uniform from 1 to this.
    max_stop_weight : int, optional
        Stop weights are uniform from 1 to this; by default there are none.

    Returns
    -------
    WeightedDFA

    Notes
    -----
    Weights of the form "uniform, then normalised" follow the probabilistic automata of Svete,
    Borenstein and others on what language models can learn, 2024.

    Examples
    --------
    >>> model = random_weighted_dfa(6, 3, seed=4)
    >>> model, model == random_weighted_dfa(6, 3, seed=4)
    (WeightedDFA(num_states=6, num_symbols=3), True)
    """
    max_weight = as_integer(max_weight, "max_weight", 1, 2**20)
    dfa = random_dfa(num_states, num_symbols, seed=seed, kind=kind)
    item = dfa.num_states << 32 | dfa.num_symbols
    source = PhiloxSource(seed=seed, stream=Stream.WEIGHTS, item=item)
    weights = 1 + random_integers(source, max_weight, dfa.num_states * dfa.num_symbols)
    weights = weights.reshape(dfa.num_states, dfa.num_symbols)
    stop_weights = None
    if max_stop_weight is not None:
        max_stop_weight = as_integer(max_stop_weight, "max_stop_weight", 1, 2**20)
        stop_weights = 1 + random_integers(source, max_stop_weight, dfa.num_states)
    transitions = dfa.transitions
    if kind == "regbench":
        is_alive = dfa.accepting
        transitions = np.where(is_alive[transitions], transitions, -1)[is_alive]
        names = np.where(is_alive, np.cumsum(is_alive) - 1, -1)
        transitions = np.where(transitions < 0, -1, names[transitions])
        weights = np.where(transitions < 0, 0, weights[is_alive])
        stop_weights = None if stop_weights is None else stop_weights[is_alive]
        return WeightedDFA(transitions, weights, int(names[dfa.initial]), stop_weights)
    return WeightedDFA(transitions, weights, dfa.initial, stop_weights)
