"""Certificates and adversarial words: sound arithmetic, closed bit patterns, L_cert <= true."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from automata.dfa import DFA
from automata.errors import InputError
from automata.tasks import AutomatonTask, get_task
from statetrack.analysis.adversary import adversarial_word, first_failure, pair_costs
from statetrack.analysis.affine import read_affine
from statetrack.analysis.bit_patterns import search_patterns
from statetrack.analysis.certificates import certify
from statetrack.analysis.sound_balls import (
    GELU_SLOPE,
    LIBRARY,
    UNIT,
    Balls,
    gamma,
    spectral_norm,
)
from statetrack.analysis.sound_steps import READERS, read_sound_model
from statetrack.layers import bias_gelu, rms_norm
from statetrack.models.constructions import (
    automaton_by_columns,
    group_by_matrices,
    group_by_reflections,
    parity_by_sign,
    permutation_matrices,
)
from statetrack.models.deep_constructions import cyclic_by_two_layers
from statetrack.training import RunConfig, evaluate, train
from statetrack.training.horizon_tables import horizon_tables
from tests.horizon_cases import noisy_group, small

KNOWN = ["diagonal", "complex_diagonal", "mru", "dense", "permutation_diagonal", "block_diagonal"]
KNOWN += ["householder"]


def a_ball(seed, size, radius):
    random = np.random.default_rng(seed)
    middle = random.normal(size=(3, size)).astype(np.float32).astype(float)
    box = radius * random.uniform(0, 1, size=(3, size))
    return random, Balls.make(middle, box, np.linalg.norm(box, axis=1))


def members(random, balls):
    """Float32 vectors inside, corners among them."""
    share = random.uniform(-1, 1, size=(200, *balls.middle.shape))
    share[:100] = np.sign(share[:100])
    drawn = (balls.middle + share * balls.box).astype(np.float32)
    # Rounding to float32 may leave a small box.
    inside = np.abs(drawn - balls.middle) <= balls.box
    return torch.from_numpy(np.where(inside, drawn, balls.middle).astype(np.float32))


def contains(balls, results):
    gap = results.double().numpy() - balls.middle
    in_box = (np.abs(gap) <= balls.box).all()
    return in_box and (np.linalg.norm(gap, axis=-1) <= balls.ball).all()


@given(seed=st.integers(0, 10**6), size=st.integers(1, 40), radius=st.sampled_from([0, 1e-6, 0.1]))
@settings(max_examples=40, deadline=None)
def test_what_float32_computes_lies_in_the_balls(seed, size, radius):
    random, balls = a_ball(seed, size, radius)
    x = members(random, balls)
    weight = random.normal(size=(7, size)).astype(np.float32)
    scale = random.normal(size=size).astype(np.float32)
    other = Balls.exactly(np.broadcast_to(scale.astype(float), balls.middle.shape))
    product = x @ torch.from_numpy(weight).T
    assert contains(
        balls.linear(weight.astype(float), spectral_norm(weight.astype(float))), product
    )
    assert contains(balls.normalised(scale.astype(float)), rms_norm(x, torch.from_numpy(scale)))
    assert contains(balls.gelu(), torch.nn.functional.gelu(x))
    assert contains(balls.plus(other), x + torch.from_numpy(scale))


def test_library_functions_are_as_exact_as_is_granted():
    x = torch.cat([torch.linspace(-12, 12, 2**20), torch.logspace(-30, 1, 2**16)])
    zero = torch.zeros(1)
    found = bias_gelu(x[:, None], zero)[:, 0].double()
    exact = torch.nn.functional.gelu(x.double())
    granted = gamma(4) * exact.abs() + (LIBRARY + 3) * UNIT * x.double().abs()
    assert bool(((found - exact).abs() <= granted).all())
    root = torch.rsqrt(x.abs() + 1e-6).double()
    exact = (x.abs() + 1e-6).double() ** -0.5
    assert float(((root - exact) / exact).abs().max()) < LIBRARY * UNIT
    wide = x.double().requires_grad_()
    (slope,) = torch.autograd.grad(torch.nn.functional.gelu(wide).sum(), wide)
    assert float(slope.abs().max()) < GELU_SLOPE


@pytest.mark.parametrize("name", KNOWN)
def test_a_float32_step_is_within_its_bound(name):
    model = small(name)
    sound = read_sound_model(model, 6)
    states = [state_of(model, word) for word in [(), (0,), (1, 2), (3, 4, 5, 5), (2, 0, 1)]]
    for before, token in itertools.product(states, range(6)):
        with torch.no_grad():
            _, after = model.step(torch.tensor([token]), before)
        h, found = rows_of(model, before, sound), rows_of(model, after, sound)
        step = sound.steps[token]
        exact = (h.astype(np.longdouble) @ step.matrix + step.offset).astype(float)
        bound = np.abs(h) @ step.rounding + step.extra + 1e-14
        assert (np.abs(found - exact) <= bound).all()
        # A bound that is no use would pass too: it is near what rounding does.
        assert bound.max() < 2e-5 * (1 + np.abs(exact).max())


def state_of(model, word):
    state = model.initial_state(1)
    with torch.no_grad():
        for letter in word:
            _, state = model.step(torch.tensor([letter]), state)
    return state


def rows_of(model, state, sound):
    first, *scale = state[0]
    if first.is_complex():
        first = torch.view_as_real(first).flatten(-2)
    values = first[0].double().detach().numpy()
    if scale:
        values = values * np.exp2(scale[0][0].double().numpy())[:, None, None]
    if type(model.blocks[0].mixer).__name__ == "HouseholderMixer":
        values = values.swapaxes(-1, -2)
    return values.reshape(sound.initial.shape)


def test_every_mixer_with_a_bound_is_tested():
    tested = {type(small(name).blocks[0].mixer) for name in KNOWN}
    assert tested == set(READERS)


@pytest.mark.parametrize("group", ["Z3", "S3", "D4", "Q8"])
def test_matrix_constructions_are_certified_for_all_lengths(group):
    task = get_task("word_problem", group=group)
    proof = certify(group_by_matrices(task.group), task)
    assert proof.all_lengths
    assert proof.method == "closed"
    assert proof.shortest_failure is None


def test_permutations_and_signs_are_certified_for_all_lengths():
    assert certify(parity_by_sign(), get_task("parity")).num_patterns == 2
    task = get_task("word_problem", group="S4")
    model = group_by_matrices(task.group, matrices=permutation_matrices(task.group))
    proof = certify(model, task)
    assert proof.all_lengths
    assert proof.num_patterns <= 25  # the elements, and the state before the first letter
    resets = DFA([[1, 0], [2, 0], [2, 0]])
    for task in (get_task("s3"), AutomatonTask("resets", resets)):
        proof = certify(automaton_by_columns(task.dfa), task)
        assert proof.all_lengths
        assert proof.num_patterns == task.dfa.num_states


def test_rotations_that_round_are_certified_to_the_cap_only():
    task = get_task("word_problem", group="Z5")
    proof = certify(group_by_reflections(task.group), task, max_steps=60, cap=20)
    assert not proof.all_lengths
    assert (proof.length, proof.method) == (20, "bounded")


def test_two_layers_are_searched_and_not_bounded():
    task = get_task("sum", modulus=3)
    proof = certify(cyclic_by_two_layers(3), task, max_steps=100)
    assert proof.bounded_length == -1
    assert proof.length == proof.searched_length > 0


def test_what_cannot_be_certified_says_so():
    with pytest.raises(InputError, match="task of an automaton"):
        certify(parity_by_sign(), get_task("majority"))
    with pytest.raises(InputError, match="float32 model on the CPU"):
        read_sound_model(parity_by_sign().double(), 2)
    with pytest.raises(InputError, match="not known for LSTMMixer"):
        read_sound_model(small("lstm"), 6)


def shortest_failure(model, task, longest):
    """All words, one length after the other."""
    for length in range(1, longest + 1):
        words = np.array(list(itertools.product(range(task.num_tokens), repeat=length)))
        if any(failed is not None for failed in first_failure(model, task, words)):
            return length
    return longest + 1


@pytest.mark.parametrize(("group", "error"), [("S3", 0.45), ("Z3", 0.2), ("D4", 0.4)])
def test_certified_then_true_then_adversarial(group, error):
    model, task = noisy_group(group, error)
    longest = 5 if task.num_tokens > 3 else 8
    truth = shortest_failure(model, task, longest)
    word = adversarial_word(model, task, cap=64)
    proof = certify(model, task, max_steps=50)
    assert proof.length < truth
    assert word is not None
    assert truth <= longest + 1
    assert word.length >= min(truth, longest)
    if truth <= longest:
        assert word.length == truth  # the beam is wide enough here
        searched = search_patterns(model, task, 10**4)
        assert (searched.length, len(searched.failing_word)) == (truth - 1, truth)


def test_the_witness_is_wrong_at_its_last_letter_alone():
    model, task = noisy_group("S3", 0.05)
    found = adversarial_word(model, task, cap=128, beam=0)
    state, targets = model.initial_state(1), task.targets_of(found.word.tolist())
    answers = []
    for letter in found.word:
        with torch.no_grad():
            logits, state = model.step(torch.tensor([int(letter)]), state)
        answers.append(int(logits.argmax()))
    right = np.array(answers) == targets
    assert right[:-1].all()
    assert not right[-1]
    row = found.to_frame().iloc[0]
    assert len(row["word"].split()) == found.length == row["length"]


@pytest.mark.parametrize(
    ("group", "error"),
    [
        ("D5", 0.02),
        pytest.param("S4", 0.01, marks=pytest.mark.slow),
        pytest.param("A5", 0.01, marks=pytest.mark.slow),
    ],
)
def test_the_cheapest_cycle_fails_near_its_predicted_length(group, error):
    model, task = noisy_group(group, error)
    found = adversarial_word(model, task, cap=1024, beam=0)
    assert abs(np.log(found.cycle_length / found.predicted_length)) < np.log(1.45)
    random = np.random.default_rng(0).integers(task.num_tokens, size=(500, found.length))
    failures = [one for one in first_failure(model, task, random) if one is not None]
    assert not failures


def test_costs_add_up_to_the_margin_of_a_repeated_letter():
    """First order: the margin after n letters is the first one plus n costs."""
    model, task = noisy_group("Z5", 1e-4)
    recurrence = read_affine(model, 5)
    costs, margins = pair_costs(recurrence, task)
    state, place = recurrence.initial[None], 0
    letters, before = 40, None
    other = 2
    for _ in range(letters):
        logits = recurrence.decode(state, np.array([1]))[0]
        after, wrong = (place + 1) % 5, (other + 1) % 5
        margin = logits[after] - logits[wrong]
        before = margin if before is None else before
        total = margin - before
        state = recurrence.step(state, np.array([1]))
        place, other = after, wrong
    expected = sum(costs[t % 5, (2 + t) % 5, 1] for t in range(letters - 1))
    assert total == pytest.approx(expected, rel=0.1, abs=2e-5)
    assert margins[0, 2] > 0


TRAINED = {
    "parity": ["model=diagonal", "model.num_channels=16"],
    "s3": ["model=householder", "model.num_factors=2", "model.num_heads=2"],
    "sum": ["task.modulus=3", "model=complex_diagonal", "model.num_channels=8"],
}


@pytest.mark.slow
@pytest.mark.parametrize("task", [*TRAINED, "s3 by matrices"])
def test_trained_models_end_where_their_weights_say(task):
    pairs = TRAINED.get(task, ["model=mru", "model.num_heads=2"])
    shared = ["model.width=32", "training.length=16", "training.steps=400"]
    shared += ["training.learning_rate=0.005", f"task={task.split()[0]}"]
    trained = train(RunConfig.from_pairs([*shared, *pairs]))
    curve = evaluate(trained.model, trained.task, max_length=1024, num_words=1024)
    row = horizon_tables(trained.model, trained.task, curve.thresholds())["horizon"].iloc[0]
    if row.measured_censored:
        assert row.predicted > row.measured / 1.15
    else:
        assert abs(np.log10(row.predicted / row.measured)) < np.log10(1.15)
    first = np.inf if row.first_random_failure is None else row.first_random_failure
    assert row.certified < row.adversarial_length <= first
