"""Words of every family are those of `automata.words`, and are read in segments as in one piece."""

import numpy as np
import pytest
import torch
from torch import nn

from automata.dfa import DFA
from automata.errors import InputError
from automata.sampling import random_dfa
from automata.tasks import Task, get_task
from automata.words import alternating_letters, pair_adversarial_words, repeated_letters
from statetrack.training import RunConfig, counting, evaluate, evaluate_pack
from statetrack.training.execute import execute
from statetrack.training.records import RunRecord, curve_tables
from statetrack.training.selection import SelectionScore
from statetrack.training.word_families import AdversarialFamily, PeriodicFamily, word_family


class Reader(nn.Module):
    """Keeps what it sees; its state is where it is."""

    def __init__(self, num_classes):
        super().__init__()
        self.num_classes, self.seen = num_classes, {}

    def forward(self, tokens, state=0):
        self.seen.setdefault(state, []).append(tokens.clone())
        logits = torch.zeros(1).expand(*tokens.shape, self.num_classes)
        return logits, state + tokens.shape[-1]

    @property
    def words(self):
        return torch.cat([torch.cat(parts) for _, parts in sorted(self.seen.items())], -1).numpy()


def read(task, family, *, max_length=30, num_words=1000):
    reader = Reader(task.num_classes)
    curve = evaluate(reader, task, max_length=max_length, num_words=num_words, family=family)
    assert curve.family == word_family(family).name
    assert len(reader.words) == curve.num_words == len(curve.first_error)
    return reader.words, curve


TASK = Task.from_dfa(random_dfa(6, 3, seed=2), name="random")


@pytest.mark.parametrize("segment", [1024, 8])
def test_the_words_of_every_family(segment, monkeypatch):
    monkeypatch.setattr(counting, "SEGMENT_LENGTH", segment)
    expected = {
        "uniform": TASK.sample(0, batch_size=1000, length=30, split="report").tokens,
        "repeated": repeated_letters(3, 30),
        "alternating": alternating_letters(3, 30),
        "adversarial": pair_adversarial_words(TASK.dfa, 30, num_words=5)[0],
    }
    for family, words in expected.items():
        found, curve = read(TASK, family)
        assert np.array_equal(found, words), family
        right = TASK.targets_of(words) == 0
        assert curve.token_accuracy.tolist() == right.mean(axis=0).tolist()
        shares = np.stack([(TASK.targets_of(words) == c).mean(axis=0) for c in range(6)])
        assert curve.majority_rate.tolist() == shares.max(axis=0).tolist()


def test_where_there_are_more_words_than_asked_for_they_are_spread():
    task = get_task("s3")
    words, _ = read(task, "alternating", num_words=10)
    assert np.array_equal(words, alternating_letters(6, 30)[::3])
    words, _ = read(task, PeriodicFamily("threes", 3), num_words=7, max_length=3)
    assert words.tolist() == [[0, 0, 1], *words[1:].tolist()]
    assert len({tuple(word) for word in words}) == 7


def test_adversarial_words_of_own_costs():
    costs = -np.random.default_rng(0).random((6, 6, 3))
    words, _ = read(TASK, AdversarialFamily(costs, "mine"), num_words=3)
    assert np.array_equal(words, pair_adversarial_words(TASK.dfa, 30, costs, num_words=3)[0])
    assert not np.array_equal(words, read(TASK, "adversarial", num_words=3)[0])


def test_adversarial_words_find_what_uniform_words_miss():
    """A model that forgets: right from the last reset, which random words bring soon."""
    flip_flop = Task.from_dfa(DFA([[0, 1, 0], [1, 1, 0]]), name="flip-flop")

    class Forgets(nn.Module):
        def forward(self, tokens, state=None):
            targets = torch.from_numpy(flip_flop.targets_of(tokens.numpy()))
            last = torch.arange(tokens.shape[1]) * (tokens > 0)
            age = torch.arange(tokens.shape[1]) - last.cummax(dim=1).values
            answers = torch.where(age > 12, 1 - targets, targets)
            return nn.functional.one_hot(answers, 2).float(), state

    arguments = {"max_length": 40, "num_words": 500}
    uniform = evaluate(Forgets(), flip_flop, **arguments)
    adversarial = evaluate(Forgets(), flip_flop, **arguments, family="adversarial")
    assert uniform.horizon() == 40
    assert adversarial.horizon() == 13


def test_a_family_of_ones_own():
    class Thirds:
        name = "thirds"

        def count(self, task, length, num_words):
            return 2

        def letters(self, task, piece, *, seeds, split, device):
            positions = torch.arange(piece.first_letter, piece.first_letter + piece.num_letters)
            return (positions % 3).expand(piece.num_items, -1)

    words, curve = read(get_task("s3"), Thirds(), max_length=2000)
    assert words.tolist() == [(np.arange(2000) % 3).tolist()] * 2
    assert (curve.majority_rate == 1.0).all()

    class Wrong(Thirds):
        def letters(self, task, piece, **keywords):
            return super().letters(task, piece, **keywords) + 5

    with pytest.raises(InputError, match="words holds 7, and there are 6 symbols"):
        read(get_task("s3"), Wrong())


@pytest.mark.parametrize(
    ("task", "family", "message"),
    [
        ("reverse_string", "repeated", "do not follow an automaton"),
        ("s3", "repeatd", "unknown word family 'repeatd': did you mean 'repeated'"),
        ("trivial", "adversarial", "'adversarial' has no words for task 'trivial'"),
    ],
)
def test_bad_families_are_named(task, family, message):
    task = Task.from_dfa(DFA([[0, 0]]), "trivial") if task == "trivial" else get_task(task)
    with pytest.raises(InputError, match=message):
        read(task, family)


def test_tasks_of_a_pack_need_as_many_words():
    tasks = [get_task("z5"), get_task("z6")]
    with pytest.raises(InputError, match=r"the tasks have \[5, 6\] words"):
        evaluate_pack(Reader(6), tasks, max_length=20, num_words=100, family="repeated")


TINY = (
    "task=s3",
    "model=lstm",
    "model.width=4",
    "training.steps=1",
    "training.batch_size=2",
    "training.select_words=2",
    "evaluation.max_length=20",
    "evaluation.num_words=8",
)


def test_a_run_measures_further_families_beside_uniform_words():
    plain = execute(RunConfig.from_pairs(TINY))
    config = RunConfig.from_pairs([*TINY, 'evaluation.families=["repeated","alternating"]'])
    record = execute(config)
    assert "family_curves" not in plain.tables
    assert record.tables["curves"] == plain.tables["curves"]
    table = record.tables["family_curves"]
    assert table["family"] == ["repeated"] * 20 + ["alternating"] * 20
    assert set(table["num_words"]) == {6, 8}
    assert record.summary["token_horizon"] == plain.summary["token_horizon"]
    assert RunConfig.model_validate_json(record.config) == config


@pytest.mark.parametrize(
    "value", ['["uniform"]', '["repeated","repeated"]', '["repeatd"]', "repeated"]
)
def test_families_of_a_configuration_are_checked(value):
    with pytest.raises(InputError, match=r"families|word family 'repeatd'"):
        RunConfig.from_pairs([*TINY, f"evaluation.families={value}"])


def test_a_record_takes_report_curves_alone():
    config, task = RunConfig.from_pairs(TINY), get_task("s3")
    arguments = {"max_length": 20, "num_words": 8}
    curve = evaluate(Reader(6), task, **arguments)
    repeated = evaluate(Reader(6), task, **arguments, family="repeated")
    good = RunRecord.finished(config, {}, [curve, repeated], {}, "cpu")
    assert list(good.tables) == ["curves", "thresholds", "family_curves"]
    score = SelectionScore(20, 8, 1.0, 1.0)
    for bad in ([score], [curve, score], [curve.to_frame()], [{"length": [20]}]):
        with pytest.raises(InputError, match="a ReportCurve, and was given a"):
            RunRecord.finished(config, {}, bad, {}, "cpu")
    for bad in ([], [repeated]):
        with pytest.raises(InputError, match="the one on uniform words"):
            curve_tables(bad, [20])
    with pytest.raises(InputError, match="made of report curves alone"):
        RunRecord.finished(config, {}, [curve], {"family_curves": curve.to_frame()}, "cpu")
