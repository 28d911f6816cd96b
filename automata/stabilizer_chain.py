"""Base and strong generating set of a permutation group: Schreier-Sims, vectorised."""

import math
from typing import Final

import numpy as np

from automata.errors import InputError
from automata.validation import BoolArray, IntArray

__all__ = ["StabilizerChain"]

_MAX_CELLS: Final = 2**25
_QUIET_SIFTS: Final = 12
_SMALL_DEGREE: Final = 8


class _Level:
    """One stabiliser: its generators, the orbit of its base point, who carries the point where."""

    def __init__(self, base: int, generators: IntArray) -> None:
        self.base = base
        self.generators = generators
        degree = generators.shape[1]
        self.position = np.full(degree, -1, dtype=np.int64)
        self.position[base] = 0
        orbit, carriers = [base], [np.arange(degree)]
        for number, point in enumerate(orbit):
            for generator in generators:
                target = int(generator[point])
                if self.position[target] < 0:
                    _check_room((len(orbit) + 1) * degree, degree)
                    self.position[target] = len(orbit)
                    orbit.append(target)
                    carriers.append(generator[carriers[number]])
        self.carriers = np.array(carriers)
        self.inverses = np.argsort(self.carriers, axis=1)

    def with_generator(self, generator: IntArray) -> "_Level":
        return _Level(self.base, np.concatenate([self.generators, generator[None]]))

    def schreier_generators(self) -> IntArray:
        """Generate the stabiliser of the base point (Schreier's lemma); the identity is left out.

        The rows are distinct.
        """
        identity = np.arange(len(self.position))
        found = [identity[None][:0]]
        for generator in self.generators:
            moved = generator[self.carriers]
            back = self.inverses[self.position[moved[:, self.base]]]
            rows = np.take_along_axis(back, moved, axis=1)
            found.append(np.unique(rows[(rows != identity).any(axis=1)], axis=0))
        return np.unique(np.concatenate(found), axis=0)


def _check_room(num_cells: int, degree: int) -> None:
    if num_cells > _MAX_CELLS:
        raise InputError(
            f"a permutation group of degree {degree} has a chain of more than {_MAX_CELLS} cells: "
            "its order is not computed"
        )


class StabilizerChain:
    """A chain of stabilisers that decides membership in a permutation group and its order.

    Permutations are rows of images and act left to right: ``(p q)[i] = q[p[i]]``.

    Parameters
    ----------
    generators : ndarray of int64, [num_generators, degree]

    Raises
    ------
    InputError
        If the chain would need too much memory: many points and large orbits, level after level.

    Notes
    -----
    Deterministic Schreier-Sims; a fixed sequence of random products fills the chain beforehand, so
    that the deterministic part mostly only verifies. Sims: "Computational methods in the study of
    permutation groups", 1970. Seress: "Permutation group algorithms", 2003, chapter 4.

    Examples
    --------
    >>> chain = StabilizerChain(np.array([[1, 0, 2, 3], [1, 2, 3, 0]]))
    >>> chain.order, chain.contains(np.array([[2, 1, 0, 3]])).tolist()
    (24, [True])
    """

    def __init__(self, generators: IntArray) -> None:
        self._degree = generators.shape[1]
        self._levels: list[_Level] = []
        moving = generators[(generators != np.arange(self._degree)).any(axis=1)]
        if len(moving):
            self._build(moving)

    @property
    def order(self) -> int:
        """Number of elements, exact."""
        return math.prod(len(level.carriers) for level in self._levels)

    def contains(self, rows: IntArray) -> BoolArray:
        """Tell which permutations belong to the group, bool, [num_rows]."""
        _, stuck = self._sift(rows, 0)
        result: BoolArray = stuck < 0
        return result

    def add(self, generator: IntArray) -> bool:
        """Enlarge the group by one permutation; return whether it was new."""
        if bool(self.contains(generator[None])[0]):
            return False
        old = self._levels[0].generators if self._levels else generator[None][:0]
        self._build(np.concatenate([old, generator[None]]))
        return True

    def _build(self, generators: IntArray) -> None:
        """Make the chain of the group that some generators, none the identity, generate."""
        if self._levels:
            self._levels[0] = _Level(self._levels[0].base, generators)
        else:
            base = int(np.flatnonzero(generators[0] != np.arange(self._degree))[0])
            self._levels.append(_Level(base, generators))
        largest_order = self._largest_order()
        if self._degree > _SMALL_DEGREE:
            self._fill_at_random(largest_order)
            if self.order < largest_order:
                self._thin_out()
        if self.order < largest_order:
            self._complete()

    def _largest_order(self) -> int:
        """Bound the order by all permutations of every orbit."""
        generators = self._levels[0].generators
        orbit = np.arange(self._degree)
        while True:
            smaller = np.minimum(orbit, orbit[generators].min(axis=0))
            if (smaller == orbit).all():
                break
            orbit = smaller
        return math.prod(math.factorial(int(size)) for size in np.bincount(orbit))

    def _thin_out(self) -> None:
        """Keep as few generators below the first level as give the same orbits."""
        kept = self._levels[0].generators[:0]
        for number in range(len(self._levels) - 1, 0, -1):
            level = self._levels[number]
            thin = _Level(level.base, kept)
            for generator in level.generators:
                if len(thin.carriers) == len(level.carriers):
                    break
                larger = thin.with_generator(generator)
                if len(larger.carriers) > len(thin.carriers):
                    thin = larger
            kept = thin.generators
            self._levels[number] = thin

    def _sift(self, rows: IntArray, start: int) -> tuple[IntArray, IntArray]:
        """Strip permutations by carriers.

        Returns what is left of each, and the level at which it got stuck: -1 if it came out as
        the identity, the number of levels if it came out as anything else.
        """
        rows = rows.copy()
        identity = np.arange(self._degree)
        stuck = np.full(len(rows), -1, dtype=np.int64)
        going = np.arange(len(rows))
        for number in range(start, len(self._levels)):
            level = self._levels[number]
            going = going[(rows[going] != identity).any(axis=1)]
            position = level.position[rows[going, level.base]]
            stuck[going[position < 0]] = number
            going, position = going[position >= 0], position[position >= 0]
            rows[going] = np.take_along_axis(level.inverses[position], rows[going], axis=1)
        going = going[(rows[going] != identity).any(axis=1)]
        stuck[going] = len(self._levels)
        return rows, stuck

    def _insert(self, residue: IntArray, start: int, stuck: int) -> None:
        """Add a permutation that fixes the base points before `stuck` to levels from `start`."""
        if stuck == len(self._levels):
            base = int(np.flatnonzero(residue != np.arange(self._degree))[0])
            self._levels.append(_Level(base, residue[None]))
            stuck -= 1
        for number in range(start, stuck + 1):
            level = self._levels[number]
            if not (level.generators == residue).all(axis=1).any():
                self._levels[number] = level.with_generator(residue)
        num_cells = sum(level.carriers.size for level in self._levels)
        _check_room(num_cells, self._degree)

    def _fill_at_random(self, largest_order: int) -> None:
        """Sift products of a replacement pool until many in a row bring nothing new."""
        rng = np.random.default_rng(0)
        generators = self._levels[0].generators
        pool = [generators[i % len(generators)] for i in range(max(10, len(generators)))]
        quiet = -len(pool) * 3
        while quiet < _QUIET_SIFTS and self.order < largest_order:
            i, j = rng.choice(len(pool), 2, replace=False)
            factor = np.argsort(pool[j]) if rng.integers(2) else pool[j]
            pool[i] = factor[pool[i]]
            rows, stuck = self._sift(pool[i][None], 0)
            if stuck[0] >= 0:
                self._insert(rows[0], 1, int(stuck[0]))
                quiet = min(quiet, 0)
            quiet += 1

    def _complete(self) -> None:
        """Verify, from the last level up, that Schreier generators lie in the levels below."""
        number = len(self._levels) - 1
        while number >= 0:
            rows, stuck = self._sift(self._levels[number].schreier_generators(), number + 1)
            wrong = np.flatnonzero(stuck >= 0)
            if len(wrong):
                level = int(stuck[wrong[0]])
                self._insert(rows[wrong[0]], number + 1, level)
                number = min(level, len(self._levels) - 1)
            else:
                number -= 1
