"""Long words read in segments, on every device and in packs: the counts of whole words."""

import resource
import sys

import numpy as np
import pytest
import torch
from torch import nn

from automata.errors import InputError
from automata.sampling import random_dfa
from automata.tasks import Task, get_task
from statetrack.models import build_model
from statetrack.training import (
    counting,
    evaluate,
    evaluate_pack,
    labelled_words,
    select,
    select_pack,
)
from statetrack.training.config import EvaluationConfig
from tests.evaluation_cases import Constant, Follower, Oracle, same, sometimes


class Pack(nn.Module):
    def __init__(self, models):
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, tokens, state=None):
        given = [()] * len(tokens) if state is None else [(one,) for one in state]
        answers = [m(t, *g) for m, t, g in zip(self.models, tokens, given, strict=True)]
        return torch.stack([logits for logits, _ in answers]), [after for _, after in answers]


@pytest.mark.parametrize("segment", [4, 12, 64])
@pytest.mark.parametrize("name", ["parity", "s3"])
def test_segments_count_as_whole_words_do(name, segment, monkeypatch):
    task = get_task(name)
    arguments = {"max_length": 150, "num_words": 130, "seed": 5}
    whole = evaluate(Follower(task, sometimes), task, **arguments)
    counting.majority_counts.cache_clear()
    monkeypatch.setattr(counting, "SEGMENT_LENGTH", segment)
    monkeypatch.setattr(counting, "TOKENS_PER_BATCH", segment * 50)
    model = Follower(task, sometimes)
    assert same(evaluate(model, task, **arguments), whole)
    assert max(shape[-1] for shape in model.shapes) == segment
    assert max(np.prod(shape) for shape in model.shapes) <= segment * 50
    counting.majority_counts.cache_clear()


def test_counts_are_those_of_numpy():
    task = get_task("s3")
    curve = evaluate(Follower(task, sometimes), task, max_length=100, num_words=90, seed=2)
    words = task.sample(2, batch_size=90, length=100, split="report")
    right = ~sometimes(torch.from_numpy(words.targets), torch.arange(1, 101)).numpy()
    assert curve.num_right.tolist() == right.sum(axis=0).tolist()
    assert curve.num_whole.tolist() == np.cumprod(right, axis=1).sum(axis=0).tolist()
    first = np.where(right.all(axis=1), 101, right.argmin(axis=1) + 1)
    assert curve.first_error.tolist() == first.tolist()
    one_hot = words.targets[..., None] == np.arange(6)
    assert curve.num_majority.tolist() == one_hot.sum(axis=0).max(axis=-1).tolist()


@pytest.mark.parametrize("family", ["uniform", "repeated", "alternating", "adversarial"])
@pytest.mark.parametrize("length", [3, 30, 1100])
def test_every_device_counts_the_same(device, family, length):
    """Words drawn and labelled on a GPU, two seeds at once, against those of the CPU."""
    task = Task.from_dfa(random_dfa(5, 3, seed=1))
    arguments = {"max_length": length, "num_words": 40, "family": family, "seed": 2}
    expected = evaluate(Follower(task, sometimes), task, **arguments)
    assert same(evaluate(Follower(task, sometimes), task, **arguments, device=device), expected)
    scores = select_pack(
        Follower(task, sometimes), [task] * 2, [3, 8], length=length, num_words=70, device=device
    )
    for seed, score in zip((3, 8), scores, strict=True):
        alone = select(Follower(task, sometimes), task, length=length, num_words=70, seed=seed)
        assert score == alone


@pytest.mark.parametrize("model", ["diagonal", "householder", "mru", "lstm", "transformer"])
def test_models_carry_their_state_over_segments(model, monkeypatch):
    """Rounding may turn a tie of two logits, and nothing else."""
    torch.manual_seed(1)
    task = get_task("s3")
    network = build_model(model, task.num_tokens, task.num_classes, width=8)
    whole = evaluate(network, task, max_length=50, num_words=64)
    monkeypatch.setattr(counting, "SEGMENT_LENGTH", 8)
    pieces = evaluate(network, task, max_length=50, num_words=64)
    assert abs(whole.num_right - pieces.num_right).max() <= 1


def test_a_model_without_a_state_reads_whole_words(monkeypatch):
    task = get_task("parity")
    monkeypatch.setattr(counting, "SEGMENT_LENGTH", 8)
    model = Oracle(task)
    assert (evaluate(model, task, max_length=30, num_words=5).token_accuracy == 1.0).all()
    assert model.batch_sizes == [5, 5]
    monkeypatch.setattr(counting, "MAX_TOKENS_WITHOUT_STATE", 29)
    with pytest.raises(InputError, match=r"returns no state to carry on.* 1 of length 30"):
        evaluate(model, task, max_length=30, num_words=5)
    assert model.training


def test_words_that_can_only_be_drawn_whole_are_bounded(monkeypatch):
    task = get_task("reverse_string")
    monkeypatch.setattr(labelled_words, "MAX_DRAWN_TOKENS", 40)
    shapes = []

    class Zeros(Constant):
        def forward(self, tokens, state=0):
            shapes.append(tuple(tokens.shape))
            return super().forward(tokens, state)

    evaluate(Zeros(task.num_classes, 0), task, max_length=20, num_words=5)
    assert shapes == [(2, 20), (2, 20), (1, 20)]
    with pytest.raises(InputError, match="drawn whole, and 1 of length 42"):
        evaluate(Zeros(task.num_classes, 0), task, max_length=42, num_words=5)


@pytest.mark.parametrize("names", [["s3", "s3", "s3"], ["s3", "z6", "s3"]])
def test_a_pack_measures_what_its_runs_measure_alone(names, monkeypatch):
    """Report words are shared by the runs of a task; selection words belong to a seed."""
    monkeypatch.setattr(counting, "SEGMENT_LENGTH", 16)
    tasks = [get_task(name) for name in names]
    models = [
        Follower(tasks[0], sometimes),
        Follower(tasks[1]),
        Follower(tasks[2], lambda states, positions: states == positions % 6),
    ]
    report = {"max_length": 40, "num_words": 50}
    together = evaluate_pack(Pack(models), tasks, **report)
    for model, task, curve in zip(models, tasks, together, strict=True):
        assert same(evaluate(model, task, **report), curve)
    assert together[0].num_right.tolist() != together[1].num_right.tolist()
    seeds = [7, 7, 2**32 - 1]
    scores = select_pack(Pack(models), tasks, seeds, length=40, num_words=50)
    for model, task, seed, score in zip(models, tasks, seeds, scores, strict=True):
        assert select(model, task, seed=seed, length=40, num_words=50) == score


def test_a_pack_needs_a_task_and_a_seed_for_every_run():
    with pytest.raises(InputError, match="2 task"):
        select_pack(Constant(2, 0), [get_task("parity")] * 2, [1], length=20, num_words=4)
    with pytest.raises(InputError, match="0 task"):
        evaluate_pack(Constant(2, 0), [], max_length=20, num_words=4)


def test_the_horizon_is_exact_at_positions_that_are_not_recorded():
    task = get_task("s3")
    recorded = EvaluationConfig(max_length=1000).lengths()
    assert 333 not in recorded
    model = Follower(task, lambda states, positions: (positions == 333) & (states == 2))
    curve = evaluate(model, task, max_length=1000, num_words=200)
    assert curve.horizon() == curve.horizon(metric="whole_prefix_accuracy") == 332
    assert curve.horizon(0.5) == 1000
    assert curve.to_frame(recorded).length.tolist() == recorded
    assert (curve.to_frame(recorded).token_accuracy == 1.0).all()
    failing = (curve.first_error == 333).sum()
    assert curve.horizon(1 - failing / 200) == 1000
    assert curve.horizon(1 - (failing - 1) / 200) == 332
    assert curve.horizon_interval() == (332, 332)
    assert curve.horizon_interval(0.5) == (1000, 1000)
    assert evaluate(Constant(6, 0), task, max_length=20, num_words=200).horizon() == 0


def test_long_words_are_read_in_segments():
    """In a word of 2**14 letters an error is found where it is, and nothing whole is seen."""
    task = Task.from_dfa(random_dfa(5, 3, seed=1))
    model = Follower(task, lambda states, positions: positions == 2**14 - 3)
    curve = evaluate(model, task, max_length=2**14, num_words=3)
    assert curve.horizon() == 2**14 - 4
    assert set(curve.first_error) == {2**14 - 3}
    assert curve.num_right.sum() == 3 * (2**14 - 1)
    assert set(model.shapes) == {(3, 1024)}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_million_letters_in_constant_memory():
    """8 words of 2**20 letters: 64 MB each for tokens and states, 200 MB for logits if whole."""
    task = get_task("s3")
    evaluate(Follower(task), task, max_length=2**11, num_words=8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    curve = evaluate(Follower(task), task, max_length=2**20, num_words=8)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert curve.horizon() == 2**20 and (curve.num_whole == 8).all()
    assert grown * (1 if sys.platform == "darwin" else 1024) < 150 * 2**20
