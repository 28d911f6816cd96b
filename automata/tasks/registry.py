"""Tasks by name."""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
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
from automata.tasks.text import text
from automata.tasks.tomita import tomita
from automata.tasks.word_problems import (
    dihedral,
    is_group_name,
    modular_sum,
    parity,
    quaternion,
    word_problem,
)

__all__ = ["complete_parameters", "get_task", "list_tasks", "register_task"]

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
    "text": text,
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


def get_task(name: str, /, **parameters: Any) -> Task:
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
    key, factory = _find(name)
    _check_names(key, factory, parameters)
    return factory(**parameters)


def complete_parameters(name: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the registry's own spelling of a name, and the parameters with the defaults filled in.

    Two spellings of one task become the same, which is what an identity is made of. Parameters are
    not checked: `get_task` does that.

    Parameters
    ----------
    name : str
        As for `get_task`.
    parameters : mapping
        Parameters that are given.

    Returns
    -------
    name : str
    parameters : dict

    Raises
    ------
    InputError
        On an unknown name, naming the nearest valid one.

    Examples
    --------
    >>> complete_parameters("S3", {})
    ('s3', {'generators': 'all', ...'supervision': 'per_prefix'})
    """
    key, factory = _find(name)
    defaults = {
        parameter.name: parameter.default
        for parameter in inspect.signature(factory).parameters.values()
        if parameter.default is not inspect.Parameter.empty
    }
    return key, defaults | dict(parameters)


def _find(name: str) -> tuple[str, Callable[..., Task]]:
    key = name.strip().lower() if isinstance(name, str) else ""
    if key in _TASKS:
        return key, _TASKS[key]
    if is_group_name(key):
        return key, functools.partial(word_problem, key)
    raise unknown_name("task", name, [*_TASKS, "or a group such as 'a4xz5'"])


def _check_names(key: str, factory: Callable[..., Task], names: Collection[str]) -> None:
    valid = inspect.signature(factory).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in valid.values())
    known = [n for n, p in valid.items() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    for name in names:
        if name not in known and not takes_any:
            raise unknown_name(f"parameter of {key!r}", name, known)
    for name, parameter in valid.items():
        needed = parameter.default is parameter.empty
        if needed and parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in names:
            raise InputError(f"task {key!r} needs {name}: give {name}=...")


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
