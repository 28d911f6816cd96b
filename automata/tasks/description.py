"""Describing a task to people: its card, and one word explained step by step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError
from automata.monoids import complexity, prime_groups, syntactic_monoid
from automata.validation import IntArray, as_integer

if TYPE_CHECKING:
    from automata.tasks.task import Task

__all__ = ["describe", "explain_word"]

_MAX_STATES: Final = 1000
_MAX_MONOID: Final = 20_000
_MAX_IMAGES: Final = 20_000
_WINDOWS: Final = (0, 1, 2, 4, 8)
_LOCALITY_LENGTH: Final = 64


def describe(task: "Task", lengths: Sequence[int]) -> dict[str, Any]:
    """Collect what a reader needs to know of a task.

    Parameters
    ----------
    task : Task
    lengths : sequence of int
        Where to give the majority rate; lengths that the task does not have are replaced by the
        next that it has.

    Returns
    -------
    dict
        Plain values: sizes, alphabet, states of the minimal automaton (of the classes asked for),
        its monoid, groups and circuit complexity, majority rates by length, how far the last few
        tokens suffice, and the task's facts, among them the published versions of it. What is too
        large to compute is None.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> card = get_task("s3").card([1, 2])
    >>> card["group"]["order"], card["num_states_minimal"], card["complexity"]["label"]
    (6, 6, 'ACC0')
    """
    group = task.group
    positions = [as_integer(length, "a length of the card", 1) for length in lengths]
    card: dict[str, Any] = {
        "name": task.name,
        "semantics": task.semantics,
        "supervision": task.supervision,
        "num_tokens": task.num_tokens,
        "num_classes": task.num_classes,
        "pad_token": task.pad_token,
        "alphabet": [s if isinstance(s, int) else str(s) for s in task.alphabet],
        "token_law": task.law.description,
        "is_regular": task.dfa is not None,
        **task.facts,
    }
    if task.dfa is not None:
        card |= _automaton_facts(task, task.dfa)
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
        card["rates"] = "exact" if task.has_exact_rates else "measured on drawn words"
        card["majority_rate"] = _rates(task, positions)
        longest = min(_LOCALITY_LENGTH, max(positions))
        card["accuracy_from_last_tokens"] = _locality(task, longest)
    return card


def _rates(task: "Task", lengths: list[int]) -> dict[int, float]:
    rates = {}
    for length in sorted({task.law.next_length(length) for length in lengths}):
        try:
            law = task.class_distribution(length)
        except InputError:
            # Too few words of this length to be split, and so to be drawn.
            continue
        asked = np.flatnonzero(law.sum(axis=1) > 0)
        if asked.size:
            rates[length] = float(law[asked[-1]].max() / law[asked[-1]].sum())
    return rates


def _automaton_facts(task: "Task", dfa: DFA) -> dict[str, Any]:
    classes = getattr(task, "state_classes", None)
    machine = dfa if classes is None else DFA(dfa.transitions, dfa.initial, outputs=classes)
    minimal = machine.minimize()
    facts: dict[str, Any] = {
        "num_states": dfa.num_states,
        "num_states_minimal": minimal.num_states,
        "monoid": None,
        "prime_groups": None,
        "complexity": None,
    }
    if minimal.num_states > _MAX_STATES:
        return facts
    try:
        monoid = syntactic_monoid(minimal, _MAX_MONOID)
        facts["monoid"] = {"size": monoid.size, "num_idempotents": monoid.num_idempotents}
        facts["monoid"] |= monoid.properties()
    except InputError:
        pass
    try:
        facts["prime_groups"] = list(prime_groups(minimal, _MAX_IMAGES))
        label = complexity(minimal, "language", _MAX_IMAGES)
        facts["complexity"] = {
            "label": label.label,
            "reason": label.reason,
            "conditional_on": label.conditional_on,
        }
    except InputError:
        pass
    return facts


def _locality(task: "Task", length: int) -> dict[str, Any]:
    # Locality knows the automaton tasks, which are described here.
    from automata.tasks.locality import accuracy_from_last_tokens

    length = task.law.next_length(length)
    windows = [window for window in _WINDOWS if window <= length]
    found = {window: accuracy_from_last_tokens(task, window, length) for window in windows}
    return {
        "length": length,
        "accuracy": {window: result.accuracy for window, result in found.items()},
        "method": {window: result.method for window, result in found.items()},
    }


def explain_word(task: "Task", tokens: IntArray) -> str:
    """Lay out one word as a table: position, token, what it stands for, state, target.

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
    length = len(tokens)
    targets, mask = (part[0] for part in task.label(tokens[None], np.full(1, length)))
    if task.supervision == "final":
        mask[:-1] = False
    columns = {
        "position": [str(position) for position in range(length + 1)],
        "token": ["-", *(str(token) for token in tokens)],
    }
    if task.alphabet != tuple(range(task.num_tokens)):
        columns["symbol"] = ["-", *(_shown(task.alphabet[token]) for token in tokens)]
    if task.group is not None and task.token_elements is not None:
        elements = task.group.elements
        columns["element"] = ["-", *(str(elements[e]) for e in task.token_elements[tokens])]
    if task.dfa is not None:
        columns["state"] = [str(state) for state in task.dfa.trace(tokens)]
    asked = zip(targets.tolist(), mask.tolist(), strict=True)
    columns["target"] = ["-", *(str(target) if is_asked else "-" for target, is_asked in asked)]
    widths = {title: max(len(title), *map(len, cells)) for title, cells in columns.items()}
    rows = [list(columns), *map(list, zip(*columns.values(), strict=True))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths.values(), strict=True))
        for row in rows
    )


def _shown(symbol: object) -> str:
    """A symbol in one visible cell: white space and control characters are quoted."""
    text = str(symbol)
    return text if text.isprintable() and text.strip() == text else repr(text)
