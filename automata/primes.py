"""Small primes: the test, and reading one from the user."""

import math

from automata.errors import InputError
from automata.validation import as_integer

__all__ = ["as_prime", "is_prime"]


def is_prime(number: int) -> bool:
    """Return whether a number is a prime, by trial division.

    Parameters
    ----------
    number : int

    Returns
    -------
    bool

    Examples
    --------
    >>> [n for n in range(20) if is_prime(n)]
    [2, 3, 5, 7, 11, 13, 17, 19]
    """
    return number > 1 and all(number % d for d in range(2, math.isqrt(number) + 1))


def as_prime(value: object, what: str) -> int:
    """Read a prime below 10**6.

    Parameters
    ----------
    value : object
    what : str
        How the error calls it.

    Returns
    -------
    int

    Raises
    ------
    InputError
        If the value is no such prime; the error names the nearest one.

    Examples
    --------
    >>> as_prime(7, "the modulus")
    7
    >>> as_prime(9, "the modulus")
    Traceback (most recent call last):
    ...
    automata.errors.InputError: the modulus is 9: give a prime, such as 7
    """
    number = as_integer(value, what, 2, 10**6)
    if not is_prime(number):
        nearest = next(n for n in range(number, 1, -1) if is_prime(n))
        raise InputError(f"{what} is {number}: give a prime, such as {nearest}")
    return number
