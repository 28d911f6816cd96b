"""The transition matrix that a trained model applies for every token.

Shape suffixes: B words, T positions, P tokens, H heads, N state size, M occurrences.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automata.errors import InputError
from statetrack.analysis.naming import token_names

if TYPE_CHECKING:
    from automata.tasks import Task

CONTEXT_FREE_DISPERSION = 0.05
"""Above this share of spread a transition is not a function of the token alone."""

_POSITIONS_PER_CALL = 256
_MOST_DRAWS = 16


@dataclass(frozen=True, eq=False)
class LayerTransitions:
    """What one layer does to its state at every token.

    Attributes
    ----------
    layer : int
        Position of the layer in the model.
    matrices : ndarray, float64 or complex128 [num_tokens, heads, N, N]
        Mean transition over all occurrences of the token, in row form: a state row ``h``
        becomes ``h @ matrices[token, head]``, so that a word is the product from left to right.
    dispersion : ndarray, float64 [num_tokens, heads]
        ``E|A - mean A|^2 / E|A|^2`` within a token, in Frobenius norm: 0 when the transition
        depends on the token alone, 1 when its mean is zero.
    occurrences : ndarray, int64 [num_tokens]
        Number of positions that the means are taken over.
    """

    layer: int
    matrices: NDArray[Any]
    dispersion: NDArray[np.float64]
    occurrences: NDArray[np.int64]

    def __post_init__(self) -> None:
        for array in (self.matrices, self.dispersion, self.occurrences):
            array.setflags(write=False)

    @property
    def num_heads(self) -> int:
        """Number of heads; for a diagonal layer, of channels."""
        return int(self.matrices.shape[1])

    @property
    def size(self) -> int:
        """Side N of every matrix."""
        return int(self.matrices.shape[-1])


@dataclass(frozen=True, eq=False)
class Transitions:
    """The learned transitions of a model, one entry per layer that has linear ones.

    Attributes
    ----------
    task : str
        Name of the task whose tokens were read.
    token_names : tuple of str
        One name for every token.
    layers : tuple of LayerTransitions
        Layers without a linear transition are left out; `LayerTransitions.layer` says which
        layer each entry is.
    """

    task: str
    token_names: tuple[str, ...]
    layers: tuple[LayerTransitions, ...]

    def layer(self, index: int) -> LayerTransitions:
        """Return the transitions of the layer at position `index` of the model.

        Raises
        ------
        InputError
            That layer has no linear transition, or does not exist.
        """
        for entry in self.layers:
            if entry.layer == index:
                return entry
        known = ", ".join(str(entry.layer) for entry in self.layers)
        raise InputError(f"layer {index} has no linear transition; those that have: {known}")

    def heads(self) -> Iterator[tuple[int, int, NDArray[Any]]]:
        """Yield ``(layer, head, matrices [num_tokens, N, N])`` for every head of every layer."""
        for entry in self.layers:
            for head in range(entry.num_heads):
                yield entry.layer, head, entry.matrices[:, head]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per layer, head and token.

        Returns
        -------
        DataFrame
            Columns layer, head, token, token_name, size, norm (Frobenius norm over sqrt(N): 1 for
            an orthogonal matrix), dispersion, context_free (dispersion at most
            `CONTEXT_FREE_DISPERSION`), occurrences.
        """
        parts = []
        for entry in self.layers:
            num_tokens, num_heads = entry.dispersion.shape
            token_PH, head_PH = np.indices((num_tokens, num_heads))
            norm_PH = np.linalg.norm(entry.matrices, axis=(-2, -1)) / np.sqrt(entry.size)
            parts.append(
                pd.DataFrame(
                    {
                        "layer": entry.layer,
                        "head": head_PH.ravel(),
                        "token": token_PH.ravel(),
                        "token_name": np.array(self.token_names)[token_PH.ravel()],
                        "size": entry.size,
                        "norm": norm_PH.ravel(),
                        "dispersion": entry.dispersion.ravel(),
                        "context_free": (entry.dispersion <= CONTEXT_FREE_DISPERSION).ravel(),
                        "occurrences": entry.occurrences[token_PH.ravel()],
                    }
                )
            )
        frame = pd.concat(parts, ignore_index=True)
        return frame.sort_values(["layer", "head", "token"], ignore_index=True)


def extract_transitions(
    model: nn.Module,
    task: "Task",
    *,
    num_words: int = 64,
    length: int = 16,
    seed: int = 0,
    split: str = "selection",
) -> Transitions:
    """Read the transition matrix of every token out of a model.

    The model reads random words of the task, and the transitions at all occurrences of a token
    are averaged. In the first layer of a model without convolutions they are all equal; in deeper
    layers they may depend on what came before, and `LayerTransitions.dispersion` says how much.

    Parameters
    ----------
    model : torch.nn.Module
        Has ``transitions(tokens int64 [B, T])``, which gives for every layer a tensor
        [B, T, heads, N, N] in row form, or None. Its mode (train or eval) is left as it was.
    task : Task
        Gives the words and the names of the tokens.
    num_words, length : int
        Number and length of the words of one draw. More are drawn until every token was seen.
    seed : int
        Seed of the words.
    split : str
        The stream that the words come from.

    Returns
    -------
    Transitions
        Means and dispersions in double precision, on the CPU.

    Raises
    ------
    InputError
        The model has no linear transition, gives values that are not finite or of the wrong
        shape, or some token never occurs.

    Notes
    -----
    Costs one forward pass over ``num_words * length`` tokens and holds the matrices of 256
    positions at a time.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> class Sign(nn.Module):
    ...     def transitions(self, tokens):
    ...         return [(1.0 - 2.0 * tokens)[..., None, None, None]]
    >>> extract_transitions(Sign(), get_task("parity")).layers[0].matrices.ravel()
    array([ 1., -1.])
    """
    if num_words < 1 or length < 1:
        raise InputError(f"num_words and length must be at least 1, not {num_words} and {length}")
    if not callable(getattr(model, "transitions", None)):
        raise InputError(
            f"{type(model).__name__} has no method transitions(tokens): "
            "its state does not move by matrices that could be read"
        )
    totals: dict[int, _Total] = {}
    counts_P = np.zeros(task.num_tokens, dtype=np.int64)
    was_training = model.training
    model.eval()
    try:
        for draw in range(_MOST_DRAWS):
            batch = task.sample(
                seed=seed, batch_size=num_words, length=length, split=split, step=draw
            )
            for tokens_BT, valid_BT in _chunks(batch.tokens, batch.lengths):
                counts_P += np.bincount(
                    tokens_BT[valid_BT].numpy(), minlength=task.num_tokens
                ).astype(np.int64)
                _add_chunk(totals, model, tokens_BT, valid_BT, task.num_tokens)
            if counts_P.all():
                break
    finally:
        model.train(was_training)
    names = token_names(task)
    if not counts_P.all():
        missing = ", ".join(names[token] for token in np.flatnonzero(counts_P == 0)[:5])
        raise InputError(
            f"no word of {task.name} had the token(s) {missing}: raise num_words or length"
        )
    layers = tuple(totals[layer].finish(layer, counts_P) for layer in sorted(totals))
    return Transitions(task=task.name, token_names=names, layers=layers)


class _Total:
    """Sums of one layer over the occurrences of every token."""

    def __init__(self, num_tokens: int, example_MHNN: Tensor) -> None:
        heads, size = example_MHNN.shape[1], example_MHNN.shape[-1]
        self.sum_PHNN = torch.zeros(num_tokens, heads, size, size, dtype=example_MHNN.dtype)
        self.square_PH = torch.zeros(num_tokens, heads, dtype=torch.float64)

    def add(self, token_M: Tensor, matrix_MHNN: Tensor) -> None:
        self.sum_PHNN.index_add_(0, token_M, matrix_MHNN)
        self.square_PH.index_add_(0, token_M, matrix_MHNN.abs().square().sum((-2, -1)))

    def finish(self, layer: int, counts_P: NDArray[np.int64]) -> LayerTransitions:
        mean_PHNN = self.sum_PHNN.numpy() / counts_P[:, None, None, None]
        square_PH = self.square_PH.numpy() / counts_P[:, None]
        kept_PH = np.square(np.abs(mean_PHNN)).sum(axis=(-2, -1))
        spread_PH = np.clip(square_PH - kept_PH, 0.0, None)
        dispersion_PH = np.divide(
            spread_PH, square_PH, out=np.zeros_like(square_PH), where=square_PH > 0
        )
        return LayerTransitions(layer, mean_PHNN, dispersion_PH, counts_P.copy())


def _chunks(tokens: Any, lengths: Any) -> Iterator[tuple[Tensor, Tensor]]:
    tokens_BT = torch.as_tensor(tokens, dtype=torch.int64, device="cpu")
    lengths_B = torch.as_tensor(lengths, dtype=torch.int64, device="cpu")
    valid_BT = torch.arange(tokens_BT.shape[1]) < lengths_B[:, None]
    words = max(1, _POSITIONS_PER_CALL // max(1, tokens_BT.shape[1]))
    yield from zip(tokens_BT.split(words), valid_BT.split(words), strict=True)


def _add_chunk(
    totals: dict[int, _Total],
    model: nn.Module,
    tokens_BT: Tensor,
    valid_BT: Tensor,
    num_tokens: int,
) -> None:
    parameter = next(model.parameters(), None)
    device = parameter.device if parameter is not None else torch.device("cpu")
    read: Any = model.transitions
    with torch.no_grad():
        per_layer = read(tokens_BT.to(device))
    if all(entry is None for entry in per_layer):
        raise InputError(
            f"{type(model).__name__} has no layer with a linear transition (an LSTM has none): "
            "there are no matrices to read"
        )
    for layer, entry in enumerate(per_layer):
        if entry is None:
            continue
        if (
            entry.ndim != 5
            or entry.shape[:2] != tokens_BT.shape
            or entry.shape[3] != entry.shape[4]
        ):
            raise InputError(
                f"layer {layer} gives transitions of shape {tuple(entry.shape)}, "
                f"expected ({tokens_BT.shape[0]}, {tokens_BT.shape[1]}, heads, N, N)"
            )
        double = torch.complex128 if entry.is_complex() else torch.float64
        matrix_MHNN = entry.to("cpu", double)[valid_BT]
        if not bool(torch.isfinite(matrix_MHNN).all()):
            raise InputError(f"layer {layer} has transitions that are not finite")
        if layer not in totals:
            totals[layer] = _Total(num_tokens, matrix_MHNN)
        totals[layer].add(tokens_BT[valid_BT], matrix_MHNN)
