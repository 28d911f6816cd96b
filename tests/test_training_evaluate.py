"""Evaluation against models whose accuracy is known exactly."""

import importlib

import numpy as np
import pytest
import torch
from torch import nn

from automata.dfa import DFA
from automata.tasks import Task, get_task
from statetrack.models import build_model
from statetrack.training import evaluate
from statetrack.training.data import draw_batch


class Oracle(nn.Module):
    """Runs the automaton: right everywhere, or wrong at chosen (word, position) places."""

    def __init__(self, task, is_wrong=lambda tokens: torch.zeros_like(tokens, dtype=torch.bool)):
        super().__init__()
        self.task, self.is_wrong = task, is_wrong
        self.batch_sizes = []

    def forward(self, tokens, state=None):
        self.batch_sizes.append(len(tokens))
        targets = torch.from_numpy(self.task.targets_of(tokens.numpy()))
        wrong = self.is_wrong(tokens).long()
        answers = (targets + wrong) % self.task.num_classes
        return nn.functional.one_hot(answers, self.task.num_classes).float(), state


class Constant(nn.Module):
    def __init__(self, num_classes, answer):
        super().__init__()
        logits = torch.zeros(num_classes)
        logits[answer] = 1.0
        self.logits = logits

    def forward(self, tokens, state=None):
        return self.logits.expand(*tokens.shape, -1), state


@pytest.mark.parametrize("split", ["report", "selection", "train"])
@pytest.mark.parametrize("supervision", ["per_prefix", "final", "membership"])
@pytest.mark.parametrize("name", ["parity", "s3", "s5", "random_dfa"])
def test_an_oracle_is_right_everywhere(name, supervision, split):
    task = get_task(name, supervision=supervision)
    curve = evaluate(Oracle(task), task, max_length=30, num_words=70, split=split)
    assert (curve.token_accuracy == 1.0).all()
    assert (curve.whole_prefix_accuracy == 1.0).all()
    assert (curve.majority_rate < 1.0).any()
    assert curve.length.tolist() == list(range(1, 31))
    assert set(curve.num_words) == {70}


@pytest.mark.parametrize("name", ["parity", "s3"])
def test_a_constant_answer_scores_its_measured_share(name):
    task = get_task(name)
    num_words = 600
    words = task.sample(3, batch_size=num_words, length=25, split="report")
    shares = np.stack([(words.targets == c).mean(axis=0) for c in range(task.num_classes)])
    for answer in range(task.num_classes):
        curve = evaluate(
            Constant(task.num_classes, answer), task, max_length=25, num_words=num_words, seed=3
        )
        assert curve.token_accuracy.tolist() == shares[answer].tolist()
        assert curve.majority_rate.tolist() == shares.max(axis=0).tolist()
        whole = np.cumprod(words.targets == answer, axis=1).mean(axis=0)
        assert curve.whole_prefix_accuracy.tolist() == whole.tolist()


def test_the_majority_rate_is_measured_and_not_the_law():
    """A sink: the law says 1 - 2^-L, words short enough to be split by word have their own."""
    task = Task.from_dfa(DFA([[0, 1], [1, 1]]))
    curve = evaluate(Constant(2, 1), task, max_length=6, num_words=64)
    words = task.sample(0, batch_size=64, length=6, split="report")
    assert curve.majority_rate.iloc[-1] == (words.targets[:, -1] == 1).mean()


def test_one_mistake_breaks_the_prefix_from_there_on():
    """Wrong at position 4 of the words that begin with token 1, right everywhere else."""
    task = get_task("parity")

    def wrong(tokens):
        places = torch.zeros_like(tokens, dtype=torch.bool)
        places[:, 3] = tokens[:, 0] == 1
        return places

    curve = evaluate(Oracle(task, wrong), task, max_length=20, num_words=512)
    words = task.sample(0, batch_size=512, length=20, split="report")
    share = 1.0 - (words.tokens[:, 0] == 1).mean()
    assert curve.token_accuracy.tolist() == [1.0] * 3 + [share] + [1.0] * 16
    assert curve.whole_prefix_accuracy.tolist() == [1.0] * 3 + [share] * 17


@pytest.mark.parametrize("model", ["diagonal", "householder", "mru", "lstm"])
def test_whole_prefix_is_at_most_token_accuracy_and_never_rises(model):
    torch.manual_seed(0)
    task = get_task("s3")
    network = build_model(model, task.num_tokens, task.num_classes, width=8)
    curve = evaluate(network, task, max_length=40, num_words=256)
    assert (curve.whole_prefix_accuracy <= curve.token_accuracy).all()
    assert curve.whole_prefix_accuracy.is_monotonic_decreasing
    assert curve.whole_prefix_accuracy.iloc[0] == curve.token_accuracy.iloc[0]
    assert (curve.majority_rate >= 1 / task.num_classes).all()


@pytest.mark.parametrize("num_words", [1, 511, 513, 1100])
def test_the_numbers_do_not_depend_on_the_batches(num_words, monkeypatch):
    module = importlib.import_module("statetrack.training.evaluate")
    task = get_task("s3")

    def wrong(tokens):
        return tokens == 2

    curves = []
    for size in (512, 100, 7, 0):
        monkeypatch.setattr(module, "TOKENS_PER_BATCH", size * 20)
        model = Oracle(task, wrong)
        curves.append(evaluate(model, task, max_length=20, num_words=num_words, seed=1))
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
    curve = evaluate(Overflow(task), task, max_length=20, num_words=256)
    assert (curve.token_accuracy[:10] == 1.0).all()
    assert (curve.token_accuracy[10:] == 0.0).all()


@pytest.mark.parametrize("name", ["modular_arithmetic", "reverse_string", "repl_traces"])
def test_only_what_a_task_asks_for_is_scored(name):
    """An oracle that knows the targets where they are asked, and nothing elsewhere, is perfect."""
    task = get_task(name)
    length = 21 if name == "modular_arithmetic" else 20
    batch = task.sample(0, batch_size=64, length=length, split="report")

    class KnowsWhatIsAsked(nn.Module):
        def forward(self, tokens, state=None):
            assert torch.equal(tokens, torch.from_numpy(batch.tokens))
            answers = nn.functional.one_hot(torch.from_numpy(batch.targets), task.num_classes)
            wrong = nn.functional.one_hot(torch.zeros_like(tokens), task.num_classes)
            return torch.where(torch.from_numpy(batch.mask)[..., None], answers, -wrong), state

    curve = evaluate(KnowsWhatIsAsked(), task, max_length=length, num_words=64)
    asked = batch.mask.sum(axis=0)
    assert not batch.mask.all()
    assert curve.length.tolist() == (np.flatnonzero(asked) + 1).tolist()
    assert curve.num_words.tolist() == asked[asked > 0].tolist()
    assert (curve.token_accuracy == 1.0).all()
    assert (curve.whole_prefix_accuracy == 1.0).all()
