"""Many models of one shape as one: stacked parameters, one mapped forward pass."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from automata.errors import InputError

State = Any


class PackedModel:
    """P models that differ in their numbers alone.

    All parameters of a model lie in one row of `parameters`, so that an optimiser steps over one
    tensor; `views` gives them back by name.

    Parameters
    ----------
    models : sequence of torch.nn.Module
        Of one class and shape; ``model(tokens, state=None) -> (logits, state)``. Their parameters
        are float32 and are copied.

    Raises
    ------
    InputError
        No model, parameters of another type, or models of different shapes.

    Notes
    -----
    The forward pass is mapped over the models with `torch.func.vmap`; the scans fold the mapped
    axis into their batch. Cells of torch (`torch.nn.RNNBase`) cannot be mapped, and models with
    them run one after another, unless the layer around a cell has another way and says so:
    ``layer.maps_cells(device)``. A single model is called as it is, so that any module can be
    trained alone.

    Examples
    --------
    >>> from statetrack.models import build_model
    >>> pack = PackedModel([build_model("diagonal", 2, 2) for _ in range(3)])
    >>> logits, state = pack(torch.zeros(3, 4, 5, dtype=torch.int64))
    >>> logits.shape
    torch.Size([3, 4, 5, 2])
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        if not models:
            raise InputError("a pack needs at least one model")
        shapes = [{name: one.shape for name, one in model.named_parameters()} for model in models]
        if any(other != shapes[0] for other in shapes):
            raise InputError("the models of a pack have parameters of different shapes")
        for name, parameter in models[0].named_parameters():
            if parameter.dtype != torch.float32:
                raise InputError(f"parameter {name} is {parameter.dtype}: a pack needs float32")
        self.shapes: dict[str, torch.Size] = shapes[0]
        self.buffers = {
            name: torch.stack([dict(model.named_buffers())[name] for model in models])
            for name, _ in models[0].named_buffers()
        }
        with torch.no_grad():
            self.parameters = torch.stack(
                [
                    torch.cat([one.flatten() for one in model.parameters()])
                    if shapes[0]
                    else torch.zeros(0)
                    for model in models
                ]
            )
        self._skeleton = copy.deepcopy(models[0]).to("meta")
        self.training = models[0].training

    @property
    def size(self) -> int:
        """Number of models."""
        return self.parameters.shape[0]

    def train(self, mode: bool = True) -> "PackedModel":
        """Put all models into training mode, as `torch.nn.Module.train`."""
        self._skeleton.train(mode)
        self.training = mode
        return self

    def to(self, device: torch.device | str) -> "PackedModel":
        """The same pack on a device."""
        return self._with(
            self.parameters.to(device),
            {name: buffer.to(device) for name, buffer in self.buffers.items()},
        )

    def subset(self, places: Tensor) -> "PackedModel":
        """Copies of some models, as a pack of their own; a place may come more than once.

        Parameters
        ----------
        places : Tensor of int64, [size of the subset]
        """
        return self._with(
            self.parameters.index_select(0, places),
            {name: buffer.index_select(0, places) for name, buffer in self.buffers.items()},
        )

    def _with(self, parameters: Tensor, buffers: dict[str, Tensor]) -> "PackedModel":
        pack = copy.copy(self)
        pack.parameters, pack.buffers = parameters, buffers
        return pack

    def views(self, rows: Tensor) -> dict[str, Tensor]:
        """Rows [P, n] as tensors [P, ...] by parameter name, without a copy."""
        sizes = [shape.numel() for shape in self.shapes.values()]
        parts = rows.split(sizes, dim=-1)
        return {
            name: part.unflatten(-1, shape) if shape else part.squeeze(-1)
            for part, (name, shape) in zip(parts, self.shapes.items(), strict=True)
        }

    def __call__(
        self, tokens: Tensor, state: State = None, parameters: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Logits at every position of every model's words, and their states after them.

        Parameters
        ----------
        tokens : Tensor of int64, [P, B, T]
        state : optional
            What an earlier call returned.
        parameters : Tensor, [P, n], optional
            In the place of the pack's own.

        Returns
        -------
        logits : Tensor, [P, B, T, C]
        state
            With a leading axis P in every tensor.
        """
        weights = self.views(self.parameters if parameters is None else parameters)
        if self.size > 1 and _can_be_mapped(self._skeleton, tokens.device):
            mapped = vmap(self._run_mapped, in_dims=(0, 0, 0, None if state is None else 0))
            logits, after = mapped(weights, self.buffers, tokens, state)
            return logits, None if isinstance(after, tuple) and not after else after
        rows = {name: _rows(tensor) for name, tensor in weights.items()}
        runs = [
            self._run(
                {name: row[place] for name, row in rows.items()},
                _row(self.buffers, place),
                tokens[place],
                _state_row(state, place),
            )
            for place in range(self.size)
        ]
        logits = _stack([logits for logits, _ in runs])
        return logits, _stack_states([after for _, after in runs])

    def _run(
        self,
        weights: dict[str, Tensor],
        buffers: dict[str, Tensor],
        tokens: Tensor,
        state: State,
    ) -> tuple[Tensor, State]:
        logits, after = functional_call(self._skeleton, (weights, buffers), (tokens, state))
        return logits, after

    def _run_mapped(
        self,
        weights: dict[str, Tensor],
        buffers: dict[str, Tensor],
        tokens: Tensor,
        state: State,
    ) -> tuple[Tensor, State]:
        logits, after = self._run(weights, buffers, tokens, state)
        # What is mapped cannot return None, which is the state of a model that has none.
        return logits, () if after is None else after

    def weights(self, place: int) -> dict[str, Tensor]:
        """Parameters of one model by name, as its ``load_state_dict`` takes them."""
        return _row(self.views(self.parameters), place)


def _can_be_mapped(model: nn.Module, device: torch.device) -> bool:
    """Whether every cell of torch is in a layer that maps it on this device."""
    mapped = set()
    for layer in model.modules():
        maps_cells = getattr(layer, "maps_cells", None)
        if callable(maps_cells) and maps_cells(device):
            mapped |= {id(cell) for cell in layer.children()}
    return all(id(one) in mapped for one in model.modules() if isinstance(one, nn.RNNBase))


def _rows(tensor: Tensor) -> tuple[Tensor, ...]:
    """What belongs to every model; that of a single one is a view, and so is its gradient."""
    return (tensor.squeeze(0),) if len(tensor) == 1 else tensor.unbind(0)


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0].unsqueeze(0) if len(tensors) == 1 else torch.stack(list(tensors))


def _row(tensors: Mapping[str, Tensor], place: int) -> dict[str, Tensor]:
    return {name: tensor[place] for name, tensor in tensors.items()}


def _state_row(state: State, place: int) -> State:
    if state is None or isinstance(state, Tensor):
        return None if state is None else state[place]
    return type(state)(_state_row(part, place) for part in state)


def _stack_states(states: Sequence[State]) -> State:
    if states[0] is None or isinstance(states[0], Tensor):
        return None if states[0] is None else _stack(states)
    return type(states[0])(_stack_states(parts) for parts in zip(*states, strict=True))
