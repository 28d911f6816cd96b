"""Weights that solve a word problem exactly: what theory says can be tracked, as models.

Every construction is the same network as a trained one (`Backbone`), with its weights filled in.
One-hot embeddings make every linear map of the recurrence a table over tokens; the recurrence moves
a point q by the letters' matrices; and the head compares where it is with where every element of
the group would put it. The matrices are orthogonal, so the right logit is the largest one, by a
margin that depends on the group alone.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automata.characters import real_irreps
from automata.dfa import DFA
from automata.errors import InputError
from automata.groups import FiniteGroup
from automata.reflections import minimal_reflections
from statetrack.models.backbone import Backbone
from statetrack.models.config import build_model

Matrices = NDArray[np.float64]
SATURATED = 50.0
CANDIDATES = 200


def parity_by_sign() -> Backbone:
    """Parity by one eigenvalue: 1 for letter 0 and -1 for letter 1.

    Examples
    --------
    >>> model = parity_by_sign()
    >>> model(torch.tensor([[1, 0, 1, 1]]))[0].argmax(-1).tolist()
    [[1, 1, 0, 1]]

    Notes
    -----
    Grazzi et al. 2024 (arXiv 2411.12537), Theorem 1: no model whose eigenvalues are all positive
    can do this at every length.
    """
    model = _network("diagonal", 2, 2, 1, num_channels=1, eigenvalue_range="[-1,1]")
    mixer: Any = model.blocks[0].mixer
    with torch.no_grad():
        raw = torch.tensor([[SATURATED, -SATURATED]])
        mixer.to_eigenvalue.weight[:, :2] = raw / _one_hot_scale(model)
        mixer.start.fill_(1.0)
    _read(model, torch.tensor([[1.0], [-1.0]]))
    return model


def group_by_reflections(
    group: FiniteGroup,
    letters: Sequence[int] | None = None,
    *,
    matrices: Matrices | None = None,
    up_to_sign: bool = False,
) -> Backbone:
    """Word problem of a group by one layer of Householder products.

    Parameters
    ----------
    group : FiniteGroup
    letters : sequence of int, optional
        Element that every token stands for; all elements by default.
    matrices : ndarray, [order, d, d], optional
        A faithful orthogonal representation; by default the one whose letters need the fewest
        reflections.
    up_to_sign : bool
        A letter may act by minus its matrix where that needs fewer reflections; where a state is
        and its opposite then stand for one element, which the MLP cannot tell apart.

    Returns
    -------
    Backbone
        With ``num_factors`` the largest number of reflections of a letter; classes are elements.

    Raises
    ------
    InputError
        Matrices of the wrong shape, not orthogonal, or not faithful.

    Notes
    -----
    An orthogonal R is a product of ``rank(I - R)`` reflections and of no fewer (Cartan-Dieudonne in
    the form of Scherk): the reflection along ``R x - x`` brings ``R x`` back to x, and each takes
    one off the rank. With ``up_to_sign`` and three half turns, this is A5 by one reflection a
    token: the reflection group H3 is A5 with signs.

    Examples
    --------
    S4 by two reflections a token, the rotations of a cube:

    >>> from automata.groups import symmetric
    >>> model = group_by_reflections(symmetric(4))
    >>> model.blocks[0].mixer.factors
    2
    """
    chosen = tuple(range(group.order)) if letters is None else tuple(letters)
    given = _faithful(group, chosen) if matrices is None else np.asarray(matrices, float)
    _check(group, given, up_to_sign=up_to_sign)
    acts = [_cheapest(given[letter], up_to_sign=up_to_sign) for letter in chosen]
    factors = [reflections_of(one) for one in acts]
    count, size = max(1, *(len(one) for one in factors)), given.shape[-1]
    point = _separated_point(given, up_to_sign=up_to_sign)
    places = given @ point
    decoded = group.order if up_to_sign else 0
    model = _network(
        "householder",
        len(chosen),
        group.order,
        size,
        decoded,
        num_factors=count,
        num_heads=1,
        head_size=size,
        eigenvalue_range="[-1,1]",
    )
    mixer: Any = model.blocks[0].mixer
    scale = _one_hot_scale(model)
    with torch.no_grad():
        mixer.to_query.weight[:, : len(chosen)] = _tensor(point)[:, None] / scale
        nn.init.zeros_(mixer.to_value.weight)
        nn.init.zeros_(mixer.to_beta.bias)
        mixer.start.copy_(torch.eye(size)[None])
        for token, keys in enumerate(factors):
            padded = np.concatenate([keys, np.tile(np.eye(1, size), (count - len(keys), 1))])
            mixer.to_key.weight[:, token] = _tensor(padded.reshape(-1))
            used = torch.arange(count) < len(keys)
            mixer.to_beta.weight[:, token] = torch.where(used, SATURATED, -SATURATED) / scale
    _read(model, _tensor(places), up_to_sign=up_to_sign)
    return model


def group_by_matrices(
    group: FiniteGroup, letters: Sequence[int] | None = None, *, matrices: Matrices | None = None
) -> Backbone:
    """Word problem of a group by a Matrix Recurrent Unit whose state is the element's matrix.

    Parameters
    ----------
    group : FiniteGroup
    letters : sequence of int, optional
        Element that every token stands for; all elements by default.
    matrices : ndarray, [order, d, d], optional
        A faithful orthogonal representation.

    Returns
    -------
    Backbone
        Its input method is "residual", ``A = I + X``, which reaches every matrix.

    Examples
    --------
    >>> from automata.groups import alternating
    >>> model = group_by_matrices(alternating(5))
    >>> model.blocks[0].mixer.size
    3
    """
    chosen = tuple(range(group.order)) if letters is None else tuple(letters)
    given = _faithful(group, chosen) if matrices is None else np.asarray(matrices, float)
    _check(group, given, up_to_sign=False)
    size = given.shape[-1]
    model = _network(
        "mru",
        len(chosen),
        group.order,
        size * size,
        input_method="residual",
        num_heads=1,
        head_size=size,
    )
    mixer: Any = model.blocks[0].mixer
    with torch.no_grad():
        nn.init.zeros_(mixer.to_elements.weight)
        change = (given[list(chosen)] - np.eye(size)).reshape(len(chosen), -1)
        mixer.to_elements.weight[:, : len(chosen)] = _tensor(change).T / _one_hot_scale(model)
    _read(model, _tensor(given.reshape(group.order, -1)))
    return model


def automaton_by_columns(dfa: DFA) -> Backbone:
    """States of any automaton by one layer of PD-SSM.

    Parameters
    ----------
    dfa : DFA

    Returns
    -------
    Backbone
        Tokens are the symbols, classes the states; ``head_size`` is the number of states.

    Notes
    -----
    A state is a one-hot vector, a letter the matrix whose column q is the one-hot vector of
    ``delta(q, letter)``: Terzic et al. 2025 (arXiv 2509.22284). Every number is 0 or 1, so nothing
    is ever rounded.

    Examples
    --------
    >>> model = automaton_by_columns(DFA.from_regex("(aa)*b", alphabet="ab"))
    >>> model(torch.tensor([[0, 0, 1]]))[0].argmax(-1).tolist()
    [[1, 0, 2]]
    """
    states, letters = dfa.num_states, dfa.num_symbols
    model = _network(
        "permutation_diagonal",
        letters,
        states,
        states,
        num_heads=1,
        head_size=states,
        dictionary_size=letters,
        complex_diagonal=False,
        eigenvalue_range="[0,1]",
        magnitude_bias=SATURATED,
    )
    mixer: Any = model.blocks[0].mixer
    columns = np.eye(states)[dfa.transitions.T].transpose(0, 2, 1)
    with torch.no_grad():
        nn.init.zeros_(mixer.to_magnitude[-1].weight)
        mixer.dictionary.matrices.copy_(SATURATED * _tensor(columns)[None])
        for parameter in mixer.dictionary.select.parameters():
            parameter.zero_()
        mixer.dictionary.select.weight[:, :letters] = SATURATED * torch.eye(letters)
        mixer.start.copy_(torch.eye(states)[dfa.initial][None])
    _read(model, torch.eye(states))
    return model


def permutation_matrices(group: FiniteGroup) -> Matrices:
    """Row-form matrices of a permutation group: ``R[p, i, p(i)] = 1``, one size for all points.

    Raises
    ------
    InputError
        A group whose elements are not permutations.
    """
    elements = np.asarray(group.elements)
    points = np.arange(elements.shape[-1])
    if elements.ndim != 2 or not (np.sort(elements, axis=1) == points).all():
        raise InputError(f"{group.name}: its elements are not permutations")
    return np.eye(elements.shape[1])[elements]


def reflections_of(matrix: Matrices) -> Matrices:
    """Unit vectors whose reflections make an orthogonal matrix, first one leftmost, [R, d].

    Examples
    --------
    >>> import numpy as np
    >>> len(reflections_of(np.array([[0.0, 1.0], [-1.0, 0.0]])))
    2
    """
    rest, found = np.array(matrix, float), []
    size = len(rest)
    for _ in range(size):
        moved = rest - np.eye(size)
        lengths = np.linalg.norm(moved, axis=0)
        column = int(lengths.argmax())
        if lengths[column] < 1e-6:
            break
        key = moved[:, column] / lengths[column]
        found.append(key)
        rest = rest - 2.0 * np.outer(key, key @ rest)
    return np.array(found).reshape(-1, size)


def _faithful(group: FiniteGroup, letters: Sequence[int]) -> Matrices:
    """Sum of irreducible representations whose letters need the fewest reflections."""
    parts = [real_irreps(group)[i].matrices for i in minimal_reflections(group, letters).irreps]
    size = sum(part.shape[-1] for part in parts)
    total = np.zeros((group.order, size, size))
    start = 0
    for part in parts:
        stop = start + part.shape[-1]
        total[:, start:stop, start:stop] = part
        start = stop
    return total


def _check(group: FiniteGroup, matrices: Matrices, *, up_to_sign: bool) -> None:
    shape = matrices.shape
    if len(shape) != 3 or shape[0] != group.order or shape[1] != shape[2] or shape[1] < 1:
        raise InputError(f"matrices have shape {shape}, expected [{group.order}, d, d]")
    identity = np.eye(shape[1])
    if not np.allclose(matrices @ np.swapaxes(matrices, 1, 2), identity):
        raise InputError("matrices are not orthogonal")
    if not np.allclose(matrices[group.table], matrices[:, None] @ matrices[None]):
        raise InputError(f"matrices do not multiply as {group.name} does")
    alike = [np.allclose(one, identity) for one in matrices]
    if up_to_sign:
        alike = [a or np.allclose(one, -identity) for a, one in zip(alike, matrices, strict=True)]
    if sum(alike) > 1:
        raise InputError(f"matrices are not faithful: {sum(alike)} elements act as the identity")


def _cheapest(matrix: Matrices, *, up_to_sign: bool) -> Matrices:
    signs = [1.0, -1.0] if up_to_sign else [1.0]
    return min((sign * matrix for sign in signs), key=lambda one: len(reflections_of(one)))


def _separated_point(matrices: Matrices, *, up_to_sign: bool) -> NDArray[np.float64]:
    """Unit vector whose images under the group lie far apart: the best of some random ones."""
    source = np.random.default_rng(0)
    best, widest = np.zeros(matrices.shape[-1]), -1.0
    for point in source.standard_normal((CANDIDATES, matrices.shape[-1])):
        point = point / np.linalg.norm(point)
        # Distances between all images are those to the point itself.
        alike = matrices[1:] @ point @ point
        gap = 1.0 - float(np.max(np.abs(alike) if up_to_sign else alike, initial=-1.0))
        if gap > widest:
            best, widest = point, gap
    return best


def _network(
    name: str, num_tokens: int, num_classes: int, features: int, decoded: int = 0, **parameters: Any
) -> Backbone:
    """A network with one-hot embeddings, then `features` and `decoded` channels, all else zero."""
    width = num_tokens + features + decoded
    hidden = max(1, math.ceil(2 * decoded / width))
    model: Any = build_model(
        name, num_tokens, num_classes, width=width, mlp_ratio=hidden, **parameters
    )
    block = model.blocks[0]
    with torch.no_grad():
        for parameter in (
            *(model.embedding.weight, model.head.weight, model.head.bias),
            *block.mlp.parameters(),
            block.mixer.output.weight,
        ):
            parameter.zero_()
        for part in ("to_eigenvalue", "to_input", "to_query", "to_key", "to_beta"):
            if hasattr(block.mixer, part):
                for parameter in getattr(block.mixer, part).parameters():
                    parameter.zero_()
        model.embedding.weight[:, :num_tokens] = torch.eye(num_tokens)
        block.mixer.output.weight[num_tokens : num_tokens + features] = torch.eye(features)
    built: Backbone = model
    return built


def _one_hot_scale(model: Backbone) -> float:
    """What the norm before the recurrence makes of the 1 of a one-hot embedding."""
    return 1.0 / math.sqrt(1.0 / model.embedding.weight.shape[1] + 1e-6)


def _read(model: Backbone, places: Tensor, *, up_to_sign: bool = False) -> None:
    """Logits: the inner products with `places` [classes, features], or their sizes."""
    classes, features = places.shape
    tokens = model.embedding.weight.shape[0]
    mlp: Any = model.blocks[0].mlp
    with torch.no_grad():
        if not up_to_sign:
            model.head.weight[:, tokens : tokens + features] = places
            return
        # gelu(z) + gelu(-z) grows with the size of z.
        mlp.up.weight[:classes, tokens : tokens + features] = places
        mlp.up.weight[classes : 2 * classes, tokens : tokens + features] = -places
        for half in (0, classes):
            mlp.down.weight[tokens + features :, half : half + classes] = torch.eye(classes)
        model.head.weight[:, tokens + features :] = torch.eye(classes)


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).float()
