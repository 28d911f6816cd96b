"""Which positions of a word are supervised, and by what."""

from collections.abc import Sequence
from typing import Final

from automata.errors import unknown_name

__all__ = ["SUPERVISIONS", "check_supervision"]

SUPERVISIONS: Final = ("per_prefix", "final", "membership", "next_token")


def check_supervision(supervision: str, valid: Sequence[str]) -> None:
    """Refuse a supervision that a task does not have.

    Parameters
    ----------
    supervision : str
    valid : sequence of str

    Raises
    ------
    InputError
        Naming the nearest.

    Examples
    --------
    >>> check_supervision("final", SUPERVISIONS)
    """
    if supervision not in valid:
        raise unknown_name("supervision", supervision, valid)
