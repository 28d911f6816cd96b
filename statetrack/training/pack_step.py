"""One optimisation step of the runs of a pack, over buffers that stay where they are.

On a GPU the step is captured once as a CUDA graph and replayed: words, forward, loss, backward,
clipping, optimiser. On the CPU the same function runs eagerly.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from statetrack.layers import cross_entropy
from statetrack.training.config import TrainingConfig
from statetrack.training.curricula import Stage
from statetrack.training.optimizer_kinds import OPTIMIZERS
from statetrack.training.optimizers import Rates, clip_factors
from statetrack.training.pack_words import StageWords
from statetrack.training.packed_model import PackedModel

WARM_UPS = 2


@dataclass
class PackState:
    """What belongs to every run of a pack; the first axis is the run.

    Attributes
    ----------
    parameters : Tensor, [P, n]
    slots : dict of str to Tensor, [P, n]
        What the optimiser remembers.
    steps : Tensor of int64, [P]
        Steps taken.
    losses : Tensor, [P]
        Loss of the last step.
    numbers : dict of str to Tensor of float64, [P]
        Settings of the optimiser.
    clip_norm : Tensor, [P]
        Largest norm of a gradient.
    """

    parameters: Tensor
    slots: dict[str, Tensor]
    steps: Tensor
    losses: Tensor
    numbers: dict[str, Tensor]
    clip_norm: Tensor

    @classmethod
    def initial(cls, parameters: Tensor, settings: Sequence[TrainingConfig]) -> "PackState":
        """Before the first step."""
        size, device = len(parameters), parameters.device
        kind = OPTIMIZERS.build(settings[0].optimizer)
        rows = [kind.numbers(one) for one in settings]
        numbers = {
            name: torch.tensor([row[name] for row in rows], dtype=torch.float64, device=device)
            for name in rows[0]
        }
        return cls(
            parameters,
            {name: torch.zeros_like(parameters) for name in kind.build(numbers).slots()},
            torch.zeros(size, dtype=torch.int64, device=device),
            parameters.new_full((size,), torch.nan),
            numbers,
            torch.tensor([one.clip_norm for one in settings], device=device),
        )

    def empty(self, size: int) -> "PackState":
        """Room for another number of runs."""

        def room(one: Tensor) -> Tensor:
            return one.new_empty(size, *one.shape[1:])

        return PackState(
            room(self.parameters),
            {name: room(one) for name, one in self.slots.items()},
            room(self.steps),
            room(self.losses),
            {name: room(one) for name, one in self.numbers.items()},
            room(self.clip_norm),
        )

    def read(self, source: "PackState", places: Tensor) -> None:
        """Copy the runs at some places of another state to here, one for every run."""
        for into, out in zip(self._tensors(), source._tensors(), strict=True):
            into.copy_(out.index_select(0, places))

    def write(self, target: "PackState", places: Tensor) -> None:
        """Copy the first ``len(places)`` runs to some places of another state."""
        for out, into in zip(self._tensors(), target._tensors(), strict=True):
            into.index_copy_(0, places, out[: len(places)])

    def _tensors(self) -> list[Tensor]:
        own = [self.parameters, self.steps, self.losses, self.clip_norm]
        return [*own, *self.slots.values(), *self.numbers.values()]


class PackStep:
    """The step of P runs at one stage; which runs of a pack they are changes from round to round.

    Parameters
    ----------
    model : PackedModel
        Of P runs; its parameters and buffers are overwritten.
    state : PackState
        Room for P runs.
    words : StageWords
    decays, shares : Tensor, [n]
        Whether weight decay applies to a number, and its share of the learning rate.
    stage : Stage
        Of which `supervised` may change.
    settings : TrainingConfig
        Of any of the runs; what is read here is equal for all.
    """

    def __init__(
        self,
        model: PackedModel,
        state: PackState,
        words: StageWords,
        decays: Tensor,
        shares: Tensor,
        stage: Stage,
        settings: TrainingConfig,
    ) -> None:
        device = state.parameters.device
        self.state = state
        self._model, self._words = model, words
        self._trained = state.parameters.detach().requires_grad_()
        self._projections = settings.projections
        self._optimizer = OPTIMIZERS.build(settings.optimizer).build(state.numbers)
        self._decays, self._shares = decays, shares
        self._counts = torch.ones(stage.length, dtype=torch.bool, device=device)
        self._ones = torch.ones(model.size, device=device)
        self._rates = torch.zeros(
            model.size, settings.select_every, dtype=torch.float64, device=device
        )
        self._place = torch.zeros(1, dtype=torch.int64, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._side = torch.cuda.Stream(device) if device.type == "cuda" else None

    @property
    def size(self) -> int:
        """Number of runs."""
        return self._model.size

    def load(
        self,
        pack: PackState,
        model: PackedModel,
        places: Sequence[int],
        rates: Sequence[Sequence[float]],
        supervised: int,
    ) -> None:
        """Take over some runs of a pack.

        Parameters
        ----------
        pack : PackState
        model : PackedModel
            Of the whole pack.
        places : sequence of int
            One for each of the P runs.
        rates : sequence of sequence of float
            Learning rates of the steps to come, for each.
        supervised : int
            Positions that count.
        """
        chosen = torch.tensor(places, device=self.state.steps.device)
        self.state.read(pack, chosen)
        for name, buffer in self._model.buffers.items():
            buffer.copy_(model.buffers[name].index_select(0, chosen))
        self._words.load(places)
        table = torch.tensor(rates, dtype=torch.float64)
        self._rates[:, : table.shape[1]].copy_(table)
        self.rewind()
        self._counts.copy_(torch.arange(len(self._counts)) < supervised)

    def rewind(self) -> None:
        """Take the next step with the first of the loaded learning rates again."""
        self._place.zero_()

    def run(self, first: Sequence[int], count: int, pause: Callable[[int], bool]) -> int:
        """Take steps.

        Parameters
        ----------
        first : sequence of int
            Steps that every run has taken so far.
        count : int
        pause : callable
            ``pause(steps taken here)``, asked before every step but the first; True ends early.

        Returns
        -------
        int
            Steps taken.
        """
        for taken in range(count):
            if taken and pause(taken):
                return taken
            self._words.prepare([step + taken for step in first])
            self._advance()
        return count

    def _advance(self) -> None:
        if self.state.parameters.device.type != "cuda":
            self.take()
            return
        if self._graph is None:
            self._graph = self._capture()
        self._graph.replay()

    def _capture(self) -> torch.cuda.CUDAGraph:
        """Record the step; the buffers are as before when this returns."""
        state = self.state
        changed = (state.parameters, *state.slots.values(), state.steps, self._place)
        before = [tensor.clone() for tensor in changed]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self.take()
                self._place.zero_()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            self.take()
        for tensor, old in zip(changed, before, strict=True):
            tensor.copy_(old)
        return graph

    @contextmanager
    def _labels(self) -> Iterator[Callable[[], tuple[Tensor, Tensor]]]:
        """Targets, and which count; a GPU computes them beside what comes before the call."""
        side = self._side
        if side is None:
            targets, mask = self._words.labels(self.state.steps)
            yield lambda: (targets, mask & self._counts)
            return
        current = torch.cuda.current_stream()
        side.wait_stream(current)

        def joined() -> tuple[Tensor, Tensor]:
            current.wait_stream(side)
            return targets, mask

        try:
            with torch.cuda.stream(side):
                targets, mask = self._words.labels(self.state.steps)
                mask = mask & self._counts
            yield joined
        finally:
            current.wait_stream(side)

    def take(self) -> None:
        """Take one step with the next learning rate, as a graph records it."""
        state = self.state
        with torch.enable_grad(), precision_of_projections(self._projections, state.parameters):
            tokens = self._words.tokens(state.steps)
            with self._labels() as labels:
                logits, _ = self._model(tokens, parameters=self._trained)
                losses = cross_entropy(logits, *labels())
            (gradient,) = torch.autograd.grad(losses, self._trained, self._ones)
        with torch.no_grad():
            state.steps.add_(1)
            state.losses.copy_(losses)
            rates = self._rates.index_select(1, self._place).squeeze(1)
            self._place.add_(1)
            self._optimizer.update(
                state.parameters,
                gradient,
                state.slots,
                Rates(
                    learning_rate=rates,
                    clip_factor=clip_factors(gradient, state.clip_norm),
                    step=state.steps,
                    share=self._shares,
                    decays=self._decays,
                ),
            )


@contextmanager
def precision_of_projections(projections: str, like: Tensor) -> Iterator[None]:
    """Precision of the matrix products outside the recurrences while the body runs.

    Parameters
    ----------
    projections : {"float32", "tensorfloat32", "bfloat16"}
    like : Tensor
        On the device in question.
    """
    if projections == "bfloat16":
        # The cache would keep casts of weights that have changed since.
        with torch.autocast(like.device.type, torch.bfloat16, cache_enabled=False):
            yield
        return
    is_rough = projections == "tensorfloat32"
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if is_rough else "highest")
    torch.backends.cudnn.allow_tf32 = is_rough
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
