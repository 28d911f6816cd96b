"""Packs: what a run comes to does not depend on which others it is trained with."""

import math
import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from automata.errors import InputError
from statetrack.models import config as models
from statetrack.models import load_model
from statetrack.training import Grid, LocalLauncher, RunConfig, pack_training, run_grid, train
from statetrack.training import grid as grids
from statetrack.training.curricula import CURRICULA, Stage, register_curriculum
from statetrack.training.execute import execute, execute_pack
from statetrack.training.pack_training import PackTraining, TrainingStoppedError
from statetrack.training.pack_words import PackWords, _DeviceWords, _HostWords, _JoinedAutomata
from statetrack.training.packed_model import PackedModel
from statetrack.training.packs import (
    PackJob,
    pack_id,
    pack_key,
    pack_size_for,
    partition,
    plan_jobs,
)
from tests.pack_cases import (
    FAMILIES,
    OTHER_RUNS,
    TINY,
    Interruption,
    digest,
    histories,
    plain_loop,
    run_of,
    runs_of,
    trained,
    weights_of,
)

CPU = torch.device("cpu")


@pytest.fixture
def own_registries(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(models, "_REGISTRY", dict(models._REGISTRY))
    monkeypatch.setattr(CURRICULA, "_classes", dict(CURRICULA._classes))


def check_close(one, other, tolerance=1e-5):
    """Histories: the same rounds and scores, losses and weights up to rounding."""
    assert [row["step"] for row in one] == [row["step"] for row in other]
    for row, wanted in zip(one, other, strict=True):
        assert row["loss"] == pytest.approx(wanted["loss"], abs=tolerance)
        assert {**row, "loss": 0} == {**wanted, "loss": 0}


# What a run comes to.


@pytest.mark.parametrize("model", FAMILIES)
def test_in_a_pack_as_alone_and_as_a_plain_loop(model):
    """To 1e-5 in the loss, to 1e-4 in the weights: AdamW divides small numbers by small ones."""
    runs = runs_of(model)
    runs = runs if model == "diagonal" else runs[:3]
    pack = trained(runs)
    assert {member.status for member in pack.members} == {"finished"}
    assert [len(member.history) for member in pack.members][:3] == [4, 3, 4]
    for place, run in enumerate(runs):
        history = pack.members[place].history
        alone = trained([run])
        check_close(history, alone.members[0].history)
        stages = [(row["length"], row["supervised"]) for row in history]
        losses, weights = plain_loop(run, stages, history[-1]["step"])
        for row in history:
            assert row["loss"] == pytest.approx(losses[row["step"] - 1], abs=1e-5)
        found = weights_of(pack, place)
        assert torch.allclose(found, weights_of(alone, 0), rtol=0, atol=1e-4)
        assert torch.allclose(found, weights, rtol=0, atol=1e-4)
    lengths = [row["length"] for row in pack.members[2].history]
    assert lengths == [4, 8, 10, 10]
    if model == "diagonal":
        assert [row["supervised"] for row in pack.members[3].history] == [2, 5, 8, 10]
        assert [row["step"] for row in pack.members[3].history] == [5, 10, 15, 17]


def test_the_optimizer_is_chosen_by_name(tmp_path):
    """SGD in a pack, stopped and resumed, is torch's SGD in a plain loop."""
    runs = [run_of("diagonal", *own, "training.optimizer=sgd") for own in OTHER_RUNS[:2]]
    path = tmp_path / "pack.safetensors"
    with pytest.raises(TrainingStoppedError):
        trained(runs, checkpoint=path, should_stop=Interruption(7))
    pack = trained(runs, checkpoint=path)
    for place, run in enumerate(runs):
        history = pack.members[place].history
        stages = [(row["length"], row["supervised"]) for row in history]
        losses, weights = plain_loop(run, stages, history[-1]["step"])
        assert history[-1]["loss"] == pytest.approx(losses[history[-1]["step"] - 1], abs=1e-5)
        assert torch.allclose(weights_of(pack, place), weights, rtol=0, atol=1e-5)
    adamw = run_of("diagonal", *OTHER_RUNS[0])
    assert pack_key(runs[0]) != pack_key(adamw)
    assert not torch.allclose(weights_of(trained([adamw]), 0), weights_of(pack, 0), atol=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adam", "unknown optimizer 'adam'.*adamw"),
        ("sgd(momentum=1.5)", r"optimizer sgd: momentum = 1.5: expected a number in \[0, 1\)"),
        ("adamw(eps=0.0)", "optimizer adamw: eps = 0.0: expected a number > 0"),
    ],
)
def test_an_optimizer_that_is_none_is_named(text, message):
    with pytest.raises(InputError, match=message):
        run_of("diagonal", f"training.optimizer={text}")


def test_train_is_a_pack_of_one():
    run = run_of("diagonal")
    alone, pack = train(run), trained([run])
    assert alone.history == pack.members[0].history
    weights = torch.cat([one.detach().flatten() for one in alone.model.parameters()])
    assert torch.equal(weights, weights_of(pack, 0))


def test_tasks_of_one_size_share_a_pack():
    tasks = [f"task.seed={seed}" for seed in (1, 2)]
    pairs = ["task=random_dfa", "task.num_states=5"]
    runs = [run_of("diagonal", *pairs, task) for task in tasks]
    assert runs[0].task.build().dfa != runs[1].task.build().dfa
    pack = trained(runs)
    for place, run in enumerate(runs):
        check_close(pack.members[place].history, trained([run]).members[0].history)


def test_one_run_that_diverges_fails_alone():
    """Bits of the others are as beside a healthy run: it is there to the end of the one round."""
    once = ("training.select_every=20",)
    good = [run_of("diagonal", f"seed={seed}", *once) for seed in (0, 1, 2)]
    bad = run_of("diagonal", "seed=1", "training.learning_rate=1e30", *once)
    healthy, ill = trained(good), trained([good[0], bad, good[2]])
    assert [member.status for member in ill.members] == ["finished", "failed", "finished"]
    assert ill.members[1].reason.startswith("loss is nan at step 20; try a lower")
    assert ill.members[1].history == []
    for place in (0, 2):
        assert torch.equal(weights_of(ill, place), weights_of(healthy, place))
        assert ill.members[place].history == healthy.members[place].history


@pytest.mark.parametrize(
    "change", ["training.stop=plateau(rounds=1, by=0.999)", "training.learning_rate=1e30"]
)
def test_the_others_go_on_when_one_leaves(change):
    runs = [run_of("householder", f"seed={seed}") for seed in range(3)]
    pack = trained([runs[0], run_of("householder", "seed=9", change), *runs[1:]])
    assert pack.members[1].step < 20
    for place, run in zip((0, 2, 3), runs, strict=True):
        alone = trained([run])
        check_close(pack.members[place].history, alone.members[0].history)
        difference = weights_of(pack, place) - weights_of(alone, 0)
        assert difference.abs().max() < 1e-4


def test_runs_of_different_shape_are_no_pack():
    with pytest.raises(InputError, match="different shapes"):
        PackTraining([run_of("diagonal"), run_of("diagonal", "model.width=4")])
    with pytest.raises(InputError, match="different shapes"):
        PackTraining([])
    with pytest.raises(InputError, match="at least one model"):
        PackedModel([])
    with pytest.raises(InputError, match="different shapes"):
        PackedModel([nn.Linear(2, 3), nn.Linear(2, 2)])
    with pytest.raises(InputError, match=r"weight is torch.float64: a pack needs float32"):
        PackedModel([nn.Linear(2, 3).double()])


@pytest.mark.parametrize("model", ["diagonal", "lstm", "transformer", "ffn"])
def test_a_packed_model_answers_as_its_models(model):
    """Also with a state carried on, and where the state is none."""
    singles = [models.build_model(model, 3, 4, width=8) for _ in range(3)]
    pack = PackedModel(singles)
    tokens = torch.from_numpy(np.random.default_rng(1).integers(0, 3, (3, 2, 9)))
    logits, state = pack(tokens)
    first, half = pack(tokens[..., :5])
    second, _ = pack(tokens[..., 5:], half)
    assert torch.allclose(torch.cat([first, second], dim=2), logits, atol=1e-5)
    for place, single in enumerate(singles):
        wanted, after = single(tokens[place])
        assert torch.allclose(logits[place], wanted, atol=1e-5)
        assert (after is None) == (state is None)
        single.load_state_dict(pack.weights(place))
    chosen = pack.subset(torch.tensor([2, 0, 2]))
    assert torch.equal(chosen.parameters, pack.parameters[[2, 0, 2]])


# Stopped and resumed.

DIFFERENT = (
    ("training.select_every=7",),
    ("seed=1", "training.select_every=7"),
    (
        "seed=2",
        "training.select_every=7",
        "training.curriculum=doubling(start=4, threshold=100)",
        "training.stop=plateau(rounds=3, by=0.999)",
    ),
)
"""Two runs that step together, and one that joins them after two rounds and is over early."""


def long_runs():
    return [run_of("diagonal", *pairs, "training.steps=40") for pairs in DIFFERENT]


@pytest.fixture(scope="module")
def by_steps_alone():
    """No checkpoint comes of the clock, so that a slow machine asks as often as a fast one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack_training, "SECONDS_BETWEEN_CHECKPOINTS", math.inf)
        yield


@pytest.fixture(scope="module")
def quiet(by_steps_alone):
    """Never interrupted; and how often it asked."""
    never = Interruption()
    return trained(long_runs(), should_stop=never), never.asked


def check_same(resumed, whole):
    assert digest(resumed) == digest(whole)
    assert histories(resumed) == histories(whole)
    assert [m.status for m in resumed.members] == [m.status for m in whole.members]


@pytest.mark.parametrize("chain", range(5))
def test_fifty_random_stops_cost_no_bit(quiet, tmp_path, chain):
    """Ten in each chain: between rounds, in rounds, between groups of runs at different stages."""
    whole, asks = quiet
    assert asks == 40 + 14  # the third one joins the two after two rounds
    places = random.Random(chain).sample(range(asks), 10)
    interruption = Interruption(*places)
    path = tmp_path / "pack.safetensors"
    for _ in places:
        with pytest.raises(TrainingStoppedError, match="stopped at step"):
            trained(long_runs(), checkpoint=path, should_stop=interruption)
    resumed = trained(long_runs(), checkpoint=path, should_stop=interruption)
    assert interruption.asked == asks  # no step was made twice
    check_same(resumed, whole)


class PowerCutError(BaseException):
    pass


@pytest.mark.parametrize("ask", [1, 9, 60])
def test_a_power_cut_costs_no_bit(quiet, tmp_path, monkeypatch, ask):
    """The last timed checkpoint may be of any step, of any group."""
    whole, _ = quiet
    monkeypatch.setattr(pack_training, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    path = tmp_path / "pack.safetensors"
    asked = iter(range(ask))

    def cut():
        if next(asked, None) is None:
            raise PowerCutError
        return False

    with pytest.raises(PowerCutError):
        trained(long_runs(), checkpoint=path, should_stop=cut)
    monkeypatch.undo()
    check_same(trained(long_runs(), checkpoint=path), whole)


def test_known_runs_are_over_in_the_checkpoint_so_the_others_keep_their_bits(quiet, tmp_path):
    """A record is given out only when the checkpoint knows of it."""
    whole, _ = quiet
    path = tmp_path / "pack.safetensors"
    training = PackTraining(long_runs(), checkpoint=path)
    for over in training.rounds():
        if over:
            break
    assert over == [2]
    known = {long_runs()[2].run_id}
    resumed = PackTraining(long_runs(), checkpoint=path, known=known)
    assert next(resumed.rounds()) == [2]
    check_same(trained(long_runs(), checkpoint=path, known=known), whole)


def test_a_run_known_elsewhere_is_trained_when_it_is_no_longer_known(tmp_path):
    path = tmp_path / "pack.safetensors"
    runs = [run_of("diagonal", f"seed={seed}") for seed in range(2)]
    with pytest.raises(TrainingStoppedError):
        trained(runs, checkpoint=path, known={runs[0].run_id}, should_stop=Interruption(8))
    pack = trained(runs, checkpoint=path)
    assert [member.step for member in pack.members] == [20, 20]
    for place, run in enumerate(runs):
        check_close(pack.members[place].history, trained([run]).members[0].history)


def test_a_known_run_is_not_trained():
    runs = [run_of("diagonal", f"seed={seed}") for seed in range(2)]
    pack = trained(runs, known={runs[0].run_id})
    assert [member.status for member in pack.members] == ["elsewhere", "finished"]
    assert [member.step for member in pack.members] == [0, 20]


def test_the_checkpoint_of_other_runs_or_models_is_refused(tmp_path):
    path = tmp_path / "pack.safetensors"
    runs = [run_of("diagonal", f"seed={seed}") for seed in range(2)]
    with pytest.raises(TrainingStoppedError):
        trained(runs, checkpoint=path, should_stop=Interruption(3))
    with pytest.raises(InputError, match="holds another run"):
        PackTraining(runs[::-1], checkpoint=path)
    with pytest.raises(InputError, match="holds another run"):
        PackTraining(runs[:1], checkpoint=path)
    with pytest.raises(InputError, match="holds 2 runs under way"):
        load_model(path)


def test_the_checkpoint_of_one_run_under_way_is_a_model(tmp_path):
    path = tmp_path / "run.safetensors"
    run = run_of("diagonal")
    with pytest.raises(TrainingStoppedError):
        train(run, checkpoint=path, should_stop=Interruption(3))
    loaded = load_model(path)
    _, weights = plain_loop(run, [(10, 10)], 3)
    found = torch.cat([one.detach().flatten() for one in loaded.parameters()])
    assert torch.allclose(found, weights, atol=1e-5)


# Records.


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
def test_what_one_run_raises_costs_that_run_alone(own_registries, tmp_path, curriculum, reason):
    register_curriculum("bad", curriculum)
    runs = [run_of("diagonal", f"seed={seed}") for seed in range(5)]
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


def test_a_model_that_cannot_be_mapped_is_trained_alone(own_registries, tmp_path, monkeypatch):
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


def test_a_model_that_cannot_be_built_for_one_seed(own_registries, tmp_path):
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
    runs = [run_of("diagonal", f"seed={seed}") for seed in range(2)]
    path = tmp_path / f"pack-{pack_id(runs)}.safetensors"
    with pytest.raises(TrainingStoppedError):
        list(execute_pack(runs, checkpoints=tmp_path, should_stop=Interruption(3)))
    path.write_bytes(path.read_bytes()[:-1])
    records = list(execute_pack(runs, checkpoints=tmp_path))
    assert [record.status for record in records] == ["finished"] * 2
    assert list(tmp_path.glob("pack-*")) == []


def test_progress_names_every_run():
    runs = [run_of("diagonal", f"seed={seed}") for seed in range(2)]
    reports = []
    trained(runs, report=reports.append)
    assert {tuple(one.run_id for one in report) for report in reports} == {
        tuple(run.run_id for run in runs)
    }
    assert [one.step for one in reports[-1]] == [20, 20]
    assert {one.num_steps for report in reports for one in report} == {20}


# Plans.


def test_equal_keys():
    key = pack_key(run_of("diagonal"))
    for run in runs_of("diagonal"):
        assert pack_key(run) == key
    for own in ("model.eigenvalue_range=[0,1]", "model.range_steepness=1.0"):
        assert pack_key(run_of("diagonal", own)) == key, own
    for change in (
        "model.width=16",
        "model.num_layers=2",
        "training.length=11",
        "training.batch_size=5",
        "training.select_every=6",
        "training.select_words=17",
        "training.projections=bfloat16",
        "training.published_rates=true",
        "evaluation.max_length=13",
        "task=s4",
        "task.supervision=final",
    ):
        assert pack_key(run_of("diagonal", change)) != key, change
    # The same table size, tokens and classes; another group.
    one, other = (run_of("diagonal", f"task={task}") for task in ("z6", "s3"))
    assert pack_key(one) == pack_key(other)
    listed = ["task=dyck_1"]
    assert pack_key(run_of("diagonal", *listed)) != key


def seeds(count, *pairs):
    return [run_of("diagonal", f"seed={seed}", *pairs) for seed in range(count)]


def test_partition():
    few, many = seeds(3, "model.width=4"), seeds(10)
    mixed = [run for pair in zip(many[:3], few, strict=True) for run in pair] + many[3:]
    packs = partition(mixed, max_size=4)
    assert [len(pack) for pack in packs] == [4, 3, 3, 3]
    assert [run for pack in packs[:3] for run in pack] == many
    assert packs[3] == tuple(few)
    assert partition([], 4) == []


@pytest.mark.parametrize(
    ("count", "num_packs", "largest", "size"),
    [
        (12, 4, 32, 3),
        (12, 4, 2, 2),
        (12, 1, 32, 12),
        (12, 12, 32, 1),
        (12, 100, 32, 1),
        (1, 4, 8, 1),
    ],
)
def test_pack_size_for(count, num_packs, largest, size):
    assert pack_size_for(seeds(count), num_packs, largest) == size


def test_a_job_survives_json_and_names_what_is_missing():
    runs = tuple(runs_of("householder"))
    job = PackJob(runs, frozenset({runs[1].run_id}), deaths=1)
    again = PackJob.from_json(job.to_json())
    assert again == job
    assert [run.run_id for run in again.runs] == [run.run_id for run in runs]
    assert again.missing == (runs[0], runs[2], runs[3])
    assert again.without(runs[0].run_id).missing == (runs[2], runs[3])


def test_after_deaths_a_job_goes_on_once_and_is_then_taken_apart():
    runs = tuple(seeds(4))
    job = PackJob(runs, frozenset({runs[0].run_id}))
    (once,) = job.after_death()
    assert (once.runs, once.known, once.deaths) == (runs, job.known, 1)
    first, second = once.after_death()
    assert (first.runs, second.runs) == (runs[1:2], runs[2:])
    assert first.after_death() == []
    assert [part.runs for part in second.after_death()] == [runs[2:3], runs[3:]]
    done = PackJob(runs, frozenset(run.run_id for run in runs), deaths=1)
    assert done.after_death() == []


def test_an_earlier_plan_is_kept():
    runs = seeds(6)
    ids = [run.run_id for run in runs]
    earlier = [[ids[4], ids[1]], [ids[0], "of another grid"]]
    jobs = plan_jobs(runs, known={ids[4], ids[5]}, earlier=earlier, max_size=2)
    assert jobs[0] == PackJob((runs[4], runs[1]), frozenset({ids[4]}))
    assert [job.runs for job in jobs[1:]] == [(runs[0], runs[2]), (runs[3],)]
    assert plan_jobs(runs, set(ids), earlier, 2) == []


def test_a_grid_goes_on_with_the_packs_it_had(tmp_path):
    """Although another launcher would make others."""

    class Launcher:
        def __init__(self, size, stop):
            self.size, self.stop, self.jobs = size, stop, []

        def pack_size(self, runs):
            return self.size

        def run(self, jobs, checkpoints, progress, source=None):
            for job in jobs:
                self.jobs.append(job)
                stop = Interruption(*self.stop)
                try:
                    yield from execute_pack(
                        job.runs, known=job.known, checkpoints=checkpoints, should_stop=stop
                    )
                except TrainingStoppedError:
                    raise KeyboardInterrupt from None

    grid = Grid("packs", tuple(runs_of("diagonal")))
    whole = run_grid(grid, tmp_path / "whole", launcher=Launcher(4, ()))
    cut = Launcher(4, (42,))
    with pytest.raises(KeyboardInterrupt):
        run_grid(grid, tmp_path / "cut", launcher=cut)
    last = Launcher(1, ())
    results = run_grid(grid, tmp_path / "cut", launcher=last)
    assert [len(job.runs) for job in last.jobs] == [4]
    assert len(last.jobs[0].known) == 1  # the one that was over early
    assert results.runs.status.tolist() == ["finished"] * 4
    for name, table in whole.tables.items():
        assert results.tables[name].equals(table), name
    (tmp_path / "cut" / grids.PLAN).write_text("no json")
    assert run_grid(grid, tmp_path / "cut", launcher=last).runs.status.tolist() == ["finished"] * 4
    with pytest.raises(InputError, match=r"packs\.json: .*; delete it to plan the packs anew"):
        run_grid(grid + Grid("more", tuple(seeds(5)[4:])), tmp_path / "cut", launcher=last)


def test_the_local_launcher_sizes_its_packs():
    assert LocalLauncher(2, "cpu").pack_size(seeds(12)) == 3
    assert LocalLauncher(1, "cpu").pack_size(seeds(3)) == 2
    assert LocalLauncher(1, "cpu", pack_size=7).pack_size(seeds(12)) == 7
    with pytest.raises(InputError, match="pack_size = 0"):
        LocalLauncher(1, "cpu", pack_size=0)


# Words.


def check_words(words, tasks, run_seeds, places, length, steps, num_words=4):
    words.load(places)
    words.prepare(steps)
    batch = words.draw(torch.tensor(steps))
    for row, (place, step) in enumerate(zip(places, steps, strict=True)):
        wanted = tasks[place].sample(run_seeds[place], batch_size=4, length=length, step=step)
        tokens, targets, mask = (part[row].numpy() for part in batch)
        valid, rows = wanted.valid[:num_words], slice(num_words)
        assert np.array_equal(tokens[valid], wanted.tokens[rows][valid])
        assert tokens.max() < tasks[place].num_tokens  # also behind the end of a word
        assert np.array_equal(targets, wanted.targets[rows])
        assert np.array_equal(mask, wanted.mask[rows])


@pytest.mark.parametrize("supervision", ["per_prefix", "final", "membership"])
@pytest.mark.parametrize(("length", "most_words"), [(2, 4), (3, 9), (7, 4), (40, 3)])
def test_words_drawn_on_the_device_are_those_of_the_task(supervision, length, most_words):
    pairs = ["task=random_dfa", "task.num_states=5", f"task.supervision={supervision}"]
    tasks = [run_of("lstm", *pairs, f"task.seed={n}").task.build() for n in (1, 2, 1)]
    run_seeds = [7, 2**32 - 1, 0]
    stage = Stage.whole(length, most_words)
    words = _DeviceWords(_JoinedAutomata(tasks, run_seeds, CPU), 2, 4, stage)
    for places, steps in (((0, 1), (0, 0)), ((2, 1), (5, 10**6)), ((1, 1), (3, 4))):
        check_words(words, tasks, run_seeds, places, length, steps, min(4, most_words))


@pytest.mark.parametrize(("length", "most_words"), [(10, 9), (10, 1), ((3, 10), 3)])
@pytest.mark.parametrize("task", ["s3", "dyck_1", "reverse_string"])
def test_words_drawn_on_the_host_are_those_of_the_task(task, length, most_words):
    tasks = [run_of("lstm", f"task={task}").task.build()] * 3
    run_seeds = [7, 2**32 - 1, 0]
    low, high = (length, length) if isinstance(length, int) else length
    words = PackWords(tasks, run_seeds, 4, CPU).at_stage(2, Stage(high, low, high, most_words))
    assert isinstance(words, _HostWords)
    for places, steps in (((0, 1), (0, 0)), ((2, 1), (5, 10**6))):
        check_words(words, tasks, run_seeds, places, length, steps, min(4, most_words))
