"""The table of scans: how inputs are drawn, and the least bytes and operations that each needs.

A new scan is one row of `SCANS`. Sizes are letters of `statetrack.benchmark.cases`. Inputs come
from one seeded generator, so that every implementation gets the same; all have the batch first.
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

import statetrack.scans
from statetrack.benchmark import nonlinear_rows
from statetrack.benchmark.cases import Case
from statetrack.benchmark.draws import Inputs as Inputs
from statetrack.benchmark.draws import Work, normal, signs, transitions, whole_numbers

NUM_ORTHOGONAL = 64


@dataclass(frozen=True)
class ScanRow:
    """One scan.

    Attributes
    ----------
    function : str
        Name in `statetrack.scans`.
    draw : callable
        Inputs of a case by argument name: ``draw(case, generator, positive)``, with `positive`
        without negative transitions, which some peers need.
    draw_exact : callable
        Whole numbers and reflections or permutations: float32 must give them back bit for bit.
    initial_shape : callable
        Shape of ``initial``.
    work : callable
        The floor of a case.
    small : mapping of str to int
        Sizes for checks, without B and T.
    dtypes : tuple of str
        Number types that are checked.
    precisions : tuple of str
        Roundings of products that its kernel offers.
    variants : tuple of str
        Values of ``Case.variant``.
    option : str
        Argument of the function that a variant is the value of, if it is one.
    """

    function: str
    draw: Callable[[Case, Generator, bool], Inputs]
    draw_exact: Callable[[Case, Generator], Inputs]
    initial_shape: Callable[[Case], tuple[int, ...]]
    work: Callable[[Case], Work]
    small: Mapping[str, int]
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    precisions: tuple[str, ...] = ("ieee", "tf32x3", "tf32")
    variants: tuple[str, ...] = ("",)
    option: str = ""

    def scan(self, case: Case) -> Callable[..., tuple[Tensor, Tensor]]:
        """The public function, with what the case fixes."""
        function: Callable[..., tuple[Tensor, Tensor]] = getattr(statetrack.scans, self.function)
        return (
            functools.partial(function, **{self.option: case.variant}) if self.option else function
        )

    def backends(self) -> tuple[str, ...]:
        """Names of its implementations, the plainest first."""
        function = getattr(statetrack.scans, self.function)
        module = __import__(function.__module__, fromlist=["BACKENDS"])
        return tuple(module.BACKENDS)


def inputs_of(
    case: Case,
    device: torch.device | str,
    *,
    positive: bool = False,
    initial: bool = False,
    seed: int = 0,
) -> Inputs:
    """Draw the inputs of a case.

    Parameters
    ----------
    case : Case
    device : torch.device or str
    positive : bool
        Without negative transitions.
    initial : bool
        With an initial state.
    seed : int

    Returns
    -------
    dict of str to Tensor
        By argument name, in the number type of the case.
    """
    row = SCANS[case.scan]
    generator = Generator(device).manual_seed(seed)
    inputs = {
        name: tensor.to(case.torch_dtype)
        for name, tensor in row.draw(case, generator, positive).items()
    }
    if initial:
        wide = torch.complex64 if case.dtype == "complex64" else torch.float32
        inputs.setdefault("initial", normal(row.initial_shape(case), generator, wide))
    return inputs


def exact_inputs(case: Case, device: torch.device | str, seed: int = 0) -> Inputs:
    """Draw inputs whose results are whole numbers."""
    drawn = SCANS[case.scan].draw_exact(case, Generator(device).manual_seed(seed))
    return {name: tensor.to(case.torch_dtype) for name, tensor in drawn.items()}


def _draw_diagonal(case: Case, generator: Generator, positive: bool) -> Inputs:
    shape = (case["B"], case["T"], case["D"])
    a = transitions(shape, generator, positive)
    if case.dtype == "complex64":
        angle = 2 * math.pi * torch.rand(shape, generator=generator, device=a.device)
        return {"a": torch.polar(a.abs(), angle), "x": normal(shape, generator, torch.complex64)}
    return {"a": a, "x": normal(shape, generator)}


def _exact_diagonal(case: Case, generator: Generator) -> Inputs:
    shape = (case["B"], case["T"], case["D"])
    initial = whole_numbers((case["B"], case["D"]), generator)
    return {
        "a": signs(shape, generator),
        "x": torch.zeros_like(signs(shape, generator)),
        "initial": initial,
    }


def _work_diagonal(case: Case) -> Work:
    numbers = case["B"] * case["T"] * case["D"]
    operations = 8 if case.dtype == "complex64" else 2
    return Work(3 * numbers, 8 * numbers, operations * numbers, 3 * operations * numbers)


def _heads(case: Case, last: int, generator: Generator) -> Tensor:
    """Normal numbers [B, H, T, last], with the heads inside of time as models have them."""
    return normal((case["B"], case["T"], case["H"], last), generator).transpose(1, 2)


def _draw_outer_product(case: Case, generator: Generator, positive: bool) -> Inputs:
    inputs = {
        "q": _heads(case, case["K"], generator),
        "k": _heads(case, case["K"], generator) / math.sqrt(case["K"]),
        "v": _heads(case, case["V"], generator),
    }
    shape = (case["B"], case["H"], case["T"])
    if case.variant == "head":
        inputs["decay"] = transitions(shape, generator, positive)
    elif case.variant == "channel":
        order = (case["B"], case["T"], case["H"], case["K"])
        inputs["decay"] = transitions(order, generator, positive).transpose(1, 2)
    return inputs


def _exact_outer_product(case: Case, generator: Generator) -> Inputs:
    shape = (case["B"], case["H"], case["T"])
    decay = {"head": shape, "channel": (*shape, case["K"])}.get(case.variant)
    return {
        "q": whole_numbers((*shape, case["K"]), generator).sign(),
        "k": torch.zeros((*shape, case["K"]), device=generator.device),
        "v": whole_numbers((*shape, case["V"]), generator),
        **({} if decay is None else {"decay": signs(decay, generator)}),
        "initial": whole_numbers((case["B"], case["H"], case["K"], case["V"]), generator),
    }


def _state_of_heads(case: Case) -> tuple[int, ...]:
    return (case["B"], case["H"], case["K"], case["V"])


def _work_outer_product(case: Case) -> Work:
    tokens = case["B"] * case["H"] * case["T"]
    key, value = case["K"], case["V"]
    decay = {"none": 0, "head": 1, "channel": key}[case.variant]
    forward = 2 * key + 2 * value + decay
    backward = 4 * key + 3 * value + 2 * decay
    return Work(
        tokens * forward,
        tokens * (forward + backward),
        tokens * 4 * key * value,
        tokens * 12 * key * value,
    )


def _draw_matrix(case: Case, generator: Generator, positive: bool) -> Inputs:
    size = case["N"]
    own = Generator().manual_seed(generator.initial_seed())
    drawn = torch.randn(NUM_ORTHOGONAL, size, size, generator=own, dtype=torch.float64)
    pool = torch.linalg.qr(drawn).Q.to(torch.float32).contiguous().to(generator.device)
    shape = (case["B"], case["T"])
    choice = torch.randint(0, NUM_ORTHOGONAL, shape, generator=generator, device=pool.device)
    return {"a": pool[choice]}


def _exact_matrix(case: Case, generator: Generator) -> Inputs:
    shape = (case["B"], case["T"], case["N"])
    order = torch.rand(shape, generator=generator, device=generator.device).argsort(-1)
    return {"a": torch.nn.functional.one_hot(order, case["N"]).to(torch.float32)}


def _work_matrix(case: Case) -> Work:
    tokens, size = case["B"] * case["T"], case["N"]
    return Work(
        2 * tokens * size**2, 6 * tokens * size**2, 2 * tokens * size**3, 6 * tokens * size**3
    )


def _draw_householder(case: Case, generator: Generator, positive: bool) -> Inputs:
    shape = (case["B"], case["H"], case["T"], case["R"])
    keys = normal((*shape, case["K"]), generator)
    strength = torch.rand(shape, generator=generator, device=keys.device)
    return {
        "q": normal((*shape[:3], case["K"]), generator),
        "k": torch.nn.functional.normalize(keys, dim=-1),
        "v": normal((*shape, case["V"]), generator),
        "beta": strength if positive else 2 * strength,
    }


def _exact_householder(case: Case, generator: Generator) -> Inputs:
    shape = (case["B"], case["H"], case["T"], case["R"])
    axis = torch.randint(0, case["K"], shape, generator=generator, device=generator.device)
    return {
        "q": whole_numbers((*shape[:3], case["K"]), generator).sign(),
        "k": torch.nn.functional.one_hot(axis, case["K"]).to(torch.float32),
        "v": torch.zeros((*shape, case["V"]), device=axis.device),
        "beta": torch.full(shape, 2.0, device=axis.device),
        "initial": whole_numbers((case["B"], case["H"], case["K"], case["V"]), generator),
    }


def _work_householder(case: Case) -> Work:
    tokens, factors = case["B"] * case["H"] * case["T"], case["R"]
    key, value = case["K"], case["V"]
    of_factors = factors * (key + value + 1)
    forward = key + value + of_factors
    backward = 2 * key + value + 2 * of_factors
    operations = (4 * factors + 2) * key * value
    return Work(
        tokens * forward,
        tokens * (forward + backward),
        tokens * operations,
        tokens * 3 * operations,
    )


def _draw_low_rank(case: Case, generator: Generator, positive: bool) -> Inputs:
    shape = (case["B"], case["H"], case["T"], case["P"])
    right = torch.nn.functional.normalize(normal((*shape, case["K"]), generator), dim=-1)
    strength = torch.rand((*shape, 1), generator=generator, device=right.device)
    return {
        "q": _heads(case, case["K"], generator),
        "left": right * strength * (1.0 if positive else 2.0) / case["P"],
        "right": right,
        "k": _heads(case, case["K"], generator) / math.sqrt(case["K"]),
        "v": _heads(case, case["V"], generator),
    }


def _exact_low_rank(case: Case, generator: Generator) -> Inputs:
    shape = (case["B"], case["H"], case["T"])
    axes = torch.rand((*shape, case["K"]), generator=generator, device=generator.device)
    right = torch.nn.functional.one_hot(axes.argsort(-1)[..., : case["P"]], case["K"])
    right = right.to(torch.float32)
    zeros = torch.zeros((*shape, case["K"] + case["V"]), device=generator.device)
    return {
        "q": whole_numbers((*shape, case["K"]), generator).sign(),
        "left": 2.0 * right,
        "right": right,
        "k": zeros[..., : case["K"]],
        "v": zeros[..., case["K"] :],
        "initial": whole_numbers((case["B"], case["H"], case["K"], case["V"]), generator),
    }


def _work_low_rank(case: Case) -> Work:
    tokens, rank = case["B"] * case["H"] * case["T"], case["P"]
    inputs = (2 + 2 * rank) * case["K"] + case["V"]
    operations = (4 * rank + 4) * case["K"] * case["V"]
    return Work(
        tokens * (inputs + case["V"]),
        tokens * (3 * inputs + 2 * case["V"]),
        tokens * operations,
        tokens * 3 * operations,
    )


SCANS: dict[str, ScanRow] = {
    "diagonal": ScanRow(
        "diagonal_scan",
        _draw_diagonal,
        _exact_diagonal,
        lambda case: (case["B"], case["D"]),
        _work_diagonal,
        small={"D": 40},
        dtypes=("float32", "bfloat16", "complex64"),
        precisions=("ieee",),
    ),
    "outer_product": ScanRow(
        "outer_product_scan",
        _draw_outer_product,
        _exact_outer_product,
        _state_of_heads,
        _work_outer_product,
        small={"H": 2, "K": 32, "V": 32},
        variants=("none", "head", "channel"),
    ),
    "matrix": ScanRow(
        "matrix_scan",
        _draw_matrix,
        _exact_matrix,
        lambda case: (case["B"], case["N"], case["N"]),
        _work_matrix,
        small={"N": 12},
    ),
    "householder": ScanRow(
        "householder_scan",
        _draw_householder,
        _exact_householder,
        _state_of_heads,
        _work_householder,
        small={"H": 2, "K": 16, "V": 16, "R": 2},
        precisions=("ieee",),
    ),
    "low_rank": ScanRow(
        "low_rank_scan",
        _draw_low_rank,
        _exact_low_rank,
        _state_of_heads,
        _work_low_rank,
        small={"H": 2, "K": 16, "V": 16, "P": 2},
        precisions=("ieee",),
    ),
    "nonlinear": ScanRow(
        "nonlinear_scan",
        nonlinear_rows.draw,
        nonlinear_rows.draw_exact,
        nonlinear_rows.initial_shape,
        nonlinear_rows.work,
        small={"W": 2, "D": 20},
        variants=("lstm", "gru", "slstm", "slstm_exponential", "rnn"),
        option="cell",
    ),
}
