"""What is published of a task elsewhere, said once: in the notes of its factory."""

import inspect
from collections.abc import Callable

__all__ = ["published_versions"]


def published_versions(factory: Callable[..., object]) -> dict[str, str]:
    """Return what a factory's docstring says of the task elsewhere, as a fact for the card.

    Parameters
    ----------
    factory : callable
        With a section ``Notes``.

    Returns
    -------
    dict of str to str
        ``published``, the text of that section in one line; empty if there is none.

    Examples
    --------
    >>> from automata.tasks import word_problem
    >>> sorted(published_versions(word_problem))
    ['published']
    """
    _, _, after = (inspect.getdoc(factory) or "").partition("\nNotes\n-----\n")
    section = after.partition("\n\nExamples\n--------\n")[0]
    text = " ".join(section.split()).replace("``", "")
    return {"published": text} if text else {}
