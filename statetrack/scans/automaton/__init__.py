"""Automata and words on any device: the same bits as `automata` gives in NumPy."""

import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.scans.automaton.arguments import (
    check_dtype,
    check_outputs,
    check_start,
    check_table,
    choose_automaton_backend,
    require_integers,
    require_whole,
)
from statetrack.scans.automaton.letters import uniform_letters as uniform_letters
from statetrack.scans.automaton.operator import scan_operator
from statetrack.scans.automaton.words import UniformWords as UniformWords
from statetrack.scans.automaton.words import uniform_words as uniform_words
from statetrack.scans.inputs import shape_of


def automaton_scan(
    transitions: Tensor,
    words: Tensor,
    initial: Tensor | int = 0,
    outputs: Tensor | None = None,
    *,
    dtype: torch.dtype = torch.int64,
    backend: str = "auto",
    check: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """Run a complete automaton over words, ``q_t = transitions[q_{t-1}, x_t]``.

    Parameters
    ----------
    transitions : Tensor of int, [num_states, num_symbols]
        Any integer type; tables of 8 or 16 bits are read fastest.
    words : Tensor of int, [..., T]
        Symbols, in any integer type.
    initial : Tensor of int, [...], or int
        State before the first symbol; leading axes broadcast against those of `words`.
    outputs : Tensor of int or bool, [num_states], optional
        A label for every state, such as the accepting flag.
    dtype : torch.dtype
        Integer type in which states are written.
    backend : {"auto", "reference", "parallel", "triton"}
        "auto" takes the kernel on a GPU; elsewhere "parallel", which composes letters as functions,
        for few long words over few states, else the loop.
    check : bool, optional
        Whether to look for symbols, states and table entries out of range. By default only on the
        CPU, since a GPU would have to be waited for.

    Returns
    -------
    states : Tensor, [..., T]
        State after every symbol; with `outputs` their labels instead, in the type of `outputs`.
    final_state : Tensor of int64, [...]

    Raises
    ------
    InputError
        Shapes, types, devices or a backend that do not fit; with `check` also what is out of range.

    Notes
    -----
    What is not checked is safe: after a symbol, state or table entry out of range the state is -1
    to the end of that word, and so is its label (255 in uint8, False in bool).

    The kernel reads words and writes states once. A word is a chain of T look-ups; fewer than
    4096 / num_states words of length 4096 and more are cut in pieces, which first run from every
    state.

    Examples
    --------
    >>> parity = torch.tensor([[0, 1], [1, 0]])
    >>> states, final_state = automaton_scan(parity, torch.tensor([1, 0, 1]))
    >>> states.tolist(), int(final_state)
    ([1, 1, 0], 0)
    >>> automaton_scan(parity, torch.tensor([1, 0, 1]), outputs=torch.tensor([7, 9]))[0].tolist()
    [9, 9, 7]
    """
    num_states, _ = check_table("automaton_scan", transitions)
    check_outputs("automaton_scan", outputs, transitions)
    check_dtype("automaton_scan", dtype, num_states)
    require_integers("automaton_scan", "words", words, transitions.device)
    if not words.dim():
        raise InputError("automaton_scan: words has no axis, expected [..., T]; use unsqueeze(-1)")
    require_whole("automaton_scan", "initial", initial)
    start, starts = 0, None
    if isinstance(initial, int):
        check_start("automaton_scan", initial, num_states)
        start = initial
    else:
        require_integers("automaton_scan", "initial", initial, transitions.device)
        try:
            leading = torch.broadcast_shapes(initial.shape, words.shape[:-1])
        except RuntimeError as error:
            raise InputError(
                f"automaton_scan: initial {shape_of(initial)} does not broadcast against the "
                f"leading axes of words {shape_of(words)}"
            ) from error
        words = words.expand(*leading, words.shape[-1])
        starts = initial.expand(leading)
    work = words[..., :1].numel() * num_states
    device = words.device
    return scan_operator(
        transitions,
        words,
        starts,
        start,
        outputs,
        dtype,
        choose_automaton_backend("automaton_scan", backend, device, work, words.shape[-1]),
        device.type == "cpu" if check is None else check,
    )
