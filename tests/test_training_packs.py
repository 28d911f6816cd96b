"""Packs: what a run comes to does not depend on which others it is trained with."""

import numpy as np
import pytest
import torch
from torch import nn

from automata.errors import InputError
from statetrack.models import config as models
from statetrack.training import train
from statetrack.training.curricula import Stage
from statetrack.training.pack_training import PackTraining, TrainingStoppedError
from statetrack.training.pack_words import PackWords, _DeviceWords, _HostWords, _JoinedAutomata
from statetrack.training.packed_model import PackedModel
from statetrack.training.packs import pack_key
from tests.pack_cases import (
    FAMILIES,
    OTHER_RUNS,
    Interruption,
    check_close,
    drawn,
    plain_loop,
    run_of,
    runs_of,
    trained,
    weights_of,
)

CPU = torch.device("cpu")


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


# Words.


def check_words(words, tasks, run_seeds, places, length, steps, num_words=4):
    words.load(places)
    words.prepare(steps)
    batch = drawn(words, torch.tensor(steps))
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
