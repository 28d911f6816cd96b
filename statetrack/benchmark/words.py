"""Words drawn and labelled: tokens per second of every implementation, and equal bits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from automata.dfa import DFA
from automata.tasks import get_task
from automata.words import uniform_letters
from statetrack.benchmark.cases import Case
from statetrack.scans.kernels import why_unavailable

SEED = 1
Draw = Callable[[int], tuple[torch.Tensor, torch.Tensor]]


def automaton_of(case: Case) -> DFA:
    """The automaton of the task that a case is named after."""
    dfa = get_task(case.variant).dfa
    if dfa is None:
        raise ValueError(f"task {case.variant} has no automaton")
    return dfa


def numpy_words(case: Case, device: torch.device) -> Draw:
    """Draw with NumPy, on one core."""
    dfa = automaton_of(case)

    def draw(first: int) -> tuple[torch.Tensor, torch.Tensor]:
        items = (first, case["B"])
        letters = uniform_letters(dfa.num_symbols, case["T"], items, seed=SEED)
        return torch.from_numpy(letters), torch.from_numpy(dfa.trace(letters)[:, 1:])

    return draw


def torch_words(case: Case, device: torch.device) -> Draw:
    """Draw with torch operations on the device."""
    from statetrack.scans.automaton import automaton_scan, uniform_letters

    dfa = automaton_of(case)
    table = torch.from_numpy(np.array(dfa.transitions)).to(device)

    def draw(first: int) -> tuple[torch.Tensor, torch.Tensor]:
        letters = uniform_letters(
            dfa.num_symbols, case["T"], first, case["B"], seed=SEED, device=device
        )
        return letters, automaton_scan(table, letters, dfa.initial, backend="reference")[0]

    return draw


def kernel_words(case: Case, device: torch.device) -> Draw:
    """Draw and run with one kernel."""
    from statetrack.scans.automaton import uniform_words

    dfa = automaton_of(case)
    table = torch.from_numpy(np.array(dfa.transitions)).to(device)

    def draw(first: int) -> tuple[torch.Tensor, torch.Tensor]:
        drawn = uniform_words(
            table, case["T"], first, case["B"], seed=SEED, initial=dfa.initial, backend="triton"
        )
        return drawn.tokens, cast(torch.Tensor, drawn.states)

    return draw


@dataclass(frozen=True)
class WordSource:
    """An implementation.

    Attributes
    ----------
    make : callable
        From a case and a device to a function of the first item: letters and states.
    on_processor : bool
        Runs there, whatever the device.
    kernel : bool
        Is a Triton kernel.
    """

    make: Callable[[Case, torch.device], Draw]
    on_processor: bool = False
    kernel: bool = False

    def why_missing(self, device: torch.device) -> str | None:
        """Say why it cannot run, or None."""
        return why_unavailable(device) if self.kernel else None


WORD_SOURCES: dict[str, WordSource] = {
    "statetrack triton": WordSource(kernel_words, kernel=True),
    "numpy": WordSource(numpy_words, on_processor=True),
    "statetrack torch": WordSource(torch_words),
}


def wrong_words(case: Case, draw: Draw) -> str | None:
    """Say how drawn words or states differ from NumPy's, or None.

    Parameters
    ----------
    case : Case
    draw : callable
        From the number of the first item to letters and states.
    """
    first = 2**32 - 5
    letters, states = draw(first)
    expected, traced = numpy_words(case, torch.device("cpu"))(first)
    if not torch.equal(letters.cpu().to(torch.int64), expected):
        return "letters differ from those of NumPy"
    if not torch.equal(states.cpu().to(torch.int64), traced):
        return "states differ from those of NumPy"
    return None
