"""Word problems: multiply group elements from left to right."""

import functools
import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError, unknown_name
from automata.files import MAX_CELLS
from automata.finite_group import FiniteGroup
from automata.groups import cyclic, dicyclic, parse
from automata.groups import dihedral as dihedral_group
from automata.tasks.automaton_task import AutomatonTask
from automata.tasks.generator_sets import choose_generators
from automata.tasks.published import published_versions
from automata.tasks.task import Task
from automata.tasks.token_laws import LanguageWords
from automata.validation import IntArray, as_integer

__all__ = ["dihedral", "is_group_name", "modular_sum", "parity", "quaternion", "word_problem"]

_DIHEDRAL_LABELS: Final = ("state", "toggle", "position")

_named_group = functools.lru_cache(maxsize=8)(parse)
"""A grid makes the task of every run again, and the table of S5 takes most of it."""


def word_problem(
    group: str | FiniteGroup = "S3",
    *,
    generators: str | Sequence[int] = "all",
    generator_seed: int = 0,
    tokens_per_element: int = 1,
    supervision: str = "per_prefix",
) -> Task:
    """Track the running product of group elements.

    States are the elements, the state after ``x_1 ... x_T`` is ``q_t = product(q_{t-1}, x_t)``
    starting from the identity 0, which alone accepts.

    Parameters
    ----------
    group : str or FiniteGroup
        A name that `automata.groups.parse` reads, or a group.
    generators : str or sequence of int
        The elements that serve as tokens (see `automata.tasks.generator_sets`): ``all``,
        ``standard``, ``swaps``, ``moves_K``, ``random_K``, or those given, which must generate
        the group.
    generator_seed : int
        Which elements ``random_K`` are.
    tokens_per_element : int
        Above 1, every element's token is followed by this many tokens less one of a filler, the
        last token, and the product is asked for after the last of them. Lengths are multiples.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`; membership asks whether the product is the identity.

    Returns
    -------
    Task

    Raises
    ------
    InputError
        If the group is unknown or too large, or the tokens do not generate it.

    Notes
    -----
    Merrill, Petty, Sabharwal 2024 ("word problem": A5, A4xZ5, Z60; all elements as tokens), whose
    files `automata.tasks.word_files` reads; DeltaProduct (Siems et al. 2025) and Grazzi et al. 2025
    use the same operation ``acc = op(acc, x)``. Grazzi's "only swaps" is ``swaps`` (11 tokens of
    S5), "up to 3-permutations" is ``moves_3`` (31); DeltaProduct's "limit_to_k" is ``moves_K``.
    Grazzi's "4 tokens per transition" also supervises the fillers between, with the product before,
    and the first three positions with 0; here only the last filler is supervised. Liu et al. 2023
    (symmetric, alternating, cyclic), SD-SSM, SLiCE and PD-SSM use few generators: ``standard`` or
    ``random_K``; some supervise the last position only, which is ``final``.

    Examples
    --------
    >>> word_problem("S5", generators="standard")
    Task(s5, num_tokens=2, num_classes=120, supervision='per_prefix')
    >>> print(word_problem("Z3", tokens_per_element=2).explain([2, 3, 2, 3]))
    position  token  symbol  state  target
           0      -       -      0       -
           1      2       2      5       -
           2      3  filler      2       2
           3      2       2      4       -
           4      3  filler      1       1
    """
    target_group = _named_group(group) if isinstance(group, str) else group
    if not isinstance(target_group, FiniteGroup):
        raise InputError(f"group is {group!r}: give a name such as 'A4xZ5' or a FiniteGroup")
    elements = choose_generators(target_group, generators, generator_seed)
    name, facts = target_group.name.lower(), published_versions(word_problem)
    repeats = as_integer(tokens_per_element, "tokens_per_element", 1, 2**16)
    if repeats > 1:
        return _spelled_out(name, target_group, elements, repeats, supervision, facts)
    return AutomatonTask(
        name,
        DFA(target_group.table[:, elements], 0, [0]),
        supervision,
        group=target_group,
        token_elements=elements.tolist(),
        facts=facts,
    )


def parity(*, supervision: str = "per_prefix") -> Task:
    """Track whether the number of ones is even (class 0) or odd (class 1).

    Parameters
    ----------
    supervision : {"per_prefix", "final", "membership"}
        See `Task`; words of even parity are the members.

    Returns
    -------
    Task
        Tokens 0 and 1. ``1 1 0 1`` has the targets ``1 0 0 1``.

    Notes
    -----
    Deletang et al. 2023 ("parity check") and xLSTM, Grazzi et al. 2025 ask at the end only, the
    latter as the next token; FLaRe (Butoi et al. 2025) asks for membership, words with an odd
    number of ones being the members; Liu et al. 2023 label every position, as here.

    Examples
    --------
    >>> parity().targets_of([1, 1, 0, 1])
    array([1, 0, 0, 1])
    """
    group = cyclic(2)
    return AutomatonTask(
        "parity",
        DFA(group.table, 0, [0]),
        supervision,
        group=group,
        token_elements=[0, 1],
        facts=published_versions(parity),
    )


def modular_sum(*, modulus: int = 5, supervision: str = "per_prefix") -> Task:
    """Track the sum of digits modulo a number.

    Parameters
    ----------
    modulus : int
        Tokens and classes are 0 to `modulus` - 1.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`; words with sum 0 are the members.

    Returns
    -------
    Task

    Notes
    -----
    Sum(M) of Fan, Chi, Rudnicky 2024, labelled at every position and scored at the last; "modular
    addition" of Ebrahimi and Memisevic 2025; "cyclic" of Liu et al. 2023 with all steps as tokens.
    Equal to the word problem of Z_M.

    Examples
    --------
    >>> modular_sum(modulus=5).targets_of([3, 4, 0, 1])
    array([3, 2, 2, 3])
    """
    group = cyclic(as_integer(modulus, "modulus", 2))
    return AutomatonTask(
        "sum",
        DFA(group.table, 0, [0]),
        supervision,
        group=group,
        token_elements=range(group.order),
        facts=published_versions(modular_sum),
    )


def dihedral(*, n: int = 4, label: str = "state", supervision: str = "per_prefix") -> Task:
    """Drive around a circle of `n` places; a toggle turns the car round.

    Parameters
    ----------
    n : int
        Number of places; the group is D_n, of order 2n.
    label : {"state", "toggle", "position"}
        The class: both (``toggle * n + position``), the direction, or the place.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`; words that lead back to the start are the members.

    Returns
    -------
    Task
        Tokens ``drive`` (one place on, in the direction of the car) and ``toggle``.

    Notes
    -----
    "Dihedral" of Liu et al. 2023, with the labels state, toggle and position, and the same two
    actions. SD-SSM (Terzić et al. 2025) asks for D4 and D30 at the last position only. Equal to the
    word problem of D_n with the standard generators.

    Examples
    --------
    >>> print(dihedral(n=5, label="position").targets_of(["drive", "toggle", "drive", "drive"]))
    [1 1 0 4]
    """
    group = dihedral_group(as_integer(n, "n of a dihedral group", 2))
    if label not in _DIHEDRAL_LABELS:
        raise unknown_name("label", label, _DIHEDRAL_LABELS)
    states = np.arange(group.order)
    classes = {"state": states, "toggle": states // n, "position": states % n}[label]
    tokens = [1, n]
    dfa = DFA(group.table[:, tokens], 0, [0], ("drive", "toggle"), classes)
    return AutomatonTask(
        "dihedral",
        dfa,
        supervision,
        group=group,
        token_elements=tokens,
        facts=published_versions(dihedral),
    )


def quaternion(*, supervision: str = "per_prefix") -> Task:
    """Multiply the quaternion units 1, i, j, k from left to right.

    Parameters
    ----------
    supervision : {"per_prefix", "final", "membership"}
        See `Task`; words with product 1 are the members.

    Returns
    -------
    Task
        Eight classes, elements of the group Q8.

    Notes
    -----
    "Quaternion" of Liu et al. 2023: eight states and four tokens. Equal to the word problem of Q8
    with these generators.

    Examples
    --------
    >>> task = quaternion()
    >>> bool(task.targets_of("ijk")[-1] == task.targets_of("ii")[-1])
    True
    """
    group = dicyclic(2)
    tokens = [0, 1, 4, int(group.table[1, 4])]
    return AutomatonTask(
        "quaternion",
        DFA(group.table[:, tokens], 0, [0], "1ijk"),
        supervision,
        group=group,
        token_elements=tokens,
        facts=published_versions(quaternion),
    )


def is_group_name(name: str) -> bool:
    """Whether a text has the form of a group's name, such as ``a4xz5`` or ``s12``.

    Parameters
    ----------
    name : str

    Returns
    -------
    bool

    Examples
    --------
    >>> is_group_name("A4xZ5"), is_group_name("parity")
    (True, False)
    """
    factor = r"(z|c|s|a|d|dic|q|v|f)[0-9]+(\^[0-9]+)?"
    matrices = r"(gl|sl|psl)\([0-9]+,[0-9]+\)(\^[0-9]+)?"
    either = rf"({factor}|{matrices})"
    return re.fullmatch(rf"{either}(_?[x×]_?{either})*", name.strip().lower()) is not None


def _spelled_out(
    name: str,
    group: FiniteGroup,
    elements: IntArray,
    repeats: int,
    supervision: str,
    facts: dict[str, str],
) -> Task:
    """Every element's token is followed by fillers; states are ``phase * order + element``."""
    order, num_elements = group.order, len(elements)
    num_cells = (order * repeats + 1) * (num_elements + 1)
    if num_cells > MAX_CELLS:
        raise InputError(
            f"{repeats} tokens for each element of {group.name} make a table of {num_cells} cells: "
            f"the limit is {MAX_CELLS}"
        )
    table = np.full((repeats, order, num_elements + 1), -1, dtype=np.int64)
    table[0, :, :-1] = order + group.table[:, elements]
    phases = np.arange(1, repeats)[:, None]
    table[1:, :, -1] = (phases + 1) % repeats * order + np.arange(order)
    symbols = (*(str(element) for element in elements), "filler")
    states = np.arange(order * repeats)
    # For membership the identity accepts, at the end of a block.
    dfa = DFA.from_partial(
        table.reshape(order * repeats, num_elements + 1), 0, [0], symbols, states % order, 0
    )
    flat_phases = np.append(states // order, 1)
    blocks = np.full((repeats, num_elements + 1), -1, dtype=np.int64)
    blocks[0, :-1] = 1 % repeats
    blocks[1:, -1] = (np.arange(1, repeats) + 1) % repeats
    return AutomatonTask(
        f"{name}_spelled",
        dfa,
        supervision,
        law=LanguageWords(DFA.from_partial(blocks, 0, [0], symbols), "language"),
        supervised=flat_phases[: dfa.num_states] == 0,
        facts={**facts, "tokens_per_element": str(repeats)},
    )
