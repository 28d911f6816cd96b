"""Right answers of a model, or of many at once, counted at every position of labelled words."""

import functools
from typing import NamedTuple

import torch
from torch import Tensor, nn

from automata.errors import InputError
from automata.tasks import Task
from statetrack.training.labelled_words import LabelledWords, RunWords
from statetrack.training.packed_model import PackedModel
from statetrack.training.word_families import WordFamily

Pack = nn.Module | PackedModel
"""``pack(tokens [P, B, T], state=None) -> (logits [P, B, T, C], state)``."""

TOKENS_PER_BATCH = 2**17
SEGMENT_LENGTH = 1024
MAX_TOKENS_WITHOUT_STATE = 2**22


class Counts(NamedTuple):
    """What is counted for P runs, N words each, of length L.

    Attributes
    ----------
    right : Tensor of int32, [P, L]
        Words right at a position.
    whole : Tensor of int32, [P, L]
        Words asked there and right at every position up to it.
    asked : Tensor of int32, [P, L]
        Words asked there.
    first_error : Tensor of int64, [P, N]
        Position of the first error, counted from 1; L + 1 where there is none.
    loss : Tensor of float64, [P, L], optional
        Cross-entropy added up over the words asked there, in nats.
    """

    right: Tensor
    whole: Tensor
    asked: Tensor
    first_error: Tensor
    loss: Tensor | None = None


class OneRun(nn.Module):
    """A single model, called as a pack of one.

    Parameters
    ----------
    model : torch.nn.Module
        ``model(tokens [B, T], state=None) -> (logits [B, T, C], state)``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, tokens: Tensor, *state: object) -> tuple[Tensor, object]:
        """Logits [1, B, T, C] of tokens [1, B, T], and the model's own state."""
        logits, after = self.model(tokens[0], *state)
        return logits.unsqueeze(0), after


@torch.no_grad()
def count_right(model: Pack, words: RunWords, *, with_loss: bool = False) -> Counts:
    """Count the right answers of a pack, carrying its state from segment to segment.

    Parameters
    ----------
    model : torch.nn.Module
        ``model(tokens [P, B, T], state=None) -> (logits [P, B, T, C], state)``. It is evaluated in
        evaluation mode and left in its own.
    words : RunWords
    with_loss : bool
        Measure the cross-entropy as well.

    Returns
    -------
    Counts
        On the device of the words; nothing is waited for.

    Raises
    ------
    InputError
        The model returns None for its state, and the words are too long to be read whole.

    Notes
    -----
    Logits that are not finite are wrong answers. Memory: about `TOKENS_PER_BATCH` tokens at once,
    and what is returned; time: every token is read once. A model whose state grows, such as a cache
    of keys, needs as much memory as its state.
    """
    was_training = model.training
    model.train(False)
    try:
        segment = min(words.length, max(4, SEGMENT_LENGTH // 4 * 4))
        counts = _count(model, words, segment, with_loss)
        if counts is None:
            tokens = words.num_runs * words.length
            if tokens > MAX_TOKENS_WITHOUT_STATE:
                raise InputError(
                    f"the model returns no state to carry on, so its words are read whole, and "
                    f"{words.num_runs} of length {words.length} are too many: the limit is "
                    f"{MAX_TOKENS_WITHOUT_STATE} tokens"
                )
            counts = _count(model, words, words.length, with_loss)
    finally:
        model.train(was_training)
    assert counts is not None
    return counts


def _count(model: Pack, words: RunWords, segment: int, with_loss: bool) -> Counts | None:
    """Count in segments; None if they cannot be joined since the model returns no state."""
    runs, length, device = words.num_runs, words.length, words.device
    right, whole, asked = torch.zeros(3, runs, length, dtype=torch.int32, device=device)
    first_error = torch.empty(runs, words.num_words, dtype=torch.int64, device=device)
    loss = torch.zeros(runs, length, dtype=torch.float64, device=device) if with_loss else None
    batch_size = min(words.max_items, max(1, TOKENS_PER_BATCH // (runs * segment)))
    for step in range(-(-words.num_words // batch_size)):
        here = slice(step * batch_size, (step + 1) * batch_size)
        whole_until = torch.zeros_like(first_error[:, here])
        state, begin = None, 0
        for tokens, targets, mask in words.read(step, batch_size, segment):
            end = begin + tokens.shape[-1]
            given = () if begin == 0 else (state,)
            logits, state = model(tokens.contiguous(), *given)
            if state is None and end < length:
                return None
            is_right = (logits.argmax(dim=-1) == targets) & logits.isfinite().all(dim=-1)
            wrong = mask & ~is_right
            still = wrong.cumsum(dim=-1, dtype=torch.int32) == 0
            still &= (whole_until == begin).unsqueeze(-1)
            whole_until += still.sum(dim=-1)
            right[:, begin:end] += (mask & is_right).sum(dim=1, dtype=torch.int32)
            whole[:, begin:end] += (mask & still).sum(dim=1, dtype=torch.int32)
            asked[:, begin:end] += mask.sum(dim=1, dtype=torch.int32)
            if loss is not None:
                loss[:, begin:end] += _cross_entropy(logits, targets, mask)
            begin = end
        first_error[:, here] = whole_until + 1
    return Counts(right, whole, asked, first_error, loss)


def _cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Sum [P, T] over the words of a batch, in nats, where something is asked."""
    logits = logits.float()
    chosen = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    losses = torch.where(mask, logits.logsumexp(dim=-1) - chosen, 0.0)
    return losses.sum(dim=1, dtype=torch.float64)


@functools.lru_cache(maxsize=32)
def majority_counts(
    task: Task,
    family: WordFamily,
    length: int,
    num_words: int,
    *,
    seed: int,
    split: str,
    device: torch.device,
) -> Tensor:
    """Count the words of the most frequent class at every position.

    Parameters
    ----------
    task, family, length, num_words, seed, split, device
        See `LabelledWords`.

    Returns
    -------
    Tensor of int64, [length]
        On the CPU; shared between calls, and not to be changed.

    Notes
    -----
    The words are drawn once more, all of them segment by segment, so that classes are counted for
    one segment at a time. Where words are drawn whole, [length, num_classes] counts are kept.
    """
    words = LabelledWords(task, family, length, num_words, seeds=[seed], split=split, device=device)
    segment = min(length, max(4, SEGMENT_LENGTH // 4 * 4))
    batch_size = min(words.max_items, max(1, TOKENS_PER_BATCH // segment))
    steps = range(-(-words.num_words // batch_size))
    starts = range(0, length, segment)
    counts = torch.zeros(length if words.automaton is None else segment, task.num_classes).to(
        device, torch.int64
    )
    largest = torch.zeros(length, dtype=torch.int64, device=device)
    if words.automaton is None:
        for step in steps:
            for begin, batch in zip(starts, words.read(step, batch_size, segment), strict=True):
                _add_classes(counts[begin : begin + segment], batch.targets, batch.mask)
        return counts.amax(dim=-1).cpu()
    readers = [words.read(step, batch_size, segment) for step in steps]
    for begin in starts:
        part = counts[: min(segment, length - begin)].zero_()
        for reader in readers:
            batch = next(reader)
            _add_classes(part, batch.targets, batch.mask)
        largest[begin : begin + segment] = part.amax(dim=-1)
    return largest.cpu()


def _add_classes(counts: Tensor, targets: Tensor, mask: Tensor) -> None:
    """Add the classes [1, num_items, T] that are asked for to counts [T, num_classes]."""
    length, num_classes = counts.shape
    cells = torch.where(mask, targets, 0)
    cells = cells + torch.arange(length, device=counts.device) * num_classes
    counts.view(-1).scatter_add_(0, cells.flatten(), mask.flatten().long())
