"""A sequence model as a machine: states carried by hand, and the class it says after every token.

Shape suffixes: B words, T positions, N numbers of a state.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automata.errors import InputError

ModelState = Sequence[tuple[Tensor, ...]]


@contextmanager
def at_rest(model: nn.Module) -> Iterator[None]:
    """Run a model without gradients and not in training mode, then put the mode back.

    Examples
    --------
    >>> layer = nn.Dropout()
    >>> with at_rest(layer):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    was_training = model.training
    model.train(False)
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def read_words(
    model: nn.Module, tokens: NDArray[Any] | Tensor, state: ModelState | None = None
) -> tuple[NDArray[np.float64], ModelState]:
    """Logits after every token, and the state after the last.

    Parameters
    ----------
    model : torch.nn.Module
        ``model(tokens, state) -> (logits [B, T, C], state)``, as all of `statetrack.models`.
    tokens : array of int [B, T]
    state : list of tuples of Tensor [B, ...], optional
        The model's own initial state by default.

    Returns
    -------
    logits : ndarray, float64 [B, T, C]
    state : list of tuples of Tensor

    Raises
    ------
    InputError
        The model gives something else, or logits that are not numbers.
    """
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    words = torch.as_tensor(np.asarray(tokens), dtype=torch.int64, device=device)
    found: Any = model(words) if state is None else model(words, state)
    if not (isinstance(found, tuple) and len(found) == 2):
        raise InputError(
            f"{type(model).__name__} gives {type(found).__name__}, expected (logits, state): "
            "its states cannot be followed"
        )
    logits, after = found
    if bool(logits.isnan().any()):
        raise InputError(f"{type(model).__name__} gives logits that are not numbers")
    values: NDArray[np.float64] = logits.to("cpu", torch.float64).numpy()
    return values, after


def repeat_state(state: ModelState, word: int, times: int) -> ModelState:
    """Take the state of one word of a batch, `times` over."""
    return [
        tuple(part[word : word + 1].expand(times, *part.shape[1:]) for part in layer)
        for layer in state
    ]


def state_vectors(state: ModelState, layer: int | None = None) -> NDArray[np.float64]:
    """Flatten the states of a batch to real vectors.

    Parameters
    ----------
    state : list of tuples of Tensor [B, ...]
    layer : int, optional
        Of one layer; of all together by default.

    Returns
    -------
    ndarray, float64 [B, N]

    Raises
    ------
    InputError
        A layer that the model does not have.

    Examples
    --------
    >>> state_vectors([(torch.tensor([[1.0 + 2.0j]]),)]).tolist()
    [[1.0, 2.0]]
    """
    if layer is not None and not 0 <= layer < len(state):
        raise InputError(f"there is no layer {layer}: the model has {len(state)}")
    chosen = state if layer is None else [state[layer]]
    parts = []
    for one in chosen:
        for tensor in one:
            real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
            parts.append(real.flatten(1).to("cpu", torch.float64))
    vectors: NDArray[np.float64] = torch.cat(parts, dim=1).numpy()
    return vectors
