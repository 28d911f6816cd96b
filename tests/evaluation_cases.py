"""Models whose accuracy is known exactly, and what evaluation makes of them."""

import numpy as np
import torch
from torch import nn

from statetrack.scans.automaton import automaton_scan
from statetrack.training import evaluate

ARRAYS = ("lengths", "num_right", "num_whole", "num_majority", "num_asked", "first_error")


def measured(*arguments, **keywords):
    return evaluate(*arguments, **keywords).to_frame()


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS)


class Follower(nn.Module):
    """Runs the automaton with its state carried; errs where `is_wrong(states, positions)` says so.

    Any leading axes, so it is its own pack.
    """

    def __init__(self, task, is_wrong=lambda states, positions: torch.zeros_like(states).bool()):
        super().__init__()
        self.task, self.is_wrong, self.shapes = task, is_wrong, []

    def forward(self, tokens, state=None):
        self.shapes.append(tuple(tokens.shape))
        dfa = self.task.dfa
        before, position = (dfa.initial, 0) if state is None else state
        device = tokens.device
        table = torch.from_numpy(np.array(dfa.transitions)).to(device)
        states, after = automaton_scan(table, tokens, before)
        end = position + tokens.shape[-1]
        positions = torch.arange(position + 1, end + 1, device=device)
        wrong = self.is_wrong(states, positions).long()
        answers = torch.from_numpy(np.array(self.task.state_classes)).to(device)[states]
        answers = (answers + wrong) % self.task.num_classes
        return nn.functional.one_hot(answers, self.task.num_classes).float(), (after, end)


def sometimes(states, positions):
    """Errors that begin late in some words, and depend on state and position."""
    return (states == 1) & (positions % 37 > 33)


class Oracle(nn.Module):
    """Runs the automaton: right everywhere, or wrong at chosen (word, position) places."""

    def __init__(self, task, is_wrong=lambda tokens: torch.zeros_like(tokens, dtype=torch.bool)):
        super().__init__()
        self.task, self.is_wrong = task, is_wrong
        self.batch_sizes = []

    def forward(self, tokens, state=None):
        self.batch_sizes.append(len(tokens))
        targets = torch.from_numpy(self.task.targets_of(tokens.numpy()))
        wrong = self.is_wrong(tokens).long()
        answers = (targets + wrong) % self.task.num_classes
        return nn.functional.one_hot(answers, self.task.num_classes).float(), state


class Constant(nn.Module):
    def __init__(self, num_classes, answer):
        super().__init__()
        logits = torch.zeros(num_classes)
        logits[answer] = 1.0
        self.logits = logits

    def forward(self, tokens, state=None):
        return self.logits.expand(*tokens.shape, -1), state
