"""The automaton recurrence ``q_t = delta(q_{t-1}, x_t)`` as a loop over time: the truth."""

import torch
from torch import Tensor


def automaton_scan_reference(
    transitions: Tensor, words: Tensor, initial: Tensor
) -> tuple[Tensor, Tensor]:
    """Run a complete automaton over words, one letter after the other.

    Parameters
    ----------
    transitions : Tensor of int64, [num_states, num_symbols]
    words : Tensor of int64, [..., T]
        Symbols in range.
    initial : Tensor of int64, [...]
        State before the first symbol.

    Returns
    -------
    states : Tensor of int64, [..., T]
        State after every symbol.
    final_state : Tensor of int64, [...]

    Notes
    -----
    T gathers of one element a word.
    """
    num_symbols = transitions.shape[1]
    table = transitions.reshape(-1)
    state = initial
    states = torch.empty_like(words)
    for t in range(words.shape[-1]):
        state = table[state * num_symbols + words[..., t]]
        states[..., t] = state
    return states, state
