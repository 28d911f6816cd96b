"""The automaton that a trained model follows.

Shape suffixes: B words, T positions, P tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from automata.dfa import DFA
from automata.errors import InputError
from statetrack.analysis.model_states import ModelState, at_rest, read_words, repeat_state

if TYPE_CHECKING:
    from automata.tasks import Task

_MOST_ROUNDS = 100


@dataclass(frozen=True, eq=False)
class ExtractedDFA:
    """An automaton read from a model, beside the one of its task.

    Attributes
    ----------
    task : str
        Name of the task.
    dfa : DFA
        Minimal; its outputs are the classes the model says.
    true_dfa : DFA
        Minimal automaton of the task, with classes as outputs.
    equivalent : bool
        Whether the two are the same machine.
    distinguishing_word : tuple of int or None
        A shortest word on which they differ.
    model_fails : bool
        Whether the model itself is wrong at the end of that word; if not, `dfa` could not be
        refined far enough.
    fidelity : float
        Share of positions of fresh words at which `dfa` says what the model says.
    word_fidelity : float
        Share of those words on which it does at every position.
    accuracy : float
        Share of the positions at which the model is right.
    num_words, length : int
        Of the fresh words.
    complete : bool
        Whether refinement came to an end, rather than to the limit of states.
    suffixes : tuple of tuple of int
        Words that tell states apart by what the model says after them.
    access_words : tuple of tuple of int
        The word that leads to every state before minimisation.
    """

    task: str
    dfa: DFA
    true_dfa: DFA
    equivalent: bool
    distinguishing_word: tuple[int, ...] | None
    model_fails: bool
    fidelity: float
    word_fidelity: float
    accuracy: float
    num_words: int
    length: int
    complete: bool
    suffixes: tuple[tuple[int, ...], ...]
    access_words: tuple[tuple[int, ...], ...]

    def to_frame(self) -> pd.DataFrame:
        """Return one row.

        Returns
        -------
        DataFrame
            Columns task, equivalent, num_states, true_num_states, distinguishing_word (tokens
            with blanks between, empty if none), model_fails, fidelity, word_fidelity, accuracy,
            num_words, length, complete.
        """
        word = self.distinguishing_word
        row = {
            "task": self.task,
            "equivalent": self.equivalent,
            "num_states": self.dfa.num_states,
            "true_num_states": self.true_dfa.num_states,
            "distinguishing_word": "" if word is None else " ".join(map(str, word)),
            "model_fails": self.model_fails,
            "fidelity": self.fidelity,
            "word_fidelity": self.word_fidelity,
            "accuracy": self.accuracy,
            "num_words": self.num_words,
            "length": self.length,
            "complete": self.complete,
        }
        return pd.DataFrame([row])


def extract_dfa(
    model: nn.Module,
    task: "Task",
    *,
    num_words: int = 256,
    length: int = 64,
    seed: int = 0,
    max_states: int | None = None,
) -> ExtractedDFA:
    """Read the automaton that a model follows, and compare it with that of the task.

    Hidden states are put in one class while the model says the same after them: now, and after
    each word of a growing set of suffixes. Where the automaton of these classes and the model
    disagree, the place at which they part gives a suffix that splits a class. Words to disagree on
    are random ones, and shortest words on which the automaton differs from the true one.

    Parameters
    ----------
    model : torch.nn.Module
        ``model(tokens, state) -> (logits, state)``; its state can be carried.
    task : Task
        With an automaton; supervision "per_prefix", "final" or "membership".
    num_words, length : int
        Random words that are compared, from the split "report" (refinement) and, for the
        fidelity, as many others.
    seed : int
        Seed of the words.
    max_states : int, optional
        Classes beyond which refinement stops: a model whose state drifts has no end of them. By
        default twice the states of the task and 16 more.

    Returns
    -------
    ExtractedDFA

    Raises
    ------
    InputError
        The task has no automaton, or asks for nothing in some states.

    Notes
    -----
    The partition is that of Angluin's L* with the counterexamples of Rivest and Schapire (1993),
    for machines with outputs, on hidden states instead of words: one call of the model gives the
    successors of a state, whatever the length of the word that led there. A model says
    nothing before the first token: the initial state is given its true class. About
    ``states * suffixes`` calls on `num_tokens` words a round.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> from statetrack.models.constructions import parity_by_sign
    >>> extracted = extract_dfa(parity_by_sign(), get_task("parity"))
    >>> extracted.equivalent, extracted.dfa.transitions.tolist(), extracted.fidelity
    (True, [[0, 1], [1, 0]], 1.0)
    """
    true_dfa = _true_machine(task)
    if num_words < 1 or length < 1:
        raise InputError(f"num_words and length must be at least 1, not {num_words} and {length}")
    most = 2 * true_dfa.num_states + 16 if max_states is None else max_states
    if most <= task.num_classes:
        raise InputError(
            f"max_states = {max_states}: give more than the {task.num_classes} classes"
        )
    with at_rest(model):
        oracle = _Oracle(model, task.num_tokens)
        seen_BT = _words(task, seed, num_words, length, 0)
        said_BT = oracle.classes(seen_BT)
        best, complete = _refined(oracle, seen_BT, said_BT, true_dfa, most)
        fresh_BT = _words(task, seed, num_words, length, 1)
        answers_BT = oracle.classes(fresh_BT)
        dfa = best.dfa.minimize()
        word = dfa.distinguishing_word(true_dfa)
        fails = word is not None and oracle.says(word) != _output(true_dfa, word)
    same_BT = _outputs(dfa, fresh_BT) == answers_BT
    return ExtractedDFA(
        task=task.name,
        dfa=dfa,
        true_dfa=true_dfa,
        equivalent=word is None,
        distinguishing_word=None if word is None else tuple(word),
        model_fails=fails,
        fidelity=float(same_BT.mean()),
        word_fidelity=float(same_BT.all(axis=1).mean()),
        accuracy=float((_outputs(true_dfa, fresh_BT) == answers_BT).mean()),
        num_words=num_words,
        length=length,
        complete=complete,
        suffixes=tuple(best.suffixes),
        access_words=tuple(best.access_words),
    )


class _Oracle:
    """What the model says."""

    def __init__(self, model: nn.Module, num_tokens: int) -> None:
        self.model, self.num_tokens = model, num_tokens
        self._successors: dict[tuple[int, ...], tuple[NDArray[np.int64], ModelState]] = {}
        self._behind: dict[tuple[tuple[int, ...], tuple[int, ...]], NDArray[np.int64]] = {}

    def classes(self, tokens_BT: NDArray[np.int64]) -> NDArray[np.int64]:
        logits, _ = read_words(self.model, tokens_BT)
        return logits.argmax(axis=-1)

    def says(self, word: Sequence[int], state: ModelState | None = None) -> int:
        logits, _ = read_words(self.model, np.array([word]), state)
        return int(logits[0, -1].argmax())

    def successors(
        self, access: tuple[int, ...], state: ModelState | None
    ) -> tuple[NDArray[np.int64], ModelState]:
        """Class and state after each token, in one call; kept by the word that led there."""
        if access not in self._successors:
            tokens = np.arange(self.num_tokens)[:, None]
            before = None if state is None else repeat_state(state, 0, self.num_tokens)
            logits, after = read_words(self.model, tokens, before)
            self._successors[access] = logits[:, 0].argmax(axis=-1), after
        return self._successors[access]

    def behind(
        self, access: tuple[int, ...], after: ModelState, suffix: tuple[int, ...]
    ) -> NDArray[np.int64]:
        """Class that a suffix leads to from each of the successors."""
        if (access, suffix) not in self._behind:
            words = np.tile(np.array(suffix), (self.num_tokens, 1))
            logits, _ = read_words(self.model, words, after)
            self._behind[access, suffix] = logits[:, -1].argmax(axis=-1)
        return self._behind[access, suffix]


@dataclass(frozen=True, eq=False)
class _Machine:
    """The automaton of the classes of hidden states that a set of suffixes tells apart."""

    dfa: DFA
    states: list[ModelState | None]
    access_words: list[tuple[int, ...]]
    suffixes: list[tuple[int, ...]]

    @classmethod
    def build(
        cls, oracle: _Oracle, suffixes: list[tuple[int, ...]], true_dfa: DFA, most: int
    ) -> "_Machine | None":
        """Breadth first from the initial state; None beyond `most` states."""
        states: list[ModelState | None] = [None]
        access: list[tuple[int, ...]] = [()]
        outputs = [int(np.asarray(true_dfa.outputs)[true_dfa.initial])]
        known: dict[tuple[int, ...], int] = {}
        rows: list[list[int]] = []
        while len(rows) < len(states):
            word = access[len(rows)]
            said_P, after = oracle.successors(word, states[len(rows)])
            columns = [said_P, *(oracle.behind(word, after, suffix) for suffix in suffixes)]
            row = []
            for token, signature in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
                if signature not in known:
                    if len(states) > most:
                        return None
                    known[signature] = len(states)
                    states.append(repeat_state(after, token, 1))
                    access.append((*word, token))
                    outputs.append(int(signature[0]))
                row.append(known[signature])
            rows.append(row)
        dfa = DFA(rows, 0, outputs=outputs, alphabet=true_dfa.alphabet)
        return cls(dfa, states, access, list(suffixes))


def _refined(
    oracle: _Oracle,
    seen_BT: NDArray[np.int64],
    said_BT: NDArray[np.int64],
    true_dfa: DFA,
    most: int,
) -> tuple[_Machine, bool]:
    """Split classes until nothing speaks against the machine, or there are too many."""
    best = machine = _Machine.build(oracle, [], true_dfa, most)
    while machine is not None and best is not None:
        best = machine
        suffix = _difference(oracle, best, seen_BT, said_BT, true_dfa)
        if suffix is None:
            return best, True
        if suffix in best.suffixes or len(best.suffixes) == _MOST_ROUNDS:
            return best, False
        machine = _Machine.build(oracle, [*best.suffixes, suffix], true_dfa, most)
    if best is None:
        raise InputError(f"the model says more than {most} classes: raise max_states")
    return best, False


def _difference(
    oracle: _Oracle,
    machine: _Machine,
    seen_BT: NDArray[np.int64],
    said_BT: NDArray[np.int64],
    true_dfa: DFA,
) -> tuple[int, ...] | None:
    """A suffix that splits a state of the machine, or None if nothing speaks against it."""
    wrong_BT = _outputs(machine.dfa, seen_BT) != said_BT
    words = []
    if wrong_BT.any():
        first_B = np.where(wrong_BT.any(axis=1), wrong_BT.argmax(axis=1), seen_BT.shape[1])
        row = int(first_B.argmin())
        words.append(tuple(seen_BT[row, : first_B[row] + 1].tolist()))
    other = machine.dfa.distinguishing_word(true_dfa)
    if other and oracle.says(other) != _output(machine.dfa, other):
        words.append(tuple(other))
    return _splitting_suffix(oracle, machine, min(words, key=len)) if words else None


def _splitting_suffix(
    oracle: _Oracle, machine: _Machine, word: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Where what follows from the state kept for a class is not what follows from the model's."""
    path = machine.dfa.trace(np.array(word))
    wanted = oracle.says(word)
    for position in range(1, len(word)):
        suffix = word[position:]
        if oracle.says(suffix, machine.states[int(path[position])]) != wanted:
            return suffix
    return None


def _true_machine(task: "Task") -> DFA:
    dfa = task.dfa
    if dfa is None:
        raise InputError(
            f"task {task.name!r} has no automaton to compare with: give one with a dfa"
        )
    if task.supervision not in ("per_prefix", "final", "membership"):
        raise InputError(
            f"task {task.name!r} asks for {task.supervision}: an automaton is read from a model "
            "that says the class of a state (per_prefix, final or membership)"
        )
    supervised: Any = getattr(task, "supervised_states", np.ones(dfa.num_states, dtype=bool))
    if not supervised.all():
        raise InputError(
            f"task {task.name!r} asks for nothing in some states: what a model says there is free"
        )
    classes = getattr(task, "state_classes", np.arange(dfa.num_states))
    return DFA(dfa.transitions, dfa.initial, outputs=classes, alphabet=dfa.alphabet).minimize()


def _words(task: "Task", seed: int, num_words: int, length: int, step: int) -> NDArray[np.int64]:
    batch = task.sample(seed=seed, batch_size=num_words, length=length, split="report", step=step)
    return np.asarray(batch.tokens, dtype=np.int64)


def _outputs(dfa: DFA, tokens_BT: NDArray[np.int64]) -> NDArray[np.int64]:
    outputs = np.asarray(dfa.outputs)
    found: NDArray[np.int64] = outputs[dfa.trace(tokens_BT)[..., 1:]]
    return found


def _output(dfa: DFA, word: Sequence[int]) -> int:
    return int(_outputs(dfa, np.array([word], dtype=np.int64))[0, -1])
