"""Words on the device are the words of `automata`, bit for bit, and so are their labels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from automata import philox, words
from automata.dfa import DFA
from automata.errors import InputError
from automata.philox import SPLITS
from automata.sampling import random_dfa
from automata.tasks import Task, get_task
from statetrack.scans.automaton import automaton_scan, uniform_letters
from statetrack.scans.automaton.letters import philox_4x32_10
from statetrack.training.data import draw_batch, draw_plain_batch
from statetrack.training.labelled_words import LabelledWords
from statetrack.training.word_families import UniformFamily

u32 = st.integers(0, 2**32 - 1)


def on_device(task, device, **arguments):
    """The path that a GPU takes, on any device."""
    if device.type != "cpu":
        return draw_batch(task, device=device, **arguments)
    return draw_plain_batch(task, device=device, **arguments)


@given(counter=st.tuples(u32, u32, u32, u32), key=st.tuples(u32, u32))
def test_philox_in_torch_equals_numpy(counter, key):
    expected = philox.philox_4x32_10(list(counter), list(key))
    found = philox_4x32_10(tuple(torch.tensor(word) for word in counter), key)
    assert [int(word) for word in found] == expected.tolist()


@given(
    num_symbols=st.one_of(st.integers(2, 7), st.integers(2, 2**31)),
    length=st.integers(0, 40),
    first=st.one_of(st.integers(0, 100), st.integers(0, 2**63 - 10)),
    count=st.integers(0, 5),
    seed=u32,
    split=st.sampled_from(SPLITS),
)
def test_letters_equal_those_of_numpy(num_symbols, length, first, count, seed, split):
    arguments = (num_symbols, length)
    if length == 1 and num_symbols == 2:
        length, arguments = 2, (2, 2)  # two words cannot be split in three
    expected = words.uniform_letters(*arguments, (first, count), seed=seed, split=split)
    found = uniform_letters(*arguments, first, count, seed=seed, split=split)
    assert found.dtype == torch.int64
    assert found.shape == (count, length)
    assert np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize("length", [9, 16, 17, 40])
@pytest.mark.parametrize("first_letter", [0, 1, 4, 7])
def test_pieces_of_words_equal_those_of_numpy(length, first_letter, device):
    piece = {"first_letter": first_letter, "num_letters": min(9, length - first_letter)}
    expected = words.uniform_letters(2, length, (2**33, 6), seed=5, split="report", **piece)
    found = uniform_letters(2, length, 2**33, 6, seed=5, split="report", device=device, **piece)
    assert np.array_equal(found.cpu().numpy(), expected)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(
    ("num_symbols", "length"),
    [
        (2, 2),
        (2, 16),
        (2, 17),
        (3, 10),
        (3, 11),
        (6, 6),
        (6, 7),
        (65536, 1),
        (65537, 1),
        (2**31, 9),
    ],
)
def test_letters_on_both_sides_of_the_border_of_short_words(device, num_symbols, length, split):
    expected = words.uniform_letters(num_symbols, length, (7, 300), seed=3, split=split)
    found = uniform_letters(num_symbols, length, 7, 300, seed=3, split=split, device=device)
    assert np.array_equal(found.cpu().numpy(), expected)


def test_an_item_does_not_depend_on_its_batch():
    together = uniform_letters(6, 50, 2**33 - 4, 8, seed=9)
    for row in range(8):
        alone = uniform_letters(6, 50, 2**33 - 4 + row, 1, seed=9)
        assert torch.equal(alone[0], together[row])


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((0, 5, 0, 1), {}, "num_symbols"),
        ((2**31 + 1, 5, 0, 1), {}, "num_symbols"),
        ((2, 1, 0, 1), {}, "too few"),
        ((1, 5, 0, 1), {}, "too few"),
        ((2, 20, 0, 1), {"seed": 2**32}, "seed"),
        ((2, 20, 0, 1), {"seed": -1}, "seed"),
        ((2, 20, 0, 1), {"split": "tran"}, "train"),
        ((2, 8, 0, 1), {"split": "tran"}, "train"),
    ],
)
def test_bad_arguments_are_named(arguments, keywords, message):
    with pytest.raises(InputError, match=message):
        uniform_letters(*arguments, **keywords)


@given(data=st.data())
def test_automaton_scan_equals_the_trace(data):
    num_states = data.draw(st.integers(1, 12))
    num_symbols = data.draw(st.integers(1, 4))
    table = data.draw(
        st.lists(
            st.lists(st.integers(0, num_states - 1), min_size=num_symbols, max_size=num_symbols),
            min_size=num_states,
            max_size=num_states,
        )
    )
    initial = data.draw(st.integers(0, num_states - 1))
    leading = data.draw(st.sampled_from([(), (3,), (2, 2), (0,)]))
    length = data.draw(st.integers(0, 9))
    seed = data.draw(u32)
    word = np.random.default_rng(seed).integers(0, num_symbols, (*leading, length))
    states, final = automaton_scan(torch.tensor(table), torch.from_numpy(word), initial)
    trace = DFA(table, initial).trace(word)
    assert np.array_equal(states.numpy(), trace[..., 1:])
    assert np.array_equal(final.numpy(), trace[..., -1])


def test_automaton_scan_goes_on_from_a_state():
    dfa = random_dfa(20, 3, seed=4)
    table = torch.from_numpy(np.array(dfa.transitions))
    word = uniform_letters(3, 100, 0, 16, seed=1)
    whole, end = automaton_scan(table, word, dfa.initial)
    for cut in (0, 1, 37, 99, 100):
        first, between = automaton_scan(table, word[:, :cut], dfa.initial)
        second, last = automaton_scan(table, word[:, cut:], between)
        assert torch.equal(torch.cat([first, second], dim=1), whole)
        assert torch.equal(last, end)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("length", [5, 40])
@pytest.mark.parametrize("supervision", ["per_prefix", "final", "membership"])
@pytest.mark.parametrize("name", ["parity", "s3", "s5", "random_dfa"])
def test_a_batch_drawn_on_the_device_is_the_batch_of_the_task(
    device, name, supervision, length, split
):
    task = get_task(name, supervision=supervision)
    arguments = {"batch_size": 32, "length": length, "seed": 11, "split": split, "step": 3}
    expected = task.sample(**arguments)
    here = draw_batch(task, **arguments)
    there = on_device(task, device, **arguments)
    for part in ("tokens", "targets", "mask"):
        assert np.array_equal(getattr(here, part).numpy(), getattr(expected, part)), part
        assert np.array_equal(getattr(there, part).cpu().numpy(), getattr(expected, part)), part


def test_a_batch_of_a_machine_with_outputs_and_a_late_initial_state(device):
    dfa = DFA([[1, 2], [2, 0], [0, 0]], 2, outputs=[3, 0, 3])
    task = Task.from_dfa(dfa)
    arguments = {"batch_size": 16, "length": 30, "seed": 5, "split": "selection", "step": 1}
    expected = task.sample(**arguments)
    found = on_device(task, device, **arguments)
    assert np.array_equal(found.targets.cpu().numpy(), expected.targets)


@pytest.mark.parametrize("num_states", [2**15 - 1, 2**15, 2**15 + 1])
def test_states_on_both_sides_of_16_bits(device, num_states):
    states = np.arange(num_states)
    ring = np.stack([(states - 1) % num_states, (states + 1) % num_states], axis=1)
    task = Task.from_dfa(DFA(ring))
    expected = task.sample(5, batch_size=8, length=30, split="report")
    assert expected.targets.max() == num_states - 1
    drawn = on_device(
        task, device, batch_size=8, length=30, seed=5, split="report", step=0
    ).targets.cpu()
    assert np.array_equal(drawn.numpy(), expected.targets)
    words = LabelledWords(
        task, UniformFamily(), 30, 8, seeds=[5], split="report", device=device
    ).read(0, 8, 32)
    assert np.array_equal(next(words).targets[0].cpu().numpy(), expected.targets)


def test_steps_are_consecutive_items():
    task = get_task("s3")
    whole = draw_batch(task, batch_size=24, length=30, seed=2)
    parts = [draw_batch(task, batch_size=8, length=30, seed=2, step=step) for step in range(3)]
    assert torch.equal(torch.cat([part.tokens for part in parts]), whole.tokens)
    assert torch.equal(torch.cat([part.targets for part in parts]), whole.targets)


def test_drawing_leaves_the_global_generators_alone():
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    draw_batch(get_task("s3"), batch_size=8, length=30, seed=2)
    uniform_letters(3, 30, 0, 8)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
