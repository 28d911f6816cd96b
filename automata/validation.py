"""Reading integers and integer arrays from the user, with errors that name what was wrong."""

import operator
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from automata.errors import InputError, shown

__all__ = [
    "BoolArray",
    "ComplexArray",
    "FloatArray",
    "IntArray",
    "as_integer",
    "as_integer_array",
    "read_only",
]

IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
FloatArray: TypeAlias = NDArray[np.float64]
ComplexArray: TypeAlias = NDArray[np.complex128]


def as_integer(value: object, what: str, minimum: int, maximum: int | None = None) -> int:
    """Read one integer and check its range (both ends included).

    Parameters
    ----------
    value : object
        Anything that is an integer; booleans are refused.
    what : str
        How the error calls it.
    minimum, maximum : int
        The range allowed; ``maximum=None`` means no upper end.

    Returns
    -------
    int

    Raises
    ------
    InputError
        If the value is no integer or out of range.

    Examples
    --------
    >>> as_integer(3, "length", 1)
    3
    """
    if isinstance(value, (bool, np.bool_)):
        raise InputError(f"{what} is {value!r}: give an integer, not a boolean")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(f"{what} is {shown(value)}: give an integer") from None
    if number < minimum or (maximum is not None and number > maximum):
        limit = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        raise InputError(f"{what} is {number}: give an integer {limit}")
    return number


def as_integer_array(values: ArrayLike, what: str) -> IntArray:
    """Read an array of 64-bit integers; floats, booleans and ragged lists are refused.

    Parameters
    ----------
    values : array_like
        Integers of any shape. An empty list of any type counts as integers.
    what : str
        How the error calls it.

    Returns
    -------
    ndarray of int64
        A view of the input where it already is one.

    Raises
    ------
    InputError
        If the values are not integers that fit into 64 bits.

    Examples
    --------
    >>> as_integer_array([[1, 2], [0, 1]], "transitions").shape
    (2, 2)
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(f"{what} is ragged: give rows of equal length") from None
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise InputError(f"{what} holds {array.dtype} values: give integers that fit into 64 bits")
    if array.dtype == np.uint64 and int(array.max()) > np.iinfo(np.int64).max:
        raise InputError(f"{what} holds {array.max()}: give integers below 2**63")
    return array.astype(np.int64, copy=False)


def read_only(array: NDArray[np.generic]) -> None:
    """Forbid writing to an array from now on.

    Parameters
    ----------
    array : ndarray
        Changed in place.

    Examples
    --------
    >>> row = np.zeros(2)
    >>> read_only(row)
    >>> row.flags.writeable
    False
    """
    array.flags.writeable = False
