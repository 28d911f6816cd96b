"""The automaton scan as a torch operator.

It maps whole numbers to whole numbers, so there is no backward pass. Under `vmap` a mapped axis
joins the leading axes; mapped automata become one automaton, their disjoint union.
"""

from typing import Any

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.scans.automaton.launch import fill_value, run_words
from statetrack.scans.automaton.parallel import automaton_scan_parallel
from statetrack.scans.automaton.reference import automaton_scan_reference
from statetrack.scans.operators import register_operator

TORCH_BACKENDS = {
    "reference": automaton_scan_reference,
    "parallel": automaton_scan_parallel,
}


def _scan(
    transitions: Tensor,
    words: Tensor,
    initial: Tensor | None,
    start: int,
    outputs: Tensor | None,
    dtype: torch.dtype,
    backend: str,
    check: bool,
) -> tuple[Tensor, Tensor]:
    """Run an automaton over words [..., T] from `initial` [...], or `start` where it is None."""
    if check:
        check_ranges(transitions, words, initial)
    leading, length = words.shape[:-1], words.shape[-1]
    written_dtype = dtype if outputs is None else outputs.dtype
    if not words.numel():
        final = words.new_full(leading, start, dtype=torch.int64)
        if initial is not None:
            final.copy_(initial)
        return words.new_empty(words.shape, dtype=written_dtype), final
    if backend != "triton":
        return scan_in_torch(transitions, words, initial, start, outputs, dtype, backend)
    flat = words.reshape(-1, length)
    flat = flat if flat.stride(-1) == 1 or length == 1 else flat.contiguous()
    written = words.new_empty(flat.shape, dtype=written_dtype)
    first = None if initial is None else initial.reshape(-1)
    final = run_words(transitions, flat, first, start, outputs, written)
    return written.reshape(words.shape), final.reshape(leading)


def scan_in_torch(
    transitions: Tensor,
    words: Tensor,
    initial: Tensor | None,
    start: int,
    outputs: Tensor | None,
    dtype: torch.dtype,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """One more state and one more symbol stand for all that is out of range."""
    num_states, num_symbols = transitions.shape
    table = torch.full((num_states + 1, num_symbols + 1), num_states, device=words.device)
    table[:-1, :-1] = _or_last(transitions, num_states)
    if initial is None:
        first = torch.full(words.shape[:-1], start, device=words.device)
    else:
        first = _or_last(initial, num_states)
    run = TORCH_BACKENDS[backend]
    states, final = run(table, _or_last(words, num_symbols), first)
    final = torch.where(final == num_states, -1, final)
    if outputs is None:
        return torch.where(states == num_states, -1, states).to(dtype), final
    fill = outputs.new_full((1,), fill_value(outputs.dtype))
    return torch.cat([outputs, fill])[states], final


def _or_last(values: Tensor, count: int) -> Tensor:
    """As int64, `count` where not 0 <= value < count."""
    return torch.where((values >= 0) & (values < count), values, count).to(torch.int64)


def _allocate(
    transitions: Tensor,
    words: Tensor,
    initial: Tensor | None,
    start: int,
    outputs: Tensor | None,
    dtype: torch.dtype,
    backend: str,
    check: bool,
) -> tuple[Tensor, Tensor]:
    written_dtype = dtype if outputs is None else outputs.dtype
    written = words.new_empty(words.shape, dtype=written_dtype)
    return written, words.new_empty(words.shape[:-1], dtype=torch.int64)


def _map(
    info: Any,
    in_dims: tuple[int | None, ...],
    transitions: Tensor,
    words: Tensor,
    initial: Tensor | None,
    start: int,
    outputs: Tensor | None,
    dtype: torch.dtype,
    backend: str,
    check: bool,
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    size = info.batch_size
    if check:
        check_ranges(mapped_first(transitions, in_dims[0], size), words, initial)
    words = mapped_first(words, in_dims[1], size)
    if initial is not None:
        initial = mapped_first(initial, in_dims[2], size)
    if in_dims[0] is None and in_dims[4] is None:
        result = scan_operator(transitions, words, initial, start, outputs, dtype, backend, False)
        return result, (0, 0)
    union = DisjointUnion(transitions, in_dims[0], outputs, in_dims[4], size)
    first = torch.full_like(words[..., 0], start, dtype=torch.int64) if initial is None else initial
    states, final = scan_operator(
        union.transitions, words, union.enter(first), 0, union.outputs, torch.int64, backend, False
    )
    written = union.leave(states).to(dtype) if outputs is None else states
    return (written, union.leave(final)), (0, 0)


scan_operator = register_operator(
    "automaton_scan(Tensor transitions, Tensor words, Tensor? initial, SymInt start, "
    "Tensor? outputs, ScalarType dtype, str backend, bool check) -> (Tensor, Tensor)",
    _scan,
    _allocate,
    vmap_rule=_map,
)


class DisjointUnion:
    """Automata of one size side by side: state q of automaton i is ``i * num_states + q``."""

    def __init__(
        self,
        transitions: Tensor,
        transitions_axis: int | None,
        outputs: Tensor | None,
        outputs_axis: int | None,
        size: int,
    ) -> None:
        tables = mapped_first(transitions, transitions_axis, size).to(torch.int64)
        self.num_states = tables.shape[1]
        self.offsets = torch.arange(size, device=tables.device) * self.num_states
        self.transitions = self.enter(tables).flatten(0, 1)
        self.outputs = None
        if outputs is not None:
            self.outputs = mapped_first(outputs, outputs_axis, size).flatten()

    def enter(self, states: Tensor) -> Tensor:
        """Names in the union of states [size, ...]."""
        inside = (states >= 0) & (states < self.num_states)
        return torch.where(inside, states + self._offsets_like(states), -1)

    def leave(self, states: Tensor) -> Tensor:
        """The opposite of `enter`."""
        return torch.where(states < 0, -1, states - self._offsets_like(states))

    def _offsets_like(self, states: Tensor) -> Tensor:
        return self.offsets.reshape(-1, *[1] * (states.dim() - 1))


def mapped_first(tensor: Tensor, axis: int | None, size: int) -> Tensor:
    """The mapped axis in front, or an expanded one."""
    return tensor.expand(size, *tensor.shape) if axis is None else tensor.movedim(axis, 0)


def check_ranges(transitions: Tensor, words: Tensor, initial: Tensor | None) -> None:
    """Raise InputError where a table, a word or a state points outside; waits for the device.

    Parameters
    ----------
    transitions : Tensor of int, [..., num_states, num_symbols]
    words, initial : Tensor of int
        Of any shape.
    """
    num_states, num_symbols = transitions.shape[-2:]
    checks = [
        ("transitions", transitions, num_states, "states", "give a complete table"),
        ("words", words, num_symbols, "symbols", "give words over the automaton's alphabet"),
        ("initial", initial, num_states, "states", "start in one of them"),
    ]
    for name, tensor, count, kind, cure in checks:
        if tensor is None or not tensor.numel():
            continue
        low, high = (int(bound) for bound in torch.aminmax(tensor))
        if low < 0 or high >= count:
            raise InputError(
                f"automaton_scan: {name} holds {low if low < 0 else high}, and there are {count} "
                f"{kind}, 0 to {count - 1}; {cure}"
            )
