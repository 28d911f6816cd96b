"""Tasks by name."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final

from automata.errors import InputError, unknown_name
from automata.tasks.beyond_regular import majority, reverse_string
from automata.tasks.dyck import bounded_dyck, dyck_1
from automata.tasks.in_context import in_context_dfa
from automata.tasks.memory import even_pairs, first, flip_flop, permutation_reset
from automata.tasks.modular_arithmetic import modular_arithmetic
from automata.tasks.movement import adder, cycle_navigation, grid_world
from automata.tasks.next_token import weighted_automaton
from automata.tasks.random_dfa import random_dfa
from automata.tasks.recognition import abab, repeat_01
from automata.tasks.repl_traces import repl_traces
from automata.tasks.subregular import locally_testable, mlregtest, piecewise_testable
from automata.tasks.task import Task
from automata.tasks.tomita import tomita
from automata.tasks.word_problems import (
    dihedral,
    is_group_name,
    modular_sum,
    parity,
    quaternion,
    word_problem,
)

__all__ = ["get_task", "list_tasks", "register_task"]

_TASKS: Final[dict[str, Callable[..., Task]]] = {
    "parity": parity,
    "s3": functools.partial(word_problem, "S3"),
    "s5": functools.partial(word_problem, "S5"),
    "random_dfa": random_dfa,
    "word_problem": word_problem,
    "sum": modular_sum,
    "dihedral": dihedral,
    "quaternion": quaternion,
    "cycle_navigation": cycle_navigation,
    "grid_world": grid_world,
    "adder": adder,
    "even_pairs": even_pairs,
    "mary_even_pairs": functools.partial(even_pairs, num_symbols=5),
    "first": first,
    "flip_flop": flip_flop,
    "permutation_reset": permutation_reset,
    "modular_arithmetic": modular_arithmetic,
    "modular_arithmetic_left_to_right": functools.partial(
        modular_arithmetic, order="left_to_right"
    ),
    "modular_arithmetic_brackets": functools.partial(
        modular_arithmetic, operators="+-", max_depth=2
    ),
    "modular_arithmetic_brackets_times": functools.partial(modular_arithmetic, max_depth=1),
    "abab": abab,
    "repeat_01": repeat_01,
    "bounded_dyck": bounded_dyck,
    **{f"tomita_{number}": functools.partial(tomita, number) for number in range(1, 8)},
    "piecewise_testable": piecewise_testable,
    "locally_testable": locally_testable,
    "mlregtest": mlregtest,
    "in_context_dfa": in_context_dfa,
    "repl_traces": repl_traces,
    "weighted_automaton": weighted_automaton,
    "majority": majority,
    "dyck_1": dyck_1,
    "reverse_string": reverse_string,
}


def list_tasks() -> list[str]:
    """Return the registered names; any name of a group is one too, such as ``"a4xz5"``.

    Returns
    -------
    list of str

    Examples
    --------
    >>> list_tasks()[:3]
    ['parity', 's3', 's5']
    """
    return list(_TASKS)


def get_task(name: str, **parameters: Any) -> Task:
    """Make a task by its name, whatever the case of its letters.

    Parameters
    ----------
    name : str
        One of `list_tasks`, or a group (``"z60"``, ``"A4xZ5"``), which means its word problem.
    **parameters
        Passed to the task's factory; all take ``supervision``, word problems ``generators``.

    Returns
    -------
    Task

    Raises
    ------
    InputError
        On an unknown name or parameter, naming the nearest valid one.

    Examples
    --------
    >>> get_task("a5", generators="standard").num_tokens
    2
    >>> get_task("s3", grp="S4")
    Traceback (most recent call last):
        ...
    automata.errors.InputError: unknown parameter of 's3' 'grp' (valid: ...)
    """
    key = name.strip().lower() if isinstance(name, str) else ""
    if key in _TASKS:
        factory = _TASKS[key]
    elif is_group_name(key):
        factory = functools.partial(word_problem, key)
    else:
        raise unknown_name("task", name, [*_TASKS, "or a group such as 'a4xz5'"])
    valid = inspect.signature(factory).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in valid.values())
    names = [n for n, p in valid.items() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    for parameter in parameters:
        if parameter not in names and not takes_any:
            raise unknown_name(f"parameter of {key!r}", parameter, names)
    missing = [n for n, p in valid.items() if p.default is p.empty and n not in parameters]
    missing = [n for n in missing if valid[n].kind is inspect.Parameter.KEYWORD_ONLY]
    if missing:
        raise InputError(f"task {key!r} needs {missing[0]}: give {missing[0]}=...")
    return factory(**parameters)


def register_task(name: str, factory: Callable[..., Task], *, overwrite: bool = False) -> None:
    """Add a task, so that `get_task` finds it.

    Parameters
    ----------
    name : str
        Letters, digits and underscores; not the name of a group.
    factory : callable
        Takes the task's parameters as keywords and returns a `Task`.
    overwrite : bool
        Allow replacing a registered task.

    Raises
    ------
    InputError
        If the name is taken or unfit.

    Examples
    --------
    >>> from automata.dfa import DFA
    >>> clock = DFA([[1], [2], [3], [0]])
    >>> register_task("mod4", lambda: Task.from_dfa(clock, "mod4"), overwrite=True)
    >>> get_task("mod4").num_classes
    4
    """
    key = str(name).strip().lower()
    if not key.isidentifier() or (is_group_name(key) and key not in _TASKS):
        raise InputError(f"{name!r} is no name for a task: use letters, digits and underscores")
    if key in _TASKS and not overwrite:
        raise InputError(
            f"task {name!r} exists already: choose another name or pass overwrite=True"
        )
    if not callable(factory):
        raise InputError(f"the factory of task {name!r} is {factory!r}: give a callable")
    _TASKS[key] = factory
