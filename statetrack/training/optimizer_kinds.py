"""Optimisers that a configuration can name, such as ``sgd(momentum=0.9)``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from automata.errors import InputError
from statetrack.training.adamw import AdamW
from statetrack.training.named_objects import NamedObjects
from statetrack.training.optimizers import SGD, Optimizer

if TYPE_CHECKING:
    from statetrack.training.config import TrainingConfig


class OptimizerKind(Protocol):
    """Makes the optimiser of a pack from the settings of its runs."""

    def numbers(self, settings: "TrainingConfig") -> dict[str, float]:
        """Numbers of one run that its updates depend on, besides those in `Rates`."""
        ...

    def build(self, numbers: Mapping[str, Tensor]) -> Optimizer:
        """The optimiser of P runs, from those numbers as tensors of float64, [P].

        Its updates read the tensors where they lie: other runs may be copied there later.
        """
        ...


OPTIMIZERS: NamedObjects[OptimizerKind] = NamedObjects("optimizer")


def register_optimizer(name: str, kind: type[OptimizerKind]) -> None:
    """Make an optimiser known by name (see `NamedObjects.register`)."""
    OPTIMIZERS.register(name, kind)


@dataclass(frozen=True)
class AdamWKind:
    """`AdamW`; weight decay and betas are those of `TrainingConfig`.

    Parameters
    ----------
    eps : float
        Added to the root of the averaged square.
    """

    eps: float = 1e-8

    def __post_init__(self) -> None:
        if not self.eps > 0:
            raise InputError(f"optimizer adamw: eps = {self.eps}: expected a number > 0")

    def numbers(self, settings: "TrainingConfig") -> dict[str, float]:
        """Weight decay, both betas and eps."""
        return {
            "weight_decay": settings.weight_decay,
            "beta1": settings.beta1,
            "beta2": settings.beta2,
            "eps": self.eps,
        }

    def build(self, numbers: Mapping[str, Tensor]) -> Optimizer:
        """AdamW with the numbers of every run."""
        return AdamW(
            weight_decay=numbers["weight_decay"],
            beta1=numbers["beta1"],
            beta2=numbers["beta2"],
            eps=numbers["eps"],
        )


@dataclass(frozen=True)
class SGDKind:
    """`SGD`; weight decay is that of `TrainingConfig`, added to the gradient.

    Parameters
    ----------
    momentum : float
        In [0, 1).
    """

    momentum: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise InputError(
                f"optimizer sgd: momentum = {self.momentum}: expected a number in [0, 1)"
            )

    def numbers(self, settings: "TrainingConfig") -> dict[str, float]:
        """Momentum and weight decay."""
        return {"momentum": self.momentum, "weight_decay": settings.weight_decay}

    def build(self, numbers: Mapping[str, Tensor]) -> Optimizer:
        """SGD with the numbers of every run."""
        return SGD(momentum=numbers["momentum"], weight_decay=numbers["weight_decay"])


register_optimizer("adamw", AdamWKind)
register_optimizer("sgd", SGDKind)
