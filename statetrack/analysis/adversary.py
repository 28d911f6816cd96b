"""The word that breaks a model first: predicted to first order, searched for, and run.

Shape suffixes: Q automaton states, P tokens, U V N the state of a model, C classes, M words.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import nn

from automata.errors import InputError
from automata.pair_graph import minimum_mean_cycle
from automata.validation import BoolArray, FloatArray, IntArray, as_integer, read_only
from statetrack.analysis.affine import AffineRecurrence, read_affine, require_all_asked
from statetrack.analysis.beam_search import beam_search
from statetrack.analysis.horizon_prediction import is_right
from statetrack.analysis.letter_products import word_states
from statetrack.analysis.periodic_words import (
    PeriodicFailure,
    first_periodic_failure,
    short_blocks,
)

if TYPE_CHECKING:
    from automata.tasks import AutomatonTask, Task

_MOST_PERIODIC = 4096
_MOST_PREDICTED = 512
_MOST_LAST_LETTERS = 8
_RANDOM_SHARES = (0.0, 0.5)


@dataclass(frozen=True, eq=False)
class AdversarialWord:
    """A word that a model gets wrong, found from its weights and run through it.

    Attributes
    ----------
    task : str
    word : ndarray, int64 [length]
        The answer after its last letter is wrong in float32, and right after every letter before.
    length : int
    found_by : str
        "cycle" (the cheapest cycle of pairs of states, repeated), "periodic" (a block of one to
        three letters, repeated) or "beam".
    float64_length : int or None
        Where the same letters, continued, first fail in float64; None if not within `cap`.
    predicted_length : float
        Where the cheapest cycle was predicted to fail, to first order; infinite where no cycle
        makes a margin shrink, NaN where classes have no margin to begin with.
    cycle : tuple of int
        Letters of that cycle.
    cycle_length : int or None
        Where that cycle, repeated, first failed in float32; None if not within `cap`.
    period : tuple of int
        Letters of the block that fails first when it is repeated, of up to three letters or those
        of the cycle, by the powers of its affine map in float64 (`first_periodic_failure`).
    period_predicted : float
        Where it was predicted to; infinite where no block is within `cap`.
    period_length : int or None
        Where it first failed in float32; None if not within `cap`.
    """

    task: str
    word: IntArray
    length: int
    found_by: str
    float64_length: int | None
    predicted_length: float
    cycle: tuple[int, ...]
    cycle_length: int | None
    period: tuple[int, ...]
    period_predicted: float
    period_length: int | None

    def __post_init__(self) -> None:
        read_only(self.word)

    def to_frame(self) -> pd.DataFrame:
        """One row: all but the word, which is written as letters between blanks."""
        row = {name: value for name, value in vars(self).items() if name != "word"}
        for name in ("word", "cycle", "period"):
            row[name] = " ".join(map(str, getattr(self, name)))
        return pd.DataFrame([row])


def adversarial_word(
    model: nn.Module,
    task: "Task",
    *,
    cap: int = 2048,
    beam: int = 32,
    beam_length: int = 512,
    centre_length: int = 32,
    seed: int = 0,
) -> AdversarialWord | None:
    """Find a short word that a model gets wrong.

    Parameters
    ----------
    model : torch.nn.Module
        As in `predict_horizon`.
    task : Task
        Of an automaton, in which every state is asked for.
    cap : int
        Longest word tried.
    beam : int
        Words kept for each state of the automaton in a beam search, fewer where more than 16,384
        would be tried at a letter; 0 leaves them out.
    beam_length : int
        Longest word of a beam search.
    centre_length : int
        Length of the words whose mean states are the centres of the classes.
    seed : int

    Returns
    -------
    AdversarialWord or None
        None where no word tried fails within `cap`.

    Raises
    ------
    InputError
        As `predict_horizon`.

    Notes
    -----
    Four kinds of words are run through the model, in float32 and step by step, on the CPU, and the
    one that fails first is returned: the cycle of least mean cost among pairs (true state, wrong
    state) with the costs of `pair_costs`, repeated, after the shortest way to it; the block of up
    to three letters whose repetition is predicted to fail first (`first_periodic_failure`); all
    words of period one and two, as many of period three as fit; and two beam searches
    (`beam_search`) that keep, for each state of the automaton, the words with the smallest margins,
    or half of them and as many random ones.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> from statetrack.models.constructions import parity_by_sign
    >>> adversarial_word(parity_by_sign(), get_task("parity"), cap=64) is None
    True
    """
    plain = require_all_asked(task, "adversarial_word")
    cap = as_integer(cap, "cap", 1, 2**20)
    recurrence = read_affine(model, task.num_tokens)
    predicted, cycle, cycle_word = _cheapest_cycle(recurrence, plain, cap, centre_length, seed)
    cycle_length = None
    found: list[tuple[int, str, IntArray]] = []
    if cycle:
        cycle_length = first_failure(model, plain, cycle_word[None])[0]
        if cycle_length is not None:
            found.append((cycle_length, "cycle", cycle_word))
    period = _first_period(recurrence, plain, cycle, cap)
    period_length = None
    if np.isfinite(period.length):
        period_word = np.resize(np.array(period.block, dtype=np.int64), cap)
        period_length = first_failure(model, plain, period_word[None])[0]
        if period_length is not None:
            found.append((period_length, "periodic", period_word))
    known = min((length for length, _, _ in found), default=cap)
    periodic = _periodic_words(task.num_tokens, known)
    for place, wrong_M in enumerate(_wrong_answers(model, plain, periodic), start=1):
        if wrong_M.any():
            found.append((place, "periodic", periodic[int(wrong_M.argmax())]))
            break
    shortest = min((length for length, _, _ in found), default=cap + 1)
    if beam > 0:
        for share in _RANDOM_SHARES:
            longest = min(beam_length, cap, shortest - 1)
            searched = beam_search(model, plain, beam, longest, random_share=share, seed=seed)
            if searched is not None:
                shortest = len(searched)
                found.append((shortest, "beam", searched))
    if not found:
        return None
    length, found_by, word = min(found, key=lambda one: one[0])
    double = recurrence.model
    continued = np.resize(word, cap) if found_by != "beam" else word
    return AdversarialWord(
        task.name,
        word[:length].copy(),
        length,
        found_by,
        first_failure(double, plain, continued[None])[0],
        predicted,
        cycle,
        cycle_length,
        period.block,
        period.length,
        period_length,
    )


def first_failure(model: nn.Module, task: "AutomatonTask", words: ArrayLike) -> list[int | None]:
    """Run words step by step through a model, and say how many letters each takes to fail.

    Parameters
    ----------
    model : torch.nn.Module
        Any model with ``step`` and ``initial_state``; its own precision is used.
    task : AutomatonTask
    words : array_like of int, [M, T]

    Returns
    -------
    list of int or None
        Position, from 1, of the first wrong answer.
    """
    word_MT = np.asarray(words, dtype=np.int64)
    failed = np.zeros(len(word_MT), dtype=np.int64)
    for place, wrong_M in enumerate(_wrong_answers(model, task, word_MT), start=1):
        failed = np.where(wrong_M & (failed == 0), place, failed)
        if failed.all():
            break
    return [int(length) if length else None for length in failed]


def _wrong_answers(
    model: nn.Module, task: "AutomatonTask", word_MT: IntArray
) -> Iterator[BoolArray]:
    """Whether each word is answered wrong, [M], letter by letter."""
    target_MT = task.state_classes[task.dfa.trace(word_MT)[:, 1:]]
    read: Any = model
    state = read.initial_state(len(word_MT))
    for place in range(word_MT.shape[1]):
        with torch.no_grad():
            logits, state = read.step(torch.from_numpy(word_MT[:, place]), state)
        yield ~is_right(logits.double().numpy(), target_MT[:, place])


def pair_costs(
    recurrence: AffineRecurrence,
    task: "AutomatonTask",
    *,
    centre_length: int = 32,
    num_words: int = 2048,
    seed: int = 0,
) -> tuple[FloatArray, FloatArray]:
    """What every letter takes from the margin between the true state and a wrong one.

    Parameters
    ----------
    recurrence : AffineRecurrence
    task : AutomatonTask
    centre_length, num_words, seed : int
        Words whose mean states are the centres of the states of the automaton.

    Returns
    -------
    costs : ndarray, float64 [Q, Q, P]
        To first order, the change of the margin between p and q that the defect of the letter
        makes: the normal of the margin at the next centre times the defect
        ``c_p A + b - c_{next p}``.
    margins : ndarray, float64 [Q, Q]
        Logit of the class of p minus that of q at the centre of p, averaged over the last letter;
        infinite where both are one class. Where there are
        many letters, over eight of them.

    Notes
    -----
    Theory: a state's error is the sum of the defects of its word, each moved on by the letters
    after it; where the decoder is equivariant, moving the error on and reading it later is
    reading it at once, so that costs add up along a path of pairs.
    """
    dfa, classes = task.dfa, task.state_classes
    centre_QUVN = _centres(recurrence, task, centre_length, num_words, seed)
    states = np.arange(dfa.num_states)
    last_letters = np.unique(
        np.linspace(0, dfa.num_symbols - 1, min(dfa.num_symbols, _MOST_LAST_LETTERS)).astype(int)
    )
    # The decoder sees a state through the letter that leads to it: take the state before.
    margins = np.zeros((dfa.num_states, dfa.num_states))
    normal_QQD = np.zeros((dfa.num_states, dfa.num_states, recurrence.initial.size))
    for token in last_letters.tolist():
        logits, gradients = _decoded_with_gradients(recurrence, centre_QUVN, token)
        here = classes[dfa.transitions[:, token]]
        own_Q1 = logits[states, here][:, None]
        margins += own_Q1 - logits[:, here]
        own_Q1D = gradients[states, here][:, None]
        normal_QQD += own_Q1D - gradients[:, here]
    margins, normal_QQD = margins / len(last_letters), normal_QQD / len(last_letters)
    margins[classes[:, None] == classes] = np.inf
    costs = np.zeros((dfa.num_states, dfa.num_states, dfa.num_symbols))
    for token in range(dfa.num_symbols):
        after = dfa.transitions[:, token]
        moved = recurrence.step(centre_QUVN, np.full(dfa.num_states, token))
        defect_QD = (moved - centre_QUVN[after]).reshape(dfa.num_states, -1)
        costs[:, :, token] = np.einsum("pqd,pd->pq", normal_QQD[after][:, after], defect_QD)
    return costs, margins


def _centres(
    recurrence: AffineRecurrence,
    task: "AutomatonTask",
    length: int,
    num_words: int,
    seed: int,
) -> FloatArray:
    """Mean state of random words, for every state of the automaton that they lead to."""
    centres = np.broadcast_to(recurrence.initial, (task.dfa.num_states, *recurrence.initial.shape))
    centres = centres.copy()
    # Two lengths, so that an automaton with a clock is met in all its states.
    lengths = [length, length + 1]
    pieces = list(word_states(recurrence, task.dfa, lengths, num_words=num_words, seed=seed))
    sources = np.concatenate([piece.sources for piece in pieces])
    states = np.concatenate([piece.states for piece in pieces])
    for state in np.unique(sources):
        centres[state] = states[sources == state].mean(axis=0)
    return centres


def _decoded_with_gradients(
    recurrence: AffineRecurrence, states_MUVN: FloatArray, token: int
) -> tuple[FloatArray, FloatArray]:
    """Logits [M, C] after a token, and their gradients by the state before it, [M, C, D]."""
    count = len(states_MUVN)
    states = torch.from_numpy(states_MUVN).requires_grad_()
    logits_MC = recurrence.logits(states, np.full(count, token))
    # A row depends on its own state alone, so one pass serves all rows.
    gradients = [
        torch.autograd.grad(column.sum(), states, retain_graph=True)[0].reshape(count, -1)
        for column in logits_MC.T
    ]
    return logits_MC.detach().numpy(), torch.stack(gradients, dim=1).numpy()


def _cheapest_cycle(
    recurrence: AffineRecurrence, task: "AutomatonTask", cap: int, centre_length: int, seed: int
) -> tuple[float, tuple[int, ...], IntArray]:
    """Predicted length, letters of the cycle, and a word of length cap that goes round it."""
    costs, margins = pair_costs(recurrence, task, centre_length=centre_length, seed=seed)
    nothing: IntArray = np.zeros(0, dtype=np.int64)
    if not (np.isfinite(costs).all() and (margins > 0).all()):
        return float("nan"), (), nothing
    cycle = minimum_mean_cycle(task.dfa, costs)
    if cycle is None:
        return float("inf"), (), nothing
    margin = float(margins[cycle.pairs[:, 0], cycle.pairs[:, 1]].min())
    predicted = margin / -cycle.mean if cycle.mean < 0 else float("inf")
    way = _shortest_way(task, int(cycle.pairs[0, 0]))
    word = np.concatenate([way, np.resize(cycle.letters, max(0, cap - len(way)))])[:cap]
    return predicted, tuple(int(letter) for letter in cycle.letters), word


def _shortest_way(task: "AutomatonTask", state: int) -> IntArray:
    """Shortest word from the initial state to another."""
    dfa = task.dfa
    ways: dict[int, tuple[int, ...]] = {dfa.initial: ()}
    queue = [dfa.initial]
    for one in queue:
        for letter, target in enumerate(dfa.transitions[one].tolist()):
            if target not in ways:
                ways[target] = (*ways[one], letter)
                queue.append(target)
    if state not in ways:
        raise InputError(f"no word leads to state {state}")
    return np.array(ways[state], dtype=np.int64)


def _first_period(
    recurrence: AffineRecurrence, task: "AutomatonTask", cycle: tuple[int, ...], cap: int
) -> PeriodicFailure:
    """The repeated block that is predicted to fail first, the cycle among them."""
    blocks = short_blocks(task.num_tokens, _MOST_PREDICTED)
    if cycle:
        blocks.append(np.array([cycle], dtype=np.int64))
    failures = [first_periodic_failure(recurrence, task, block, cap) for block in blocks]
    return min(failures, key=lambda failure: failure.length)


def _periodic_words(num_tokens: int, length: int) -> IntArray:
    """Words of period one, two and three, the shortest periods first, up to a number of them."""
    most = min(_MOST_PERIODIC, 2**21 // max(1, length))
    blocks = short_blocks(num_tokens, most)
    return np.stack([np.resize(block, length) for group in blocks for block in group])
