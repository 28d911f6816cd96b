"""Fresh words for every run of a pack at every step."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from automata.tasks import Task
from automata.tasks.automaton_task import AutomatonTask
from statetrack.scans.automaton import uniform_letters, uniform_words
from statetrack.training.curricula import Stage
from statetrack.training.data import TensorBatch


class StageWords(Protocol):
    """Training words of some runs of a pack at one stage of their curricula.

    All tensors of a batch have a leading axis over these runs: [P, batch, length].
    """

    def load(self, places: Sequence[int]) -> None:
        """Say whose words are drawn from now on: one place in the pack for each of the P runs."""
        ...

    def prepare(self, steps: Sequence[int]) -> None:
        """Do what only the host can do before the words of these steps, one a run, are drawn."""
        ...

    def tokens(self, steps: Tensor) -> Tensor:
        """Words of step ``steps[p]`` for every run p; may be captured in a CUDA graph."""
        ...

    def labels(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Targets of the same words, and which of them count; may be captured beside the model."""
        ...


class PackWords:
    """Fresh words for the runs of a pack, drawn on the device where their tasks allow it.

    Parameters
    ----------
    tasks, seeds : sequence
        One of each per run of the pack.
    batch_size : int
    device : torch.device
    """

    def __init__(
        self, tasks: Sequence[Task], seeds: Sequence[int], batch_size: int, device: torch.device
    ) -> None:
        self._tasks, self._seeds, self._batch_size = tasks, seeds, batch_size
        self._device = device
        plain = [task for task in tasks if isinstance(task, AutomatonTask) and task.is_plain]
        is_drawn_there = device.type != "cpu" and len(plain) == len(tasks)
        self._automata = _JoinedAutomata(plain, seeds, device) if is_drawn_there else None

    def at_stage(self, size: int, stage: Stage) -> StageWords:
        """Room for the words of `size` runs at a stage; what it supervises is left to the loss."""
        if self._automata is not None and stage.shortest == stage.length:
            return _DeviceWords(self._automata, size, self._batch_size, stage)
        return _HostWords(self._tasks, self._seeds, size, self._batch_size, stage, self._device)


class _HostWords:
    """Words of any task, drawn in numpy and copied over."""

    def __init__(
        self,
        tasks: Sequence[Task],
        seeds: Sequence[int],
        size: int,
        batch_size: int,
        stage: Stage,
        device: torch.device,
    ) -> None:
        self._tasks, self._seeds = tasks, seeds
        self._places: Sequence[int] = ()
        self._batch_size, self._num_words = batch_size, stage.words(batch_size)
        is_fixed = stage.shortest == stage.length
        self._length = stage.length if is_fixed else (stage.shortest, stage.length)
        shape = (size, self._num_words, stage.length)
        self._batch = TensorBatch(
            torch.zeros(shape, dtype=torch.int64, device=device),
            torch.zeros(shape, dtype=torch.int64, device=device),
            torch.zeros(shape, dtype=torch.bool, device=device),
        )

    def load(self, places: Sequence[int]) -> None:
        self._places = places

    def prepare(self, steps: Sequence[int]) -> None:
        drawn = [
            self._tasks[place].sample(
                self._seeds[place], batch_size=self._batch_size, length=self._length, step=step
            )
            for place, step in zip(self._places, steps, strict=True)
        ]
        # Behind the end of a word stands a symbol of the task, any: models know no padding token.
        taken = slice(self._num_words)
        columns: tuple[list[np.ndarray], ...] = (
            [np.where(batch.valid, batch.tokens, 0)[taken] for batch in drawn],
            [batch.targets[taken] for batch in drawn],
            [batch.mask[taken] for batch in drawn],
        )
        for into, column in zip(self._batch, columns, strict=True):
            into.copy_(torch.from_numpy(np.stack(column)))

    def tokens(self, steps: Tensor) -> Tensor:
        return self._batch.tokens

    def labels(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        return self._batch.targets, self._batch.mask


class _JoinedAutomata:
    """Plain automaton tasks of equal supervision, side by side in one table."""

    def __init__(
        self, tasks: Sequence[AutomatonTask], seeds: Sequence[int], device: torch.device
    ) -> None:
        distinct = list(dict.fromkeys(tasks))
        ends = np.cumsum([task.dfa.num_states for task in distinct])
        offsets = dict(zip(distinct, [0, *ends.tolist()], strict=False))
        table = np.concatenate([np.asarray(t.dfa.transitions) + offsets[t] for t in distinct])
        narrow = torch.int16 if len(table) < 2**15 else torch.int64
        self.transitions = torch.from_numpy(table).to(device, narrow)
        classes = np.concatenate([np.asarray(task.state_classes) for task in distinct])
        self.classes = torch.from_numpy(classes).to(device)
        starts = [offsets[task] + task.dfa.initial for task in tasks]
        self.starts = torch.tensor(starts, dtype=torch.int64, device=device)
        self.seeds = torch.tensor(list(seeds), dtype=torch.int64, device=device)
        self.only_last = tasks[0].supervision == "final"


class _DeviceWords:
    """Uniform words of plain automaton tasks, drawn and labelled on the device."""

    def __init__(self, automata: _JoinedAutomata, size: int, batch_size: int, stage: Stage) -> None:
        self._automata, self._batch_size, self._length = automata, batch_size, stage.length
        self._num_words = stage.words(batch_size)
        self._starts = automata.starts.new_zeros(size)
        self._seeds = automata.seeds.new_zeros(size)
        shape = (size, self._num_words, stage.length)
        self._mask = automata.seeds.new_ones(shape, dtype=torch.bool)
        if automata.only_last:
            self._mask[..., :-1] = False

    def load(self, places: Sequence[int]) -> None:
        chosen = torch.tensor(places, device=self._starts.device)
        self._starts.copy_(self._automata.starts.index_select(0, chosen))
        self._seeds.copy_(self._automata.seeds.index_select(0, chosen))

    def prepare(self, steps: Sequence[int]) -> None:
        pass

    def tokens(self, steps: Tensor) -> Tensor:
        return uniform_letters(
            self._automata.transitions.shape[1],
            self._length,
            steps * self._batch_size,
            self._num_words,
            seed=self._seeds,
            device=self._seeds.device,
        )

    def labels(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """The words are drawn once more: reading them would wait for the other drawing."""
        targets = uniform_words(
            self._automata.transitions,
            self._length,
            steps * self._batch_size,
            self._num_words,
            seed=self._seeds,
            initial=self._starts,
            outputs=self._automata.classes,
            keep_states=False,
        ).labels
        assert targets is not None
        if self._automata.only_last:
            targets = torch.where(self._mask, targets, 0)
        return targets, self._mask
