"""What the functions on automata check before anything is launched."""

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.scans.automaton.operator import scan_operator
from statetrack.scans.inputs import choose_backend, require, shape_of

INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
MAX_CELLS = 2**31 - 1
# On a CPU composed functions beat the loop for long words up to this many words times states.
PARALLEL_WORK = 2048
PARALLEL_LENGTH = 64


def check_table(scan: str, transitions: Tensor) -> tuple[int, int]:
    """Return (num_states, num_symbols) of a transition table, or raise InputError."""
    require(
        transitions.dim() == 2 and transitions.numel() > 0,
        f"{scan}: transitions has shape {shape_of(transitions)}, expected "
        "[num_states, num_symbols], both at least 1",
    )
    require_integers(scan, "transitions", transitions, transitions.device)
    require(
        transitions.numel() <= MAX_CELLS,
        f"{scan}: transitions has {transitions.numel()} cells, the limit is 2**31 - 1; minimise "
        "the automaton",
    )
    return transitions.shape[0], transitions.shape[1]


def require_integers(scan: str, name: str, tensor: Tensor, device: torch.device) -> None:
    """Raise InputError unless a tensor holds integers and lies on `device`."""
    require(
        tensor.dtype in INTEGERS,
        f"{scan}: {name} has type {tensor.dtype}, expected int64, int32, int16, int8 or uint8",
    )
    require(
        tensor.device == device,
        f"{scan}: {name} lies on {tensor.device} and transitions on {device}; "
        "move them to one device",
    )


def require_whole(scan: str, name: str, value: object) -> None:
    """Raise InputError unless a value is one whole number or a tensor."""
    # The text is made when it is needed: `torch.compile` cannot trace `repr` of a tensor.
    if not isinstance(value, int | Tensor):
        raise InputError(
            f"{scan}: {name} is {value!r}, a {type(value).__name__}; expected a whole number or a "
            f"tensor of them: use int({name})"
        )


def check_outputs(scan: str, outputs: Tensor | None, transitions: Tensor) -> None:
    """Raise InputError unless `outputs` has one integer or boolean for each state."""
    if outputs is None:
        return
    require(
        outputs.dim() == 1 and len(outputs) == len(transitions),
        f"{scan}: outputs has shape {shape_of(outputs)}, expected [num_states] = "
        f"[{len(transitions)}]",
    )
    if outputs.dtype != torch.bool:
        require_integers(scan, "outputs", outputs, transitions.device)


def check_dtype(scan: str, dtype: torch.dtype, count: int) -> None:
    """Raise InputError unless `dtype` is an integer type that holds 0, ..., count - 1."""
    require(
        dtype in INTEGERS, f"{scan}: dtype {dtype}, expected int64, int32, int16, int8 or uint8"
    )
    largest = torch.iinfo(dtype).max
    require(
        count - 1 <= largest,
        f"{scan}: {dtype} holds values up to {largest}, and there are {count}; use a wider dtype",
    )


def check_start(scan: str, initial: int, num_states: int) -> None:
    """Raise InputError unless a state is one of the automaton's."""
    require(
        0 <= initial < num_states,
        f"{scan}: initial state {initial}, and there are {num_states} states, "
        f"0 to {num_states - 1}; start in one of them",
    )


def choose_automaton_backend(
    scan: str, backend: str, device: torch.device, work: int, length: int
) -> str:
    """Return the backend that runs: the one asked for, or the fastest there is.

    Parameters
    ----------
    scan : str
    backend : str
        "auto", "reference", "parallel" or "triton".
    device : torch.device
    work : int
        Words times states.
    length : int
    """
    composing_pays = work <= PARALLEL_WORK and length >= PARALLEL_LENGTH
    in_torch = ("reference", "parallel") if composing_pays else ("parallel", "reference")
    backends = dict.fromkeys((*in_torch, "triton"), scan_operator)
    return choose_backend(scan, backends, backend, "ieee", device)
