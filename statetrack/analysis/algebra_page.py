"""Everything that is read of a model's algebra, as the figures and tables of one page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import nn

from automata.errors import InputError
from statetrack.analysis.algebra_axes import (
    homomorphism_heat_map,
    irrep_energy_bars,
    learned_cayley_graph,
    quotient_curves,
)
from statetrack.analysis.extraction import extract_dfa
from statetrack.analysis.ladder import quotient_ladder
from statetrack.analysis.letters import letter_table
from statetrack.analysis.plane_axes import eigenvalue_plane
from statetrack.analysis.report import ReportFigure, ReportTable
from statetrack.analysis.representation_match import RepresentationMatch, product_errors
from statetrack.analysis.representations import match_representation
from statetrack.analysis.scale import without_scale
from statetrack.analysis.spectra import eigenvalues
from statetrack.analysis.state_clusters import state_clusters
from statetrack.analysis.state_map import state_map
from statetrack.analysis.styles import paper_style
from statetrack.analysis.transitions import Transitions, extract_transitions

if TYPE_CHECKING:
    from automata.tasks import Task

MOST_BARS = 16
"""Heads that the bars show, those nearest to a representation first."""


@dataclass(frozen=True, eq=False)
class AlgebraReport:
    """Figures and tables for `write_report`.

    Attributes
    ----------
    figures : tuple of ReportFigure
    tables : tuple of ReportTable
    """

    figures: tuple[ReportFigure, ...]
    tables: tuple[ReportTable, ...]


def algebra_report(
    model: nn.Module,
    task: "Task",
    lengths: Sequence[int] = (16, 64, 256, 1024),
    *,
    num_words: int = 512,
) -> AlgebraReport:
    """Read a model as algebra and as an automaton.

    Parameters
    ----------
    model : torch.nn.Module
        On the CPU, with a state of fixed size.
    task : Task
        With an automaton, and a class at every position.
    lengths : sequence of int
        Ascending; the first is where hidden states are drawn.
    num_words : int
        Random words for each measurement.

    Returns
    -------
    AlgebraReport
        For every model the hidden states, the extracted automaton and the clusters by length. For
        word problems of groups accuracy modulo normal subgroups too, and where transitions are
        linear the representations, with spectrum and products of the head nearest to one.

    Raises
    ------
    InputError
        Lengths that do not ascend, or a task without an automaton.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> from statetrack.models.constructions import parity_by_sign
    >>> report = algebra_report(parity_by_sign(), get_task("parity"), (16, 64))
    >>> [table.title for table in report.tables]
    ['Automaton', 'Hidden states by length', 'Representations', 'Letters']
    """
    if not lengths:
        raise InputError("lengths is empty: give at least one")
    tables = [
        ReportTable(
            "Automaton",
            extract_dfa(model, task, num_words=num_words).to_frame(),
            "The automaton that the model follows on short words, against that of the task.",
        ),
        ReportTable(
            "Hidden states by length",
            state_clusters(model, task, lengths, num_words=num_words),
            "Clusters and a linear probe fitted at the first length.",
        ),
    ]
    figures = [_states(model, task, lengths[0], num_words)]
    group, elements = task.group, task.token_elements
    if group is None or elements is None:
        return AlgebraReport(tuple(figures), tuple(tables))
    if task.supervision == "per_prefix" and task.num_classes == group.order:
        figures.append(_quotients(model, task, lengths, num_words))
    transitions = _transitions(model, task)
    if transitions is not None:
        basis: Any = "persistent"
        if getattr(model, "scale_free_state", False):
            transitions, basis = without_scale(transitions)
        matches = match_representation(transitions, group, elements, basis=basis)
        ranked = sorted(matches.heads, key=_nearness)
        orders = sorted({group.element_order(g) for g in range(group.order)})
        figures += [
            _spectrum(transitions, ranked[0], orders),
            _bars(matches.irreps_frame(), ranked),
            _products(ranked[0]),
        ]
        frame = matches.to_frame().drop(columns=["size", "leakage", "max_error", "residual"])
        order = [matches.heads.index(head) for head in ranked]
        tables += [
            ReportTable(
                "Representations",
                frame.iloc[order],
                "The representation nearest to each head's matrices, the best first.",
                {"score": ".6f"},
            ),
            ReportTable(
                "Letters",
                _of_head(letter_table(transitions, group, elements), ranked[0]),
                "Every token on the directions that carry memory, in the first head above.",
            ),
        ]
    return AlgebraReport(tuple(figures), tuple(tables))


def _transitions(model: nn.Module, task: "Task") -> Transitions | None:
    try:
        return extract_transitions(model, task)
    except InputError:
        return None


def _nearness(match: RepresentationMatch) -> tuple[int, int, float]:
    rank = {"faithful": 0, "trivial": 2, "not a representation": 3}.get(match.verdict, 1)
    return rank, len(match.kernel), -match.score


def _of_head(frame: pd.DataFrame, match: RepresentationMatch) -> pd.DataFrame:
    return frame[(frame["layer"] == match.layer) & (frame["head"] == match.head)]


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _states(model: nn.Module, task: "Task", length: int, num_words: int) -> ReportFigure:
    with mpl.rc_context(paper_style()):
        figure = _figure(3.6, 3.6)
        frame = state_map(model, task, length, num_words=num_words)
        learned_cayley_graph(frame, figure.subplots())
    return ReportFigure(
        figure,
        f"Hidden states after {length} letters with arrows for steps",
        f"Hidden states after {length} letters, in a plane that tells classes apart; "
        "arrows lead to the mean after one more letter.",
    )


def _quotients(
    model: nn.Module, task: "Task", lengths: Sequence[int], num_words: int
) -> ReportFigure:
    with mpl.rc_context(paper_style()):
        figure = _figure(4.2, 2.6)
        frame = quotient_ladder(model, task, lengths, num_words=num_words)
        quotient_curves(frame, figure.subplots())
    return ReportFigure(
        figure,
        "Accuracy modulo every normal subgroup over length",
        "Accuracy modulo every normal subgroup; dotted: chance.",
    )


def _spectrum(
    transitions: Transitions, match: RepresentationMatch, orders: Sequence[int]
) -> ReportFigure:
    with mpl.rc_context(paper_style()):
        figure = _figure(4.2, 3.0)
        frame = _of_head(eigenvalues(transitions), match)
        eigenvalue_plane(frame, figure.subplots(), orders=orders)
    return ReportFigure(
        figure,
        f"Eigenvalues of layer {match.layer}, head {match.head}, in the complex plane",
        f"Layer {match.layer}, head {match.head}: eigenvalues, and the roots of unity where those "
        "of a representation lie.",
    )


def _bars(frame: pd.DataFrame, ranked: Sequence[RepresentationMatch]) -> ReportFigure:
    shown = {(head.layer, head.head) for head in ranked[:MOST_BARS]}
    places = zip(frame["layer"], frame["head"], strict=True)
    chosen = frame[np.array([place in shown for place in places])]
    with mpl.rc_context(paper_style()):
        figure = _figure(1.8 + 0.3 * len(shown), 2.6)
        irrep_energy_bars(chosen, figure.subplots())
    return ReportFigure(
        figure,
        "Irreducible parts of every head as stacked bars",
        "Irreducible parts of the heads' matrices; faint: matrices that are no representation.",
    )


def _products(match: RepresentationMatch) -> ReportFigure:
    with mpl.rc_context(paper_style()):
        figure = _figure(4.0, 3.2)
        homomorphism_heat_map(product_errors(match), figure.subplots())
    return ReportFigure(
        figure,
        f"Errors of all products in layer {match.layer}, head {match.head}",
        f"Layer {match.layer}, head {match.head}: how far the product of two matrices is from the "
        "matrix of the product.",
    )
