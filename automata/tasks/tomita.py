"""The seven languages of Tomita."""

from typing import Final

from automata.dfa import DFA
from automata.tasks.published import published_versions
from automata.tasks.recognition import recogniser
from automata.tasks.task import Task
from automata.validation import as_integer

__all__ = ["tomita"]

# For every language a partial table over 0 and 1, and the accepting states; the start is state 0.
_TABLES: Final[dict[int, tuple[list[list[int]], list[int]]]] = {
    1: ([[-1, 0]], [0]),
    2: ([[-1, 1], [0, -1]], [0]),
    # Even or no ones; odd ones; then, after odd ones, zeros odd and even.
    3: ([[0, 1], [2, 0], [3, -1], [2, 1]], [0, 1, 3]),
    4: ([[1, 0], [2, 0], [-1, 0]], [0, 1, 2]),
    5: ([[1, 2], [0, 3], [3, 0], [2, 1]], [0]),
    6: ([[2, 1], [0, 2], [1, 0]], [0]),
    7: ([[0, 1], [2, 1], [2, 3], [-1, 3]], [0, 1, 2, 3]),
}


def tomita(number: int, *, words: str = "balanced", supervision: str = "per_prefix") -> Task:
    """Recognise one of the seven languages of Tomita over 0 and 1.

    =  ==================================================================================
    1  only ones
    2  ``10`` again and again
    3  no odd block of ones directly before an odd block of zeros
    4  no three zeros in a row
    5  evenly many zeros and evenly many ones
    6  the number of ones minus the number of zeros is a multiple of 3
    7  at most zeros, ones, zeros, ones, in this order
    =  ==================================================================================

    Parameters
    ----------
    number : int
        1 to 7; the registry has rows ``tomita_1`` to ``tomita_7``.
    words : {"balanced", "uniform", "language", "complement"}
        See `automata.tasks.token_laws.words_of`. Languages 1, 2 and 7 have few words: balanced
        sets of short lengths (to 16) may miss some splits.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`.

    Returns
    -------
    Task

    Notes
    -----
    Tomita 1982, with Watrous and Kuhn 1992 and much work on extracting automata since. Some texts
    state language 3 or 5 with other words; the automata, of 2, 3, 5, 4, 4, 3 and 5 states (sinks
    included), agree. Length ranges and shares of members differ from paper to paper.

    Examples
    --------
    >>> tomita(4).targets_of("10001")
    array([1, 1, 1, 0, 0])
    """
    number = as_integer(number, "number", 1, 7)
    table, accepting = _TABLES[number]
    language = DFA.from_partial(table, 0, accepting, "01")
    facts = published_versions(tomita)
    return recogniser(f"tomita_{number}", language, words, supervision, facts)
