"""Packs on a GPU: a captured step gives what an eager one on the CPU gives."""

import math

import numpy as np
import pytest
import torch

from statetrack.training import pack_training, train
from statetrack.training.curricula import Stage
from statetrack.training.pack_training import TrainingStoppedError
from statetrack.training.pack_words import PackWords, _DeviceWords
from tests.pack_cases import (
    FAMILIES,
    Interruption,
    digest,
    drawn,
    histories,
    plain_loop,
    run_of,
    runs_of,
    trained,
    weights_of,
)

pytestmark = pytest.mark.gpu

# Sizes that the kernels take without padding, so that they are what runs.
LARGER = {
    name: [pair for pair in pairs if "width" not in pair] + ["model.width=16"]
    for name, pairs in FAMILIES.items()
}


def losses(training, place):
    return [row["loss"] for row in training.members[place].history]


def same_losses(one, other, tolerance):
    for place in range(len(one.members)):
        assert losses(one, place) == pytest.approx(losses(other, place), abs=tolerance)


@pytest.mark.parametrize("model", FAMILIES)
def test_the_captured_step_agrees_with_the_cpu(model):
    runs = runs_of(model)
    on_gpu, on_cpu = trained(runs, device="cuda"), trained(runs)
    same_losses(on_gpu, on_cpu, 1e-3)
    for one, other in zip(on_gpu.members, on_cpu.members, strict=True):
        assert (one.status, one.step) == (other.status, other.step)
        rates = [row["learning_rate"] for row in one.history]
        assert rates == [row["learning_rate"] for row in other.history]


@pytest.mark.parametrize("model", FAMILIES)
def test_eight_runs_as_alone_and_as_a_plain_loop(model):
    runs = [run_of(model, *LARGER[model], f"seed={seed}") for seed in range(8)]
    pack = trained(runs, device="cuda")
    for place in (0, 3, 7):
        alone = trained([runs[place]], device="cuda")
        assert losses(pack, place) == pytest.approx(losses(alone, 0), abs=1e-3)
        plain, _ = plain_loop(runs[place], [(10, 10)] * 4, 20, "cuda")
        assert losses(pack, place) == pytest.approx([plain[i] for i in (4, 9, 14, 19)], abs=1e-3)


@pytest.mark.parametrize("model", FAMILIES)
def test_the_same_plan_gives_the_same_bits(model):
    one, two = (trained(runs_of(model), device="cuda") for _ in range(2))
    assert digest(one) == digest(two)
    assert histories(one) == histories(two)


@pytest.mark.parametrize("model", ["diagonal", "householder", "mru", "lstm"])
def test_stopped_and_resumed_gives_the_same_bits(model, tmp_path, monkeypatch):
    # A checkpoint by the clock, while kernels are compiled, would be one question more.
    monkeypatch.setattr(pack_training, "SECONDS_BETWEEN_CHECKPOINTS", math.inf)
    runs = runs_of(model)
    never = Interruption()
    whole = trained(runs, device="cuda", should_stop=never)
    for ask in (0, 1, 7, 23, never.asked - 1):
        path = tmp_path / f"{ask}.safetensors"
        with pytest.raises(TrainingStoppedError):
            trained(runs, device="cuda", checkpoint=path, should_stop=Interruption(ask))
        resumed = trained(runs, device="cuda", checkpoint=path)
        assert digest(resumed) == digest(whole), ask
        assert histories(resumed) == histories(whole), ask


def test_one_run_that_diverges_fails_alone():
    once = ("training.select_every=20",)
    good = [run_of("householder", f"seed={seed}", *once) for seed in range(3)]
    bad = run_of("householder", "seed=1", "training.learning_rate=1e30", *once)
    healthy = trained(good, device="cuda")
    ill = trained([good[0], bad, good[2]], device="cuda")
    assert [member.status for member in ill.members] == ["finished", "failed", "finished"]
    for place in (0, 2):
        assert torch.equal(weights_of(ill, place), weights_of(healthy, place))


def test_runs_at_different_stages():
    pairs = ("training.curriculum=growing(start=4, by=2, threshold=100)", "training.steps=30")
    runs = [run_of("diagonal", *pairs), run_of("diagonal", "seed=1", "training.steps=30")]
    on_gpu, on_cpu = trained(runs, device="cuda"), trained(runs)
    lengths = [row["length"] for row in on_gpu.members[0].history]
    assert lengths == [4, 6, 8, 10, 10, 10]
    same_losses(on_gpu, on_cpu, 1e-3)


@pytest.mark.parametrize("pairs", [["task=dyck_1"], ["training.curriculum=uniform(shortest=4)"]])
def test_words_of_the_host_reach_the_captured_step(pairs):
    runs = [run_of("diagonal", *pairs, f"seed={seed}") for seed in range(3)]
    same_losses(trained(runs, device="cuda"), trained(runs), 1e-3)


@pytest.mark.parametrize("projections", ["tensorfloat32", "bfloat16"])
@pytest.mark.parametrize("model", FAMILIES)
def test_other_precisions_of_projections(model, projections):
    """A loss near that of float32; sizes this small may take no tensor core in tensorfloat32."""
    pairs = LARGER[model]
    exact = [run_of(model, *pairs, f"seed={seed}") for seed in range(2)]
    rough = [
        run_of(model, *pairs, f"seed={seed}", f"training.projections={projections}")
        for seed in range(2)
    ]
    one, other = trained(exact, device="cuda"), trained(rough, device="cuda")
    same_losses(one, other, 0.1)
    assert projections != "bfloat16" or digest(one) != digest(other)
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("supervision", ["per_prefix", "final"])
@pytest.mark.parametrize("length", [2, 7, 64])
def test_words_of_the_gpu_are_those_of_the_cpu(supervision, length):
    pairs = ["task=random_dfa", "task.num_states=5", f"task.supervision={supervision}"]
    tasks = [run_of("lstm", *pairs, f"task.seed={n}").task.build() for n in (1, 2, 1)]
    seeds, device = [7, 2**32 - 1, 0], torch.device("cuda")
    words = PackWords(tasks, seeds, 4, device).at_stage(2, Stage.whole(length))
    assert isinstance(words, _DeviceWords)
    for places, steps in (((0, 1), (0, 0)), ((2, 1), (5, 10**6))):
        words.load(places)
        words.prepare(steps)
        batch = drawn(words, torch.tensor(steps, device=device))
        for row, (place, step) in enumerate(zip(places, steps, strict=True)):
            wanted = tasks[place].sample(seeds[place], batch_size=4, length=length, step=step)
            for name in ("tokens", "targets", "mask"):
                found = getattr(batch, name)[row].cpu().numpy()
                assert np.array_equal(found, getattr(wanted, name)), name


def test_train_on_the_gpu():
    trained_model = train(run_of("diagonal"), device="cuda")
    assert {one.device.type for one in trained_model.model.parameters()} == {"cuda"}
    assert [row["step"] for row in trained_model.history] == [5, 10, 15, 20]
