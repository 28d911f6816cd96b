"""Tasks that ask to remember: flip-flops, first symbols, even pairs, permutations with resets."""

import math
from typing import Final

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError, unknown_name
from automata.files import check_size
from automata.groups import symmetric
from automata.tasks.automaton_task import AutomatonTask
from automata.tasks.published import published_versions
from automata.tasks.task import Task
from automata.tasks.token_laws import letters_with_weights
from automata.validation import as_integer

__all__ = ["even_pairs", "first", "flip_flop", "permutation_reset"]

_RESETS: Final = ("all", "one")


def even_pairs(*, num_symbols: int = 2, supervision: str = "per_prefix") -> Task:
    """Say whether the current symbol equals the first one (class 1) or not (class 0).

    Parameters
    ----------
    num_symbols : int
        2 is the common task; with more it is the M-ary one.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`; members are the words that end as they began, the empty word included.

    Returns
    -------
    Task
        The minimal automaton has ``2 * num_symbols + 1`` states.

    Notes
    -----
    "Even pairs" of Deletang et al. 2023, xLSTM and FLaRe (Butoi et al. 2025): whether the number of
    unequal neighbours is even, which for two symbols says the same; asked for at the end only.
    EvenPair(M) of Fan, Chi, Rudnicky 2024, with M = 5, labels every position and scores the last.

    Examples
    --------
    >>> even_pairs().targets_of([1, 0, 0, 1])
    array([1, 0, 0, 1])
    """
    size = as_integer(num_symbols, "num_symbols", 2)
    check_size(2 * size + 1, size)
    letters = np.arange(size)
    # State 0 has read nothing; 1 + a has begun with a and stands at it, 1 + size + a elsewhere.
    table = np.empty((2 * size + 1, size), dtype=np.int64)
    table[0] = 1 + letters
    later = 1 + letters[:, None] + size * (letters != letters[:, None])
    table[1:] = np.concatenate([later, later])
    outputs = np.concatenate([np.ones(1 + size), np.zeros(size)]).astype(np.int64)
    dfa = DFA(table, 0, outputs == 1, None, outputs)
    name = "even_pairs" if size == 2 else "mary_even_pairs"
    return AutomatonTask(name, dfa, supervision, facts=published_versions(even_pairs))


def first(*, num_symbols: int = 2, supervision: str = "per_prefix") -> Task:
    """Keep the first symbol of the word.

    Parameters
    ----------
    num_symbols : int
    supervision : {"per_prefix", "final", "membership"}
        See `Task`; members are the words that begin with the last symbol, as 1 of 0 and 1.

    Returns
    -------
    Task
        The class is the first symbol.

    Notes
    -----
    "First" of FLaRe (Butoi et al. 2025): the binary strings that begin with 1, with equal shares of
    members and others, and one answer at the end; here ``membership`` or ``final``.

    Examples
    --------
    >>> first(num_symbols=3).targets_of([2, 0, 1])
    array([2, 2, 2])
    """
    size = as_integer(num_symbols, "num_symbols", 2)
    check_size(size + 1, size)
    kept = np.arange(size)
    table = np.concatenate([1 + kept[None], np.tile(1 + kept[:, None], (1, size))])
    outputs = np.append(0, kept)
    return AutomatonTask(
        "first",
        DFA(table, 0, [size], None, outputs),
        supervision,
        facts=published_versions(first),
    )


def flip_flop(
    *, num_values: int = 2, ignore_weight: int = 1, supervision: str = "per_prefix"
) -> Task:
    """Keep the value written last.

    Parameters
    ----------
    num_values : int
    ignore_weight : int
        How much likelier the token that changes nothing is than each that writes.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`; members are the words after which value 0, the one at the start, is kept.

    Returns
    -------
    Task
        Tokens ``keep, write_0, write_1, ...``; the class is the value.

    Notes
    -----
    "Flip-flop" of Liu et al. 2023 (tokens: no-op and set to each state, uniform). The flip-flop
    language of Liu et al. 2023b spells ``write 1``, ``read`` and ``ignore`` as two tokens each and
    asks for the next token after ``read``, with ignore probability 0.8 or more; give
    `ignore_weight` 8 for the same share with two values.

    Examples
    --------
    >>> flip_flop().targets_of(["write_1", "keep", "write_0", "keep"])
    array([1, 1, 0, 0])
    """
    size = as_integer(num_values, "num_values", 2)
    check_size(size, size + 1)
    weight = as_integer(ignore_weight, "ignore_weight", 0, 2**20)
    values = np.arange(size)
    table = np.column_stack([values, np.tile(values, (size, 1))])
    symbols = ("keep", *(f"write_{value}" for value in range(size)))
    return AutomatonTask(
        "flip_flop",
        DFA(table, 0, [0], symbols),
        supervision,
        law=letters_with_weights([weight, *[1] * size]),
        facts=published_versions(flip_flop),
    )


def permutation_reset(
    *,
    n: int = 3,
    resets: str = "all",
    reset_percent: int = 10,
    supervision: str = "per_prefix",
) -> Task:
    """Multiply permutations of `n` points; some tokens set the product anew.

    Parameters
    ----------
    n : int
    resets : {"all", "one"}
        Tokens that set the product to every permutation, or to the identity alone.
    reset_percent : int
        How many tokens of a hundred are resets, on average.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`; members are the words with the identity as product.

    Returns
    -------
    Task
        Tokens are the standard generators of S_n, then the resets; classes are its elements.

    Notes
    -----
    "Permutation reset" of Liu et al. 2023: n! states, generators and resets with given
    probabilities, optionally at fixed gaps, which are not offered here.

    Examples
    --------
    >>> task = permutation_reset(n=3)
    >>> task.num_tokens, task.num_classes, task.targets_of(np.array([0, 1, 7, 2])).tolist()
    (8, 6, [2, 5, 5, 0])
    """
    if resets not in _RESETS:
        raise unknown_name("set of resets", resets, _RESETS)
    percent = as_integer(reset_percent, "reset_percent", 0, 100)
    points = as_integer(n, "n", 2)
    if points < 8:  # the table of the group takes seconds, and more points are refused there
        order = math.factorial(points)
        check_size(order, min(2, points - 1) + (order if resets == "all" else 1))
    group = symmetric(points)
    targets = range(group.order) if resets == "all" else range(1)
    if percent in (0, 100):
        raise InputError(f"reset_percent is {percent}: give 1 to 99, so that every token occurs")
    moves = list(group.generators)
    table = np.column_stack([group.table[:, moves], np.tile(np.array(targets), (group.order, 1))])
    symbols = (
        *(str(group.elements[g]) for g in moves),
        *(f"reset {group.elements[g]}" for g in targets),
    )
    weights = [(100 - percent) * len(targets)] * len(moves) + [percent * len(moves)] * len(targets)
    return AutomatonTask(
        "permutation_reset",
        DFA(table, 0, [0], symbols),
        supervision,
        law=letters_with_weights(weights),
        facts=published_versions(permutation_reset),
    )
