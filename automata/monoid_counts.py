"""Counting the elements and classes of monoids too large to list, with libsemigroups."""

import importlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from automata.errors import InputError
from automata.validation import as_integer_array

__all__ = ["MonoidCounts", "count_monoid"]

_MAX_POINTS: Final = 2**12


@dataclass(frozen=True)
class MonoidCounts:
    """The sizes of a monoid of transformations, identity included in every count.

    Attributes
    ----------
    size, num_idempotents : int
    num_d_classes, num_r_classes, num_l_classes, num_h_classes, num_regular_d_classes : int
    is_aperiodic : bool
        Whether all groups inside are trivial.
    """

    size: int
    num_idempotents: int
    num_d_classes: int
    num_r_classes: int
    num_l_classes: int
    num_h_classes: int
    num_regular_d_classes: int
    is_aperiodic: bool


def count_monoid(letters: ArrayLike) -> MonoidCounts:
    """Count the elements and classes of the monoid that transformations generate.

    Parameters
    ----------
    letters : array_like of int, [num_symbols, num_points]
        The images of all points under every letter.

    Returns
    -------
    MonoidCounts

    Raises
    ------
    InputError
        If the letters are no transformations of up to 4,096 points, or the package
        libsemigroups-pybind11 is not installed.

    Notes
    -----
    Needs the optional package libsemigroups-pybind11. It goes through D-classes (Konieczny:
    "Green's equivalences in finite semigroups of binary relations", 1994), so that time and memory
    depend on their shape and not on the number of elements: the 16,777,216 transformations of 8
    points take 0.1 s.

    Examples
    --------
    >>> counts = count_monoid([[1, 2, 0], [1, 0, 2], [0, 0, 2]])  # doctest: +SKIP
    >>> counts.size, counts.num_idempotents, counts.num_d_classes  # doctest: +SKIP
    (27, 10, 3)
    """
    maps = as_integer_array(letters, "letters")
    if maps.ndim != 2 or maps.shape[0] == 0 or not 1 <= maps.shape[1] <= _MAX_POINTS:
        raise InputError(
            f"letters has shape {maps.shape}: give [num_symbols, num_points], with 1 to "
            f"{_MAX_POINTS} points"
        )
    if maps.min() < 0 or maps.max() >= maps.shape[1]:
        raise InputError(f"letters lead outside 0..{maps.shape[1] - 1}: give points")
    library = _libsemigroups()
    identity = np.arange(maps.shape[1])
    # Generators have to be distinct.
    rows = np.unique(np.concatenate([identity[None], maps]), axis=0).tolist()
    library.ReportGuard(False)
    found = library.Konieczny([library.Transf(row) for row in rows])
    found.run()
    groups = [d_class for d_class in found.D_classes() if d_class.is_regular_D_class()]
    return MonoidCounts(
        size=int(found.size()),
        num_idempotents=int(found.number_of_idempotents()),
        num_d_classes=int(found.number_of_D_classes()),
        num_r_classes=int(found.number_of_R_classes()),
        num_l_classes=int(found.number_of_L_classes()),
        num_h_classes=int(found.number_of_H_classes()),
        num_regular_d_classes=int(found.number_of_regular_D_classes()),
        is_aperiodic=all(d_class.size_H_class() == 1 for d_class in groups),
    )


def _libsemigroups() -> Any:
    """Import the optional package, or say how to get it."""
    try:
        return importlib.import_module("libsemigroups_pybind11")
    except ImportError:
        raise InputError(
            "counting without a list of elements needs an optional package: "
            "pip install libsemigroups-pybind11"
        ) from None
