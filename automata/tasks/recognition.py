"""Tasks that ask whether the word so far belongs to a regular language."""

from collections.abc import Mapping

import numpy as np

from automata.dfa import DFA
from automata.tasks.automaton_task import AutomatonTask
from automata.tasks.published import published_versions
from automata.tasks.task import Task
from automata.tasks.token_laws import words_of

__all__ = ["abab", "recogniser", "repeat_01"]


def recogniser(
    name: str,
    language: DFA,
    words: str = "balanced",
    supervision: str = "per_prefix",
    facts: Mapping[str, str] | None = None,
) -> Task:
    """Make the task to tell whether the word so far is in a language (class 1) or not (class 0).

    Parameters
    ----------
    name : str
    language : DFA
    words : {"uniform", "balanced", "language", "complement"}
        See `automata.tasks.token_laws.words_of`.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`; ``membership`` is the same as ``per_prefix`` here.
    facts : mapping of str to str, optional

    Returns
    -------
    Task

    Examples
    --------
    >>> ends_in_b = DFA([[0, 1], [0, 1]], accepting=[1], alphabet="ab")
    >>> recogniser("ends_in_b", ends_in_b).targets_of("abb")
    array([0, 1, 1])
    """
    minimal = DFA(
        language.transitions, language.initial, language.accepting, language.alphabet
    ).minimize()
    dfa = DFA(
        minimal.transitions,
        minimal.initial,
        minimal.accepting,
        minimal.alphabet,
        minimal.accepting.astype(np.int64),
    )
    return AutomatonTask(name, dfa, supervision, law=words_of(minimal, words), facts=facts)


def abab(*, words: str = "balanced", supervision: str = "per_prefix") -> Task:
    """Recognise ``abab`` again and again.

    Parameters
    ----------
    words : {"balanced", "uniform", "language", "complement"}
        See `automata.tasks.token_laws.words_of`; lengths of balanced words are multiples of 4.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`.

    Returns
    -------
    Task
        Five states: four places in the block, and a sink.

    Notes
    -----
    "ABAB" of Liu et al. 2023: the same five states, labelled by the state or by whether a block
    is complete, as here; words there follow the pattern with a given probability.

    Examples
    --------
    >>> abab().targets_of("ababa")
    array([0, 0, 0, 1, 0])
    """
    language = DFA.from_partial([[1, -1], [-1, 2], [3, -1], [-1, 0]], accepting=[0], alphabet="ab")
    return recogniser("abab", language, words, supervision, published_versions(abab))


def repeat_01(*, words: str = "balanced", supervision: str = "per_prefix") -> Task:
    """Recognise ``01`` again and again.

    Parameters
    ----------
    words : {"balanced", "uniform", "language", "complement"}
        See `automata.tasks.token_laws.words_of`; lengths of balanced words are even.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`.

    Returns
    -------
    Task

    Notes
    -----
    "Repeat 01" of FLaRe (Butoi et al. 2025): members and others in equal shares, negatives being
    edited members or uniform strings, and one answer at the end.

    Examples
    --------
    >>> repeat_01().targets_of("0101")
    array([0, 1, 0, 1])
    """
    language = DFA.from_partial([[1, -1], [-1, 0]], accepting=[0], alphabet="01")
    return recogniser("repeat_01", language, words, supervision, published_versions(repeat_01))
