"""What a task is: tokens in, the class of the state out."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from automata.alphabets import Words, encode_words, read_alphabet
from automata.dfa import DFA
from automata.errors import InputError, unknown_name
from automata.finite_group import FiniteGroup
from automata.philox import SPLITS
from automata.tasks.batch import Batch, read_lengths
from automata.tasks.description import describe, explain_word
from automata.tasks.supervision import SUPERVISIONS, check_supervision
from automata.tasks.token_laws import TokenLaw
from automata.uniform_draw import check_size
from automata.validation import BoolArray, FloatArray, IntArray, as_integer

if TYPE_CHECKING:
    from automata.tasks.automaton_task import AutomatonTask

__all__ = ["Task"]

_MEASURED_TOKENS: Final = 1 << 21


class Task(ABC):
    """Words from a law, and what is to be known at each position.

    Tasks are immutable, and equal (with equal hashes) when all their parts are. The class at a
    position depends only on the tokens up to there, except for ``next_token``, where it is the
    token that follows. Most tasks are an `automata.tasks.automaton_task.AutomatonTask`.

    Parameters
    ----------
    name : str
    law : TokenLaw
        What the words are drawn from.
    supervision : {"per_prefix", "final", "membership", "next_token"}
        ``per_prefix``: the class after every token. ``final``: only after the last one.
        ``membership``: after every token, whether the prefix is in the language. ``next_token``:
        the token that follows, where that is asked for.
    alphabet : iterable of hashable, optional
        What the tokens stand for; by default themselves.
    semantics : int
        Raised whenever the same name and parameters begin to give other numbers.
    facts : mapping of str to str, optional
        What else the card should say, such as the algebraic class of a random automaton.

    Examples
    --------
    >>> task = Task.from_dfa(DFA([[0, 1], [1, 0]]), name="parity")
    >>> batch = task.sample(seed=1, batch_size=2, length=20)
    >>> batch.tokens.shape, task.num_classes
    ((2, 20), 2)
    """

    def __init__(
        self,
        name: str,
        law: TokenLaw,
        supervision: str,
        *,
        alphabet: Sequence[Hashable] | None = None,
        semantics: int = 1,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        check_supervision(supervision, SUPERVISIONS)
        self._name = str(name)
        self._law = law
        self._supervision = supervision
        self._alphabet = read_alphabet(alphabet, law.num_tokens)
        self._semantics = as_integer(semantics, "semantics", 1)
        self._facts = dict(facts or {})

    @staticmethod
    def from_dfa(
        dfa: DFA, name: str = "dfa", supervision: str = "per_prefix", semantics: int = 1
    ) -> "AutomatonTask":
        """Make a task of any automaton: follow its state through uniform random letters.

        Parameters
        ----------
        dfa : DFA
            Classes are its outputs if it has some, else its states.
        name, supervision, semantics
            As for `Task`.

        Returns
        -------
        AutomatonTask
        """
        from automata.tasks.automaton_task import AutomatonTask

        return AutomatonTask(name, dfa, supervision, semantics=semantics)

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """Number of classes a target may take."""

    @abstractmethod
    def label(self, tokens: IntArray, lengths: IntArray) -> tuple[IntArray, BoolArray]:
        """Return the class at every position, and where it is supervised.

        Parameters
        ----------
        tokens : ndarray of int64, [num_words, longest]
            In range everywhere; arbitrary after the end of a shorter word.
        lengths : ndarray of int64, [num_words]

        Returns
        -------
        targets : ndarray of int64, [num_words, longest]
            Fresh; arbitrary where not supervised.
        mask : ndarray of bool, [num_words, longest]
            Fresh; arbitrary after the end of a shorter word. For ``final`` as for ``per_prefix``.
        """

    @property
    def name(self) -> str:
        """Name, as in the registry where it comes from there."""
        return self._name

    @property
    def law(self) -> TokenLaw:
        """What the words are drawn from."""
        return self._law

    @property
    def supervision(self) -> str:
        """Which positions are supervised, and by what (see `Task`)."""
        return self._supervision

    @property
    def alphabet(self) -> tuple[Hashable, ...]:
        """What every token stands for."""
        return self._alphabet

    @property
    def semantics(self) -> int:
        """Version of the numbers that this name and its parameters give."""
        return self._semantics

    @property
    def facts(self) -> dict[str, str]:
        """What else is known of the task, as its card shows it."""
        return dict(self._facts)

    @property
    def places(self) -> Mapping[str, Mapping[str, str]]:
        """Parameters that say where something lies, each with those that say what lies there.

        The identity of a run holds the latter in place of the former.
        """
        return {}

    @property
    def is_language_model(self) -> bool:
        """Whether models are judged by their loss: it is reported, and nothing is ever solved."""
        return False

    def check_length(self, length: int, split: str) -> None:
        """Raise `InputError` where a split is known to hold no word of a length."""
        as_integer(length, "length", 1)

    @property
    def dfa(self) -> DFA | None:
        """The automaton behind the targets; None for a task that no automaton solves."""
        return None

    @property
    def group(self) -> FiniteGroup | None:
        """The group whose word problem this is, or None."""
        return None

    @property
    def token_elements(self) -> IntArray | None:
        """The group element of every token, int64, [num_tokens], or None."""
        return None

    @property
    def num_tokens(self) -> int:
        """Number of tokens, padding not counted."""
        return self._law.num_tokens

    @property
    def pad_token(self) -> int:
        """The id after the last token: an embedding that sees padding needs one more row."""
        return self.num_tokens

    def targets_of(self, tokens: Words) -> IntArray:
        """Return the class after every token of words without padding.

        Parameters
        ----------
        tokens : array of int, [..., length], or str, or list
            As for `automata.dfa.DFA.trace`.

        Returns
        -------
        ndarray of int64, [..., length]
            Arbitrary at positions where the task supervises nothing.

        Examples
        --------
        >>> Task.from_dfa(DFA([[0, 1], [1, 0]])).targets_of([1, 1, 0, 1])
        array([1, 0, 0, 1])
        """
        letters = encode_words(tokens, self._alphabet)
        num_words = letters.size // max(1, letters.shape[-1])
        rows = letters.reshape(num_words, letters.shape[-1])
        targets, _ = self.label(rows, np.full(len(rows), rows.shape[1]))
        return targets.reshape(letters.shape)

    def sample(
        self,
        seed: int = 0,
        *,
        batch_size: int,
        length: int | tuple[int, int],
        split: str = "train",
        step: int = 0,
    ) -> Batch:
        """Draw one batch, a pure function of the task and all arguments.

        Row ``r`` is item ``step * batch_size + r``, so a set of words does not depend on how it
        is cut into batches.

        Parameters
        ----------
        seed : int
            0 <= seed < 2**32.
        batch_size : int
        length : int or (low, high)
            Of a pair, each word's length is uniform over the lengths between, both ends included,
            that the task has; shorter words are padded to `high`.
        split : {"train", "selection", "report"}
            Splits never share a word where the law of the tokens says so (see `automata.letters`).
        step : int

        Returns
        -------
        Batch

        Raises
        ------
        InputError
            On arguments out of range, where a split would hold no word of a length, and on batches
            too large to hold.

        Examples
        --------
        >>> task = Task.from_dfa(DFA([[0, 1], [1, 0]]))
        >>> task.sample(seed=1, batch_size=3, length=(2, 40)).valid.sum(axis=1)
        array([26, 37, 12])
        """
        batch_size = as_integer(batch_size, "batch_size", 0)
        first_item = as_integer(step, "step", 0) * batch_size
        as_integer(first_item + batch_size, "the last item", 0, 2**62)
        shortest, longest = read_lengths(length)
        check_size(batch_size, longest)
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        tokens, lengths, targets, mask = self._draw_labelled(
            first_item, batch_size, shortest, longest, seed=seed, split=split
        )
        positions = np.arange(longest)
        valid: BoolArray = positions < lengths[:, None]
        mask &= valid
        if self._supervision == "final":
            mask &= positions == lengths[:, None] - 1
        if not mask.all():
            targets[~mask] = 0
            tokens[~valid] = self.pad_token
        return Batch(tokens, targets, mask, lengths, valid)

    def _draw_labelled(
        self, first_item: int, num_items: int, shortest: int, longest: int, *, seed: int, split: str
    ) -> tuple[IntArray, IntArray, IntArray, BoolArray]:
        """Draw consecutive items as `TokenLaw.draw`, with targets and mask as `label`."""
        tokens, lengths = self._law.draw(
            first_item, num_items, shortest, longest, seed=seed, split=split
        )
        return tokens, lengths, *self.label(tokens, lengths)

    def dataset(
        self, num_words: int, length: int | tuple[int, int], split: str = "train", seed: int = 0
    ) -> Batch:
        """Return the first `num_words` items as one batch."""
        return self.sample(seed, batch_size=num_words, length=length, split=split)

    def batches(
        self,
        batch_size: int,
        length: int | tuple[int, int],
        *,
        seed: int = 0,
        split: str = "train",
        first_step: int = 0,
        num_steps: int | None = None,
    ) -> Iterator[Batch]:
        """Iterate over the batches of consecutive steps, without end if `num_steps` is None."""
        step = first_step
        while num_steps is None or step < first_step + num_steps:
            yield self.sample(seed, batch_size=batch_size, length=length, split=split, step=step)
            step += 1

    @property
    def has_exact_rates(self) -> bool:
        """Whether `class_distribution` is exact, rather than measured on drawn words."""
        return False

    def class_distribution(self, length: int) -> FloatArray:
        """Return how often each class is asked for, at every position of words of one length.

        Parameters
        ----------
        length : int

        Returns
        -------
        ndarray of float64, [length, num_classes]
            Rows add up to the share of words that are supervised there, ``final`` taken as
            ``per_prefix``. Measured on the first words of the split *train* with seed 0, up to
            4,096 of them, unless `has_exact_rates`.
        """
        length = as_integer(length, "length", 1)
        num_words = max(64, min(self._law.num_measured, _MEASURED_TOKENS // length))
        tokens, lengths = self._law.draw(0, num_words, length, length, seed=0, split="train")
        targets, mask = self.label(tokens, lengths)
        result = np.zeros((length, self.num_classes))
        for position in range(length):
            asked = targets[mask[:, position], position]
            result[position] = np.bincount(asked, minlength=self.num_classes) / num_words
        return result

    def majority_rate(self, length: int) -> float:
        """Return the best accuracy at the last position asked for, without reading the word.

        Parameters
        ----------
        length : int

        Returns
        -------
        float
            Of `class_distribution`: exact for the law of long words; words short enough to be
            split by word have the law of their portion instead.

        Examples
        --------
        >>> Task.from_dfa(DFA([[0, 1], [1, 1]])).majority_rate(3)
        0.875
        """
        law = self.class_distribution(length)
        asked = np.flatnonzero(law.sum(axis=1) > 0)
        if not asked.size:
            raise InputError(f"{self.name} asks for nothing in words of length {length}")
        return float(law[asked[-1]].max() / law[asked[-1]].sum())

    def explain(self, tokens: Words) -> str:
        """Return a table of the tokens of one word, the states between, and the targets."""
        return explain_word(self, encode_words(tokens, self._alphabet))

    def card(self, lengths: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256)) -> dict[str, Any]:
        """Describe the task in plain values that JSON can hold; rates at the given lengths."""
        return describe(self, lengths)

    def __eq__(self, other: object) -> bool:
        """Whether all parts are equal."""
        if not isinstance(other, Task):
            return NotImplemented
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        """Hash all parts."""
        return hash(self._key())

    def __repr__(self) -> str:
        """Show name, sizes and supervision."""
        return (
            f"Task({self.name}, num_tokens={self.num_tokens}, num_classes={self.num_classes}, "
            f"supervision={self.supervision!r})"
        )

    def _key(self) -> tuple[object, ...]:
        return (self.name, self._law, self.supervision, self._alphabet, self.semantics)
