"""Evaluation against models whose accuracy is known exactly."""

import copy
import dataclasses
import itertools

import numpy as np
import pytest
import sympy
import torch
from torch import nn

from automata.dfa import DFA
from automata.errors import InputError
from automata.tasks import AutomatonTask, Task, get_task
from statetrack.models import build_model
from statetrack.training import ReportCurve, SelectionScore, counting, evaluate, select
from statetrack.training.data import draw_batch
from tests.evaluation_cases import ARRAYS, Constant, Follower, Oracle, measured, same, sometimes


@pytest.mark.parametrize("supervision", ["per_prefix", "final", "membership"])
@pytest.mark.parametrize("name", ["parity", "s3", "s5", "random_dfa"])
@pytest.mark.parametrize("model", [Oracle, Follower])
def test_an_oracle_is_right_everywhere(name, supervision, model):
    task = get_task(name, supervision=supervision)
    curve = measured(model(task), task, max_length=30, num_words=70)
    score = select(model(task), task, length=30, num_words=70, seed=3)
    assert score == SelectionScore(30, 70, 1.0, 1.0)
    assert (curve.token_accuracy == 1.0).all()
    assert (curve.whole_prefix_accuracy == 1.0).all()
    assert (curve.majority_rate < 1.0).any()
    assert curve.length.tolist() == list(range(1, 31))
    assert set(curve.num_words) == {70}


@pytest.mark.parametrize("depth", [0, 1])
def test_every_prefix_that_is_an_expression_is_a_word_where_the_last_answer_counts(depth):
    """As measured by reading every such prefix of the same words on its own, by hand."""
    options = {"modulus": 3, "operators": "+*", "max_depth": depth, "supervision": "final"}
    task = get_task("modular_arithmetic", **options)
    curve = measured(Constant(3, 1), task, max_length=9, num_words=300, seed=5)
    words = task.sample(5, batch_size=300, length=9, split="report").tokens
    signs = [task.alphabet[token] for token in range(task.num_tokens)]
    expected = {}
    for length in range(1, 10):
        values = []
        for word in words[:, :length]:
            text = "".join(signs[token] for token in word)
            if text[-1] in "012)" and text.count("(") == text.count(")"):
                values.append(int(sympy.sympify(text)) % 3 == 1)
        if values:
            expected[length] = (len(values), np.mean(values))
    assert sorted(expected) == [1, 3, 5, 7, 9]
    assert curve.length.tolist() == sorted(expected)
    for row in curve.itertuples():
        assert (row.num_words, row.token_accuracy) == pytest.approx(expected[row.length])


def test_expressions_that_begin_longer_ones_are_uniform():
    """What the curve over prefixes takes for granted, counted over all expressions."""
    law = get_task("modular_arithmetic", modulus=2, operators="+", max_depth=1).law
    words = np.array(list(itertools.product(range(law.dfa.num_symbols), repeat=7)))
    longer = words[law.dfa.accepts(words)]
    for length in (1, 3, 5):
        prefixes = longer[law.dfa.accepts(longer[:, :length])][:, :length]
        _, counts = np.unique(prefixes, axis=0, return_counts=True)
        assert len(set(counts)) == 1


@pytest.mark.parametrize("name", ["parity", "s3"])
def test_a_constant_answer_scores_its_measured_share(name):
    task = get_task(name)
    num_words = 600
    words = task.sample(3, batch_size=num_words, length=25, split="report")
    shares = np.stack([(words.targets == c).mean(axis=0) for c in range(task.num_classes)])
    for answer in range(task.num_classes):
        curve = measured(
            Constant(task.num_classes, answer), task, max_length=25, num_words=num_words, seed=3
        )
        assert curve.token_accuracy.tolist() == shares[answer].tolist()
        assert curve.majority_rate.tolist() == shares.max(axis=0).tolist()
        whole = np.cumprod(words.targets == answer, axis=1).mean(axis=0)
        assert curve.whole_prefix_accuracy.tolist() == whole.tolist()


def test_the_majority_rate_is_measured_and_not_the_law():
    """A sink: the law says 1 - 2^-L, words short enough to be split by word have their own."""
    task = Task.from_dfa(DFA([[0, 1], [1, 1]]))
    curve = measured(Constant(2, 1), task, max_length=6, num_words=64)
    words = task.sample(0, batch_size=64, length=6, split="report")
    assert curve.majority_rate.iloc[-1] == (words.targets[:, -1] == 1).mean()


def test_one_mistake_breaks_the_prefix_from_there_on():
    """Wrong at position 4 of the words that begin with token 1, right everywhere else."""
    task = get_task("parity")

    def wrong(tokens):
        places = torch.zeros_like(tokens, dtype=torch.bool)
        places[:, 3] = tokens[:, 0] == 1
        return places

    curve = measured(Oracle(task, wrong), task, max_length=20, num_words=512)
    words = task.sample(0, batch_size=512, length=20, split="report")
    share = 1.0 - (words.tokens[:, 0] == 1).mean()
    assert curve.token_accuracy.tolist() == [1.0] * 3 + [share] + [1.0] * 16
    assert curve.whole_prefix_accuracy.tolist() == [1.0] * 3 + [share] * 17


@pytest.mark.parametrize("model", ["diagonal", "householder", "mru", "lstm"])
def test_whole_prefix_is_at_most_token_accuracy_and_never_rises(model):
    torch.manual_seed(0)
    task = get_task("s3")
    network = build_model(model, task.num_tokens, task.num_classes, width=8)
    curve = measured(network, task, max_length=40, num_words=256)
    assert (curve.whole_prefix_accuracy <= curve.token_accuracy).all()
    assert curve.whole_prefix_accuracy.is_monotonic_decreasing
    assert curve.whole_prefix_accuracy.iloc[0] == curve.token_accuracy.iloc[0]
    assert (curve.majority_rate >= 1 / task.num_classes).all()


@pytest.mark.parametrize("num_words", [1, 39, 513])
def test_the_numbers_do_not_depend_on_the_batches(num_words, monkeypatch):
    task = get_task("s3")

    def wrong(tokens):
        return tokens == 2

    curves = []
    for size in (512, 100, 30, 7, 0)[: 3 if num_words > 500 else None]:
        monkeypatch.setattr(counting, "TOKENS_PER_BATCH", size * 20)
        model = Oracle(task, wrong)
        curves.append(measured(model, task, max_length=20, num_words=num_words, seed=1))
        assert sum(model.batch_sizes) == num_words
        assert max(model.batch_sizes) <= max(size, 1)
        assert curves[0].equals(curves[-1])
    words = task.sample(1, batch_size=num_words, length=20, split="report")
    assert curves[0].token_accuracy.tolist() == (words.tokens != 2).mean(axis=0).tolist()


def test_the_splits_share_no_word():
    """Short lengths by word; long ones by chance: 4,096 words of 2^30."""
    task = get_task("parity")
    for length in (4, 8, 12, 16, 30):
        words = {
            split: {
                tuple(word)
                for word in draw_batch(
                    task, batch_size=2048, length=length, seed=0, split=split
                ).tokens.tolist()
            }
            for split in ("train", "selection", "report")
        }
        assert not words["train"] & words["report"]
        assert not words["train"] & words["selection"]
        assert not words["selection"] & words["report"]


def test_report_words_are_those_of_the_report_split_and_seed():
    task = get_task("s3")
    seen = []

    class Recorder(Oracle):
        def forward(self, tokens, state=None):
            seen.append(tokens.clone())
            return super().forward(tokens, state)

    evaluate(Recorder(task), task, max_length=5, num_words=100, seed=9)
    expected = task.sample(9, batch_size=100, length=5, split="report").tokens
    assert np.array_equal(torch.cat(seen).numpy(), expected)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training):
    task = get_task("parity")
    model = build_model("diagonal", 2, 2, width=8).train(training)
    modes = []
    model.head.register_forward_hook(lambda *_: modes.append(model.training))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    evaluate(model, task, max_length=4, num_words=8)
    assert modes == [False]
    assert model.training is training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[n], tensor) for n, tensor in model.state_dict().items())


def test_answers_that_are_not_numbers_are_wrong():
    """A model that overflows on long words must not be credited with the first class."""

    class Overflow(Oracle):
        def forward(self, tokens, state=None):
            logits, state = super().forward(tokens, state)
            logits[:, 10:] = float("nan")
            return logits, state

    task = get_task("parity")
    curve = measured(Overflow(task), task, max_length=20, num_words=256)
    assert (curve.token_accuracy[:10] == 1.0).all()
    assert (curve.token_accuracy[10:] == 0.0).all()


@pytest.mark.parametrize("segment", [1024, 8])
@pytest.mark.parametrize("name", ["modular_arithmetic", "reverse_string", "repl_traces"])
def test_only_what_a_task_asks_for_is_scored(name, segment, monkeypatch):
    """An oracle that knows the targets where they are asked, and nothing elsewhere, is perfect."""
    monkeypatch.setattr(counting, "SEGMENT_LENGTH", segment)
    task = get_task(name)
    length = 21 if name == "modular_arithmetic" else 20
    batch = task.sample(0, batch_size=64, length=length, split="report")

    class KnowsWhatIsAsked(nn.Module):
        def forward(self, tokens, state=0):
            end = state + tokens.shape[-1]
            seen, targets, mask = (
                torch.from_numpy(array[:, state:end])
                for array in (batch.tokens, batch.targets, batch.mask)
            )
            assert torch.equal(tokens, seen)
            answers = nn.functional.one_hot(targets, task.num_classes)
            wrong = nn.functional.one_hot(torch.zeros_like(tokens), task.num_classes)
            return torch.where(mask[..., None], answers, -wrong), end

    curve = measured(KnowsWhatIsAsked(), task, max_length=length, num_words=64)
    asked = batch.mask.sum(axis=0)
    assert not batch.mask.all()
    assert curve.length.tolist() == (np.flatnonzero(asked) + 1).tolist()
    assert curve.num_words.tolist() == asked[asked > 0].tolist()
    assert (curve.token_accuracy == 1.0).all()
    assert (curve.whole_prefix_accuracy == 1.0).all()


def test_select_measures_the_selection_words_of_the_seed():
    task = get_task("s3")
    score = select(Constant(6, 4), task, length=25, num_words=300, seed=8)
    words = task.sample(8, batch_size=300, length=25, split="selection")
    assert score.token_accuracy == (words.targets[:, -1] == 4).mean()
    late = AutomatonTask("late", DFA([[1, 1], [2, 2], [2, 2]]), supervised=[True, False, False])
    with pytest.raises(InputError, match="'late' asks nothing in words of length 3"):
        select(Constant(3, 0), late, length=3, num_words=4, seed=0)
    with pytest.raises(InputError, match="'late' asks nothing in words of length 3"):
        evaluate(Constant(3, 0), late, max_length=3, num_words=4)


def test_only_evaluate_makes_a_report():
    task = get_task("parity")
    curve = evaluate(Follower(task), task, max_length=20, num_words=4)
    with pytest.raises(TypeError, match="nothing else makes one"):
        dataclasses.replace(curve, num_words=5)
    with pytest.raises(TypeError, match="nothing else makes one"):
        ReportCurve("uniform", 4, *(getattr(curve, name) for name in ARRAYS))
    with pytest.raises(TypeError, match="split"):
        evaluate(Follower(task), task, max_length=20, num_words=4, split="selection")
    with pytest.raises(ValueError, match="read-only"):
        curve.num_right[0] = 0
    assert same(copy.deepcopy(curve), curve)


def test_intervals_of_a_curve():
    task = get_task("s3")
    curve = evaluate(Follower(task, sometimes), task, max_length=90, num_words=400)
    for metric in ("token_accuracy", "whole_prefix_accuracy"):
        frame = curve.intervals(metric=metric)
        assert (frame.low <= frame[metric]).all() and (frame[metric] <= frame.high).all()
        assert (frame.high - frame.low).max() < 0.11
    sure = curve.intervals([10], method="clopper_pearson").iloc[0]
    assert sure.low == pytest.approx(0.025 ** (1 / 400)) and sure.high == 1.0
    low, high = curve.horizon_interval(0.95)
    assert low <= curve.horizon(0.95, "whole_prefix_accuracy") <= high
    with pytest.raises(InputError, match="unknown metric 'accuracy'"):
        curve.horizon(metric="accuracy")
    with pytest.raises(InputError, match="threshold = 0"):
        curve.horizon_interval(0)
    task = get_task("repl_traces")
    other = evaluate(Constant(task.num_classes, 0), task, max_length=20, num_words=50)
    with pytest.raises(InputError, match="not every word is asked at the same positions"):
        other.horizon_interval()
