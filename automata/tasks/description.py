"""Describing a task to people: its card, and one word explained step by step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError
from automata.validation import IntArray, as_integer

if TYPE_CHECKING:
    from automata.tasks.task import Task

__all__ = ["describe", "explain_word"]


def describe(task: "Task", lengths: Sequence[int]) -> dict[str, Any]:
    """Collect what a reader needs to know of a task.

    Parameters
    ----------
    task : Task
    lengths : sequence of int
        Where to give the majority rate.

    Returns
    -------
    dict
        Plain values: sizes, alphabet, states of the minimal automaton (of the classes asked for),
        group facts, exact majority rates by length.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> card = get_task("s3").card([1, 2])
    >>> card["group"]["order"], card["num_states_minimal"]
    (6, 6)
    """
    dfa, group = task.dfa, task.group
    positions = [as_integer(length, "a length of the card", 1) for length in lengths]
    card: dict[str, Any] = {
        "name": task.name,
        "semantics": task.semantics,
        "supervision": task.supervision,
        "num_tokens": task.num_tokens,
        "num_classes": task.num_classes,
        "pad_token": task.pad_token,
        "token_law": "independent, uniform",
        **task.facts,
    }
    if dfa is not None:
        machine = DFA(dfa.transitions, dfa.initial, outputs=task.state_classes)
        card["alphabet"] = [s if isinstance(s, int) else str(s) for s in dfa.alphabet]
        card["num_states"] = dfa.num_states
        card["num_states_minimal"] = machine.minimize().num_states
    if group is not None:
        card["group"] = {
            "name": group.name,
            "order": group.order,
            "is_abelian": group.is_abelian,
            "is_solvable": group.is_solvable,
            "derived_length": group.derived_length,
            "num_conjugacy_classes": len(group.conjugacy_classes),
        }
    if task.token_elements is not None:
        card["token_elements"] = task.token_elements.tolist()
    if positions:
        rates = task.class_distribution(max(positions)).max(axis=1)
        card["majority_rate"] = {position: float(rates[position - 1]) for position in positions}
    return card


def explain_word(task: "Task", tokens: IntArray) -> str:
    """Lay out one word as a table: position, token, its element, state, target.

    Parameters
    ----------
    task : Task
    tokens : ndarray of int64, [length]

    Returns
    -------
    str
        One line for the state before any token, then one for every token. A target that is not
        supervised is shown as ``-``.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> print(get_task("parity").explain([1, 1, 0]))
    position  token  element  state  target
           0      -        -      0       -
           1      1        1      1       1
           2      1        1      0       0
           3      0        0      0       0
    """
    if tokens.ndim != 1:
        raise InputError(f"tokens has shape {tokens.shape}: give one word, [length]")
    targets = [str(target) for target in task.targets_of(tokens)]
    if task.supervision == "final":
        targets[:-1] = ["-"] * (len(targets) - 1)
    columns = {
        "position": [str(position) for position in range(len(tokens) + 1)],
        "token": ["-", *(str(token) for token in tokens)],
    }
    if task.group is not None and task.token_elements is not None:
        elements = task.group.elements
        columns["element"] = ["-", *(str(elements[e]) for e in task.token_elements[tokens])]
    if task.dfa is not None:
        columns["state"] = [str(state) for state in task.dfa.trace(np.asarray(tokens))]
    columns["target"] = ["-", *targets]
    widths = {title: max(len(title), *map(len, cells)) for title, cells in columns.items()}
    rows = [list(columns), *map(list, zip(*columns.values(), strict=True))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths.values(), strict=True))
        for row in rows
    )
