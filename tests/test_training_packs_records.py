"""Records of packs: what one run raises costs that run alone."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from statetrack.models import config as models
from statetrack.models import load_model
from statetrack.training import RunConfig, pack_training
from statetrack.training.curricula import Stage, register_curriculum
from statetrack.training.execute import execute, execute_pack
from statetrack.training.pack_training import TrainingStoppedError
from statetrack.training.packs import pack_id
from tests.pack_cases import FAMILIES, TINY, Interruption, run_of, runs_of, seeds, trained


@dataclass(frozen=True)
class Explodes:
    """A curriculum that raises after the first round."""

    def stage(self, history, length):
        if history:
            raise KeyError("no such stage")
        return Stage.whole(length)


@dataclass(frozen=True)
class Refuses(Explodes):
    """One that gives words without letters."""

    def stage(self, history, length):
        return Stage.whole(length if not history else 0)


@dataclass(frozen=True)
class NoWords(Explodes):
    """One that gives no words."""

    def stage(self, history, length):
        return Stage.whole(length, 0 if history else 5)


def without_time(record):
    summary = {key: value for key, value in record.summary.items() if "seconds" not in key}
    return record.run_id, record.status, summary, record.tables


@pytest.mark.parametrize(
    ("curriculum", "reason"),
    [
        (Explodes, "KeyError: 'no such stage'"),
        (
            Refuses,
            "curriculum 'bad' gives Stage(length=0, shortest=0, supervised=0): expected lengths",
        ),
        (NoWords, "curriculum 'bad' gives 0 words: expected one"),
    ],
)
def test_what_one_run_raises_costs_that_run_alone(tmp_path, curriculum, reason):
    register_curriculum("bad", curriculum)
    runs = seeds(5)
    runs[3] = run_of("diagonal", "seed=3", "training.curriculum=bad")
    records = list(execute_pack(runs, checkpoints=tmp_path))
    assert sorted(record.run_id for record in records) == sorted(run.run_id for run in runs)
    by_id = {record.run_id: record for record in records}
    assert by_id[runs[3].run_id].summary["error"] == reason
    good = [by_id[run.run_id] for run in runs if run is not runs[3]]
    assert {record.status for record in good} == {"finished"}
    # None of the packs under way is left behind, and every good run has a file.
    left = {path.name for path in tmp_path.iterdir() if not path.name.endswith(".sha256")}
    assert left == {f"{record.run_id}.safetensors" for record in good}


class RaisesForOne(nn.Module):
    """Depends on its own numbers in a way that cannot be mapped; those of one seed are bad."""

    def __init__(self, num_tokens, num_classes):
        super().__init__()
        self.register_buffer("kind", torch.randint(1000, ()), persistent=False)
        self.embedding = nn.Embedding(num_tokens, num_classes)

    def forward(self, tokens, state=None):
        if int(self.kind) == self.bad:
            raise ArithmeticError("a bad number")
        return self.embedding(tokens), state


def test_a_model_that_cannot_be_mapped_is_trained_alone(tmp_path, monkeypatch):
    def build(config, num_tokens, num_classes):
        return RaisesForOne(num_tokens, num_classes)

    models.register_model("odd", models.BackboneConfig, build)
    runs = [RunConfig.from_pairs(["model=odd", *TINY, f"seed={seed}"]) for seed in range(3)]
    bad = int(pack_training.initial_model(runs[1]).kind)
    monkeypatch.setattr(RaisesForOne, "bad", bad, raising=False)
    records = list(execute_pack(runs, checkpoints=tmp_path))
    assert [record.status for record in records] == ["finished", "failed", "finished"]
    assert records[1].summary["error"] == "ArithmeticError: a bad number"
    assert [record.provenance["pack_size"] for record in records] == [1, 1, 1]


def test_a_model_that_cannot_be_built_for_one_seed(tmp_path):
    good = models.model_entry("diagonal")

    def build(config, num_tokens, num_classes):
        if torch.default_generator.initial_seed() == 1:
            raise MemoryError("too large")
        return good.build(config, num_tokens, num_classes)

    models.register_model("odd", good.config_class, build)
    pairs = ["model=odd", *TINY, *FAMILIES["diagonal"]]
    runs = [RunConfig.from_pairs([*pairs, f"seed={seed}"]) for seed in range(3)]
    records = {record.run_id: record for record in execute_pack(runs, checkpoints=tmp_path)}
    assert [records[run.run_id].status for run in runs] == ["finished", "failed", "finished"]
    assert records[runs[1].run_id].summary["error"] == "MemoryError: too large"


def test_records_of_a_pack_are_those_of_its_runs(tmp_path):
    runs = runs_of("diagonal")
    records = {record.run_id: record for record in execute_pack(runs, checkpoints=tmp_path)}
    assert list(records) != [run.run_id for run in runs]  # the second one is over first
    for run in runs:
        record, alone = records[run.run_id], execute(run)
        assert record.provenance["pack_size"] == 4
        assert alone.provenance["pack_size"] == 1
        assert record.config == alone.config
        assert record.summary.keys() == alone.summary.keys()
        assert record.tables.keys() == alone.tables.keys()
        losses = record.tables["history"]["loss"]
        assert losses == pytest.approx(alone.tables["history"]["loss"], abs=1e-5)
        model = load_model(tmp_path / f"{run.run_id}.safetensors")
        assert record.summary["num_parameters"] == sum(p.numel() for p in model.parameters())
    left = {path.name for path in tmp_path.iterdir() if not path.name.endswith(".sha256")}
    assert left == {f"{run.run_id}.safetensors" for run in runs}


def test_a_stopped_pack_goes_on_with_the_same_records(tmp_path):
    runs = runs_of("diagonal")
    whole = {record.run_id: without_time(record) for record in execute_pack(runs)}
    kept = {}
    for ask in (0, 30, 40, 45, 47):
        try:
            stopped = execute_pack(
                runs, known=kept, checkpoints=tmp_path, should_stop=Interruption(ask)
            )
            for record in stopped:
                kept[record.run_id] = without_time(record)
        except TrainingStoppedError:
            assert (tmp_path / f"pack-{pack_id(runs)}.safetensors").exists()
    for record in execute_pack(runs, known=kept, checkpoints=tmp_path):
        assert record.run_id not in kept
        kept[record.run_id] = without_time(record)
    assert kept == whole
    assert list(tmp_path.glob("pack-*")) == []


def test_a_pack_checkpoint_that_was_changed_costs_the_steps_and_no_run(tmp_path):
    runs = seeds(2)
    path = tmp_path / f"pack-{pack_id(runs)}.safetensors"
    with pytest.raises(TrainingStoppedError):
        list(execute_pack(runs, checkpoints=tmp_path, should_stop=Interruption(3)))
    path.write_bytes(path.read_bytes()[:-1])
    records = list(execute_pack(runs, checkpoints=tmp_path))
    assert [record.status for record in records] == ["finished"] * 2
    assert list(tmp_path.glob("pack-*")) == []


def test_progress_names_every_run():
    runs = seeds(2)
    reports = []
    trained(runs, report=reports.append)
    assert {tuple(one.run_id for one in report) for report in reports} == {
        tuple(run.run_id for run in runs)
    }
    assert [one.step for one in reports[-1]] == [20, 20]
    assert {one.num_steps for report in reports for one in report} == {20}
