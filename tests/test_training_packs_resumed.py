"""Packs that are stopped, cut off or known in part, and go on with the same bits."""

import math
import random

import pytest
import torch

from automata.errors import InputError
from statetrack.models import load_model
from statetrack.training import pack_training, train
from statetrack.training.pack_training import PackTraining, TrainingStoppedError
from tests.pack_cases import (
    Interruption,
    check_close,
    digest,
    histories,
    plain_loop,
    run_of,
    seeds,
    trained,
)

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
    runs = seeds(2)
    with pytest.raises(TrainingStoppedError):
        trained(runs, checkpoint=path, known={runs[0].run_id}, should_stop=Interruption(8))
    pack = trained(runs, checkpoint=path)
    assert [member.step for member in pack.members] == [20, 20]
    for place, run in enumerate(runs):
        check_close(pack.members[place].history, trained([run]).members[0].history)


def test_a_known_run_is_not_trained():
    runs = seeds(2)
    pack = trained(runs, known={runs[0].run_id})
    assert [member.status for member in pack.members] == ["elsewhere", "finished"]
    assert [member.step for member in pack.members] == [0, 20]


def test_the_checkpoint_of_other_runs_or_models_is_refused(tmp_path):
    path = tmp_path / "pack.safetensors"
    runs = seeds(2)
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
