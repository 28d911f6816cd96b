"""Search for a wrong answer among words whose margins are small."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from automata.validation import FloatArray, IntArray
from statetrack.analysis.horizon_prediction import class_margins, is_right

if TYPE_CHECKING:
    from automata.tasks import AutomatonTask

_MOST_IN_A_STEP = 2**14


def beam_search(
    model: nn.Module,
    task: "AutomatonTask",
    beam: int,
    length: int,
    *,
    random_share: float = 0.0,
    seed: int = 0,
) -> IntArray | None:
    """Follow words letter by letter until one is answered wrong.

    Parameters
    ----------
    model : torch.nn.Module
        Any model with ``step`` and ``initial_state``; its own precision is used.
    task : AutomatonTask
    beam : int
        Words kept for each state of the automaton, fewer where more than 16,384 would be tried at a
        letter.
    length : int
        Longest word tried.
    random_share : float
        Share of the words kept that is drawn from all others; the rest are those with the smallest
        margins. An error that grows unseen before it costs any margin is only found by the former.
    seed : int
        Of that draw.

    Returns
    -------
    ndarray of int64 [T] or None
        A word whose last answer is wrong, or None.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> from statetrack.models.constructions import parity_by_sign
    >>> beam_search(parity_by_sign(), get_task("parity"), beam=4, length=8) is None
    True
    """
    dfa, classes = task.dfa, task.state_classes
    read: Any = model
    random = np.random.default_rng(seed)
    most = max(1, min(beam, _MOST_IN_A_STEP // (dfa.num_states * dfa.num_symbols)))
    smallest = most - int(random_share * most)
    words: IntArray = np.zeros((1, 0), dtype=np.int64)
    states = np.array([dfa.initial])
    with torch.no_grad():
        memory = read.initial_state(1)
        for _ in range(length):
            parents = np.repeat(np.arange(len(words)), dfa.num_symbols)
            letters = np.tile(np.arange(dfa.num_symbols), len(words))
            before = [tuple(part[torch.from_numpy(parents)] for part in layer) for layer in memory]
            logits, after = read.step(torch.from_numpy(letters), before)
            values = logits.double().numpy()
            targets = dfa.transitions[states[parents], letters]
            margin = class_margins(values, classes[targets])
            worst = int(np.argmin(margin))
            if not is_right(values, classes[targets])[worst]:
                found: IntArray = np.append(words[parents[worst]], letters[worst])
                return found
            chosen = _ranks(targets, margin) < smallest
            # Words chosen by margin go first, then the others in random order.
            order = np.where(chosen, -1.0, random.random(len(targets)))
            kept = np.flatnonzero(chosen | (_ranks(targets, order) < most))
            memory = [tuple(part[torch.from_numpy(kept)] for part in layer) for layer in after]
            words = np.concatenate([words[parents[kept]], letters[kept][:, None]], axis=1)
            states = targets[kept]
    return None


def _ranks(groups: IntArray, values: FloatArray) -> IntArray:
    """Place of every value among those of its group, from 0."""
    order = np.lexsort((values, groups))
    ranks: IntArray = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order)) - np.searchsorted(groups[order], groups[order])
    return ranks
