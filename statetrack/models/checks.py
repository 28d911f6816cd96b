"""What every sequence model promises, as a suite that runs on any of them.

`check_model` is for models from outside as much as for our own: register a model, run it, and what
it breaks is listed by name.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from automata.errors import InputError
from statetrack.models.config import build_model

TOKENS, CLASSES, WORDS, LENGTH = 6, 5, 3, 12
# Relative and absolute: far above what roundings come to in a dozen tokens, far below what a broken
# promise changes.
TOLERANCES = {torch.float64: (1e-6, 1e-8), torch.float32: (1e-4, 1e-5)}
Check = Callable[["Subject"], str | None]


class ModelCheckError(InputError):
    """A model breaks promises; the message lists them all."""


@dataclass(frozen=True)
class Subject:
    """A model under check.

    Parameters
    ----------
    build : callable
        Makes a model with fresh weights; it draws from torch's global generator alone.
    device : torch.device
    dtype : torch.dtype
    """

    build: Callable[[], nn.Module]
    device: torch.device
    dtype: torch.dtype

    def model(self, seed: int = 0) -> nn.Module:
        """One with the weights of a seed, on the device and in the type under check."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return self.build().to(self.device, self.dtype)

    def words(self, batch: int = WORDS, length: int = LENGTH, seed: int = 0) -> Tensor:
        """Random words [batch, length]."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(0, TOKENS, (batch, length), generator=generator).to(self.device)

    def loss(self, model: nn.Module) -> Tensor:
        """Mean cross-entropy of fixed random targets."""
        targets = self.words(16, seed=1) % CLASSES
        logits: Tensor = model(self.words(16))[0]
        return cross_entropy(logits.flatten(0, 1), targets.flatten())

    def differ(self, one: Tensor, other: Tensor) -> bool:
        """Whether numbers differ by more than roundings."""
        relative, absolute = TOLERANCES[self.dtype]
        return not torch.allclose(one, other, rtol=relative, atol=absolute)


def check_model(
    model: str | Callable[[], nn.Module],
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float64,
    skip: Sequence[str] = (),
    **parameters: Any,
) -> list[str]:
    """Check that a model keeps every promise of a sequence model.

    Parameters
    ----------
    model : str or callable
        A name of `list_models()`, or a function without arguments that builds a module for
        6 tokens and 5 classes.
    device : str or torch.device
    dtype : {torch.float64, torch.float32}
        Type of weights and of all numbers.
    skip : sequence of str
        Names of checks to leave out.
    **parameters
        Fields of the model's configuration, with a name.

    Returns
    -------
    list of str
        Names of the checks that passed.

    Raises
    ------
    ModelCheckError
        A promise is broken; all broken ones are listed.

    Notes
    -----
    A module's ``forward(tokens, state=None) -> (logits, state)`` is all that most checks need.
    ``step``, ``initial_state``, ``state_size`` and ``transitions`` are checked where they exist.
    Cost: about thirty small forward passes.

    Examples
    --------
    >>> "causality" in check_model("diagonal", width=8, num_channels=4)
    True
    """
    if isinstance(model, str):
        name = model

        def build() -> nn.Module:
            return build_model(name, TOKENS, CLASSES, **parameters)

    else:
        name, build = getattr(model, "__name__", "model"), model
    unknown = [one for one in skip if one not in CHECKS]
    if unknown:
        raise InputError(f"unknown checks {unknown}: expected some of {sorted(CHECKS)}")
    if dtype not in TOLERANCES:
        raise InputError(f"check_model in {dtype}: expected one of {[*TOLERANCES]}")
    subject = Subject(build, torch.device(device), dtype)
    passed, broken = [], []
    for label, check in CHECKS.items():
        if label in skip:
            continue
        fault = _fault(check, subject)
        if fault is None:
            passed.append(label)
        else:
            broken.append(f"{label}: {fault}")
    if broken:
        raise ModelCheckError(f"{name} breaks {len(broken)} promises\n- " + "\n- ".join(broken))
    return passed


def _fault(check: Check, subject: Subject) -> str | None:
    try:
        return check(subject)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        return f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"


def _flat(state: object) -> Iterator[Tensor]:
    """All tensors of a state, in order."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, list | tuple):
        for one in state:
            yield from _flat(one)


def shapes(subject: Subject) -> str | None:
    """Logits [B, T, C] in the type of the weights, also for no tokens at all."""
    model = subject.model()
    for length in (LENGTH, 1, 0):
        logits, _ = model(subject.words(length=length))
        if tuple(logits.shape) != (WORDS, length, CLASSES):
            return f"logits {tuple(logits.shape)}, expected {(WORDS, length, CLASSES)}"
        if logits.dtype != subject.dtype:
            return f"logits are {logits.dtype} with weights in {subject.dtype}"
    return None


def gradients(subject: Subject) -> str | None:
    """Every parameter gets a gradient that is not zero, one step after the start.

    At the start itself maps that begin at zero hide what lies behind them.
    """
    model = subject.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    subject.loss(model).backward()
    optimizer.step()
    optimizer.zero_grad()
    subject.loss(model).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    return f"no gradient reaches {', '.join(silent)}" if silent else None


def cut(subject: Subject) -> str | None:
    """A word in two parts with the state carried gives the numbers of the whole."""
    model, tokens = subject.model(), subject.words()
    whole, final = model(tokens)
    first, state = model(tokens[:, :5])
    second, last = model(tokens[:, 5:], state)
    if subject.differ(torch.cat([first, second], dim=1), whole):
        return "logits change when a word is cut in two"
    if any(subject.differ(a, b) for a, b in zip(_flat(last), _flat(final), strict=True)):
        return "the final state changes when a word is cut in two"
    return None


def stepwise(subject: Subject) -> str | None:
    """Token after token gives the numbers of the parallel form."""
    model, tokens = subject.model(), subject.words()
    if not hasattr(model, "step"):
        return None
    whole, _ = model(tokens)
    state = model.initial_state(WORDS)  # type: ignore[operator]
    steps = []
    for t in range(LENGTH):
        logits, state = model.step(tokens[:, t], state)  # type: ignore[operator]
        steps.append(logits)
    return (
        "logits differ between the forms" if subject.differ(torch.stack(steps, 1), whole) else None
    )


def causality(subject: Subject) -> str | None:
    """A changed token changes nothing before it, and something at it."""
    model, tokens = subject.model(), subject.words()
    changed = tokens.clone()
    changed[:, 7] = (changed[:, 7] + 1) % TOKENS
    logits, other = model(tokens)[0], model(changed)[0]
    if subject.differ(logits[:, :7], other[:, :7]):
        return "token 7 changes logits before it"
    return (
        None
        if subject.differ(logits[:, 7], other[:, 7])
        else "token 7 does not change its own logits"
    )


def packs(subject: Subject) -> str | None:
    """Three models stacked and mapped give what each gives alone."""
    models = [subject.model(seed) for seed in range(3)]
    parameters, buffers = torch.func.stack_module_state(models)
    tokens = subject.words()

    def run(own: dict[str, Tensor], fixed: dict[str, Tensor]) -> Tensor:
        logits: Tensor = torch.func.functional_call(models[0], (own, fixed), (tokens,))[0]
        return logits

    mapped = torch.func.vmap(run)(parameters, buffers)
    alone = torch.stack([model(tokens)[0] for model in models])
    return (
        "a pack of three gives other numbers than three alone"
        if subject.differ(mapped, alone)
        else None
    )


def determinism(subject: Subject) -> str | None:
    """The same seed gives the same weights, and the same call the same bits."""
    one, other = subject.model(3), subject.model(3)
    for (name, left), (_, right) in zip(
        one.state_dict().items(), other.state_dict().items(), strict=True
    ):
        if not torch.equal(left, right):
            return f"{name} differs between two models of one seed"
    tokens = subject.words()
    if not torch.equal(one(tokens)[0], one(tokens)[0]):
        return "two calls give other bits"
    return None


def saving(subject: Subject) -> str | None:
    """Weights put into a fresh model make the same model."""
    one, other = subject.model(1), subject.model(2)
    other.load_state_dict(one.state_dict())
    tokens = subject.words()
    return None if torch.equal(one(tokens)[0], other(tokens)[0]) else "state_dict is not all"


def learning(subject: Subject) -> str | None:
    """One small step of gradient descent lowers the loss."""
    model = subject.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    before = subject.loss(model)
    before.backward()
    optimizer.step()
    after = subject.loss(model)
    return None if after < before else f"the loss goes from {before:.6f} to {after:.6f}"


def state_size(subject: Subject) -> str | None:
    """The stated size is the number of numbers in the state of one word before the first token."""
    model = subject.model()
    if not hasattr(model, "state_size"):
        return None
    start: Any = model.initial_state(1)  # type: ignore[operator]
    counted = sum(one.numel() * (2 if one.is_complex() else 1) for one in _flat(start))
    stated = model.state_size
    return None if stated == counted else f"state_size is {stated}, the state has {counted} numbers"


def eigenvalues(subject: Subject) -> str | None:
    """No transition grows where the layer declares an eigenvalue range inside the unit disc."""
    model = subject.model()
    if not hasattr(model, "transitions"):
        return None
    with torch.no_grad():
        found = model.transitions(subject.words(50, 20))  # type: ignore[operator]
    for number, matrices in enumerate(found):
        blocks: Any = getattr(model, "blocks", None)
        if matrices is None or blocks is None or not hasattr(blocks[number].mixer, "range"):
            continue
        largest = float(torch.linalg.eigvals(matrices.cpu()).abs().max())
        if largest > 1 + TOLERANCES[subject.dtype][0] / 10:
            return f"layer {number} has an eigenvalue of size {largest:.6f}"
    return None


CHECKS: dict[str, Check] = {
    "shapes": shapes,
    "gradients": gradients,
    "stepwise": stepwise,
    "cut": cut,
    "causality": causality,
    "packs": packs,
    "determinism": determinism,
    "saving": saving,
    "learning": learning,
    "state_size": state_size,
    "eigenvalues": eigenvalues,
}
