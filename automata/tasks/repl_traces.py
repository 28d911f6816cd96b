"""REPL traces of permutations: swap variables, and now and then print one."""

import itertools
import math

import numpy as np

from automata.errors import InputError
from automata.files import MAX_CELLS
from automata.tasks.automaton_task import AutomatonTask
from automata.tasks.published import published_versions
from automata.tasks.supervision import check_supervision
from automata.tasks.task import Task
from automata.tasks.token_laws import Walks
from automata.validation import as_integer
from automata.weighted import WeightedDFA

__all__ = ["repl_traces"]


def repl_traces(
    *, num_variables: int = 3, reveal_percent: int = 30, supervision: str = "next_token"
) -> Task:
    """Follow variables that are swapped, as in a Python session that prints some of them.

    Variables ``a, b, ...`` hold the values 0, 1, ... at the start. A step is ``swap(a,b)``, one
    token for every pair, or ``print(a)``, which is followed by the token of the value.

    Parameters
    ----------
    num_variables : int
    reveal_percent : int
        How many steps of a hundred print, on average; each variable equally often.
    supervision : {"next_token", "per_prefix", "final"}
        ``next_token``: after ``print``, the value that follows, as a token; nothing elsewhere,
        where the next token is random. ``per_prefix`` and ``final``: the permutation itself, by
        its number in lexicographic order of the values held.

    Returns
    -------
    Task

    Notes
    -----
    "Learning state-tracking from code using linear RNNs" (Siems, Grazzi et al. 2026, arXiv
    2602.14814) composes permutations in REPL traces with partial reveals of the state, as text for
    a language model whose loss is over all tokens. Here a statement is one token, statements are
    swaps of two variables, and the loss is over revealed values only.

    Examples
    --------
    >>> print(repl_traces().explain(["swap(a,b)", "print(a)", "1", "swap(b,c)"]))
    position  token     symbol  state  target
           0      -          -      0       -
           1      0  swap(a,b)      2       -
           2      3   print(a)      8       7
           3      7          1      2       -
           4      2  swap(b,c)      3       -
    """
    count = as_integer(num_variables, "num_variables", 2, 26)
    percent = as_integer(reveal_percent, "reveal_percent", 1, 99)
    check_supervision(supervision, ("next_token", "per_prefix", "final"))
    pairs = list(itertools.combinations(range(count), 2))
    num_held = math.factorial(min(count, 12))
    num_tokens = len(pairs) + 2 * count
    if num_held * (count + 1) * num_tokens > MAX_CELLS:
        raise InputError(
            f"{count} variables make a table of more than {MAX_CELLS} cells: give fewer"
        )
    held = list(itertools.permutations(range(count)))
    number = {values: index for index, values in enumerate(held)}
    first_print, first_value = len(pairs), len(pairs) + count
    # State (values held, printing): 0 between steps, 1 + v while the value of v is awaited.
    table = np.full((count + 1, num_held, num_tokens), -1, dtype=np.int64)
    weights = np.zeros_like(table)
    outputs = np.zeros((count + 1, num_held), dtype=np.int64)
    for index, values in enumerate(held):
        outputs[0, index] = index
        for token, (one, other) in enumerate(pairs):
            swapped = list(values)
            swapped[one], swapped[other] = values[other], values[one]
            table[0, index, token] = number[tuple(swapped)]
        for variable, value in enumerate(values):
            table[0, index, first_print + variable] = (1 + variable) * num_held + index
            table[1 + variable, index, first_value + value] = index
            weights[1 + variable, index, first_value + value] = 1
            outputs[1 + variable, index] = index
    weights[0, :, :first_print] = (100 - percent) * count
    weights[0, :, first_print:first_value] = percent * len(pairs)
    names = [chr(ord("a") + variable) for variable in range(count)]
    symbols = [
        *(f"swap({names[one]},{names[other]})" for one, other in pairs),
        *(f"print({name})" for name in names),
        *map(str, range(count)),
    ]
    model = WeightedDFA(
        table.reshape(-1, num_tokens), weights.reshape(-1, num_tokens), 0, None, symbols
    )
    is_asked = np.ones((count + 1) * num_held, dtype=np.bool_)
    if supervision == "next_token":
        is_asked[:num_held] = False
        outputs[1:] = first_value + np.array(held).T
        outputs[0] = 0
    support = model.support()
    dfa = type(support)(
        support.transitions, 0, support.accepting, symbols, np.append(outputs.reshape(-1), 0)
    )
    return AutomatonTask(
        "repl_traces",
        dfa,
        supervision,
        law=Walks(model, f"swaps, and prints in {percent} of 100 steps"),
        supervised=np.append(is_asked, False),
        facts=published_versions(repl_traces),
    )
