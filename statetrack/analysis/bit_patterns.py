"""Every state that a model can be in, bit for bit: a proof for all lengths where it ends.

The program ``model.step`` on one word, in the model's own precision, is a finite machine if the
bit patterns of its state that words lead to are finitely many. They are found breadth first, each
together with the state of the automaton.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from automata.validation import IntArray
from statetrack.analysis.horizon_prediction import is_right

if TYPE_CHECKING:
    from automata.tasks import AutomatonTask

State = list[tuple[Tensor, ...]]


@dataclass(frozen=True, eq=False)
class PatternSearch:
    """What was found in a search through the bit patterns of a model's state.

    Attributes
    ----------
    closed : bool
        All patterns were found, and every answer in them is right: so it is for words of all
        lengths.
    length : int
        All words up to this length are answered right.
    num_patterns : int
        Different patterns seen, the initial one included.
    failing_word : ndarray of int64, or None
        A shortest word that is answered wrong, where there is one among the words searched.
    """

    closed: bool
    length: int
    num_patterns: int
    failing_word: IntArray | None


def search_patterns(model: nn.Module, task: "AutomatonTask", max_steps: int) -> PatternSearch:
    """Follow all words, breadth first, merging those that lead to the same bits and the same state.

    Parameters
    ----------
    model : torch.nn.Module
        Any model with ``step`` and ``initial_state``; words go through it one at a time.
    task : AutomatonTask
    max_steps : int
        Most steps of the model.

    Returns
    -------
    PatternSearch

    Notes
    -----
    One step for every pattern, state and letter, a fraction of a millisecond each.
    """
    dfa, classes = task.dfa, task.state_classes
    read: Any = model
    with torch.no_grad():
        start: State = read.initial_state(1)
        numbers = {_bits(start): 0}
        # A node is a pattern with a state of the automaton; edges back to the first way there.
        seen = {(0, dfa.initial)}
        came_from: list[tuple[int, int]] = [(-1, -1)]
        level: list[tuple[int, State, int]] = [(0, start, dfa.initial)]
        length = steps = 0
        while level:
            if steps + len(level) * dfa.num_symbols > max_steps:
                return PatternSearch(False, length, len(numbers), None)
            following: list[tuple[int, State, int]] = []
            for node, state, source in level:
                for letter in range(dfa.num_symbols):
                    steps += 1
                    logits, after = read.step(torch.tensor([letter]), state)
                    target = int(dfa.transitions[source, letter])
                    if not _answers(logits, int(classes[target])):
                        word = [*_way(came_from, node), letter]
                        return PatternSearch(
                            False, length, len(numbers), np.array(word, dtype=np.int64)
                        )
                    pattern = numbers.setdefault(_bits(after), len(numbers))
                    if (pattern, target) not in seen:
                        seen.add((pattern, target))
                        following.append((len(came_from), after, target))
                        came_from.append((node, letter))
            level = following
            length += 1
        return PatternSearch(True, length, len(numbers), None)


def _bits(state: State) -> bytes:
    return b"".join(part.contiguous().numpy().tobytes() for layer in state for part in layer)


def _answers(logits: Tensor, target: int) -> bool:
    """Whether the target's logit is the only largest one."""
    values = logits.double().numpy()
    unique = int((values == values.max()).sum()) == 1
    return unique and bool(is_right(values, np.array([target]))[0])


def _way(came_from: list[tuple[int, int]], node: int) -> list[int]:
    letters: list[int] = []
    while node > 0:
        node, letter = came_from[node]
        letters.append(letter)
    return letters[::-1]
