"""Tasks that ask where one is: cycles, grids with walls, an adder's carry."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError, shown, unknown_name
from automata.files import check_size
from automata.tasks.automaton_task import AutomatonTask
from automata.tasks.published import published_versions
from automata.tasks.task import Task
from automata.validation import as_integer

__all__ = ["adder", "cycle_navigation", "grid_world"]

_ADDER_LABELS: Final = ("state", "carry", "digit")
_GRID_LABELS: Final = ("state", "boundary")
_DIRECTIONS: Final = ("left", "right", "down", "up", "back", "forth")


def cycle_navigation(
    *, cycle_size: int = 5, max_step: int = 1, supervision: str = "per_prefix"
) -> Task:
    """Walk around a circle by steps forth, back or none.

    Parameters
    ----------
    cycle_size : int
        Number of places.
    max_step : int
        Steps are from ``-max_step`` to ``max_step``.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`; members are the words that lead back to the start.

    Returns
    -------
    Task
        Tokens ``-1, 0, +1`` (and so on); the class is the place.

    Notes
    -----
    "Cycle navigation" of Deletang et al. 2023: cycle of 5, the last place only. In the code of
    xLSTM the size follows from the vocabulary (6 by default). FLaRe (Butoi et al. 2025) writes
    ``>``, ``<``, ``=`` and appends a digit, to be judged right or wrong.

    Examples
    --------
    >>> cycle_navigation().targets_of(["-1", "0", "+1", "+1"])
    array([4, 4, 0, 1])
    """
    size = as_integer(cycle_size, "cycle_size", 2)
    furthest = as_integer(max_step, "max_step", 1, size)
    check_size(size, 2 * furthest + 1)
    steps = np.arange(-furthest, furthest + 1)
    symbols = tuple(f"{step:+d}" if step else "0" for step in steps.tolist())
    dfa = DFA((np.arange(size)[:, None] + steps) % size, 0, [0], symbols)
    facts = published_versions(cycle_navigation)
    return AutomatonTask("cycle_navigation", dfa, supervision, facts=facts)


def grid_world(
    *, shape: int | Sequence[int] = (4,), label: str = "state", supervision: str = "per_prefix"
) -> Task:
    """Walk on a grid with walls around, at which a step has no effect.

    Parameters
    ----------
    shape : int or sequence of int
        Places along each of at most three axes.
    label : {"state", "boundary"}
        The class: the place (row-major, the start is 0), or whether it touches a wall.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`; members are the words that end at the start.

    Returns
    -------
    Task
        Tokens ``left, right, down, up, back, forth``, as far as there are axes.

    Notes
    -----
    "Grid world" of Liu et al. 2023: one axis with n places, tokens left and right, labels state and
    boundary; two axes are the product of two of these.

    Examples
    --------
    >>> grid_world(shape=3).targets_of(["left", "right", "right", "right"])
    array([0, 1, 2, 2])
    """
    if not isinstance(shape, int | Iterable) or isinstance(shape, str):
        raise InputError(f"shape is {shown(shape)}: give a whole number, or a list of them")
    sides = [shape] if isinstance(shape, int) else list(shape)
    sides = [as_integer(side, "a side of the grid", 2) for side in sides]
    if not 1 <= len(sides) <= 3:
        raise InputError(f"shape has {len(sides)} axes: give one to three")
    if label not in _GRID_LABELS:
        raise unknown_name("label", label, _GRID_LABELS)
    num_places = math.prod(sides)
    check_size(num_places, 2 * len(sides))
    places = np.stack(np.unravel_index(np.arange(num_places), sides))
    columns = []
    for axis, side in enumerate(sides):
        for step in (-1, 1):
            moved = places.copy()
            moved[axis] = np.clip(moved[axis] + step, 0, side - 1)
            columns.append(np.ravel_multi_index(tuple(moved), sides))
    at_wall = ((places == 0) | (places == np.array(sides)[:, None] - 1)).any(axis=0)
    outputs = np.arange(num_places) if label == "state" else at_wall.astype(np.int64)
    dfa = DFA(np.column_stack(columns), 0, [0], _DIRECTIONS[: 2 * len(sides)], outputs)
    return AutomatonTask("grid_world", dfa, supervision, facts=published_versions(grid_world))


def adder(
    *, num_addends: int = 2, base: int = 2, label: str = "digit", supervision: str = "per_prefix"
) -> Task:
    """Add numbers digit by digit, the least significant first.

    Parameters
    ----------
    num_addends, base : int
        A token is the sum of the addends' digits at one place, 0 to ``num_addends * (base - 1)``.
    label : {"digit", "carry", "state"}
        The class: the digit of the sum at this place, what is carried on, or both
        (``carry * base + digit``).
    supervision : {"per_prefix", "final", "membership"}
        See `Task`; members are the words with nothing left to carry.

    Returns
    -------
    Task
        Tokens are uniform, which is not the law of sums of uniform digits.

    Notes
    -----
    "Adder" of Liu et al. 2023: binary, n addends, tokens as here, labels state (the carry) and
    digit. The binary addition of Deletang et al. 2023 writes both numbers one after the other,
    which is not regular.

    Examples
    --------
    >>> adder().targets_of([1, 2, 0, 1])  # 1 + 2 * 2 + 8 = 1011 in binary
    array([1, 0, 1, 1])
    """
    count = as_integer(num_addends, "num_addends", 2, 2**16)
    base = as_integer(base, "base", 2, 2**16)
    if label not in _ADDER_LABELS:
        raise unknown_name("label", label, _ADDER_LABELS)
    num_tokens = count * (base - 1) + 1
    check_size(count * base, num_tokens)
    # The carry is below the number of addends.
    states = np.arange(count * base)
    carries, digits = states // base, states % base
    totals = carries[:, None] + np.arange(num_tokens)
    outputs = {"state": states, "carry": carries, "digit": digits}[label]
    # The state is the next carry and this digit: exactly the total.
    dfa = DFA(totals, 0, carries == 0, None, outputs)
    return AutomatonTask("adder", dfa, supervision, facts=published_versions(adder))
