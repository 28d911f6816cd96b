"""The 390 small languages of MLRegTest against their authors' numbers and those of libsemigroups.

The file is not part of this project (CC BY 4.0, van der Poel, Lambert, Heinz and others:
"MLRegTest: a benchmark for the machine learning of regular languages", JMLR 2024). Set the
environment variable STATETRACK_ORACLES to the folder that holds ``mlregtest_languages.json``.

States: tables have missing transitions, which lead to one more, rejecting state here. The
published numbers of states leave out such a sink, also where the table has it; the sizes of monoids
count the zero that a sink gives, and the identity, as ours do.
"""

import collections
import json
import os
from pathlib import Path

import numpy as np
import pytest

from automata.dfa import DFA
from automata.monoids import group_divisors, syntactic_monoid, transition_monoid

FOLDER = os.environ.get("STATETRACK_ORACLES")
FILE = Path(FOLDER or ".") / "mlregtest_languages.json"

pytestmark = pytest.mark.skipif(
    FOLDER is None or not FILE.exists(),
    reason="STATETRACK_ORACLES names no folder with mlregtest_languages.json",
)

# The classes of the benchmark whose definition is, or implies, a property of the monoid.
IMPLIED = {
    "SL": ["is_aperiodic", "is_locally_testable"],
    "LT": ["is_aperiodic", "is_locally_testable"],
    "LTT": ["is_aperiodic"],
    "TSL": ["is_aperiodic"],
    "TLT": ["is_aperiodic"],
    "TLTT": ["is_aperiodic"],
    "SP": ["is_j_trivial", "is_r_trivial", "is_l_trivial", "is_da", "is_aperiodic"],
    "PT": ["is_j_trivial", "is_r_trivial", "is_l_trivial", "is_da", "is_aperiodic"],
    "PLT": ["is_aperiodic"],
    "TPLT": ["is_aperiodic"],
    "SF": ["is_aperiodic", "is_quasi_aperiodic"],
    "Zp": ["is_group", "is_commutative", "is_solvable"],
    "Reg": ["is_solvable"],
}


@pytest.fixture(scope="module")
def languages():
    """Pair every entry that has a table with its automaton, minimised."""
    entries = json.loads(FILE.read_text(encoding="utf-8"))["languages"]
    entries = [entry for entry in entries if "delta" in entry]
    given = [DFA.from_partial(e["delta"], e["initial"], e["accept"]) for e in entries]
    assert len(entries) == 390
    return [(e, dfa, dfa.minimize()) for e, dfa in zip(entries, given, strict=True)]


@pytest.fixture(scope="module")
def monoids(languages):
    return [transition_monoid(minimal) for _, _, minimal in languages]


def disagreements(languages, ours, theirs):
    """Name the languages on which two lists differ; all 390 are compared."""
    assert len(languages) == len(ours) == len(theirs) == 390
    return [
        (entry["name"], mine, other)
        for (entry, _, _), mine, other in zip(languages, ours, theirs, strict=True)
        if mine != other
    ]


def has_rejecting_sink(dfa):
    return any(
        (row == state).all() and not dfa.accepting[state]
        for state, row in enumerate(dfa.transitions)
    )


def test_sizes_idempotents_and_flags_as_libsemigroups_finds_them(languages, monoids):
    ours = [(m.size, m.num_idempotents, m.is_aperiodic, m.is_group) for m in monoids]
    keys = ("monoid", "idempotents", "aperiodic", "group")
    theirs = [tuple(entry["libsemigroups"][key] for key in keys) for entry, _, _ in languages]
    assert disagreements(languages, ours, theirs) == []


def test_sizes_and_d_classes_as_published(languages, monoids):
    ours = [(m.size, m.num_d_classes) for m in monoids]
    theirs = [(e["published"]["monoid"], e["published"]["dclasses"]) for e, _, _ in languages]
    assert disagreements(languages, ours, theirs) == []


def test_minimal_states_without_the_sink_as_published(languages):
    ours = [minimal.num_states - has_rejecting_sink(minimal) for _, _, minimal in languages]
    theirs = [entry["published"]["states"] for entry, _, _ in languages]
    assert disagreements(languages, ours, theirs) == []


def test_minimal_states_with_the_sink(languages):
    """The tables are minimal as they stand: completing them adds one state or none."""
    ours = [minimal.num_states for _, _, minimal in languages]
    theirs = [entry["states_in_file"] + (not entry["complete"]) for entry, _, _ in languages]
    assert disagreements(languages, ours, theirs) == []
    kinds = collections.Counter(
        (entry["complete"], has_rejecting_sink(minimal)) for entry, _, minimal in languages
    )
    assert kinds == {(False, True): 188, (True, True): 84, (True, False): 118}


def test_labels_of_all_words(languages):
    num_words = 0
    for entry, given, minimal in languages:
        for word, label in entry["words"]:
            letters = np.array(word, dtype=np.int64)
            assert bool(given.accepts(letters)) == bool(minimal.accepts(letters)) == bool(label)
            num_words += 1
    assert num_words == 6 * 390


def test_classes_of_the_benchmark_are_seen_in_the_monoids(languages, monoids):
    for (entry, _, _), monoid in zip(languages, monoids, strict=True):
        for name in IMPLIED[entry["cls"]]:
            assert getattr(monoid, name), (entry["name"], name)


def test_groups_without_the_monoid(languages, monoids):
    """Aperiodic if and only if no groups are found; where there are some, the orders agree."""
    for (entry, _, minimal), monoid in zip(languages, monoids, strict=True):
        groups = group_divisors(minimal)
        assert (not groups) == entry["libsemigroups"]["aperiodic"], entry["name"]
        assert {g.order for g in groups} >= {g.order for g in monoid.maximal_subgroups}


def test_syntactic_monoid_minimises(languages):
    for _, given, minimal in languages[::13]:
        doubled = given.union(given)
        assert syntactic_monoid(doubled).size == transition_monoid(minimal).size
