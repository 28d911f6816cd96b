"""Labelled words for many runs at once, read piece by piece in constant memory."""

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from automata.errors import InputError
from automata.tasks import Task
from automata.tasks.automaton_task import AutomatonTask
from automata.tasks.token_laws import LanguageWords, UniformLetters
from automata.validation import BoolArray, IntArray
from statetrack.scans.automaton import automaton_scan
from statetrack.training.data import TensorBatch
from statetrack.training.word_families import FAMILIES, UniformFamily, WordFamily, WordPiece

MAX_DRAWN_TOKENS = 2**22
"""Tokens held at once where words can only be drawn whole."""


class LabelledWords:
    """The words of one task for several seeds.

    Words of an automaton whose letters can be drawn from anywhere are drawn, and the automaton run,
    piece by piece; nothing longer than a piece is held. Others are drawn whole.

    Parameters
    ----------
    task : Task
    family : WordFamily
    length, num_words : int
    seeds : sequence of int
    split : {"selection", "report"}
    device : torch.device

    Raises
    ------
    InputError
        The family has no words for the task, or whole words would be too large.
    """

    def __init__(
        self,
        task: Task,
        family: WordFamily,
        length: int,
        num_words: int,
        *,
        seeds: Sequence[int],
        split: str,
        device: torch.device,
    ) -> None:
        self.task, self.family, self.length = task, family, length
        self.seeds, self.split, self.device = tuple(seeds), split, device
        self.automaton = _automaton_task(task)
        if isinstance(family, UniformFamily):
            if self.automaton is not None and not _has_uniform_prefixes(self.automaton):
                self.automaton = None
        elif self.automaton is None:
            raise InputError(
                f"word family {family.name!r}: the targets of task {task.name!r} do not follow "
                "an automaton; measure it on family='uniform', its own words"
            )
        self.num_words = family.count(task, length, num_words)
        if self.num_words < 1:
            raise InputError(f"word family {family.name!r} has no words for task {task.name!r}")
        self.max_items = self.num_words
        if self.automaton is None:
            self.max_items = MAX_DRAWN_TOKENS // (len(self.seeds) * length)
            if self.max_items < 1:
                raise InputError(
                    f"words of task {task.name!r} are drawn whole, and {len(self.seeds)} of length "
                    f"{length} at once are too many: the limit is {MAX_DRAWN_TOKENS} tokens"
                )

    def read(self, step: int, batch_size: int, segment: int) -> Iterator[TensorBatch]:
        """Yield consecutive segments of one batch of words.

        Parameters
        ----------
        step, batch_size : int
            Words ``step * batch_size`` and on, up to the last one; at most `max_items` at once.
        segment : int
            Letters in a segment, a multiple of 4; the last one may be shorter.

        Yields
        ------
        TensorBatch
            Each [num_seeds, num_items, segment]; targets are arbitrary where the mask is False.
        """
        first_item = step * batch_size
        num_items = min(batch_size, self.num_words - first_item)
        if self.automaton is None:
            yield from self._read_whole(step, batch_size, num_items, segment)
            return
        shape = (len(self.seeds), num_items)
        transitions, classes, supervised = _tables(self.automaton, self.device)
        check = None if self.family in FAMILIES.values() else True
        state = torch.full(shape, self.automaton.dfa.initial, device=self.device)
        for begin in range(0, self.length, segment):
            size = min(segment, self.length - begin)
            piece = WordPiece(self.length, self.num_words, first_item, num_items, begin, size)
            drawn = self.family.letters(
                self.task, piece, seeds=self.seeds, split=self.split, device=self.device
            )
            tokens = drawn.to(self.device).expand(*shape, size)
            states, state = automaton_scan(transitions, tokens, state, check=check)
            targets = states if classes is None else classes[states]
            mask = supervised[states] if len(supervised) > 1 else supervised.expand(states.shape)
            yield TensorBatch(tokens, targets, mask)

    def _read_whole(
        self, step: int, batch_size: int, num_items: int, segment: int
    ) -> Iterator[TensorBatch]:
        batches = [
            self.task.sample(
                seed, batch_size=batch_size, length=self.length, split=self.split, step=step
            )
            for seed in self.seeds
        ]
        parts = [
            _complete_prefixes(self.task, batch.tokens) or (batch.targets, batch.mask)
            for batch in batches
        ]
        whole = [
            torch.from_numpy(np.stack(arrays)[:, :num_items])
            for arrays in ([batch.tokens for batch in batches], *zip(*parts, strict=True))
        ]
        for begin in range(0, self.length, segment):
            pieces = (tensor[..., begin : begin + segment].to(self.device) for tensor in whole)
            yield TensorBatch(*pieces)


class RunWords:
    """The words of several runs; what runs share is drawn once.

    Parameters
    ----------
    tasks : sequence of Task
        One for every run.
    seeds : sequence of int
        One for every run.
    family, length, num_words, split, device
        See `LabelledWords`.

    Raises
    ------
    InputError
        As `LabelledWords`; no run, or not as many words for every task.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        seeds: Sequence[int],
        *,
        family: WordFamily,
        length: int,
        num_words: int,
        split: str,
        device: torch.device,
    ) -> None:
        if not tasks or len(tasks) != len(seeds):
            raise InputError(f"{len(tasks)} task(s) and {len(seeds)} seed(s): give one for a run")
        asked: dict[Task, dict[int, None]] = {}
        for task, seed in zip(tasks, seeds, strict=True):
            asked.setdefault(task, {})[seed] = None
        self.sources = [
            LabelledWords(
                task, family, length, num_words, seeds=tuple(own), split=split, device=device
            )
            for task, own in asked.items()
        ]
        counts = {source.num_words for source in self.sources}
        if len(counts) > 1:
            raise InputError(f"word family {family.name!r}: the tasks have {sorted(counts)} words")
        rows = {
            pair: row for row, pair in enumerate((t, s) for t, own in asked.items() for s in own)
        }
        chosen = [rows[pair] for pair in zip(tasks, seeds, strict=True)]
        self.num_runs, self.length, self.device = len(tasks), length, device
        self.num_words = counts.pop()
        self.max_items = min(source.max_items for source in self.sources)
        self._rows: Tensor | None = None
        if len(rows) > 1 and chosen != list(range(len(rows))):
            self._rows = torch.tensor(chosen, device=device)

    def read(self, step: int, batch_size: int, segment: int) -> Iterator[TensorBatch]:
        """Yield consecutive segments [num_runs, num_items, segment] (see `LabelledWords.read`)."""
        readers = (source.read(step, batch_size, segment) for source in self.sources)
        for batches in zip(*readers, strict=True):
            yield TensorBatch(*(self._of_runs(parts) for parts in zip(*batches, strict=True)))

    def _of_runs(self, parts: Sequence[Tensor]) -> Tensor:
        joined = parts[0] if len(parts) == 1 else torch.cat(list(parts))
        if self._rows is not None:
            return joined[self._rows]
        return joined.expand(self.num_runs, *joined.shape[1:])


def _automaton_task(task: Task) -> AutomatonTask | None:
    """The task where its targets are those of its automaton, and no subclass has its own."""
    if not isinstance(task, AutomatonTask):
        return None
    kind = type(task)
    own = kind.label is AutomatonTask.label and kind.sample is Task.sample
    return task if own else None


def _has_uniform_prefixes(task: AutomatonTask) -> bool:
    """Whether letters are independent and uniform, and every prefix is a word of its own."""
    whole = bool(task.supervised_states.all())
    return isinstance(task.law, UniformLetters) and (whole or task.supervision != "final")


def _complete_prefixes(task: Task, tokens: IntArray) -> tuple[IntArray, BoolArray] | None:
    """Targets of prefixes that are words of their own where only the last letter is asked for.

    Prefixes in the language are uniform among its words of their length where its minimal automaton
    has one accepting state: each then goes on in as many ways. None for any other task.
    """
    automaton = _automaton_task(task)
    if automaton is None or automaton.supervision != "final":
        return None
    law = automaton.law
    if not isinstance(law, LanguageWords) or law.side != "language":
        return None
    if law.dfa.minimize().accepting.sum() != 1:
        return None
    lengths = np.full(len(tokens), tokens.shape[1])
    targets, asked = automaton.label(tokens, lengths)
    return targets, asked & law.dfa.accepting[law.dfa.trace(tokens)[:, 1:]]


@functools.lru_cache(maxsize=256)
def _tables(task: AutomatonTask, device: torch.device) -> tuple[Tensor, Tensor | None, Tensor]:
    """Transitions, the class of every state unless its own, and where something is asked."""
    narrow = torch.int16 if task.dfa.num_states < 2**15 else torch.int64
    transitions = torch.from_numpy(np.array(task.dfa.transitions)).to(device, narrow)
    own = np.array_equal(task.state_classes, np.arange(task.dfa.num_states))
    classes = None if own else torch.from_numpy(np.array(task.state_classes)).to(device)
    supervised = np.array(task.supervised_states)
    if supervised.all():
        supervised = supervised[:1]
    return transitions, classes, torch.from_numpy(supervised).to(device)
