"""How far apart a model keeps the states of the automaton, by length.

Shape suffixes: B words, N numbers of a hidden state.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from automata.errors import InputError
from statetrack.analysis.model_states import ModelState, at_rest, read_words, state_vectors

if TYPE_CHECKING:
    from automata.tasks import Task

_MOST_ITERATIONS = 2000


def state_clusters(
    model: nn.Module,
    task: "Task",
    lengths: Sequence[int] = (16, 64, 256),
    *,
    probe_length: int | None = None,
    num_words: int = 512,
    layer: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure hidden states against the true states of the automaton, at some lengths.

    Parameters
    ----------
    model : torch.nn.Module
        ``model(tokens, state) -> (logits, state)``, with a state of fixed size.
    task : Task
        With an automaton, supervised at every position.
    lengths : sequence of int
        Ascending lengths at which states are looked at.
    probe_length : int, optional
        Length at which the linear probe is fitted; the first by default.
    num_words : int
        Words, from the split "report"; the probe is fitted on others, from "selection".
    layer : int, optional
        Whose state; all layers together by default.
    seed : int
        Of words and clusters.

    Returns
    -------
    DataFrame
        One row per length: length, num_words, accuracy (of the model), purity (share of states
        that belong to the most frequent class of their k-means cluster, as many clusters as
        classes), probe_accuracy (logistic regression on hidden states, fitted at `probe_length`
        only), spread_ratio (root mean square distance to the mean of the own class over that
        between the means), margin (logit of the right class less the largest other: its 1 %
        quantile, over the standard deviation of logits), state_norm (root mean square of the
        state), effective_rank (exponential of the entropy of the shares of the principal
        components).

    Raises
    ------
    InputError
        Lengths that do not ascend, or a task without one class at every position.

    Notes
    -----
    States are centred and brought to unit root mean square before clusters and probe. Spread over
    separation is the measured ratio of arXiv 2605.07755.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> from statetrack.models.constructions import parity_by_sign
    >>> frame = state_clusters(parity_by_sign(), get_task("parity"), (8, 32), num_words=64)
    >>> frame[["length", "accuracy", "purity", "probe_accuracy"]].values.tolist()
    [[8.0, 1.0, 1.0, 1.0], [32.0, 1.0, 1.0, 1.0]]
    """
    from sklearn.linear_model import LogisticRegression  # takes a second to import

    wanted = list(lengths)
    fitted_at = wanted[0] if probe_length is None and wanted else probe_length
    if not wanted or sorted(set(wanted)) != wanted or wanted[0] < 1:
        raise InputError(f"lengths = {tuple(lengths)}: give ascending lengths from 1")
    if fitted_at is None or fitted_at < 1:
        raise InputError(f"probe_length = {probe_length}: give at least 1")
    with at_rest(model):
        example = _look(model, task, [fitted_at], num_words, layer, seed, "selection")[0]
        looks = _look(model, task, wanted, num_words, layer, seed, "report")
    centre = example.vectors.mean(axis=0)
    scale = max(float(np.sqrt(np.square(example.vectors - centre).mean())), 1e-12)
    probe = None
    if len(np.unique(example.targets)) > 1:
        probe = LogisticRegression(max_iter=_MOST_ITERATIONS, tol=1e-3)
        probe.fit((example.vectors - centre) / scale, example.targets)
    rows = []
    for length, look in zip(wanted, looks, strict=True):
        said = look.logits.argmax(axis=1)
        guessed = (
            np.full(num_words, example.targets[0])
            if probe is None
            else probe.predict((look.vectors - centre) / scale)
        )
        rows.append(
            {
                "length": length,
                "num_words": num_words,
                "accuracy": float((said == look.targets).mean()),
                "purity": cluster_purity(look.vectors, look.targets, seed=seed),
                "probe_accuracy": float((guessed == look.targets).mean()),
                "spread_ratio": spread_ratio(look.vectors, look.targets),
                "margin": _margin(look.logits, look.targets),
                "state_norm": float(np.sqrt(np.square(look.vectors).mean())),
                "effective_rank": effective_rank(look.vectors),
            }
        )
    return pd.DataFrame(rows)


def cluster_purity(
    vectors: NDArray[np.float64], classes: NDArray[np.int64], *, seed: int = 0
) -> float:
    """Share of points that belong to the most frequent class of their k-means cluster.

    Parameters
    ----------
    vectors : ndarray, float64 [B, N]
    classes : ndarray of int [B]
        As many clusters are made as there are classes.
    seed : int

    Returns
    -------
    float

    Examples
    --------
    >>> points = np.array([[0.0], [0.1], [5.0], [5.1]])
    >>> cluster_purity(points, np.array([0, 0, 1, 1])), cluster_purity(points, np.array([0, 1, 0, 1]))
    (1.0, 0.5)
    """  # noqa: E501
    from sklearn.cluster import KMeans

    names, codes = np.unique(classes, return_inverse=True)
    distinct = len(np.unique(np.round(vectors, 9), axis=0))
    clusters = KMeans(min(len(names), distinct), n_init=4, random_state=seed).fit_predict(vectors)
    counts = np.zeros((clusters.max() + 1, len(names)), dtype=np.int64)
    np.add.at(counts, (clusters, codes.reshape(-1)), 1)
    return float(counts.max(axis=1).sum() / len(vectors))


def spread_ratio(vectors: NDArray[np.float64], classes: NDArray[np.int64]) -> float:
    """Root mean square distance within classes over that between their means.

    Parameters
    ----------
    vectors : ndarray, float64 [B, N]
    classes : ndarray of int [B]

    Returns
    -------
    float
        Infinite when all means agree.

    Examples
    --------
    >>> spread_ratio(np.array([[-1.0], [1.0], [9.0], [11.0]]), np.array([0, 0, 1, 1]))
    0.2
    """
    names, codes = np.unique(classes, return_inverse=True)
    means = np.stack(
        [vectors[codes.reshape(-1) == code].mean(axis=0) for code in range(len(names))]
    )
    within = np.square(vectors - means[codes.reshape(-1)]).sum(axis=1).mean()
    centred = means - means.mean(axis=0)
    between = np.square(centred).sum(axis=1).mean()
    return float(np.sqrt(within / between)) if between > 0 else float("inf")


def effective_rank(vectors: NDArray[np.float64]) -> float:
    """Exponential of the entropy of the shares of variance of the principal components.

    Parameters
    ----------
    vectors : ndarray, float64 [B, N]

    Returns
    -------
    float
        From 1, all on a line, to N; 0 if all are equal. Roy and Vetterli, EUSIPCO 2007.

    Examples
    --------
    >>> round(effective_rank(np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])), 9)
    2.0
    """
    variances = np.square(np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False))
    if variances.sum() == 0:
        return 0.0
    shares = variances / variances.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


class _Look:
    """States, logits and targets of some words at one length."""

    def __init__(
        self, vectors: NDArray[np.float64], logits: NDArray[np.float64], targets: NDArray[np.int64]
    ) -> None:
        self.vectors, self.logits, self.targets = vectors, logits, targets


def _look(
    model: nn.Module,
    task: "Task",
    lengths: Sequence[int],
    num_words: int,
    layer: int | None,
    seed: int,
    split: str,
) -> list[_Look]:
    batch = task.sample(seed=seed, batch_size=num_words, length=lengths[-1], split=split)
    tokens, mask = np.asarray(batch.tokens), np.asarray(batch.mask)
    at = [length - 1 for length in lengths]
    if task.is_language_model or not mask[:, at].all():
        raise InputError(f"task {task.name!r} does not ask for a class at every one of {lengths}")
    targets = np.asarray(batch.targets)
    looks, before = [], 0
    state: ModelState | None = None
    for length in lengths:
        logits, state = read_words(model, tokens[:, before:length], state)
        looks.append(_Look(state_vectors(state, layer), logits[:, -1], targets[:, length - 1]))
        before = length
    return looks


def _margin(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    right = logits[np.arange(len(targets)), targets]
    others = logits.copy()
    others[np.arange(len(targets)), targets] = -np.inf
    spread = max(float(logits.std()), 1e-12)
    return float(np.quantile(right - others.max(axis=1), 0.01)) / spread
