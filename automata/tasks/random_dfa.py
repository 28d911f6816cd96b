"""Tracking the state of a random automaton."""

from automata import sampling
from automata.tasks.task import Task

__all__ = ["random_dfa"]


def random_dfa(
    *, num_states: int = 8, num_symbols: int = 2, seed: int = 0, supervision: str = "per_prefix"
) -> Task:
    """Track the state of a uniformly random accessible DFA.

    Parameters
    ----------
    num_states, num_symbols : int
    seed : int
        Which automaton; the seed of the words is given to `Task.sample`.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`.

    Returns
    -------
    Task

    See Also
    --------
    automata.sampling.random_dfa : the law of the automaton, and why it is a weak test.

    Examples
    --------
    >>> random_dfa(num_states=5, num_symbols=3, seed=1)
    Task(random_dfa, num_tokens=3, num_classes=5, supervision='per_prefix')
    """
    dfa = sampling.random_dfa(num_states, num_symbols, seed=seed)
    return Task.from_dfa(dfa, "random_dfa", supervision)
