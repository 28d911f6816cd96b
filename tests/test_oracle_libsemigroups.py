"""Random transformation semigroups against libsemigroups: sizes, classes, Cayley graphs.

Skipped where libsemigroups-pybind11 is not installed.
"""

import importlib.util
import sys

import numpy as np
import pytest

from automata.dfa import DFA
from automata.errors import InputError
from automata.image_groups import image_groups
from automata.monoid import Monoid
from automata.monoid_counts import count_monoid
from automata.monoids import count_transition_monoid, transition_monoid

NEEDED = pytest.mark.skipif(
    importlib.util.find_spec("libsemigroups_pybind11") is None,
    reason="libsemigroups-pybind11 is not installed",
)
NUM_SEMIGROUPS = 320


def random_letters(number):
    """Draw generators of several kinds on two to seven points."""
    rng = np.random.default_rng([7, number])
    num_points = int(rng.integers(2, 8))
    num_letters = int(rng.integers(1, 5 if num_points < 6 else 3))
    rows = rng.integers(0, num_points, (num_letters, num_points))
    if number % 4 == 1:
        rows[0] = rng.permutation(num_points)
    elif number % 4 == 2:
        rows = np.sort(rows, axis=1)  # Order-preserving maps: aperiodic.
    elif number % 4 == 3:
        rows = np.maximum(rows, np.arange(num_points))  # Increasing maps: R-trivial.
    return rows


@NEEDED
@pytest.mark.slow
def test_random_semigroups():
    import libsemigroups_pybind11 as libsemigroups

    libsemigroups.ReportGuard(False)
    num_compared = num_aperiodic = 0
    largest = 0
    for number in range(NUM_SEMIGROUPS):
        letters = random_letters(number)
        num_points = letters.shape[1]
        ours = Monoid(letters)
        # The identity is one more generator there, and generators have to be distinct.
        distinct = list(dict.fromkeys(map(tuple, [range(num_points), *letters.tolist()])))
        generators = [libsemigroups.Transf(list(row)) for row in distinct]
        listed = libsemigroups.FroidurePin(generators)
        classes = libsemigroups.Konieczny(generators)
        assert ours.size == listed.size() == classes.size(), number
        assert ours.num_idempotents == listed.number_of_idempotents(), number
        assert ours.num_d_classes == classes.number_of_D_classes(), number
        assert ours.num_r_classes == classes.number_of_R_classes(), number
        assert ours.num_l_classes == classes.number_of_L_classes(), number
        assert ours.num_h_classes == classes.number_of_H_classes(), number
        assert ours.num_regular_d_classes == classes.number_of_regular_D_classes(), number
        regular = [d for d in classes.D_classes() if d.is_regular_D_class()]
        aperiodic = all(d.size_H_class() == 1 for d in regular)
        assert ours.is_aperiodic == aperiodic, number
        assert aperiodic == all(g.group.order == 1 for g in image_groups(letters.T)), number
        orders = sorted(d.size_H_class() for d in regular if d.size_H_class() > 1)
        assert sorted(g.order for g in ours.maximal_subgroups) == orders, number
        if ours.size < 3000:
            # Numbers of elements agree too: both are in shortlex order.
            column = {row: index for index, row in enumerate(distinct)}
            columns = [column[tuple(row)] for row in letters.tolist()]
            for graph, mine in (
                (listed.right_cayley_graph(), ours.right_cayley_graph),
                (listed.left_cayley_graph(), ours.left_cayley_graph),
            ):
                theirs = [list(graph.targets(element)) for element in range(ours.size)]
                assert (np.array(theirs)[:, columns] == mine).all(), number
        counts = count_monoid(letters)
        assert (counts.size, counts.num_d_classes) == (ours.size, ours.num_d_classes)
        assert counts.is_aperiodic == aperiodic
        num_compared += 1
        num_aperiodic += aperiodic
        largest = max(largest, ours.size)
    assert num_compared == NUM_SEMIGROUPS and 100 < num_aperiodic < 300 and largest > 10_000


@pytest.mark.slow
def test_all_transformations_of_seven_points():
    """823,543 elements, listed without any extra."""
    letters = [[*range(1, 7), 0], [1, 0, *range(2, 7)], [0, 0, *range(2, 7)]]
    full = Monoid(letters, max_elements=1_000_000)
    assert full.size == 7**7 and full.num_idempotents == 6322


@NEEDED
def test_counting_without_a_list():
    """All transformations of eight points: 16,777,216 elements, 41,393 idempotents (A000248)."""
    letters = np.array([[*range(1, 8), 0], [1, 0, *range(2, 8)], [0, 0, *range(2, 8)]])
    counts = count_transition_monoid(DFA(letters.T))
    assert counts.size == 8**8 and counts.num_idempotents == 41393 and not counts.is_aperiodic
    assert (counts.num_d_classes, counts.num_l_classes, counts.num_r_classes) == (8, 255, 4140)
    assert counts.num_regular_d_classes == 8
    one = count_monoid([[0]])
    assert one.size == one.num_idempotents == 1 and one.is_aperiodic


@NEEDED
def test_counts_equal_the_monoid():
    dfa = DFA([[1, 0], [2, 0], [2, 3], [3, 3]])
    counts, monoid = count_transition_monoid(dfa), transition_monoid(dfa)
    names = ("size", "num_idempotents", "num_d_classes", "num_h_classes", "is_aperiodic")
    assert [getattr(counts, n) for n in names] == [getattr(monoid, n) for n in names]


def test_counting_needs_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "libsemigroups_pybind11", None)
    with pytest.raises(InputError, match="pip install libsemigroups-pybind11"):
        count_monoid([[0, 0]])


@pytest.mark.parametrize(
    ("letters", "message"),
    [([], "shape"), ([[0, 2]], "lead outside 0..1"), ([[0.5]], "float64")],
)
def test_bad_letters(letters, message):
    with pytest.raises(InputError, match=message):
        count_monoid(letters)
