"""From a matrix for every token to a matrix for every element of the group.

Shape suffixes: P tokens, G elements, H heads, N state size.
"""

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from automata.errors import InputError

if TYPE_CHECKING:
    from automata.groups import FiniteGroup


def canonical_words(group: "FiniteGroup", token_elements: ArrayLike) -> tuple[tuple[int, ...], ...]:
    """Shortest word of tokens for every element, the first in alphabetical order.

    Parameters
    ----------
    group : FiniteGroup
        The group.
    token_elements : array of int [num_tokens]
        The element that each token stands for.

    Returns
    -------
    tuple of tuple of int
        For every element the tokens of its word, read from left to right. An element that is
        itself a token has a word of length 1; the identity has the empty word unless it is one.

    Raises
    ------
    InputError
        The tokens do not generate the group, or name elements that it does not have.

    Notes
    -----
    Breadth-first search over the Cayley graph: O(order * num_tokens).

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> canonical_words(cyclic(4), [1])
    ((), (0,), (0, 0), (0, 0, 0))
    """
    elements = checked_elements(group, token_elements)
    table = np.asarray(group.table)
    words: dict[int, tuple[int, ...]] = {}
    queue: deque[int] = deque()
    for token, element in enumerate(elements.tolist()):
        if element not in words:
            words[element] = (token,)
            queue.append(element)
    words.setdefault(0, ())
    while queue:
        prefix = queue.popleft()
        for token, element in enumerate(elements.tolist()):
            product = int(table[prefix, element])
            if product not in words:
                words[product] = (*words[prefix], token)
                queue.append(product)
    if len(words) < group.order:
        raise InputError(
            f"the tokens generate only {len(words)} of the {group.order} elements of {group.name}"
        )
    return tuple(words[element] for element in range(group.order))


def extend_to_group(
    matrices: NDArray[Any], group: "FiniteGroup", token_elements: ArrayLike
) -> NDArray[Any]:
    """Give every group element a matrix: its token's, or the product over its canonical word.

    Parameters
    ----------
    matrices : ndarray [num_tokens, ..., N, N]
        Transition of every token, in row form.
    group : FiniteGroup
        The group.
    token_elements : array of int [num_tokens]
        The element that each token stands for. Tokens of the same element are averaged, so a
        disagreement between them shows up as an error.

    Returns
    -------
    ndarray [order, ..., N, N]
        Matrix of every element; the identity matrix for element 0 when no token stands for it.

    Raises
    ------
    InputError
        As `canonical_words`; or the number of matrices is not the number of tokens.

    Examples
    --------
    >>> from automata.groups import cyclic
    >>> extend_to_group(np.array([[[-1.0]]]), cyclic(2), [1]).ravel()
    array([ 1., -1.])
    """
    elements = checked_elements(group, token_elements)
    if len(elements) != len(matrices):
        raise InputError(
            f"there are matrices for {len(matrices)} tokens, but elements for {len(elements)}"
        )
    token_mean = {
        element: matrices[elements == element].mean(axis=0) for element in set(elements.tolist())
    }
    identity = np.broadcast_to(np.eye(matrices.shape[-1]), matrices.shape[1:])
    result = np.empty((group.order, *matrices.shape[1:]), dtype=matrices.dtype)
    for element, word in enumerate(canonical_words(group, elements)):
        product = identity
        for position, token in enumerate(word):
            factor = token_mean[int(elements[token])]
            product = factor if position == 0 else product @ factor
        result[element] = product
    return result


def checked_elements(group: "FiniteGroup", token_elements: ArrayLike) -> NDArray[np.int64]:
    """Read the element of every token.

    Raises
    ------
    InputError
        No list of elements of the group.
    """
    elements = np.asarray(token_elements, dtype=np.int64)
    if elements.ndim != 1 or elements.size == 0:
        raise InputError("token_elements must be a list with the element of every token")
    if elements.min() < 0 or elements.max() >= group.order:
        raise InputError(
            f"token_elements must lie in 0..{group.order - 1} for {group.name}, "
            f"and hold {elements.min()}..{elements.max()}"
        )
    return elements
