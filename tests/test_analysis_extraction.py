"""Automata read from models, against the automata that the models were made of."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from torch import nn

from automata.dfa import DFA
from automata.errors import InputError
from automata.groups import alternating, symmetric
from automata.sampling import random_dfa
from automata.tasks import Task, get_task
from statetrack.analysis import extract_dfa, minimal_realisation, state_clusters
from statetrack.analysis.realisation import krylov_rows
from statetrack.analysis.state_clusters import cluster_purity, effective_rank, spread_ratio
from statetrack.models import build_model
from statetrack.models.constructions import (
    automaton_by_columns,
    group_by_matrices,
    group_by_reflections,
    parity_by_sign,
)
from statetrack.models.deep_constructions import cyclic_by_two_layers


class Table(nn.Module):
    """A machine whose hidden state is a random code of an automaton's state, with some noise."""

    def __init__(self, dfa, classes, seed=0, noise=0.0):
        super().__init__()
        source = torch.Generator().manual_seed(seed)
        self.dfa, self.classes, self.noise = dfa, torch.tensor(classes), noise
        self.codes = torch.randn(dfa.num_states, 6, generator=source)
        self.source = source

    def forward(self, tokens, state=None):
        if state is None:
            now = torch.full((len(tokens),), self.dfa.initial)
        else:
            now = torch.cdist(state[0][0], self.codes).argmin(dim=1)
        table, said = torch.tensor(self.dfa.transitions), []
        for column in tokens.T:
            now = table[now, column]
            said.append(self.classes[now])
        logits = nn.functional.one_hot(torch.stack(said, dim=1), int(self.classes.max()) + 1)
        code = self.codes[now]
        code = code + self.noise * torch.randn(code.shape, generator=self.source)
        return logits.float(), [(code,)]


@given(seed=st.integers(0, 10_000), states=st.integers(1, 9), noise=st.sampled_from([0.0, 0.01]))
@settings(max_examples=25, deadline=None)
def test_the_automaton_inside_comes_back(seed, states, noise):
    """Two classes only: states must be split by what follows them."""
    dfa = random_dfa(states, 2, seed=seed)
    classes = np.random.default_rng(seed).integers(0, 2, states)
    classes[dfa.initial] = 1
    machine = DFA(dfa.transitions, dfa.initial, outputs=classes)
    task = Task.from_dfa(machine)
    found = extract_dfa(Table(dfa, classes, seed, noise), task, length=24)
    assert found.equivalent
    assert found.complete
    assert found.distinguishing_word is None
    assert found.dfa.num_states == machine.minimize().num_states
    assert found.fidelity == found.word_fidelity == found.accuracy == 1.0


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_a_model_of_another_automaton_is_found_out(seed):
    dfa, other = random_dfa(5, 2, seed=seed), random_dfa(5, 2, seed=seed + 1)
    classes = np.array([0, 1, 0, 1, 1])
    truth = DFA(dfa.transitions, dfa.initial, outputs=classes)
    learned = DFA(other.transitions, other.initial, outputs=classes)
    found = extract_dfa(Table(other, classes, seed), Task.from_dfa(truth), length=24)
    word = truth.distinguishing_word(learned)
    if word is None:
        assert found.equivalent
    elif len(word):
        assert not found.equivalent
        assert found.model_fails
        assert len(found.distinguishing_word) == len(word)
        assert found.fidelity == 1.0


def test_membership_of_a_language():
    dfa = DFA.from_regex("(a|b)*abb", alphabet="ab")
    task = Task.from_dfa(dfa, supervision="membership")
    found = extract_dfa(Table(dfa, dfa.accepting.astype(int)), task)
    assert found.equivalent
    assert found.dfa.num_states == dfa.minimize().num_states
    assert found.dfa.alphabet == ("a", "b")


@pytest.mark.parametrize(
    ("model", "task"),
    [
        (parity_by_sign(), get_task("parity")),
        (cyclic_by_two_layers(5), get_task("z5", generators="all")),
        (group_by_reflections(symmetric(4)), get_task("word_problem", group="S4")),
        (group_by_matrices(alternating(5)), get_task("word_problem", group="A5")),
        (automaton_by_columns(get_task("flip_flop").dfa), get_task("flip_flop")),
    ],
    ids=["parity", "z5", "s4", "a5", "flip_flop"],
)
def test_exact_constructions_are_their_automata(model, task):
    if task.token_elements is not None and task.group.order != task.num_tokens:
        task = get_task("word_problem", group=task.group.name, generators="all")
    found = extract_dfa(model, task, num_words=32)
    assert found.equivalent
    assert found.accuracy == 1.0
    frame = found.to_frame()
    assert frame.loc[0, ["equivalent", "distinguishing_word"]].tolist() == [True, ""]


class Forgets(nn.Module):
    """Parity that returns to 0 after some number of ones: right on short words only."""

    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def forward(self, tokens, state=None):
        ones = torch.zeros(len(tokens), 1) if state is None else state[0][0]
        counts = ones + tokens.cumsum(dim=1)
        parity = torch.where(counts < self.limit, counts % 2, 0).long()
        return nn.functional.one_hot(parity, 2).float(), [(counts[:, -1:],)]


def test_the_first_word_that_breaks_a_model():
    found = extract_dfa(Forgets(7), get_task("parity"), length=64)
    assert not found.equivalent
    assert found.distinguishing_word == (1,) * 7
    assert found.model_fails
    assert found.complete
    assert found.dfa.num_states == 7  # six ones, and what follows is 0 for ever
    assert found.fidelity == 1.0


def test_a_state_that_drifts_has_no_end():
    found = extract_dfa(Forgets(61), get_task("parity"), length=256, num_words=32, max_states=12)
    assert not found.complete
    assert found.dfa.num_states <= 12
    assert found.fidelity < 1.0


def test_untrained_models_give_some_automaton():
    task = get_task("s3")
    model = build_model("householder", task.num_tokens, task.num_classes)
    model.train()
    found = extract_dfa(model, task, num_words=16, length=8)
    assert model.training
    assert not found.equivalent
    assert found.accuracy < 0.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: extract_dfa(parity_by_sign(), get_task("parity"), length=0), "at least 1"),
        (lambda: extract_dfa(parity_by_sign(), get_task("parity"), max_states=2), "2 classes"),
        (lambda: extract_dfa(nn.Linear(1, 1), get_task("dyck_1")), "no automaton|asks for"),
        (lambda: extract_dfa(nn.Embedding(2, 2), get_task("parity")), "expected .logits, state"),
        (lambda: state_clusters(parity_by_sign(), get_task("parity"), (8, 4)), "ascending"),
        (lambda: state_clusters(parity_by_sign(), get_task("parity"), (4,), layer=3), "layer 3"),
        (lambda: minimal_realisation(np.ones((1, 2)), np.ones((1, 3, 3))), r"\[K, 3\]"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


@given(
    seed=st.integers(0, 10_000),
    real=st.integers(1, 4),
    hidden=st.integers(0, 3),
    blind=st.integers(0, 3),
)
@settings(max_examples=30, deadline=None)
def test_smallest_linear_machines(seed, real, hidden, blind):
    """A random machine, with states that nothing reaches and states that nothing shows."""
    source = np.random.default_rng(seed)
    size = real + hidden + blind
    matrices = source.normal(size=(2, size, size)) / np.sqrt(size)
    start, readout = source.normal(size=(1, size)), source.normal(size=(size, 2))
    # Rows: [real | unreachable | unseen]; unreachable may feed others, unseen may be fed.
    matrices[:, :real, real : real + hidden] = 0
    matrices[:, real + hidden :, : real + hidden] = 0
    start[:, real : real + hidden] = 0
    readout[real + hidden :] = 0
    basis = source.normal(size=(size, size)) + 2 * np.eye(size)
    matrices = np.linalg.solve(basis, matrices @ basis)
    start, readout = start @ basis, np.linalg.solve(basis, readout)
    small = minimal_realisation(start, matrices, readout, tolerance=1e-7)
    assert small.dimension == real
    for _ in range(5):
        word = source.integers(0, 2, size=6)
        rows = start
        for token in word:
            rows = rows @ matrices[token]
        np.testing.assert_allclose(small.value(word), rows @ readout, atol=1e-6)


def test_the_rank_of_the_hankel_matrix():
    """By brute force over words: the dimension is that rank (Carlyle and Paz, Fliess)."""
    source = np.random.default_rng(3)
    matrices = source.normal(size=(2, 5, 5)) / 2
    matrices[:, :, 4] = 0
    start, readout = np.array([[1.0, 1, 0, 0, 0]]), source.normal(size=(5, 1))
    words = [()] + [tuple(w) for n in (1, 2, 3) for w in np.ndindex(*(2,) * n)]

    def after(rows, word):
        for token in word:
            rows = rows @ matrices[token]
        return rows

    hankel = [[(after(start, u + v) @ readout).item() for v in words] for u in words]
    small = minimal_realisation(start, matrices, readout)
    assert small.dimension == np.linalg.matrix_rank(np.array(hankel), tol=1e-9)


def test_reachable_rows_of_a_permutation():
    cycle = np.eye(4)[[1, 2, 3, 0]][None]
    assert len(krylov_rows(np.array([[1.0, 0, 0, 0]]), cycle)) == 4
    assert len(krylov_rows(np.array([[1.0, 0, 1, 0]]), cycle)) == 2
    assert len(krylov_rows(np.ones((1, 4)), cycle)) == 1
    assert len(krylov_rows(np.zeros((1, 4)), cycle)) == 0


def test_clusters_of_an_exact_construction():
    task = get_task("word_problem", group="S3", generators="all")
    frame = state_clusters(group_by_reflections(symmetric(3)), task, (4, 16, 64), num_words=256)
    assert frame["length"].tolist() == [4, 16, 64]
    assert frame[["accuracy", "purity", "probe_accuracy"]].to_numpy() == pytest.approx(1.0)
    assert frame["spread_ratio"].max() < 1e-4
    assert frame["margin"].min() > 0
    assert frame["effective_rank"].to_numpy() == pytest.approx(frame["effective_rank"][0], rel=0.2)


def test_noise_shows_as_spread():
    dfa = random_dfa(4, 2, seed=1)
    task = Task.from_dfa(DFA(dfa.transitions, dfa.initial, outputs=range(4)))
    ratios = [
        state_clusters(Table(dfa, range(4), noise=noise), task, (32,))["spread_ratio"][0]
        for noise in (0.01, 0.1)
    ]
    assert ratios[1] == pytest.approx(10 * ratios[0], rel=0.1)


def test_purity_and_ranks_against_known_values():
    points = np.repeat(np.eye(3), 10, axis=0)
    classes = np.repeat(np.arange(3), 10)
    assert cluster_purity(points, classes) == 1.0
    assert adjusted_rand_score(classes, classes) == 1.0
    assert cluster_purity(np.zeros((4, 2)), np.array([0, 0, 0, 1])) == 0.75
    assert spread_ratio(np.zeros((4, 2)), np.array([0, 0, 1, 1])) == np.inf
    assert effective_rank(np.zeros((4, 2))) == 0
    assert effective_rank(points) == pytest.approx(2.0)
