"""AdamW over the flat buffers of a pack, in one pass, with hyperparameters of every run.

Letters: P runs, n numbers of one run.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.layers.backends import takes_kernels
from statetrack.layers.rows import kernel_type
from statetrack.scans.launches import Launches
from statetrack.scans.operators import register_operator
from statetrack.training.optimizers import (
    Rates,
    refuse_vmap,
    require_buffers,
    require_of_runs,
)

BLOCK = 1024


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101), run by run.

    Parameters
    ----------
    weight_decay, beta1, beta2, eps : Tensor of float64, [P]
        Of every run. float64, for 1 - beta2 has few digits left in float32.
    backend : {"auto", "reference", "triton"}
        "auto" takes the kernel on a GPU and torch elsewhere.

    Raises
    ------
    InputError
        Backend that cannot be had; see `update`.

    Notes
    -----
    The arithmetic is that of `torch.optim.AdamW`: with m and v the averages of the gradient and its
    square, ``p <- p (1 - rate decay)``, then
    ``p <- p - rate / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps)``. Powers are computed in
    float64 on the device. Cost of the kernel: four buffers read and three written, once.

    Examples
    --------
    >>> import torch
    >>> from statetrack.training.adamw import AdamW
    >>> from statetrack.training.optimizers import Rates
    >>> def of_runs(*values):
    ...     return torch.tensor(values, dtype=torch.float64)
    >>> adamw = AdamW(of_runs(0.0), of_runs(0.9), of_runs(0.999), of_runs(1e-8))
    >>> state = {name: torch.zeros(1, 2) for name in adamw.slots()}
    >>> parameters, gradient = torch.ones(1, 2), torch.tensor([[5.0, -0.1]])
    >>> rates = Rates(
    ...     learning_rate=of_runs(0.5),
    ...     clip_factor=torch.ones(1),
    ...     step=torch.tensor([1]),
    ...     share=torch.tensor([1.0, 0.5]),
    ...     decays=torch.tensor([True, False]),
    ... )
    >>> adamw.update(parameters, gradient, state, rates)
    >>> parameters.round(decimals=4).tolist()
    [[0.5, 1.25]]
    """

    weight_decay: Tensor
    beta1: Tensor
    beta2: Tensor
    eps: Tensor
    backend: str = "auto"

    def slots(self) -> tuple[str, ...]:
        """Averages of the gradient, "first", and of its square, "second"."""
        return ("first", "second")

    @torch.no_grad()
    def update(
        self, parameters: Tensor, gradient: Tensor, state: Mapping[str, Tensor], rates: Rates
    ) -> None:
        """One update in place, as `Optimizer.update`.

        Raises
        ------
        InputError
            Shapes, types or devices that do not fit, before anything is changed.
        """
        first, second = (state[name] for name in self.slots())
        require_buffers(
            "AdamW", parameters=parameters, gradient=gradient, first=first, second=second
        )
        of_runs = (
            rates.learning_rate, self.weight_decay, self.beta1, self.beta2, self.eps,
            rates.clip_factor, rates.step,
        )  # fmt: skip
        names = ("learning_rate", "weight_decay", "beta1", "beta2", "eps", "clip_factor", "step")
        require_of_runs("AdamW", parameters, **dict(zip(names, of_runs, strict=True)))
        for name, one in (("share", rates.share), ("decays", rates.decays)):
            if one.shape != parameters.shape[1:] or one.device != parameters.device:
                raise InputError(
                    f"AdamW: {name} has shape {tuple(one.shape)} on {one.device}, expected "
                    f"[{parameters.shape[1]}] on {parameters.device}"
                )
        use_kernel = takes_kernels("AdamW", self.backend, parameters.device)
        update = adamw_triton if use_kernel else adamw_reference
        update(parameters, gradient, first, second, *of_runs, rates.share, rates.decays)


def adamw_reference(
    parameters: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    learning_rate: Tensor,
    weight_decay: Tensor,
    beta1: Tensor,
    beta2: Tensor,
    eps: Tensor,
    clip_factor: Tensor,
    step: Tensor,
    share: Tensor,
    decays: Tensor,
) -> None:
    """Plain torch twin of the kernel: changes the first, third and fourth argument in place."""
    rate, decay, beta1, beta2 = (
        one.double().unsqueeze(-1) for one in (learning_rate, weight_decay, beta1, beta2)
    )
    dtype, steps = parameters.dtype, step.double().unsqueeze(-1)
    step_size = (rate / (1.0 - beta1**steps)).to(dtype)
    root = torch.sqrt(1.0 - beta2**steps).to(dtype)
    gradient = gradient * clip_factor.to(dtype).unsqueeze(-1)
    new_first = first + (1.0 - beta1).to(dtype) * (gradient - first)
    new_second = beta2.to(dtype) * second + (1.0 - beta2).to(dtype) * gradient * gradient
    kept = 1.0 - (rate * decay).to(dtype) * share * decays
    change = new_first / (new_second.sqrt() / root + eps.to(dtype).unsqueeze(-1))
    moved = parameters * kept - step_size * share * change
    active = (step > 0).unsqueeze(-1)
    for buffer, new in ((first, new_first), (second, new_second), (parameters, moved)):
        buffer.copy_(torch.where(active, new, buffer))


def _run(
    parameters: Tensor, gradient: Tensor, first: Tensor, second: Tensor, *others: Tensor
) -> None:
    from statetrack.training.kernels import adamw

    if parameters.numel() == 0:
        return
    runs, size = parameters.shape
    *of_runs, decays = (one.contiguous() for one in others)
    with Launches(parameters) as launch:
        launch(
            adamw, (-(-size // BLOCK), runs), parameters, gradient, first, second, *of_runs,
            decays.view(torch.uint8) if decays.dtype == torch.bool else decays, size,
            BLOCK=BLOCK, STATE=kernel_type(parameters.dtype), num_warps=4,
        )  # fmt: skip


adamw_triton = register_operator(
    "adamw_(Tensor(a!) parameters, Tensor gradient, Tensor(b!) first, Tensor(c!) second, "
    "Tensor learning_rate, Tensor weight_decay, Tensor beta1, Tensor beta2, Tensor eps, "
    "Tensor clip_factor, Tensor step, Tensor share, Tensor decays) -> ()",
    _run,
    lambda *_given: None,
    vmap_rule=refuse_vmap,
)
