"""Words made to confuse two states: cheapest paths and cycles in the graph of pairs of states.

A pair ``(p, q)`` of different states means that the truth is ``p`` while a model might say ``q``;
letter ``x`` leads to ``(transitions[p, x], transitions[q, x])``, and the game is over where both
become one. ``costs[p, q, x]`` is what the letter changes in the margin between the two, to first
order the product of the decoder's normal and the model's defect: the word that makes the margin
shrink fastest is a cheapest path, and in the long run it goes round a cycle of least mean cost.
Without costs every letter that keeps the pair apart costs -1, so the word keeps two states apart
for as long as any word can: it is the hardest to forget.

References
----------
Howard: "Dynamic Programming and Markov Processes", 1960 (policy iteration). Cochet-Terrasson,
Cohen, Gaubert, Mc Gettrick, Quadrat: "Numerical computation of spectral elements in max-plus
algebra", 1998 (on graphs). Karp: "A characterization of the minimum cycle mean in a digraph", 1978.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from automata.dfa import DFA
from automata.errors import InputError
from automata.reachability import breadth_first_order
from automata.uniform_draw import check_size
from automata.validation import BoolArray, FloatArray, IntArray, as_integer

__all__ = ["PairCycle", "minimum_mean_cycle", "pair_adversarial_words"]

_MAX_EDGES: Final = 2**22
_MAX_CHOICES: Final = 2**28
_MAX_ROUNDS: Final = 1000


class PairCycle(NamedTuple):
    """A cycle of pairs of states with the least mean cost of a letter.

    Attributes
    ----------
    mean : float
        Cost of the cycle divided by its letters.
    letters : ndarray of int64, [period]
        The word that goes round once.
    pairs : ndarray of int64, [period, 2]
        The pair before each letter.
    """

    mean: float
    letters: IntArray
    pairs: IntArray


def minimum_mean_cycle(dfa: DFA, costs: ArrayLike | None = None) -> PairCycle | None:
    """Find a cycle of least mean cost among pairs of different accessible states.

    Parameters
    ----------
    dfa : DFA
    costs : array_like of float, [num_states, num_states, num_symbols], optional
        By default -1 everywhere.

    Returns
    -------
    PairCycle or None
        None where all words long enough merge every two states.

    Raises
    ------
    InputError
        If costs have another shape or are not finite, or there are more than 2**22 edges.

    Notes
    -----
    Howard's policy iteration, O(num_states**2 * num_symbols) a round and few rounds.

    Examples
    --------
    >>> three = DFA([[1, 0], [2, 0], [0, 0]])
    >>> cycle = minimum_mean_cycle(three)
    >>> cycle.mean, cycle.letters
    (-1.0, array([0, 0, 0]))
    """
    graph = _PairGraph(dfa, costs)
    edges, inside = graph.endless_edges()
    if not inside.any():
        return None
    policy = np.where(edges, graph.costs, np.inf).argmin(axis=1)
    values = np.zeros(graph.size)
    for _ in range(_MAX_ROUNDS):
        means, values = graph.evaluate(policy, inside, values)
        better = graph.improve(policy, means, values, edges)
        if np.array_equal(better, policy):
            break
        policy = better
    return graph.cycle_from(policy, int(np.where(inside, means, np.inf).argmin()))


def pair_adversarial_words(
    dfa: DFA, length: int, costs: ArrayLike | None = None, *, num_words: int = 1
) -> tuple[IntArray, FloatArray]:
    """Return the words that bring the truth and some wrong state together at the least cost.

    The truth starts from the initial state, the other from any state, one word for each, the
    cheapest words first.

    Parameters
    ----------
    dfa : DFA
    length : int
    costs : array_like of float, [num_states, num_states, num_symbols], optional
        By default -1 for every letter that keeps the pair apart.
    num_words : int
        At most the number of states beside the initial one.

    Returns
    -------
    words : ndarray of int64, [num_words, length]
        Exactly cheapest for their pair; equal costs are decided for the smaller letter. After a
        pair has merged, letters are 0.
    costs : ndarray of float64, [num_words]
        Total cost of each word.

    Raises
    ------
    InputError
        As in `minimum_mean_cycle`; if the choices to remember are more than 2**28.

    Examples
    --------
    >>> words, costs = pair_adversarial_words(DFA([[1, 0], [2, 0], [0, 0]]), 5, num_words=2)
    >>> words, costs
    (array([[0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0]]), array([-5., -5.]))
    """
    length = as_integer(length, "length", 0)
    graph = _PairGraph(dfa, costs)
    num_words = as_integer(num_words, "num_words", 0, dfa.num_states - 1)
    check_size(num_words, length)
    if graph.size * length > _MAX_CHOICES:
        raise InputError(
            f"{graph.size} pairs of states and length {length} are too many: their product may be "
            f"up to {_MAX_CHOICES}; repeat the word of minimum_mean_cycle instead"
        )
    dtype = np.uint8 if dfa.num_symbols <= 2**8 else np.uint32
    choices = np.zeros((length, graph.size), dtype=dtype)
    values = np.zeros(graph.size)
    for time in range(length - 1, -1, -1):
        letters, values = graph.step_back(values)
        choices[time] = letters
    starts = np.array([p for p in range(dfa.num_states) if p != dfa.initial], dtype=np.int64)
    pairs = graph.index(np.full(starts.size, dfa.initial), starts)
    order = np.argsort(values[pairs], kind="stable")[:num_words]
    pairs = pairs[order]
    totals = values[pairs]
    words = np.empty((pairs.size, length), dtype=np.int64)
    for time in range(length):
        words[:, time] = choices[time, pairs]
        pairs = graph.targets[pairs, words[:, time]]
    return words, totals


class _PairGraph:
    """All ordered pairs of states as one graph; a merged pair stays so at no cost."""

    def __init__(self, dfa: DFA, costs: ArrayLike | None) -> None:
        num_states, num_symbols = dfa.num_states, dfa.num_symbols
        if num_states**2 * num_symbols > _MAX_EDGES:
            raise InputError(
                f"{num_states} states and {num_symbols} symbols give {num_states**2 * num_symbols} "
                f"edges between pairs of states: the limit is {_MAX_EDGES}"
            )
        self.num_states, self.num_symbols = num_states, num_symbols
        self.size = num_states**2
        table = dfa.transitions
        self.targets: IntArray = (table[:, None] * num_states + table).reshape(-1, num_symbols)
        self.merged: BoolArray = np.eye(num_states, dtype=np.bool_).reshape(-1)
        if costs is None:
            values: FloatArray = np.where(self.merged[self.targets], 0.0, -1.0)
        else:
            values = np.array(costs, dtype=np.float64)
            if values.shape != (num_states, num_states, num_symbols):
                raise InputError(
                    f"costs has shape {values.shape}: give [num_states, num_states, num_symbols], "
                    f"here {(num_states, num_states, num_symbols)}"
                )
            if not np.isfinite(values).all():
                raise InputError("costs holds a value that is not finite")
            values = values.reshape(-1, num_symbols)
        values[self.merged] = 0.0
        self.costs = values
        reached = np.zeros(num_states, dtype=np.bool_)
        reached[breadth_first_order(table, dfa.initial)] = True
        self.reached: BoolArray = (reached[:, None] & reached).reshape(-1) & ~self.merged

    def index(self, first: IntArray, second: IntArray) -> IntArray:
        """Number pairs."""
        return first * self.num_states + second

    def step_back(self, values: FloatArray) -> tuple[IntArray, FloatArray]:
        """Return the best letter of every pair, and what it costs from there."""
        totals = self.costs + values[self.targets]
        letters = totals.argmin(axis=1)
        return letters, totals[np.arange(self.size), letters]

    def endless_edges(self) -> tuple[BoolArray, BoolArray]:
        """Mark the edges, and the pairs, from which some path never merges."""
        inside = self.reached.copy()
        while True:
            edges = inside[self.targets] & inside[:, None]
            still: BoolArray = np.logical_or.reduce(edges, axis=1)
            if np.array_equal(still, inside):
                return edges, inside
            inside = still

    def evaluate(
        self, policy: IntArray, inside: BoolArray, old_values: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Follow one letter per pair: the mean cost of the cycle reached, and what leads there.

        One pair of every cycle, its root, keeps its old value, so that values never go up.
        """
        nodes = np.arange(self.size)
        following = np.where(inside, self.targets[nodes, policy], nodes)
        cost = np.where(inside, self.costs[nodes, policy], 0.0)
        num_doublings = self.size.bit_length()
        far, root, step = following, nodes, following
        for _ in range(num_doublings):
            far = far[far]
        for _ in range(num_doublings):
            root = np.minimum(root, root[step])
            step = step[step]
        root = root[far]
        # Cut every cycle at its root, and add up along what are trees now.
        is_root = root == nodes
        step = np.where(is_root, nodes, following)
        total = np.where(is_root, 0.0, cost)
        count = np.where(is_root, 0, 1)
        for _ in range(num_doublings):
            total, count, step = total + total[step], count + count[step], step[step]
        means = ((cost + total[following]) / (1 + count[following]))[root]
        return means, total - means * count + old_values[root]

    def improve(
        self, policy: IntArray, means: FloatArray, values: FloatArray, edges: BoolArray
    ) -> IntArray:
        """Change letters to smaller means, or at equal means to smaller values."""
        margin = 1e-9 * float(np.abs(self.costs).max())
        nodes = np.arange(self.size)
        mean_after = np.where(edges, means[self.targets], np.inf)
        best = mean_after.argmin(axis=1)
        gains = mean_after[nodes, best] < means - margin
        if gains.any():
            return np.where(gains, best, policy)
        equal = mean_after <= means[:, None] + margin
        value_after = np.where(equal, self.costs - means[:, None] + values[self.targets], np.inf)
        best = value_after.argmin(axis=1)
        gains = value_after[nodes, best] < values - margin
        return np.where(gains, best, policy)

    def cycle_from(self, policy: IntArray, pair: int) -> PairCycle:
        """Go along until a pair comes back, and read the cycle off."""
        path: list[int] = []
        position: dict[int, int] = {}
        while pair not in position:
            position[pair] = len(path)
            path.append(pair)
            pair = int(self.targets[pair, policy[pair]])
        cycle = np.array(path[position[pair] :], dtype=np.int64)
        letters = policy[cycle]
        mean = float(self.costs[cycle, letters].mean())
        pairs = np.stack(np.divmod(cycle, self.num_states), axis=1)
        return PairCycle(mean, letters, pairs)
