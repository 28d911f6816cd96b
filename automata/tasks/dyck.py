"""Brackets: of bounded depth, which is regular, and of one kind without bound, which is not."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError
from automata.files import MAX_CELLS
from automata.tasks.next_token import NextTokenTask
from automata.tasks.published import published_versions
from automata.tasks.recognition import recogniser
from automata.tasks.supervision import check_supervision
from automata.tasks.task import Task
from automata.tasks.token_laws import LanguageWords, TokenLaw
from automata.validation import BoolArray, IntArray, as_integer

__all__ = ["bounded_dyck", "dyck_1"]

_MAX_KINDS: Final = 26
_MAX_LENGTH: Final = 2**14


def bounded_dyck(
    *,
    num_kinds: int = 2,
    max_depth: int = 3,
    words: str = "balanced",
    supervision: str = "per_prefix",
) -> Task:
    """Recognise well-nested brackets of bounded depth, or predict their next symbol.

    Parameters
    ----------
    num_kinds : int
        Kinds of brackets, at most 26.
    max_depth : int
    words : {"balanced", "uniform", "language", "complement"}
        See `automata.tasks.token_laws.words_of`; ``next_token`` always reads ``language``.
    supervision : {"per_prefix", "final", "membership", "next_token"}
        Whether the word so far is closed and well nested; or, for words of the language, the
        symbol that follows.

    Returns
    -------
    Task
        Tokens are the opening brackets (``(a``, ``(b``, ...), then the closing ones.

    Notes
    -----
    Dyck-(k, m) of Hewitt et al. 2020, asking for the next token; "Dyck-(2, 3)" of FLaRe (Butoi et
    al. 2025), asking for membership at the end, with edited words as others. Their words are drawn
    by opening and closing with given probabilities; here every word of a length is equally likely.

    Examples
    --------
    >>> bounded_dyck(num_kinds=1, max_depth=2).targets_of(["(a", "(a", ")a", ")a"])
    array([0, 0, 0, 1])
    """
    kinds = as_integer(num_kinds, "num_kinds", 1, _MAX_KINDS)
    depth = as_integer(max_depth, "max_depth", 1, 2**20)
    check_supervision(supervision, ("per_prefix", "final", "membership", "next_token"))
    language = _dyck_dfa(kinds, depth)
    facts = published_versions(bounded_dyck)
    if supervision == "next_token":
        law = LanguageWords(language, "language")
        return NextTokenTask(
            "bounded_dyck", law, dfa=language, alphabet=language.alphabet, facts=facts
        )
    return recogniser("bounded_dyck", language, words, supervision, facts)


def dyck_1(*, supervision: str = "per_prefix") -> Task:
    """Recognise well-nested brackets of one kind, of any depth: not regular.

    Parameters
    ----------
    supervision : {"per_prefix", "final", "membership"}
        Whether the word so far is closed and well nested.

    Returns
    -------
    Task
        Half the words are uniform well-nested words, half uniform others, of even length.

    Notes
    -----
    Dyck-1 and "shuffle" languages of Bhattamishra et al. 2020 ask for the set of possible next
    symbols. One counter suffices.

    Examples
    --------
    >>> dyck_1().targets_of("(())()")
    array([0, 0, 0, 1, 0, 1])
    """
    return _Dyck1(supervision, published_versions(dyck_1))


@dataclass(frozen=True)
class _DyckWords(TokenLaw):
    """Balanced sets of words for `dyck_1`: no word of length 2 n is deeper than n."""

    @property
    def num_tokens(self) -> int:
        return 2

    @property
    def description(self) -> str:
        return "half uniform well-nested words, half uniform others, of even length"

    def draw(
        self, first_item: int, num_items: int, shortest: int, longest: int, *, seed: int, split: str
    ) -> tuple[IntArray, IntArray]:
        if longest > _MAX_LENGTH:
            raise InputError(f"length is {longest}: words of dyck_1 have at most {_MAX_LENGTH}")
        law = LanguageWords(_dyck_dfa(1, max(1, longest // 2)), "balanced")
        return law.draw(first_item, num_items, shortest, longest, seed=seed, split=split)

    def next_length(self, length: int) -> int:
        return length + length % 2


class _Dyck1(Task):
    def __init__(self, supervision: str, facts: dict[str, str]) -> None:
        check_supervision(supervision, ("per_prefix", "final", "membership"))
        super().__init__("dyck_1", _DyckWords(), supervision, alphabet="()", facts=facts)

    @property
    def num_classes(self) -> int:
        return 2

    def label(self, tokens: IntArray, lengths: IntArray) -> tuple[IntArray, BoolArray]:
        depth = np.cumsum(1 - 2 * tokens, axis=1)
        lowest = np.minimum.accumulate(depth, axis=1)
        targets = ((depth == 0) & (lowest >= 0)).astype(np.int64)
        return targets, np.ones(tokens.shape, dtype=np.bool_)


def _dyck_dfa(kinds: int, depth: int) -> DFA:
    """Build the automaton of stacks: an opening leads to ``state * kinds + 1 + kind``."""
    # A stack of depth d is one of kinds ** d; refuse before the sum is taken.
    num_stacks = depth + 1 if kinds == 1 else 0
    if kinds > 1 and kinds ** min(depth, 64) <= MAX_CELLS:
        num_stacks = (kinds ** (depth + 1) - 1) // (kinds - 1)
    if not 0 < num_stacks * 2 * kinds <= MAX_CELLS:
        raise InputError(
            f"brackets of {kinds} kinds and depth {depth} have too many stacks: tables have at "
            f"most {MAX_CELLS} cells; give a smaller max_depth"
        )
    stacks = np.arange(num_stacks)
    table = np.full((num_stacks, 2 * kinds), -1, dtype=np.int64)
    opened = stacks[:, None] * kinds + 1 + np.arange(kinds)
    table[:, :kinds] = np.where(opened < num_stacks, opened, -1)
    inside = stacks[1:]
    table[inside, kinds + (inside - 1) % kinds] = (inside - 1) // kinds
    letters = [chr(ord("a") + kind) for kind in range(kinds)]
    symbols = [*(f"({letter}" for letter in letters), *(f"){letter}" for letter in letters)]
    return DFA.from_partial(table, 0, [0], symbols)
