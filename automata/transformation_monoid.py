"""Monoids of transformations: elements, shortest words, Cayley graphs, Green's classes."""

import functools
import math
from collections.abc import Hashable, Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from automata.alphabets import Words, encode_words, read_alphabet
from automata.errors import InputError
from automata.green import GreenClasses, green_classes
from automata.permutation_group import PermutationGroup
from automata.running import run_words
from automata.transformation_closure import (
    MAX_ELEMENTS,
    ShortestWords,
    TransformationArray,
    close_under_products,
    left_multiplication,
    shortest_words,
)
from automata.validation import BoolArray, IntArray, as_integer, as_integer_array, read_only

__all__ = ["TransformationMonoid"]

_CELLS_PER_BATCH: Final = 2**20


class TransformationMonoid:
    """The monoid that some transformations of ``0, ..., num_points - 1`` generate.

    Element 0 is the identity (the empty word), which counts as an element even where no other
    word acts like it. Elements are numbered in shortlex order of their least words. As words do,
    products act left to right: ``product(p, q)`` is p first, then q.

    Parameters
    ----------
    letters : array_like of int, [num_symbols, num_points]
        The images of all points under every letter. Letters may act alike.
    alphabet : iterable of hashable, optional
        One symbol for every letter; by default ``0, ..., num_symbols - 1``.
    max_elements : int
        Refuse monoids with more elements than this.

    Raises
    ------
    InputError
        If the letters are no transformations, or the monoid is too large.

    Examples
    --------
    >>> full = TransformationMonoid([[1, 2, 0], [1, 0, 2], [0, 0, 2]], alphabet="abc")
    >>> full.size, full.num_idempotents, full.num_d_classes
    (27, 10, 3)
    """

    def __init__(
        self,
        letters: ArrayLike,
        alphabet: Iterable[Hashable] | None = None,
        max_elements: int = MAX_ELEMENTS,
    ) -> None:
        maps = as_integer_array(letters, "letters").copy()
        if maps.ndim != 2 or 0 in maps.shape:
            raise InputError(
                f"letters has shape {maps.shape}: give [num_symbols, num_points], both at least 1"
            )
        if maps.min() < 0 or maps.max() >= maps.shape[1]:
            raise InputError(f"letters lead outside 0..{maps.shape[1] - 1}: give points")
        self._alphabet = read_alphabet(alphabet, len(maps))
        max_elements = as_integer(max_elements, "max_elements", 1)
        _, first, inverse = np.unique(maps, axis=0, return_index=True, return_inverse=True)
        # Generators are the distinct letters in the order of the alphabet.
        rank = np.argsort(np.argsort(first))
        self._generator_of = rank[inverse.reshape(-1)]
        self._symbol_of = np.sort(first)
        self._elements, self._right = close_under_products(maps[self._symbol_of], max_elements)
        self._words = shortest_words(self._right)

    @property
    def size(self) -> int:
        """Number of elements, identity included."""
        return len(self._elements)

    @property
    def num_points(self) -> int:
        """Number of points (states) that elements act on."""
        return int(self._elements.shape[1])

    @property
    def alphabet(self) -> tuple[Hashable, ...]:
        """The symbol of every letter."""
        return self._alphabet

    @property
    def elements(self) -> TransformationArray:
        """The images of all points under every element, unsigned int, [size, num_points]."""
        return self._elements

    @functools.cached_property
    def letters(self) -> IntArray:
        """The element of every letter, int64, [num_symbols]."""
        letters: IntArray = self._right[0, self._generator_of]
        read_only(letters)
        return letters

    @functools.cached_property
    def right_cayley_graph(self) -> IntArray:
        """Every element times every letter, int64, [size, num_symbols]."""
        return self._by_symbol(self._right)

    @functools.cached_property
    def left_cayley_graph(self) -> IntArray:
        """Every letter times every element, int64, [size, num_symbols]."""
        return self._by_symbol(self._left)

    @property
    def word_lengths(self) -> IntArray:
        """The length of a shortest word for every element, int64, [size]."""
        return self._words.length

    @property
    def shortest_words(self) -> ShortestWords:
        """Prefix, last letter, first letter and suffix of every shortest word (generators)."""
        return self._words

    @functools.cached_property
    def green(self) -> GreenClasses:
        """The R-, L-, H- and D-class of every element."""
        return green_classes(self._right, self._left)

    @functools.cached_property
    def idempotents(self) -> IntArray:
        """The elements e with e e = e, int64, [num_idempotents]."""
        batch = max(1, _CELLS_PER_BATCH // self.num_points)
        found = []
        for start in range(0, self.size, batch):
            rows = self._elements[start : start + batch].astype(np.int64)
            squares = np.take_along_axis(rows, rows, axis=1)
            found.append(start + np.flatnonzero((squares == rows).all(axis=1)))
        result = np.concatenate(found)
        read_only(result)
        return result

    @functools.cached_property
    def ranks(self) -> IntArray:
        """The number of points in the image of every element, int64, [size]."""
        batch = max(1, _CELLS_PER_BATCH // self.num_points)
        parts = []
        for start in range(0, self.size, batch):
            rows = np.sort(self._elements[start : start + batch], axis=1)
            parts.append(1 + (rows[:, 1:] != rows[:, :-1]).sum(axis=1))
        result = np.concatenate(parts)
        read_only(result)
        return result

    @property
    def num_idempotents(self) -> int:
        """Number of idempotents."""
        return len(self.idempotents)

    @property
    def num_r_classes(self) -> int:
        """Number of R-classes."""
        return self.green.num_r_classes

    @property
    def num_l_classes(self) -> int:
        """Number of L-classes."""
        return self.green.num_l_classes

    @property
    def num_h_classes(self) -> int:
        """Number of H-classes."""
        return self.green.num_h_classes

    @property
    def num_d_classes(self) -> int:
        """Number of D-classes."""
        return self.green.num_d_classes

    @functools.cached_property
    def num_regular_d_classes(self) -> int:
        """Number of D-classes with an idempotent."""
        return len(np.unique(self.green.d_class[self.idempotents]))

    @functools.cached_property
    def maximal_subgroups(self) -> tuple[PermutationGroup, ...]:
        """The group of every regular D-class, without trivial ones.

        Each acts on the image of an idempotent, whose points are renamed to 0, 1, ... in order.
        """
        h_class = self.green.h_class
        _, first = np.unique(self.green.d_class[self.idempotents], return_index=True)
        groups = []
        for idempotent in self.idempotents[np.sort(first)].tolist():
            members = np.flatnonzero(h_class == h_class[idempotent])
            if len(members) > 1:
                image = np.unique(self._elements[idempotent])
                rows = np.searchsorted(image, self._elements[members][:, image])
                groups.append(PermutationGroup(rows))
        return tuple(groups)

    @functools.cached_property
    def has_identity_word(self) -> bool:
        """Whether a non-empty word acts as the identity: then the semigroup is all of it."""
        return bool((self._right == 0).any())

    @functools.cached_property
    def semigroup(self) -> BoolArray:
        """Which elements non-empty words give, bool, [size].

        All of them, or all but the identity.
        """
        mask = np.ones(self.size, dtype=np.bool_)
        mask[0] = self.has_identity_word
        read_only(mask)
        return mask

    def word(self, element: int) -> list[int]:
        """Return the shortlex-least word of an element, as symbol indices.

        Examples
        --------
        >>> TransformationMonoid([[1, 2, 0], [0, 0, 2]]).word(5)
        [1, 0]
        """
        element = as_integer(element, "element", 0, self.size - 1)
        word = []
        while element:
            word.append(int(self._symbol_of[self._words.last[element]]))
            element = int(self._words.prefix[element])
        return word[::-1]

    def evaluate(self, words: Words) -> IntArray:
        """Return the element of each word, int64, [...] (a NumPy integer for one word).

        Parameters
        ----------
        words : array of int, [..., length], or str, or list
            Arrays hold symbol indices; a str or list is read through the alphabet.

        Examples
        --------
        >>> cycle = TransformationMonoid([[1, 2, 0]], alphabet="a")
        >>> int(cycle.evaluate("aaaaa"))
        2
        """
        symbols = encode_words(words, self._alphabet)
        num_words = math.prod(symbols.shape[:-1])
        rows = self._generator_of[symbols].reshape(num_words, symbols.shape[-1])
        result: IntArray = run_words(self._right, 0, rows).reshape(symbols.shape[:-1])[()]
        return result

    def product(self, first: ArrayLike, second: ArrayLike) -> IntArray:
        """Multiply elements, `first` and then `second`, over broadcast axes.

        Examples
        --------
        >>> cycle = TransformationMonoid([[1, 2, 0]])
        >>> cycle.product([0, 1, 2], 2)
        array([2, 0, 1])
        """
        left = as_integer_array(first, "the first element")
        right = as_integer_array(second, "the second element")
        for numbers in (left, right):
            if numbers.size and (numbers.min() < 0 or numbers.max() >= self.size):
                raise InputError(f"elements are numbered from 0 to {self.size - 1}")
        left, right = (array.copy() for array in np.broadcast_arrays(left, right))
        # The word of the second element is read from the first one, letter by letter.
        while (going := right > 0).any():
            left[going] = self._right[left[going], self._words.first[right[going]]]
            right[going] = self._words.suffix[right[going]]
        return left

    def __eq__(self, other: object) -> bool:
        """Whether letters and alphabet are equal."""
        if not isinstance(other, TransformationMonoid):
            return NotImplemented
        return self._alphabet == other._alphabet and np.array_equal(
            self._elements[self.letters], other._elements[other.letters]
        )

    def __hash__(self) -> int:
        """Hash letters and alphabet."""
        return hash((self._alphabet, self._elements[self.letters].tobytes()))

    def __repr__(self) -> str:
        """Show the sizes."""
        return (
            f"{type(self).__name__}(size={self.size}, num_symbols={len(self._alphabet)}, "
            f"num_points={self.num_points})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild through the constructor."""
        letters = self._elements[self.letters].astype(np.int64)
        return type(self), (letters, self._alphabet, self.size)

    @functools.cached_property
    def _left(self) -> IntArray:
        return left_multiplication(self._right, self._words)

    def _by_symbol(self, graph: IntArray) -> IntArray:
        expanded = graph[:, self._generator_of]
        read_only(expanded)
        return expanded
