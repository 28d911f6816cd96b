"""Strengths and directions of learned Householder factors.

Shape suffixes: B words, T positions, P tokens, H heads, R factors, K key size.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from automata.errors import InputError
from statetrack.analysis.model_states import at_rest
from statetrack.analysis.naming import token_names

if TYPE_CHECKING:
    from automata.tasks import Task


def factor_geometry(
    model: nn.Module, task: "Task", *, layer: int = 0, num_words: int = 64, length: int = 16
) -> pd.DataFrame:
    """Strength beta of every factor, and how many dimensions the keys of a head span.

    Parameters
    ----------
    model : torch.nn.Module
        With Householder factors in that layer (DeltaNet, DeltaProduct, their gated forms, KDA).
    task : Task
    layer : int
    num_words, length : int
        Of the random words that are read; all occurrences of a token are averaged.

    Returns
    -------
    DataFrame
        One row per head, factor and token: layer, head, factor, token, token_name, beta (2 is a
        reflection, 1 forgets, 0 does nothing), beta_spread (standard deviation over occurrences),
        and for the head: reflections (share of its factors with ``|beta - 2| < 0.1``), key_dimension
        (components that hold 95 % of the squared length of the keys, each weighted with beta),
        share_1, share_2, share_3 (of the first one, two, three components).

    Raises
    ------
    InputError
        A layer without Householder factors, or tokens that never occur.

    Notes
    -----
    Keys stand for lines, so the components are those of ``sum beta k k^T`` without centring. Siems
    et al. (arXiv 2502.10297) look so at heads that learned S4: beta near 2, keys in three
    dimensions.

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> from automata.tasks import get_task
    >>> from statetrack.models.constructions import group_by_reflections
    >>> task = get_task("word_problem", group="S4", generators="all")
    >>> frame = factor_geometry(group_by_reflections(symmetric(4)), task)
    >>> sorted(set(frame["beta"])), set(frame["key_dimension"])
    ([0.0, 2.0], {3})
    """  # noqa: E501
    beta_PHR, spread_PHR, moment_HKK = _read(model, task, layer, num_words, length)
    names = token_names(task)
    rows = []
    for head, moment_KK in enumerate(moment_HKK):
        values = np.clip(np.linalg.eigvalsh(moment_KK)[::-1], 0, None)
        shares = np.cumsum(values) / max(float(values.sum()), np.finfo(np.float64).tiny)
        reflections = float((np.abs(beta_PHR[:, head] - 2) < 0.1).mean())
        for factor in range(beta_PHR.shape[2]):
            for token, name in enumerate(names):
                rows.append(
                    {
                        "layer": layer,
                        "head": head,
                        "factor": factor,
                        "token": token,
                        "token_name": name,
                        "beta": float(beta_PHR[token, head, factor]),
                        "beta_spread": float(spread_PHR[token, head, factor]),
                        "reflections": reflections,
                        "key_dimension": int((shares < 0.95).sum()) + 1,
                        **{f"share_{n}": float(shares[min(n, len(shares)) - 1]) for n in (1, 2, 3)},
                    }
                )
    return pd.DataFrame(rows)


def _read(
    model: nn.Module, task: "Task", layer: int, num_words: int, length: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    blocks: Any = getattr(model, "blocks", ())
    mixer: Any = blocks[layer].mixer if 0 <= layer < len(blocks) else None
    if not callable(getattr(mixer, "factors_of", None)):
        raise InputError(f"layer {layer} of {type(model).__name__} has no Householder factors")
    batch = task.sample(seed=0, batch_size=num_words, length=length, split="selection")
    tokens_BT = torch.as_tensor(np.asarray(batch.tokens), dtype=torch.int64)
    seen: list[torch.Tensor] = []
    hook = mixer.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    try:
        with at_rest(model):
            parameter = next(model.parameters())
            model(tokens_BT.to(parameter.device))
            key_BHTRK, beta_BHTR = mixer.factors_of(seen[0])
    finally:
        hook.remove()
    beta_MHR = beta_BHTR.transpose(1, 2).flatten(0, 1).to("cpu", torch.float64).numpy()
    key_MHRK = key_BHTRK.transpose(1, 2).flatten(0, 1).to("cpu", torch.float64).numpy()
    token_M = tokens_BT.flatten().numpy()
    missing = sorted(set(range(task.num_tokens)) - set(token_M.tolist()))
    if missing:
        raise InputError(f"no word had token(s) {missing[:5]}: raise num_words or length")
    groups = [token_M == token for token in range(task.num_tokens)]
    mean = np.stack([beta_MHR[group].mean(axis=0) for group in groups])
    spread = np.stack([beta_MHR[group].std(axis=0) for group in groups])
    moment = np.einsum("mhr,mhrk,mhrl->hkl", beta_MHR, key_MHRK, key_MHRK) / len(token_M)
    return mean, spread, moment
