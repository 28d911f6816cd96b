"""Register a scan's kernels as torch operators: fake tensors, autograd, vmap, compile.

The plain `torch.library.Library` is used rather than the `custom_op` decorator, whose first call
imports the whole compiler of torch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.scans.kernels import NUM_LEADING, fold_leading

LIBRARY = torch.library.Library("statetrack", "FRAGMENT")


def register_operator(
    schema: str,
    run: Callable[..., Any],
    allocate: Callable[..., Any],
    own_axes: Sequence[int] = (),
    vmap_rule: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Make ``torch.ops.statetrack.<name>`` and return it.

    Parameters
    ----------
    schema : str
        "name(Tensor a, ...) -> (Tensor, ...)". Tensors come first and share their leading axes,
        unless there is a `vmap_rule`.
    run : callable
        Checks, allocates, launches; on a GPU, and on the CPU in Triton's interpreter.
    allocate : callable
        Outputs without values, for shape inference.
    own_axes : sequence of int
        Number of axes after the leading ones of every tensor argument, in order.
    vmap_rule : callable, optional
        As in `torch.library.register_vmap`; by default the mapped axis joins the leading ones.
    """
    name = schema.split("(")[0]
    LIBRARY.define(schema)
    for device in ("CUDA", "CPU"):
        LIBRARY.impl(name, run, device)
    qualified = f"statetrack::{name}"
    torch.library.register_fake(qualified, allocate, lib=LIBRARY)
    operator = getattr(torch.ops.statetrack, name).default
    rule = _vmap_rule(operator, own_axes) if vmap_rule is None else vmap_rule
    torch.library.register_vmap(qualified, rule, lib=LIBRARY)
    return operator


def register_gradient(
    operator: Callable[..., Any],
    backward: Callable[..., Any],
    gradient: Callable[..., Any],
    save: Callable[..., None],
    instead: str = "parallel",
) -> None:
    """Give `operator` its derivative, and say that there is no second one.

    Parameters
    ----------
    operator, backward : registered operators
        `backward` computes the gradients of `operator`; without a derivative of its own, autograd
        would take its results for constants.
    gradient, save : callable
        As `backward` and `setup_context` of `torch.library.register_autograd`.
    instead : str
        Backend that has a second derivative, for the message.
    """

    def refuse(_ctx: Any, *_gradients: Any) -> Any:
        kind = "a scan" if instead == "parallel" else "a layer"
        raise InputError(
            f"a second derivative goes through {kind} with backend='triton', whose kernels have "
            f"first derivatives only; use backend={instead!r}"
        )

    torch.library.register_autograd(_name(operator), gradient, setup_context=save, lib=LIBRARY)
    torch.library.register_autograd(_name(backward), refuse, lib=LIBRARY)


def needs_gradient(tensors: Sequence[Tensor]) -> bool:
    """Whether a backward pass can follow, so that the forward pass keeps what it needs.

    A tensor inside ``torch.func.vmap`` says no itself, whatever it is a view of.
    """
    if not torch.is_grad_enabled():
        return False
    if torch.compiler.is_compiling():
        return any(tensor.requires_grad for tensor in tensors)
    return any(map(_requires_grad, tensors))


def _requires_grad(tensor: Tensor) -> bool:
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor
    while not tensor.requires_grad and wrapped(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor.requires_grad


def _name(operator: Callable[..., Any]) -> str:
    return str(operator).removesuffix(".default").replace(".", "::")


def _vmap_rule(operator: Callable[..., Any], own_axes: Sequence[int]) -> Callable[..., Any]:
    def rule(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> Any:
        mapped = [
            _lead(argument, dim, info.batch_size)
            for argument, dim in zip(arguments, in_dims, strict=True)
        ]
        shape = mapped[0].shape[: mapped[0].dim() - own_axes[0]]
        folded = [fold_leading(tensor, own) for tensor, own in zip(mapped, own_axes, strict=False)]
        outputs = operator(*folded, *mapped[len(own_axes) :])
        extra = len(shape) - NUM_LEADING
        if extra > 0:
            outputs = tuple(one.unflatten(0, shape[: extra + 1]) for one in outputs)
        return outputs, tuple(0 for _ in outputs)

    return rule


def _lead(argument: Any, dim: int | None, size: int) -> Any:
    if not isinstance(argument, Tensor):
        return argument
    if dim is None:
        return argument.unsqueeze(0).expand(size, *argument.shape)
    return argument.movedim(dim, 0)
