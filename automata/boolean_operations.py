"""The product construction behind intersection, union and differences."""

from typing import Final

import numpy as np

from automata.errors import InputError
from automata.validation import IntArray

__all__ = ["MAX_PRODUCT_STATES", "reachable_product"]

MAX_PRODUCT_STATES: Final = 2**22


def reachable_product(
    first: IntArray, second: IntArray, initial: tuple[int, int]
) -> tuple[IntArray, IntArray]:
    """Run two automata side by side and keep the pairs of states that words reach.

    Parameters
    ----------
    first, second : ndarray of int64, [num_states, num_symbols]
        Complete tables over the same symbols.
    initial : pair of int

    Returns
    -------
    transitions : ndarray of int64, [num_pairs, num_symbols]
        State 0 is the initial pair; pairs are numbered breadth first.
    pairs : ndarray of int64, [num_pairs, 2]

    Raises
    ------
    InputError
        If more than `MAX_PRODUCT_STATES` pairs are reached.

    Examples
    --------
    >>> table, pairs = reachable_product(np.array([[1], [0]]), np.array([[1], [2], [0]]), (0, 0))
    >>> table.shape
    (6, 1)
    """
    rows_first, rows_second = first.tolist(), second.tolist()
    width = len(rows_second)
    number = {initial[0] * width + initial[1]: 0}
    order = list(number)
    table = []
    for pair in order:
        state, other = divmod(pair, width)
        row = []
        for target, target_other in zip(rows_first[state], rows_second[other], strict=True):
            code = target * width + target_other
            if code not in number:
                if len(order) == MAX_PRODUCT_STATES:
                    raise InputError(
                        f"the product of {len(first)} and {len(second)} states reaches more than "
                        f"{MAX_PRODUCT_STATES} pairs: minimize both automata first"
                    )
                number[code] = len(order)
                order.append(code)
            row.append(number[code])
        table.append(row)
    pairs = np.stack(np.divmod(np.array(order, dtype=np.int64), width), axis=1)
    return np.array(table, dtype=np.int64), pairs
