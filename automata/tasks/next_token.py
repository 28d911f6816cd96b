"""Tasks that ask for the token that follows."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from automata.dfa import DFA
from automata.tasks.published import published_versions
from automata.tasks.task import Task
from automata.tasks.token_laws import TokenLaw, Walks
from automata.validation import BoolArray, IntArray
from automata.walks import random_weighted_dfa

__all__ = ["NextTokenTask", "weighted_automaton"]


class NextTokenTask(Task):
    """Predict every token from those before it; the last of a word has no target.

    Parameters
    ----------
    name : str
    law : TokenLaw
    dfa : DFA, optional
        An automaton whose state tells what may follow, for explanations and the card.
    alphabet, semantics, facts
        See `Task`.

    Examples
    --------
    >>> from automata.tasks.token_laws import UniformLetters
    >>> task = NextTokenTask("noise", UniformLetters(3))
    >>> print(task.explain([2, 0, 1]))
    position  token  target
           0      -       -
           1      2       0
           2      0       1
           3      1       -
    """

    def __init__(
        self,
        name: str,
        law: TokenLaw,
        *,
        dfa: DFA | None = None,
        alphabet: Sequence[Hashable] | None = None,
        semantics: int = 1,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            name, law, "next_token", alphabet=alphabet, semantics=semantics, facts=facts
        )
        self._dfa = dfa

    @property
    def dfa(self) -> DFA | None:
        """An automaton whose state tells what may follow, or None."""
        return self._dfa

    @property
    def num_classes(self) -> int:
        """Number of tokens."""
        return self.num_tokens

    def label(self, tokens: IntArray, lengths: IntArray) -> tuple[IntArray, BoolArray]:
        """Return the next token at every position but the last (see `Task.label`)."""
        targets = np.zeros_like(tokens)
        targets[:, :-1] = tokens[:, 1:]
        return targets, np.arange(tokens.shape[1]) < lengths[:, None] - 1

    def _key(self) -> tuple[object, ...]:
        return (*super()._key(), self._dfa)


def weighted_automaton(
    *,
    num_states: int = 8,
    num_symbols: int = 4,
    seed: int = 0,
    kind: str = "strongly_connected",
    max_weight: int = 100,
) -> Task:
    """Model the language of a random weighted automaton: predict the next symbol of its walks.

    Parameters
    ----------
    num_states, num_symbols : int
    seed : int
        Which automaton.
    kind : str
        Its structure (see `automata.walks.random_weighted_dfa`).
    max_weight : int
        Weights of the symbols in every state are uniform from 1 to this, then normalised.

    Returns
    -------
    Task
        Walks do not end by themselves. The fact ``least_loss`` of the card is the mean entropy of
        the next symbol, in nats, over the first 256 positions: no model can do better.

    Notes
    -----
    Svete, Borenstein and others 2024 train language models on random probabilistic automata
    (2,100 of them), with ends of words and weights from a low-rank matrix, and report the
    divergence from the true law.

    Examples
    --------
    >>> weighted_automaton(num_states=5, seed=3).facts["least_loss"]
    '1.296'
    """
    model = random_weighted_dfa(
        num_states, num_symbols, seed=seed, kind=kind, max_weight=max_weight
    )
    support = model.support()
    # What a state predicts tells it from others, not what it accepts.
    states = DFA(
        support.transitions,
        support.initial,
        support.accepting,
        support.alphabet,
        np.arange(support.num_states),
    )
    loss = float(model.entropies(256).mean())
    return NextTokenTask(
        "weighted_automaton",
        Walks(model, "walks of a random weighted automaton"),
        dfa=states,
        alphabet=model.alphabet,
        facts={
            "kind": kind,
            "least_loss": f"{loss:.3f}",
            **published_versions(weighted_automaton),
        },
    )
