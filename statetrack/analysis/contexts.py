"""What transitions depend on, and what a token adds to the state.

Shape suffixes: B words, T positions, M occurrences, P tokens, H heads, N state size, D width.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automata.errors import InputError
from statetrack.analysis.model_states import at_rest
from statetrack.analysis.naming import token_names

if TYPE_CHECKING:
    from automata.tasks import Task


@dataclass(frozen=True, eq=False)
class Offsets:
    """What the tokens add to the state of one layer: the b of ``h_t = A(x_t) h_(t-1) + b(x_t)``.

    Attributes
    ----------
    layer : int
    token_names : tuple of str
    tensors : tuple of ndarray, float64 or complex128 [num_tokens, ...]
        Mean over all occurrences of a token, one array for every tensor of the layer's state.
    dispersion : ndarray, float64 [num_tokens]
        ``E|b - mean b|^2 / E|b|^2`` within a token, 0 where nothing is added.
    """

    layer: int
    token_names: tuple[str, ...]
    tensors: tuple[NDArray[Any], ...]
    dispersion: NDArray[np.float64]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per token.

        Returns
        -------
        DataFrame
            Columns layer, token, token_name, norm (of all numbers together), dispersion.
        """
        squares = [np.square(np.abs(t)).reshape(len(t), -1).sum(axis=1) for t in self.tensors]
        return pd.DataFrame(
            {
                "layer": self.layer,
                "token": np.arange(len(self.token_names)),
                "token_name": self.token_names,
                "norm": np.sqrt(np.sum(squares, axis=0)),
                "dispersion": self.dispersion,
            }
        )


def extract_offsets(
    model: nn.Module,
    task: "Task",
    *,
    layer: int = 0,
    num_words: int = 64,
    length: int = 16,
    seed: int = 0,
) -> Offsets:
    """Read what every token adds to the state of a layer: its state after one token from zero.

    Parameters
    ----------
    model : torch.nn.Module
        A `statetrack.models.Backbone` whose layer has linear transitions.
    task : Task
    layer : int
    num_words, length, seed : int
        Of the random words, from the split "selection", whose positions are averaged.

    Returns
    -------
    Offsets

    Raises
    ------
    InputError
        A layer without linear transitions, or tokens that never occur.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> from statetrack.models.constructions import parity_by_sign
    >>> extract_offsets(parity_by_sign(), get_task("parity")).to_frame()["norm"].tolist()
    [0.0, 0.0]
    """
    tokens_BT = _words(task, num_words, length, seed)
    with at_rest(model):
        mixer, seen_BTD = _mixer_input(model, layer, tokens_BT)
        seen_M1D = seen_BTD.flatten(0, 1).unsqueeze(1)
        if mixer.transitions(seen_M1D[:1]) is None:
            raise InputError(f"layer {layer} is not linear in its state: it adds no fixed offset")
        zero = tuple(torch.zeros_like(part) for part in mixer.initial_state(len(seen_M1D)))
        _, after = mixer(seen_M1D, zero)
    token_M = tokens_BT.flatten().numpy()
    parts = [_double(part) for part in after]
    groups = [token_M == token for token in range(task.num_tokens)]
    squares = [np.square(np.abs(p)).reshape(len(p), -1).sum(axis=1) for p in parts]
    square_M = np.sum(squares, axis=0)
    means = tuple(np.stack([part[group].mean(axis=0) for group in groups]) for part in parts)
    kept_P = np.sum([np.square(np.abs(m)).reshape(len(m), -1).sum(axis=1) for m in means], axis=0)
    whole_P = np.array([square_M[group].mean() for group in groups])
    spread_P = np.clip(whole_P - kept_P, 0.0, None)
    dispersion_P = np.divide(spread_P, whole_P, out=np.zeros_like(whole_P), where=whole_P > 0)
    return Offsets(layer, token_names(task), means, dispersion_P)


def context_shares(
    model: nn.Module,
    task: "Task",
    *,
    num_words: int = 256,
    length: int = 32,
    seed: int = 0,
) -> pd.DataFrame:
    """Say what the transitions of every layer and head are functions of.

    Parameters
    ----------
    model : torch.nn.Module
        Has ``transitions(tokens)``, as in `extract_transitions`.
    task : Task
    num_words, length, seed : int
        Of the random words, from the split "selection"; the first position is left out.

    Returns
    -------
    DataFrame
        One row per layer and head: layer, head, then the spread left, ``E|A - mean A|^2 / E|A|^2``
        with the mean taken over all positions with the same token (token), the same two last tokens
        (two_tokens), and the same token and true state before it (state; NaN without automaton).
        Sums of squares are divided by the number of positions less that of groups, so that small
        groups do not look alike by chance; NaN where no group has two positions. The columns pairs
        and states count the groups that the last two rest on.

    Raises
    ------
    InputError
        A model without linear transitions.

    Examples
    --------
    A reflection at every token, in the second layer turned by the parity of the position:

    >>> from automata.tasks import get_task
    >>> from statetrack.models.deep_constructions import cyclic_by_two_layers
    >>> frame = context_shares(cyclic_by_two_layers(5), get_task("z5", generators="all"))
    >>> frame["layer"].tolist(), (frame["token"] > 0.01).tolist()
    ([0, 0, 1, 1], [False, False, True, True])
    """
    tokens_BT = _words(task, num_words, length, seed)
    read: Any = getattr(model, "transitions", None)
    if not callable(read):
        raise InputError(f"{type(model).__name__} has no method transitions(tokens)")
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    with at_rest(model):
        per_layer = read(tokens_BT.to(device))
    now_M = tokens_BT[:, 1:].flatten().numpy()
    before_M = tokens_BT[:, :-1].flatten().numpy()
    keys: dict[str, NDArray[np.int64] | None] = {
        "token": now_M,
        "two_tokens": before_M * task.num_tokens + now_M,
        "state": None,
    }
    if task.dfa is not None:
        states_BT = task.dfa.trace(tokens_BT.numpy())[:, 1:-1]
        keys["state"] = states_BT.reshape(-1) * task.num_tokens + now_M
    rows = []
    for layer, entry in enumerate(per_layer):
        if entry is None:
            continue
        matrix_MHE = _double(entry[:, 1:].flatten(0, 1).flatten(2))
        square_H = np.maximum(
            np.square(np.abs(matrix_MHE)).sum(axis=-1).mean(axis=0), np.finfo(np.float64).tiny
        )
        left = {name: _within(matrix_MHE, key) for name, key in keys.items()}
        for head in range(matrix_MHE.shape[1]):
            rows.append(
                {
                    "layer": layer,
                    "head": head,
                    **{
                        name: float(spread[head] / square_H[head])
                        for name, (spread, _) in left.items()
                    },
                    "pairs": left["two_tokens"][1],
                    "states": left["state"][1],
                }
            )
    if not rows:
        raise InputError(f"{type(model).__name__} has no layer with a linear transition")
    return pd.DataFrame(rows)


def _within(
    matrix_MHE: NDArray[Any], key_M: NDArray[np.int64] | None
) -> tuple[NDArray[np.float64], int]:
    """Unbiased variance within groups, [H], and how many groups it rests on."""
    heads = matrix_MHE.shape[1]
    if key_M is None:
        return np.full(heads, np.nan), 0
    _, group_M, counts = np.unique(key_M, return_inverse=True, return_counts=True)
    group_M = group_M.reshape(-1)
    freedom = int((counts - 1).sum())
    if freedom == 0:
        return np.full(heads, np.nan), 0
    sums = np.zeros((len(counts), *matrix_MHE.shape[1:]), dtype=matrix_MHE.dtype)
    np.add.at(sums, group_M, matrix_MHE)
    gap = matrix_MHE - (sums / counts[:, None, None])[group_M]
    squares_H = np.square(np.abs(gap)).sum(axis=(0, 2))
    return squares_H / freedom, int((counts > 1).sum())


def _words(task: "Task", num_words: int, length: int, seed: int) -> Tensor:
    if num_words < 1 or length < 2:
        raise InputError(f"num_words = {num_words}, length = {length}: give at least 1 and 2")
    batch = task.sample(seed=seed, batch_size=num_words, length=length, split="selection")
    tokens_BT = torch.as_tensor(np.asarray(batch.tokens), dtype=torch.int64)
    missing = sorted(set(range(task.num_tokens)) - set(tokens_BT.flatten().tolist()))
    if missing:
        raise InputError(f"no word had token(s) {missing[:5]}: raise num_words or length")
    return tokens_BT


def _mixer_input(model: nn.Module, layer: int, tokens_BT: Tensor) -> tuple[Any, Tensor]:
    blocks: Any = getattr(model, "blocks", ())
    if not 0 <= layer < len(blocks):
        raise InputError(f"{type(model).__name__} has no layer {layer}")
    mixer: Any = blocks[layer].mixer
    seen: list[Tensor] = []
    hook = mixer.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    try:
        model(tokens_BT.to(next(model.parameters()).device))
    finally:
        hook.remove()
    return mixer, seen[0]


def _double(tensor: Tensor) -> NDArray[Any]:
    kind = torch.complex128 if tensor.is_complex() else torch.float64
    values: NDArray[Any] = tensor.to("cpu", kind).numpy()
    return values
