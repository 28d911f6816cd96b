"""Runs that are trained as packs, and the plain loop that says what must come out."""

import hashlib
import math

import pytest
import torch
from torch import nn

from statetrack.training import RunConfig
from statetrack.training.data import TensorBatch
from statetrack.training.pack_training import PackTraining, initial_model

TIMES = ["seconds", "solved_seconds"]


def drawn(words, steps) -> TensorBatch:
    """The words of some steps with their labels."""
    return TensorBatch(words.tokens(steps), *words.labels(steps))


TINY = (
    "task=s3",
    "training.steps=20",
    "training.length=10",
    "training.batch_size=4",
    "training.warmup_steps=3",
    "training.select_every=5",
    "training.select_words=16",
    "evaluation.max_length=12",
    "evaluation.num_words=16",
)
HEADS = ("model.width=8", "model.num_heads=2", "model.head_size=4")
FAMILIES = {
    "diagonal": ("model.width=8", "model.num_channels=8"),
    "block_diagonal": ("model.width=8",),
    "permutation_diagonal": ("model.width=8",),
    "householder": (*HEADS, "model.num_factors=2"),
    "rwkv7": HEADS,
    "mru": HEADS,
    "gla": HEADS,
    "lstm": ("model.width=8",),
    "transformer": ("model.width=8", "model.num_heads=2"),
}
OTHER_RUNS = (
    (),
    (
        "seed=1",
        "training.learning_rate=0.005",
        "training.clip_norm=0.2",
        "training.weight_decay=0.02",
        "training.stop=plateau(rounds=2, by=0.999)",
    ),
    (
        "seed=2",
        "training.learning_rate=0.01",
        "training.weight_decay=0",
        "training.clip_norm=0.05",
        "training.beta1=0.8",
        "training.curriculum=doubling(start=4, threshold=100)",
        "training.schedule=constant",
    ),
    (
        "seed=3",
        "training.weight_decay=0.5",
        "training.clip_norm=1000",
        "training.curriculum=prefix(start=2, by=3, threshold=100)",
        "training.steps=17",
    ),
)
"""Runs with settings of their own: the first two step together, and the third joins them when its
words are long enough; the second is over after three of four rounds."""


def run_of(model, *pairs):
    return RunConfig.from_pairs([f"model={model}", *TINY, *FAMILIES[model], *pairs])


def runs_of(model, *pairs):
    return [run_of(model, *own, *pairs) for own in OTHER_RUNS]


def trained(runs, **arguments):
    """A pack that has ended."""
    training = PackTraining(runs, **arguments)
    for _ in training.rounds():
        pass
    return training


def weights_of(training, place):
    return training.model.parameters[place].detach().cpu().clone()


def digest(training):
    """Of all weights of a pack."""
    content = training.model.parameters.detach().cpu().contiguous().numpy().tobytes()
    return hashlib.sha256(content).hexdigest()


def histories(training):
    return [member.history for member in training.members]


class Interruption:
    """`should_stop` that says so once at each of the given asks."""

    def __init__(self, *asks):
        self.asks, self.asked = set(asks), 0

    def __call__(self):
        if self.asked in self.asks:
            self.asks.remove(self.asked)
            return True
        self.asked += 1
        return False


def plain_loop(config, stages, steps, device="cpu"):
    """Train with torch's own optimiser: loss of every step, and the weights.

    Parameters
    ----------
    config : RunConfig
    stages : sequence of (length, supervised)
        Of every round.
    steps : int
    """
    settings, task = config.training, config.task.build()
    model = initial_model(config).to(device)
    decaying = [
        weight
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.RNNBase)
        for name, weight in module.named_parameters(recurse=False)
        if name.startswith("weight")
    ]
    of_decaying = {id(weight) for weight in decaying}
    others = [one for one in model.parameters() if id(one) not in of_decaying]
    groups = [
        {"params": decaying, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer: torch.optim.Optimizer
    if settings.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9)
    else:
        betas = (settings.beta1, settings.beta2)
        optimizer = torch.optim.AdamW(groups, betas=betas, eps=1e-8)
    losses = []
    for step in range(steps):
        rate = settings.learning_rate * min(1.0, (step + 1) / settings.warmup_steps)
        if settings.schedule == "cosine":
            cosine = (1 + math.cos(math.pi * step / settings.steps)) / 2
            rate *= settings.final_rate_share + (1 - settings.final_rate_share) * cosine
        for group in optimizer.param_groups:
            group["lr"] = rate
        length, supervised = stages[step // settings.select_every]
        batch = task.sample(config.seed, batch_size=settings.batch_size, length=length, step=step)
        tokens, targets = (
            torch.from_numpy(one).to(device) for one in (batch.tokens, batch.targets)
        )
        logits, _ = model(tokens)
        loss = nn.functional.cross_entropy(
            logits[:, :supervised].flatten(0, 1), targets[:, :supervised].flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        losses.append(loss.item())
    weights = torch.cat([one.detach().flatten() for one in model.parameters()])
    return losses, weights.cpu()


def seeds(count, *pairs):
    """Diagonal runs that differ in the seed alone."""
    return [run_of("diagonal", f"seed={seed}", *pairs) for seed in range(count)]


def check_close(one, other, tolerance=1e-5):
    """Histories: the same rounds and scores, losses and weights up to rounding."""
    assert [row["step"] for row in one] == [row["step"] for row in other]
    for row, wanted in zip(one, other, strict=True):
        assert row["loss"] == pytest.approx(wanted["loss"], abs=tolerance)
        assert {**row, "loss": 0} == {**wanted, "loss": 0}
