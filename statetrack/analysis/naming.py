"""Short names of letters and group elements, for tables and legends."""

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automata.tasks import Task


def element_name(element: object) -> str:
    """Name a group element the way a reader writes it.

    Parameters
    ----------
    element : object
        A permutation as the tuple of images of ``0..n-1``, an integer, or anything else.

    Returns
    -------
    str
        Cycle notation for a permutation (``e`` for the identity), otherwise the plain text
        without blanks.

    Examples
    --------
    >>> element_name((1, 0, 2))
    '(0 1)'
    >>> element_name((0, 1, 2))
    'e'
    >>> element_name(((1, 0), 3))
    '((0 1),3)'
    >>> element_name(4)
    '4'
    """
    if isinstance(element, tuple):
        if element and all(isinstance(image, Integral) for image in element):
            images = [int(image) for image in element]
            if sorted(images) == list(range(len(images))):
                return _cycle_notation(images)
        return "(" + ",".join(element_name(part) for part in element) + ")"
    return str(element).replace(" ", "")


def token_names(task: "Task") -> tuple[str, ...]:
    """Names of a task's tokens: its group elements, its alphabet, or their numbers.

    Parameters
    ----------
    task : Task
        A task with `num_tokens`; `token_names`, `group`, `token_elements` and `dfa` are used
        where they are given.

    Returns
    -------
    tuple of str
        One name for every token.
    """
    given = getattr(task, "token_names", None)
    if given is not None and len(given) == task.num_tokens:
        return tuple(str(name) for name in given)
    if task.group is not None and task.token_elements is not None:
        elements = task.group.elements
        return tuple(element_name(elements[int(index)]) for index in task.token_elements)
    alphabet = getattr(task.dfa, "alphabet", None)
    if alphabet is not None and len(alphabet) == task.num_tokens:
        return tuple(element_name(symbol) for symbol in alphabet)
    return tuple(str(token) for token in range(task.num_tokens))


def _cycle_notation(images: Sequence[int]) -> str:
    cycles = []
    seen: set[int] = set()
    for start in range(len(images)):
        cycle = []
        point = start
        while point not in seen:
            seen.add(point)
            cycle.append(str(point))
            point = images[point]
        if len(cycle) > 1:
            cycles.append("(" + " ".join(cycle) + ")")
    return "".join(cycles) or "e"
