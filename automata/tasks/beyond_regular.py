"""Tasks that no finite automaton solves, for contrast: majority and reversal."""

from dataclasses import dataclass

import numpy as np

from automata.errors import InputError
from automata.tasks.published import published_versions
from automata.tasks.supervision import check_supervision
from automata.tasks.task import Task
from automata.tasks.token_laws import TokenLaw, UniformLetters
from automata.validation import BoolArray, IntArray, as_integer

__all__ = ["majority", "reverse_string"]

_SUPERVISIONS = ("per_prefix", "final", "membership")


def majority(*, supervision: str = "per_prefix") -> Task:
    """Say whether there are more ones than zeros so far (class 1) or not (class 0).

    Parameters
    ----------
    supervision : {"per_prefix", "final", "membership"}
        See `Task`.

    Returns
    -------
    Task

    Notes
    -----
    "Majority" of FLaRe (Butoi et al. 2025): the binary strings with more ones than zeros, one
    answer at the end. SLiCE (Walker et al. 2025) asks for the commonest of many symbols, or how
    often it occurs.

    Examples
    --------
    >>> majority().targets_of([1, 0, 1, 1])
    array([1, 0, 1, 1])
    """
    return _Majority(supervision, published_versions(majority))


def reverse_string(*, num_symbols: int = 2) -> Task:
    """Repeat a word backwards: asked for at the blanks that follow it, one symbol at each.

    Parameters
    ----------
    num_symbols : int

    Returns
    -------
    Task
        The last token is the blank. A word of length ``2 n`` is n uniform letters and n blanks.

    Notes
    -----
    "Reverse string" of Deletang et al. 2023: binary, as many blanks as letters, a context-free
    task. FLaRe's marked and unmarked reversal ask whether a string is a palindrome of that sort.

    Examples
    --------
    >>> print(reverse_string(num_symbols=3).explain([2, 0, 3, 3]))
    position  token  symbol  target
           0      -       -       -
           1      2       2       -
           2      0       0       -
           3      3       _       0
           4      3       _       2
    """
    size = as_integer(num_symbols, "num_symbols", 2, 2**16)
    return _ReverseString(size, published_versions(reverse_string))


class _Majority(Task):
    def __init__(self, supervision: str, facts: dict[str, str]) -> None:
        check_supervision(supervision, _SUPERVISIONS)
        super().__init__("majority", UniformLetters(2), supervision, facts=facts)

    @property
    def num_classes(self) -> int:
        return 2

    def label(self, tokens: IntArray, lengths: IntArray) -> tuple[IntArray, BoolArray]:
        lead = np.cumsum(2 * tokens - 1, axis=1)
        return (lead > 0).astype(np.int64), np.ones(tokens.shape, dtype=np.bool_)


@dataclass(frozen=True)
class _LettersThenBlanks(TokenLaw):
    """Uniform letters, then as many blanks."""

    num_letters: int

    @property
    def num_tokens(self) -> int:
        return self.num_letters + 1

    @property
    def description(self) -> str:
        return "uniform letters, then as many blanks"

    def draw(
        self, first_item: int, num_items: int, shortest: int, longest: int, *, seed: int, split: str
    ) -> tuple[IntArray, IntArray]:
        low, high = -(-shortest // 2), longest // 2
        if low > high:
            raise InputError(
                f"no word has length {shortest}: letters and blanks make even lengths, such as "
                f"{shortest + 1}"
            )
        letters, counts = UniformLetters(self.num_letters).draw(
            first_item, num_items, low, high, seed=seed, split=split
        )
        tokens = np.full((num_items, longest), self.num_letters, dtype=np.int64)
        tokens[:, :high] = np.where(np.arange(high) < counts[:, None], letters, self.num_letters)
        return tokens, 2 * counts

    def next_length(self, length: int) -> int:
        return max(4, length + length % 2)


class _ReverseString(Task):
    def __init__(self, num_symbols: int, facts: dict[str, str]) -> None:
        alphabet = (*map(str, range(num_symbols)), "_")
        law = _LettersThenBlanks(num_symbols)
        super().__init__("reverse_string", law, "per_prefix", alphabet=alphabet, facts=facts)

    @property
    def num_classes(self) -> int:
        return self.num_tokens - 1

    def label(self, tokens: IntArray, lengths: IntArray) -> tuple[IntArray, BoolArray]:
        is_blank = tokens == self.num_tokens - 1
        positions = np.arange(tokens.shape[1])
        # How many letters come before the first blank.
        starts = (~np.logical_or.accumulate(is_blank, axis=1)).sum(axis=1)
        sources = 2 * starts[:, None] - 1 - positions
        mask = (positions >= starts[:, None]) & (sources >= 0)
        targets = np.take_along_axis(tokens, np.where(mask, sources, 0), axis=1)
        return np.where(mask, targets, 0), mask
