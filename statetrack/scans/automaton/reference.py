"""The automaton recurrence ``q_t = delta(q_{t-1}, x_t)`` as a loop over time."""

import torch
from torch import Tensor


def automaton_scan(
    transitions: Tensor, words: Tensor, initial: Tensor | int = 0
) -> tuple[Tensor, Tensor]:
    """Run a complete automaton over words.

    Parameters
    ----------
    transitions : Tensor of int64, [num_states, num_symbols]
    words : Tensor of int64, [..., T]
        Symbols.
    initial : Tensor of int64, [...], or int
        State before the first symbol.

    Returns
    -------
    states : Tensor of int64, [..., T]
        State after every symbol.
    final_state : Tensor of int64, [...]

    Notes
    -----
    T gathers of one element a word.

    Examples
    --------
    >>> parity = torch.tensor([[0, 1], [1, 0]])
    >>> states, final_state = automaton_scan(parity, torch.tensor([1, 0, 1]))
    >>> states.tolist(), int(final_state)
    ([1, 1, 0], 0)
    """
    num_symbols = transitions.shape[1]
    table = transitions.reshape(-1)
    state = torch.as_tensor(initial, device=words.device).expand(words.shape[:-1])
    states = torch.empty_like(words)
    for t in range(words.shape[-1]):
        state = table[state * num_symbols + words[..., t]]
        states[..., t] = state
    return states, state
