"""Word problems: multiply group elements from left to right."""

import re
from collections.abc import Sequence

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError, unknown_name
from automata.finite_group import FiniteGroup
from automata.groups import cyclic, parse
from automata.tasks.task import Task
from automata.validation import IntArray, as_integer

__all__ = ["is_group_name", "parity", "word_problem"]


def word_problem(
    group: str | FiniteGroup = "S3",
    *,
    generators: str | Sequence[int] = "all",
    supervision: str = "per_prefix",
) -> Task:
    """Track the running product of group elements.

    States are the elements, the state after ``x_1 ... x_T`` is ``q_t = product(q_{t-1}, x_t)``
    starting from the identity 0, which alone accepts.

    Parameters
    ----------
    group : str or FiniteGroup
        A name that `automata.groups.parse` reads, or a group.
    generators : "all", "standard", or sequence of int
        The elements that serve as tokens: all of them, the group's own generators, or those
        given, which must generate the group.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`; membership asks whether the product is the identity.

    Returns
    -------
    Task

    Raises
    ------
    InputError
        If the group is unknown or too large, or the tokens do not generate it.

    Examples
    --------
    >>> word_problem("S5", generators="standard")
    Task(s5, num_tokens=2, num_classes=120, supervision='per_prefix')
    """
    target_group = parse(group) if isinstance(group, str) else group
    if not isinstance(target_group, FiniteGroup):
        raise InputError(f"group is {group!r}: give a name such as 'A4xZ5' or a FiniteGroup")
    elements = _read_generators(target_group, generators)
    dfa = DFA(target_group.table[:, elements], 0, [0])
    return Task(
        target_group.name.lower(),
        dfa,
        supervision,
        group=target_group,
        token_elements=elements.tolist(),
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

    Examples
    --------
    >>> parity().targets_of([1, 1, 0, 1])
    array([1, 0, 0, 1])
    """
    group = cyclic(2)
    dfa = DFA(group.table, 0, [0])
    return Task("parity", dfa, supervision, group=group, token_elements=[0, 1])


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
    factor = r"(z|c|s|a|d|dic|q|v)[0-9]+(\^[0-9]+)?"
    return re.fullmatch(rf"{factor}(_?[x×]_?{factor})*", name.strip().lower()) is not None


def _read_generators(group: FiniteGroup, generators: str | Sequence[int]) -> IntArray:
    if isinstance(generators, str):
        if generators not in ("all", "standard"):
            raise unknown_name("generator set", generators, ("all", "standard"))
        chosen = list(range(group.order)) if generators == "all" else list(group.generators)
    else:
        chosen = [as_integer(g, "a generator", 0, group.order - 1) for g in generators]
    if not chosen:
        raise InputError(f"{group.name} would have no tokens: give at least one generator")
    generated = len(group.subgroup(chosen))
    if generated != group.order:
        raise InputError(
            f"the tokens generate {generated} of the {group.order} elements of {group.name}: add "
            "generators, or name the smaller group"
        )
    return np.array(chosen, dtype=np.int64)
