"""Finite monoids and the pseudovarieties they belong to: what kind of memory a language needs."""

import functools

import numpy as np

from automata.strong_components import cycle_phases
from automata.transformation_monoid import TransformationMonoid
from automata.validation import BoolArray, IntArray

__all__ = ["Monoid"]


class Monoid(TransformationMonoid):
    """A monoid of transformations, with the algebraic properties that classify languages.

    Built and used as `automata.transformation_monoid.TransformationMonoid`; see there for the
    parameters. The properties of a *language* are those of its syntactic monoid.

    The *semigroup* of a monoid is here the image of the non-empty words: all elements, but not
    the identity if no non-empty word acts like it. Properties that depend on it say so. In the
    formulas x and y run through all elements, a through letters, and e through idempotents; x^w is
    the idempotent among the powers of x.

    Notes
    -----
    Given the Cayley graphs, everything is linear in their size (through Green's classes, never
    through pairs of elements), but for `is_locally_testable`, linear for every maximal regular
    D-class, and `is_solvable`, which looks into the groups. Background: Pin: "Varieties of formal
    languages", 1986; Pin: "Mathematical foundations of automata theory", 2020.

    Examples
    --------
    >>> even_number_of_b = Monoid([[0, 1], [1, 0]], alphabet="ab")
    >>> even_number_of_b.is_group, even_number_of_b.is_aperiodic, even_number_of_b.is_solvable
    (True, False, True)
    """

    @functools.cached_property
    def is_group(self) -> bool:
        """Whether every element has an inverse: every letter permutes the states."""
        return bool((self.ranks[self.letters] == self.num_points).all())

    @functools.cached_property
    def is_aperiodic(self) -> bool:
        """Whether x^w x = x^w: no groups inside.

        Languages: star-free, counter-free, first-order definable with order. Tested as: every
        H-class has one element. Schützenberger: "On finite monoids having only trivial
        subgroups", 1965.
        """
        return self.num_h_classes == self.size

    @functools.cached_property
    def is_commutative(self) -> bool:
        """Whether x y = y x, which holds if letters commute."""
        pairs = self._right[self._right[0]]
        return bool((pairs == pairs.T).all())

    @functools.cached_property
    def is_solvable(self) -> bool:
        """Whether every group inside is solvable.

        Languages: those in ACC0, as far as is known. Barrington, Thérien: "Finite monoids and the
        fine structure of NC1", 1988.
        """
        return all(group.is_solvable for group in self.maximal_subgroups)

    @functools.cached_property
    def is_band(self) -> bool:
        """Whether x x = x."""
        return self.num_idempotents == self.size

    @functools.cached_property
    def is_r_trivial(self) -> bool:
        """Whether (x y)^w x = (x y)^w: every R-class has one element.

        Languages of automata whose only cycles are loops. Brzozowski, Fich: "Languages of
        R-trivial monoids", 1980.
        """
        return self.num_r_classes == self.size

    @functools.cached_property
    def is_l_trivial(self) -> bool:
        """Whether y (x y)^w = (x y)^w: every L-class has one element."""
        return self.num_l_classes == self.size

    @functools.cached_property
    def is_j_trivial(self) -> bool:
        """Whether every D-class (in finite monoids: J-class) has one element.

        Languages: piecewise testable. Simon: "Piecewise testable events", 1975.
        """
        return self.num_d_classes == self.size

    @functools.cached_property
    def is_da(self) -> bool:
        """Whether (x y)^w x (x y)^w = (x y)^w: regular D-classes hold idempotents only.

        Languages: first-order definable with order and two variables. Schützenberger: "Sur le
        produit de concaténation non ambigu", 1976; Thérien, Wilke: "Over words, two variables are
        as powerful as one quantifier alternation", 1998.
        """
        return int(self._is_regular.sum()) == self.num_idempotents

    @functools.cached_property
    def is_synchronising(self) -> bool:
        """Whether some word leads all states to one: the minimal ideal consists of constants."""
        return int(self.ranks.min()) == 1

    @functools.cached_property
    def is_nilpotent(self) -> bool:
        """Whether the semigroup has a zero and no other idempotent.

        Languages: finite, or with a finite complement (the empty word aside).
        """
        idempotents = self._semigroup_idempotents
        return len(idempotents) == 1 and self.is_definite and self.is_reverse_definite

    @functools.cached_property
    def is_definite(self) -> bool:
        """Whether y e = e in the semigroup: the last letters, up to some number, decide.

        Perles, Rabin, Shamir: "The theory of definite automata", 1963.
        """
        idempotents = self._semigroup_idempotents
        return bool((self._left[idempotents] == idempotents[:, None]).all())

    @functools.cached_property
    def is_reverse_definite(self) -> bool:
        """Whether e y = e in the semigroup: the first letters, up to some number, decide."""
        idempotents = self._semigroup_idempotents
        return bool((self._right[idempotents] == idempotents[:, None]).all())

    @functools.cached_property
    def is_generalised_definite(self) -> bool:
        """Whether e y e = e in the semigroup: first and last letters decide.

        Tested as: all idempotents of the semigroup lie in its minimal ideal, whose groups are
        trivial. Ginzburg: "About some properties of definite, reverse-definite and related
        automata", 1966.
        """
        idempotents = self._semigroup_idempotents
        d_class, h_class = self.green.d_class, self.green.h_class
        in_ideal = bool((d_class[idempotents] == self._minimal_ideal).all())
        members = h_class[d_class == self._minimal_ideal]
        return in_ideal and len(np.unique(members)) == len(members)

    @functools.cached_property
    def is_locally_testable(self) -> bool:
        """Whether e S e is a semilattice for every idempotent e of the semigroup S.

        Languages: the set of factors of some length, the first letters and the last ones decide.
        Brzozowski, Simon: "Characterizations of locally testable events", 1973; McNaughton:
        "Algebraic decision procedures for local testability", 1974. Enough are the e of maximal
        regular D-classes: the other e S e are isomorphic to parts of theirs. A monoid is a
        semilattice if all its elements are idempotent and lie in different D-classes.
        """
        if not self.is_aperiodic:
            return False
        is_idempotent = np.zeros(self.size, dtype=np.bool_)
        is_idempotent[self.idempotents] = True
        for idempotent in self._maximal_idempotents.tolist():
            local = self._local_monoid(idempotent)
            d_classes = self.green.d_class[local]
            if not is_idempotent[local].all() or len(np.unique(d_classes)) < len(local):
                return False
        return True

    @functools.cached_property
    def is_quasi_aperiodic(self) -> bool:
        """Whether no set of elements that words of one length give holds a non-trivial group.

        Regular languages in AC0. Barrington, Compton, Straubing, Thérien: "Regular languages in
        NC1", 1992. Tested as: in the H-class of an idempotent e, only e is reached from e by words
        whose length is a multiple of the period of its R-class.
        """
        h_class, r_class = self.green.h_class, self.green.r_class
        phase, period = cycle_phases(self._right, r_class)
        idempotent_of = np.full(self.num_h_classes, -1, dtype=np.int64)
        idempotent_of[h_class[self.idempotents]] = self.idempotents
        others = np.flatnonzero(idempotent_of[h_class] >= 0)
        others = others[idempotent_of[h_class[others]] != others]
        distance = phase[others] - phase[idempotent_of[h_class[others]]]
        return bool((distance % period[r_class[others]] != 0).all())

    def properties(self) -> dict[str, bool]:
        """Return every ``is_...`` property by name.

        Examples
        --------
        >>> [name for name, holds in Monoid([[1, 0]]).properties().items() if holds]
        ['is_group', 'is_commutative', 'is_solvable', 'is_quasi_aperiodic']
        """
        return {name: getattr(self, name) for name in vars(Monoid) if name.startswith("is_")}

    @functools.cached_property
    def _semigroup_idempotents(self) -> IntArray:
        return self.idempotents[self.semigroup[self.idempotents]]

    @functools.cached_property
    def _is_regular(self) -> BoolArray:
        """Mark the elements whose D-class holds an idempotent."""
        mask = np.zeros(self.num_d_classes, dtype=np.bool_)
        mask[self.green.d_class[self.idempotents]] = True
        return mask[self.green.d_class]

    @functools.cached_property
    def _minimal_ideal(self) -> int:
        """The D-class that no letter leaves, on either side."""
        leaves = np.zeros(self.num_d_classes, dtype=np.bool_)
        d_class = self.green.d_class
        for graph in (self._right, self._left):
            leaves[d_class[(d_class[graph] != d_class[:, None]).any(axis=1)]] = True
        return int(np.flatnonzero(~leaves)[0])

    @functools.cached_property
    def _maximal_idempotents(self) -> IntArray:
        """One idempotent for every D-class of the semigroup with none above that has one."""
        d_class = self.green.d_class
        idempotents = self._semigroup_idempotents
        regular, first = np.unique(d_class[idempotents], return_index=True)
        below = np.zeros(self.size, dtype=np.bool_)
        frontier = np.flatnonzero(np.isin(d_class, regular))
        start_class = True
        while frontier.size:
            targets = np.concatenate([self._right[frontier], self._left[frontier]], axis=1)
            if start_class:
                leaving = d_class[targets] != d_class[frontier][:, None]
                targets, start_class = targets[leaving], False
            frontier = np.unique(targets)
            frontier = frontier[~below[frontier]]
            below[frontier] = True
        classes_below = np.zeros(self.num_d_classes, dtype=np.bool_)
        classes_below[d_class[below]] = True
        return idempotents[first[~classes_below[regular]]]

    def _local_monoid(self, idempotent: int) -> IntArray:
        """List the elements x of the semigroup with e x = x = x e."""
        rows, row = self._elements, self._elements[idempotent]
        fixed = (rows[:, row] == rows).all(axis=1) & (row[rows] == rows).all(axis=1)
        return np.flatnonzero(fixed & self.semigroup)
