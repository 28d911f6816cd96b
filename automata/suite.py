"""A named set of random automata, the same for everybody: 200, by algebraic class and size.

Version 1 has 8 classes (`automata.stratified`), 5 sizes from 5 to 24 states, 5 automata of each,
all over three letters. A version never changes: its digest is kept here, and a draw that gives
other tables is an error, not another benchmark.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError
from automata.stratified import ALGEBRAIC_CLASSES, stratified_dfa
from automata.validation import FloatArray, as_integer

__all__ = ["SuiteMember", "automata_suite", "guessing_accuracy", "suite_digest"]

SIZES: Final = (5, 8, 12, 16, 24)
NUM_SYMBOLS: Final = 3
OF_EACH: Final = 5
_DIGESTS: Final = {
    1: "bcd97d783a7bccfeb7ef44ee57c10cabc30e07c94607b45408ffdacc4c89db44",
}


@dataclass(frozen=True)
class SuiteMember:
    """One automaton of the suite.

    Attributes
    ----------
    algebraic_class : str
        One of `automata.stratified.ALGEBRAIC_CLASSES`.
    num_states, num_symbols : int
    seed : int
        Of the draw: `stratified_dfa` with these four gives `dfa`.
    dfa : DFA
    """

    algebraic_class: str
    num_states: int
    num_symbols: int
    seed: int
    dfa: DFA

    @property
    def name(self) -> str:
        """Such as ``aperiodic-8-0``: class, states, seed."""
        return f"{self.algebraic_class}-{self.num_states}-{self.seed}"

    @property
    def task(self) -> tuple[str, ...]:
        """The settings of a run on this automaton, as ``key=value`` pairs."""
        return (
            "task=random_dfa",
            f"task.kind={self.algebraic_class}",
            f"task.num_states={self.num_states}",
            f"task.num_symbols={self.num_symbols}",
            f"task.seed={self.seed}",
        )


@cache
def automata_suite(version: int = 1) -> tuple[SuiteMember, ...]:
    """List the automata of a version of the suite.

    Parameters
    ----------
    version : int
        Only 1 so far.

    Returns
    -------
    tuple of SuiteMember
        By size, then class, then seed; no two of a size and class have the same transitions.

    Raises
    ------
    InputError
        On an unknown version; or the draws are not those of the version, which means that this
        installation draws other automata than it should.

    Examples
    --------
    >>> suite = automata_suite()
    >>> len(suite), suite[7].name, suite[7].dfa.num_states
    (200, 'aperiodic-5-2', 5)
    """
    if version not in _DIGESTS:
        raise InputError(f"unknown version {version!r} of the suite: there is {list(_DIGESTS)}")
    members = tuple(
        member for size in SIZES for kind in ALGEBRAIC_CLASSES for member in _members(kind, size)
    )
    found = suite_digest(members)
    if found != _DIGESTS[version]:
        raise InputError(
            f"version {version} of the suite has the digest {_DIGESTS[version]}, and {found} was "
            "drawn: results on these automata cannot be compared; please report it"
        )
    return members


def _members(algebraic_class: str, num_states: int) -> tuple[SuiteMember, ...]:
    found: dict[bytes, SuiteMember] = {}
    seed = 0
    while len(found) < OF_EACH:
        draw = stratified_dfa(num_states, NUM_SYMBOLS, seed, algebraic_class=algebraic_class)
        member = SuiteMember(algebraic_class, num_states, NUM_SYMBOLS, seed, draw.dfa)
        found.setdefault(draw.dfa.transitions.tobytes(), member)
        seed += 1
    return tuple(found.values())


def suite_digest(members: tuple[SuiteMember, ...]) -> str:
    """SHA-256 over names, transitions (little-endian int64), and initial and accepting states.

    Parameters
    ----------
    members : tuple of SuiteMember

    Returns
    -------
    str of 64 hexadecimal digits
    """
    digest = hashlib.sha256()
    for member in members:
        digest.update(member.name.encode())
        digest.update(member.dfa.transitions.astype("<i8").tobytes())
        digest.update(np.int64(member.dfa.initial).astype("<i8").tobytes())
        digest.update(member.dfa.accepting.astype(np.uint8).tobytes())
    return digest.hexdigest()


def guessing_accuracy(dfa: DFA, length: int) -> FloatArray:
    """How often the best guess of the state is right that knows the position and the last letter.

    Letters are independent and uniform. A model without memory is no better at any position, so
    that a score can say how much of the rest it has.

    Parameters
    ----------
    dfa : DFA
    length : int
        >= 1.

    Returns
    -------
    ndarray of float64, [length]
        At positions 1, 2, ...: the mean over the letters of the most probable state's probability
        after it. Cost: length * states * letters.

    Raises
    ------
    InputError
        On a length that is no whole number >= 1.

    Examples
    --------
    A flip-flop is told by its last letter, parity is not told by anything but all of them:

    >>> guessing_accuracy(DFA([[0, 1], [0, 1]], accepting=[1]), 3)
    array([1., 1., 1.])
    >>> guessing_accuracy(DFA([[0, 1], [1, 0]], accepting=[1]), 3)
    array([1. , 0.5, 0.5])
    """
    length = as_integer(length, "length", 1, 2**24)
    before = np.zeros(dfa.num_states)
    before[dfa.initial] = 1.0
    found = np.empty(length)
    for position in range(length):
        after = np.zeros((dfa.num_symbols, dfa.num_states))
        for letter in range(dfa.num_symbols):
            np.add.at(after[letter], dfa.transitions[:, letter], before)
        found[position] = after.max(axis=1).mean()
        before = after.mean(axis=0)
    return found
