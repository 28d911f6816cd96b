"""Training: the same bits always, resumed or not, and it learns what it must and only that."""

import hashlib
import math
import random

import numpy as np
import pytest
import torch
from torch import nn

from automata.tasks import AutomatonTask, get_task, register_task
from statetrack.models import config as models
from statetrack.models import list_models
from statetrack.training import RunConfig, evaluate, pack_training, select, train
from statetrack.training.checkpoint import load_tensors
from statetrack.training.loop import TrainingFailedError
from statetrack.training.pack_training import Member, TrainingStoppedError, initial_model
from statetrack.training.parameter_groups import parameter_settings
from tests.pack_cases import Interruption

TINY = (
    "model.width=8",
    "training.steps=12",
    "training.length=18",
    "training.batch_size=4",
    "training.warmup_steps=3",
    "training.select_every=5",
    "training.select_words=16",
)
SMALL_STATE = {
    "diagonal": ["model.num_channels=8"],
    "householder": ["model.num_factors=2", "model.num_heads=2", "model.head_size=4"],
    "mru": ["model.num_heads=2", "model.head_size=4"],
    "lstm": [],
}
SOLVES_PARITY = (
    "task=parity",
    "model=diagonal",
    "model.eigenvalue_range=[-1,1]",
    "model.width=16",
    "model.num_channels=16",
    "training.length=20",
    "training.batch_size=32",
    "training.steps=150",
    "training.learning_rate=0.01",
    "training.warmup_steps=10",
    "training.select_every=50",
    "training.select_words=256",
)


def tiny(model, *pairs):
    return RunConfig.from_pairs(["task=s3", f"model={model}", *TINY, *SMALL_STATE[model], *pairs])


def learning_rates(*pairs):
    """Of all steps of a run."""
    config = RunConfig.from_pairs(["task=s3", "model=lstm", *pairs])
    return Member(config, config.task.build()).rates(config.training.steps)


def by_name(network, row):
    """The one value that every parameter has in a row over all numbers of a model."""
    names = [name for name, _ in network.named_parameters()]
    parts = row.split([parameter.numel() for parameter in network.parameters()])
    for part in parts:
        assert part.unique().numel() == 1
    return {name: part[0].item() for name, part in zip(names, parts, strict=True)}


def weights_digest(model):
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("model", SMALL_STATE)
def test_the_same_configuration_gives_the_same_bits(model):
    one, two = train(tiny(model)), train(tiny(model))
    assert weights_digest(one.model) == weights_digest(two.model)
    assert one.history == two.history
    assert weights_digest(train(tiny(model, "seed=1")).model) != weights_digest(one.model)


@pytest.mark.parametrize("model", SMALL_STATE)
def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(model, tmp_path):
    whole = train(tiny(model))
    generator = random.Random(model)
    plans = [(0,), (1,), (11,), tuple(sorted(generator.sample(range(12), 4)))]
    for number, stops in enumerate(plans):
        checkpoint = tmp_path / f"{number}.safetensors"
        interruption = Interruption(*stops)
        for step in stops:
            with pytest.raises(TrainingStoppedError, match=f"stopped at step {step} of 12"):
                train(tiny(model), checkpoint=checkpoint, should_stop=interruption)
        resumed = train(tiny(model), checkpoint=checkpoint, should_stop=interruption)
        assert weights_digest(resumed.model) == weights_digest(whole.model), stops
        assert resumed.history == whole.history, stops
        assert interruption.asked == 12  # no step was made twice


@pytest.mark.slow
@pytest.mark.parametrize("model", SMALL_STATE)
def test_fifty_random_stops(model, tmp_path):
    config = tiny(model, "training.steps=60")
    whole = train(config)
    generator = random.Random(f"fifty {model}")
    for number in range(50):
        checkpoint = tmp_path / f"{number}.safetensors"
        interruption = Interruption(generator.randrange(60))
        with pytest.raises(TrainingStoppedError):
            train(config, checkpoint=checkpoint, should_stop=interruption)
        resumed = train(config, checkpoint=checkpoint)
        assert weights_digest(resumed.model) == weights_digest(whole.model)
        assert resumed.history == whole.history


@pytest.mark.parametrize("model", SMALL_STATE)
def test_going_on_from_a_checkpoint_written_on_the_way(model, tmp_path, monkeypatch):
    """The process dies without a word: what the last timed checkpoint holds is enough."""
    whole = train(tiny(model))
    monkeypatch.setattr(pack_training, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    checkpoint = tmp_path / "run.safetensors"

    class PowerCutError(Exception):
        pass

    def cut_at_seven():
        if checkpoint.exists() and load_tensors(checkpoint)[1]["pack"][0]["step"] == 7:
            raise PowerCutError
        return False

    with pytest.raises(PowerCutError):
        train(tiny(model), checkpoint=checkpoint, should_stop=cut_at_seven)
    resumed = train(tiny(model), checkpoint=checkpoint)
    assert weights_digest(resumed.model) == weights_digest(whole.model)
    assert resumed.history == whole.history


def test_a_finished_training_is_not_trained_again(tmp_path):
    checkpoint = tmp_path / "run.safetensors"
    first = train(tiny("lstm"), checkpoint=checkpoint)
    content = checkpoint.read_bytes()

    def must_not_be_asked():
        raise AssertionError("a step was made")

    second = train(tiny("lstm"), checkpoint=checkpoint, should_stop=must_not_be_asked)
    assert weights_digest(second.model) == weights_digest(first.model)
    assert second.history == first.history
    assert second.seconds >= first.seconds > 0
    assert load_tensors(checkpoint)[0].keys() == {
        f"model.{name}" for name in first.model.state_dict()
    }
    assert len(content) == checkpoint.stat().st_size


def test_global_generators_are_left_alone():
    torch.manual_seed(5)
    random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    first = train(tiny("householder"))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert random.getstate() == before[2]
    torch.manual_seed(6)
    assert weights_digest(train(tiny("householder")).model) == weights_digest(first.model)


def test_learning_rate_by_hand():
    rates = learning_rates(
        "training.steps=100",
        "training.learning_rate=2.0",
        "training.warmup_steps=10",
        "training.final_rate_share=0.1",
    )
    # share(t) = .1 + .9 (1 + cos(pi t / 100)) / 2: at 50 it is .55, at 25 .1 + .9 * .853553
    assert rates[50] == pytest.approx(2.0 * 0.55)
    assert rates[25] == pytest.approx(2.0 * (0.1 + 0.9 * 0.8535533905932737))
    assert rates[0] == pytest.approx(2.0 * 0.1)
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0.2 < rates[-1] < 0.202
    flat = learning_rates(
        "training.steps=7",
        "training.learning_rate=0.5",
        "training.warmup_steps=0",
        "training.final_rate_share=1.0",
    )
    assert flat == [0.5] * 7


def test_history_rows_and_progress():
    reports = []
    trained = train(tiny("lstm"), report=reports.append)
    assert [row["step"] for row in trained.history] == [5, 10, 12]
    rates = Member(trained.config, trained.task).rates(12)
    assert [row["learning_rate"] for row in trained.history] == [rates[4], rates[9], rates[11]]
    stages = {(row["length"], row["shortest"], row["supervised"]) for row in trained.history}
    assert stages == {(18, 18, 18)}
    score = select(trained.model, trained.task, length=18, num_words=16, seed=0)
    assert trained.history[-1]["selection_token"] == score.token_accuracy
    assert trained.history[-1]["selection_whole_prefix"] == score.whole_prefix_accuracy
    assert reports[-1][:3] == (trained.config.run_id, 12, 12)
    assert reports[-1].loss == trained.history[-2]["loss"]  # the last recorded one by then


def test_progress_is_reported_several_times_a_second(monkeypatch):
    steps = []
    train(tiny("lstm"), report=lambda progress: steps.append(progress.step))
    assert {5, 10, 12} <= set(steps)  # at the end of a round at the latest
    steps.clear()
    monkeypatch.setattr(pack_training, "SECONDS_BETWEEN_REPORTS", 0.0)
    train(tiny("lstm"), report=lambda progress: steps.append(progress.step))
    assert sorted(set(steps)) == list(range(1, 13))
    assert steps == sorted(steps)


@pytest.mark.parametrize("model", SMALL_STATE)
def test_weight_decay_falls_on_matrices_alone(model):
    config = tiny(model, "training.weight_decay=0.25")
    network = initial_model(config)
    decays, shares = parameter_settings(network, config.training)
    assert (shares == 1.0).all()
    decay = by_name(network, decays)
    linear = {id(m.weight) for m in network.modules() if isinstance(m, nn.Linear)}
    for name, parameter in network.named_parameters():
        if id(parameter) in linear or ".cell.weight" in name:
            assert decay[name] == 1.0, name
        if parameter.dim() < 2 or name == "embedding.weight" or name.endswith("bias"):
            assert decay[name] == 0.0, name


@pytest.mark.parametrize("model", sorted(set(list_models()) - set(SMALL_STATE)))
def test_every_other_model_is_trained_for_a_step(model):
    pairs = ["task=s3", f"model={model}", *TINY, "training.steps=1", "training.select_words=4"]
    trained = train(RunConfig.from_pairs(pairs))
    assert math.isfinite(trained.history[-1]["loss"])


def test_a_huge_learning_rate_fails_with_the_step():
    config = tiny("diagonal", "training.learning_rate=1e30", "training.select_every=1")
    with pytest.raises(TrainingFailedError, match=r"loss is (nan|inf) at step \d+"):
        train(config)


def test_known_answer_parity_is_solved():
    trained = train(RunConfig.from_pairs(SOLVES_PARITY))
    assert trained.solved_step in (50, 100, 150)
    curve = evaluate(trained.model, trained.task, max_length=40, num_words=1024)
    assert curve.whole_prefix_accuracy[-1] >= 0.99


def test_eigenvalues_in_zero_one_do_not_solve_parity():
    pairs = [pair for pair in SOLVES_PARITY if "eigenvalue_range" not in pair]
    trained = train(RunConfig.from_pairs([*pairs, "model.eigenvalue_range=[0,1]"]))
    assert trained.solved_step is None
    curve = evaluate(trained.model, trained.task, max_length=80, num_words=4096)
    # chance is 1/2; 4,096 words give a standard error of .008
    assert abs(curve.token_accuracy[-1] - 0.5) < 0.05


def test_shuffled_labels_are_not_learned():
    """Targets of another word: only a leak of the targets into the model could be learned."""
    parity = get_task("parity")

    class Shuffled(AutomatonTask):
        def sample(self, *arguments, **keywords):
            batch = super().sample(*arguments, **keywords)
            return batch._replace(targets=np.roll(batch.targets, 1, axis=0))

    register_task("shuffled", lambda: Shuffled("shuffled", parity.dfa))
    config = RunConfig.from_pairs(["task=shuffled", *SOLVES_PARITY[1:]])
    trained = train(config)
    assert trained.solved_step is None
    curve = evaluate(trained.model, trained.task, max_length=20, num_words=4096)
    # chance is 1/2; 4,096 words give a standard error of .008
    assert abs(curve.token_accuracy - 0.5).max() < 0.05


class Blind(nn.Module):
    """Sees how many tokens there are, and not which."""

    def __init__(self, num_tokens, num_classes):
        super().__init__()
        self.by_position = nn.Embedding(64, num_classes)

    def forward(self, tokens, state=None):
        positions = torch.arange(tokens.shape[1]).expand(tokens.shape)
        return self.by_position(positions), state


class NotANumber(Blind):
    """A loss that is not a number from the first step."""

    def forward(self, tokens, state=None):
        logits, state = super().forward(tokens, state)
        return logits * math.nan, state


@pytest.fixture
def odd_models():
    for name, family in (("blind", Blind), ("nan", NotANumber)):
        models.register_model(
            name,
            models.BackboneConfig,
            lambda config, num_tokens, num_classes, family=family: family(num_tokens, num_classes),
        )


def test_a_model_that_does_not_see_the_tokens_stays_at_the_majority_rate(odd_models):
    """On a task where the majority is worth something, so that it is learned and not beaten."""
    config = RunConfig.from_pairs(
        [
            "task=z3",
            "task.supervision=membership",
            "model=blind",
            "training.length=20",
            "training.batch_size=64",
            "training.steps=100",
            "training.learning_rate=0.1",
            "training.warmup_steps=1",
            "training.select_every=100",
        ]
    )
    trained = train(config)
    curve = evaluate(trained.model, trained.task, max_length=20, num_words=2048)
    assert (curve.token_accuracy <= curve.majority_rate).all()
    assert trained.solved_step is None
    assert curve.token_accuracy[-1] == pytest.approx(2 / 3, abs=0.05)


def test_a_loss_that_is_not_a_number_fails(odd_models, tmp_path):
    config = RunConfig.from_pairs(["task=s3", "model=nan", *TINY])
    with pytest.raises(TrainingFailedError, match="loss is nan at step 5"):
        train(config, checkpoint=tmp_path / "run.safetensors")


def test_only_supervised_positions_count(odd_models):
    """Under `final` the labels of other positions must not reach the gradient."""
    pairs = ["task.supervision=final", *TINY, "training.weight_decay=0"]
    trained = train(RunConfig.from_pairs(["task=s3", "model=blind", *pairs]))
    start = initial_model(trained.config)
    moved = (trained.model.by_position.weight != start.by_position.weight).any(dim=1)
    assert moved.nonzero().flatten().tolist() == [17]


def test_published_rates_scale_the_input_map_of_the_mru_alone():
    overrides = ["task=parity", "model=mru", "model.head_size=4", "training.length=32"]
    config = RunConfig.from_pairs([*overrides, "training.published_rates=true"])
    network = initial_model(config)
    share = by_name(network, parameter_settings(network, config.training)[1])
    scaled = {name: value for name, value in share.items() if value != 1.0}
    assert scaled == {"blocks.0.mixer.to_elements.weight": pytest.approx((2 / 32) ** 0.5 / 4)}
    plain = parameter_settings(network, RunConfig.from_pairs(overrides).training)[1]
    assert (plain == 1.0).all()
    assert RunConfig.from_pairs(overrides).run_id != config.run_id
