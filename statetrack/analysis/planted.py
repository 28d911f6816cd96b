"""Representations hidden on purpose, to see whether they are found.

Shape suffixes: G elements, N state size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.groups import parse
from statetrack.analysis.isotypic import RealIrreps
from statetrack.analysis.representations import match_representation

PLANTED_GROUPS = (
    *("Z5", "Z6", "S3", "D4", "Q8", "D5", "Dic3", "A4", "F20", "S4", "SL(2,3)"),
    *("Z2xA4", "A5", "S5"),
)
"""Groups of the table: abelian, dihedral, quaternionic, solvable, and not."""

_FEWEST, _MOST = 8, 16


@dataclass(frozen=True, eq=False)
class Planted:
    """A hidden representation.

    Attributes
    ----------
    group : FiniteGroup
    multiplicities : tuple of int
        Of every irreducible real representation, the trivial one first.
    matrices : ndarray, float64 [order, N, N]
        ``B^-1 (R_g + noise E_g) B`` with independent standard normal E.
    error : float
        Root mean square of ``|M_p M_q - M_pq|_F / sqrt(N)`` before the basis was changed.
    """

    group: FiniteGroup
    multiplicities: tuple[int, ...]
    matrices: NDArray[np.float64]
    error: float


def plant_representation(
    group: FiniteGroup,
    multiplicities: Sequence[int] | None = None,
    *,
    condition: float = 1.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Planted:
    """Hide a sum of irreducible representations behind a random basis and noise.

    Parameters
    ----------
    group : FiniteGroup
    multiplicities : sequence of int, optional
        Of every irreducible real representation; by default 0 to 3 of each at random, of 8 to
        16 dimensions in all.
    condition : float
        Condition number of the basis; its singular values are evenly spaced in the logarithm.
    noise : float
        Standard deviation of what is added to every entry in the orthonormal basis.
    seed : int

    Returns
    -------
    Planted

    Raises
    ------
    InputError
        A condition below 1, or multiplicities that are not one number for every representation.

    Notes
    -----
    To first order the error is ``noise * sqrt(3 N)``: three independent noises.

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> planted = plant_representation(symmetric(3), [1, 0, 2], condition=100.0)
    >>> planted.matrices.shape, planted.error < 1e-12
    ((6, 5, 5), True)
    """
    if condition < 1 or noise < 0:
        raise InputError(f"condition = {condition}, noise = {noise}: give at least 1 and 0")
    source = np.random.default_rng(seed)
    irreps = RealIrreps.of(group)
    if multiplicities is None:
        number_I = _random_multiplicities(irreps, source)
    else:
        number_I = np.asarray(multiplicities, dtype=np.int64)
        if number_I.shape != irreps.dimensions.shape or number_I.min() < 0 or not number_I.any():
            raise InputError(
                f"multiplicities = {multiplicities}: give {len(irreps.dimensions)} numbers, "
                f"of {', '.join(irreps.labels)}"
            )
    exact_GNN = irreps.direct_sum(number_I)
    size = exact_GNN.shape[-1]
    noisy_GNN = exact_GNN + noise * source.standard_normal(exact_GNN.shape)
    basis_NN = _orthogonal(size, source) * np.geomspace(1.0, condition, size)
    basis_NN = basis_NN @ _orthogonal(size, source)
    squares = [
        np.square(noisy_GNN[g] @ noisy_GNN - noisy_GNN[row]).sum(axis=(-2, -1)).mean()
        for g, row in enumerate(group.table)
    ]
    return Planted(
        group=group,
        multiplicities=tuple(number_I.tolist()),
        matrices=np.asarray(np.linalg.solve(basis_NN, noisy_GNN @ basis_NN), dtype=np.float64),
        error=math.sqrt(float(np.mean(squares)) / size),
    )


def planted_table(
    groups: Sequence[str] = PLANTED_GROUPS,
    *,
    conditions: Sequence[float] = (1.0, 1e4),
    noises: Sequence[float] = (0.0, 0.01),
    seeds: Sequence[int] = (0, 1, 2),
) -> pd.DataFrame:
    """Plant representations and read them back.

    Parameters
    ----------
    groups : sequence of str
        Names for `automata.groups.parse`.
    conditions, noises : sequence of float
        Of the hiding basis, and of the entries.
    seeds : sequence of int

    Returns
    -------
    DataFrame
        One row per group, condition, noise and seed: group, order, condition, noise, seed, size,
        found (multiplicities as planted), residual, score, error, planted_error, verdict.

    Examples
    --------
    >>> planted_table(["S3"], noises=[0.0], seeds=[0])["found"].tolist()
    [True, True]
    """
    rows = []
    for name in groups:
        group = parse(name)
        for seed in seeds:
            for condition in conditions:
                for noise in noises:
                    planted = plant_representation(
                        group, condition=condition, noise=noise, seed=seed
                    )
                    head = match_representation(planted.matrices, group, basis=None).heads[0]
                    rows.append(
                        {
                            "group": name,
                            "order": group.order,
                            "condition": condition,
                            "noise": noise,
                            "seed": seed,
                            "size": head.size,
                            "found": head.multiplicities == planted.multiplicities,
                            "residual": head.residual,
                            "score": head.score,
                            "error": head.error,
                            "planted_error": planted.error,
                            "verdict": head.verdict,
                        }
                    )
    return pd.DataFrame(rows)


def planted_markdown(table: pd.DataFrame) -> str:
    """Write what `planted_table` found as a Markdown table, one row a group.

    Parameters
    ----------
    table : DataFrame
        From `planted_table`.

    Returns
    -------
    str
    """
    lines = [
        "| group | order | state sizes | multiplicities found | score without noise, at least "
        "| error over planted error |",
        "|---|---|---|---|---|---|",
    ]
    for name, own in table.groupby("group", sort=False):
        exact, noisy = own[own["noise"] == 0], own[own["noise"] > 0]
        ratios = noisy["error"] / noisy["planted_error"]
        missing = np.ceil(np.log10(max(1e-12, 1 - exact["score"].min())))
        lines.append(
            f"| {name} | {own['order'].iloc[0]} | {own['size'].min()} to {own['size'].max()} "
            f"| {own['found'].sum()} of {len(own)} | 1 − 1e{missing:.0f} "
            f"| {ratios.min():.3f} to {ratios.max():.3f} |"
        )
    return "\n".join(lines)


def _random_multiplicities(irreps: RealIrreps, source: np.random.Generator) -> NDArray[np.int64]:
    """Up to 3 of some, at random, until the dimension lies in the bounds."""
    while True:
        number_I = source.integers(0, 4, size=len(irreps.dimensions))
        number_I *= source.integers(0, 2, size=number_I.shape)
        if number_I[1:].any() and _FEWEST <= number_I @ irreps.dimensions <= _MOST:
            return np.asarray(number_I, dtype=np.int64)


def _orthogonal(size: int, source: np.random.Generator) -> NDArray[np.float64]:
    return np.linalg.qr(source.standard_normal((size, size)))[0]
