"""The report of one trained model: what it computes, read from its weights, on one page."""

import math
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from torch import nn

from automata.errors import InputError
from automata.tasks import Task
from statetrack.analysis.algebra_page import algebra_report
from statetrack.analysis.horizon_axes import margin_over_length
from statetrack.analysis.horizon_prediction import margins
from statetrack.analysis.report import (
    ReportCode,
    ReportFigure,
    ReportList,
    ReportSection,
    ReportTable,
    write_report,
)
from statetrack.analysis.styles import paper_style
from statetrack.models.config import model_config, model_label
from statetrack.training.config import RunConfig
from statetrack.training.evaluate import evaluate
from statetrack.training.horizon_tables import THRESHOLD, horizon_tables
from statetrack.training.report_curve import ReportCurve

_FOOT = (
    "Matrices are in row form, so that the matrix of a word is the product of its letters' from "
    "left to right. Formulas and sources: the pages on learned matrices and on horizons of the "
    "documentation."
)


def write_model_report(
    path: Path,
    model: nn.Module,
    config: RunConfig,
    command: str,
    *,
    max_length: int = 1024,
    num_words: int = 512,
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write everything that is read of one model as one HTML page.

    Parameters
    ----------
    path : Path
        The file to write.
    model : torch.nn.Module
        On the CPU in float32, with a state of fixed size.
    config : RunConfig
        What it was trained as.
    command : str
        The command line that makes the page again.
    max_length : int
        Longest words that are measured.
    num_words : int
        Random words for each measurement.
    tell : callable
        Is called with what is done next.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        A task without an automaton, or words too short to measure anything over length.

    Notes
    -----
    Algebra is that of `algebra_report`, horizons those of `horizon_tables`; what does not apply to
    a model, such as the matrices of an LSTM, is left out. Cost: one to two minutes for a small
    model on two cores, a quarter each for the algebra and for the method of moments.
    """
    task = config.task.build()
    if task.dfa is None:
        raise InputError(f"task {task.name!r} has no automaton to compare a model with")
    if max_length < config.training.length:
        raise InputError(
            f"max_length = {max_length}: expected at least the training length, "
            f"{config.training.length}"
        )
    name = config.model.name
    tell(f"measuring words of up to {max_length} letters")
    curve = evaluate(model, task, max_length=max_length, num_words=num_words, seed=config.seed)
    tell("reading representations, states and the automaton")
    algebra = algebra_report(model, task, _lengths(config, max_length), num_words=num_words)
    tell("predicting the horizon, looking for words that break the model, certifying")
    horizon = horizon_tables(model, task, curve.thresholds())
    sections = [
        ReportSection("In short", "", [ReportList(_findings(curve, algebra.tables, horizon))]),
        ReportSection("Algebra", "", [*algebra.figures, *algebra.tables]),
    ]
    if horizon:
        sections.append(_horizon(model, task, curve, horizon["horizon"]))
    sections.append(ReportSection("Make it again", "", [ReportCode(command)]))
    return write_report(
        path,
        f"{task.name}, {model_label(name, model_config(name, config.model.parameters))}",
        sections,
        lead="What a trained model computes, read from its weights and its states.",
        facts=_facts(model, config, curve),
        foot=_FOOT,
    )


def _lengths(config: RunConfig, max_length: int) -> list[int]:
    """The training length, four times that and so on, up to the longest."""
    lengths = [config.training.length]
    while 4 * lengths[-1] <= max_length:
        lengths.append(4 * lengths[-1])
    return lengths


def _facts(model: nn.Module, config: RunConfig, curve: ReportCurve) -> list[tuple[str, str]]:
    return [
        ("parameters", f"{sum(one.numel() for one in model.parameters()):,}"),
        ("training length", str(config.training.length)),
        ("measured to", str(int(curve.lengths[-1]))),
        ("seed", str(config.seed)),
        ("run", config.run_id),
    ]


def _findings(
    curve: ReportCurve, tables: tuple[ReportTable, ...], horizon: dict[str, pd.DataFrame]
) -> list[str]:
    """The main results as sentences."""
    frames = {table.title: table.frame for table in tables}
    longest = int(curve.lengths[-1])
    reached = curve.horizon(THRESHOLD)
    found = [
        f"Token accuracy stays at {THRESHOLD} and above to length {reached:,}, the longest "
        "measured."
        if reached == longest
        else f"Token accuracy first falls below {THRESHOLD} after length {reached:,}."
    ]
    automaton = frames["Automaton"].iloc[0]
    found.append(
        "The automaton read from its answers to short words is that of the task."
        if automaton["equivalent"]
        else "The automaton read from its answers to short words is not that of the task."
    )
    if "Representations" in frames:
        best = frames["Representations"].iloc[0]
        place = f"layer {best['layer']}, head {best['head']}"
        if best["verdict"] == "not a representation":
            found.append(f"No head is a representation; the nearest is {place}.")
        else:
            found.append(
                f"The clearest representation is that of {place}, {best['verdict']}: "
                f"{best['representation']}" + (f", {best['name']}." if best["name"] else ".")
            )
    if horizon:
        row = horizon["horizon"].iloc[0]
        found.append(_prediction(row))
        if pd.notna(row["adversarial_length"]):
            found.append(f"A word of {row['adversarial_length']:.0f} letters breaks it.")
        found.append(
            "It is proved to answer words of all lengths right, as one program in float32."
            if row["certified_all_lengths"]
            else f"It is proved to answer all words of up to {row['certified']} letters right."
        )
    return found


def _prediction(row: pd.Series) -> str:
    length = f"{row['predicted']:,.0f}"
    if row["predicted_censored"]:
        return f"From its weights no fall below {THRESHOLD} is expected up to length {length}."
    return f"From its weights the fall below {THRESHOLD} is expected at length {length}."


def _horizon(
    model: nn.Module, task: Task, curve: ReportCurve, table: pd.DataFrame
) -> ReportSection:
    row = table.iloc[0]
    longest = int(curve.lengths[-1])
    frame = margins(model, task, cap=4 * longest)
    predicted = None if row["predicted_censored"] else float(row["predicted"])
    measured = None if row["measured_censored"] else float(row["measured"])
    with mpl.rc_context(paper_style()):
        figure = Figure(figsize=(4.6, 2.8), layout="constrained")
        margin_over_length(frame, figure.subplots(), predicted=predicted, measured=measured)
    first, last = frame.iloc[0], frame.iloc[-1]
    margin = ReportFigure(
        figure,
        f"Margin of the right answer over length: its median goes from {first['median']:.2f} after "
        f"{first['length']:.0f} letters to {last['median']:.2f} after {last['length']:.0f}",
        "How far the right answer is ahead, over random words; the band holds all but the lowest "
        "and highest tenth. Computed from the weights.",
    )
    parts: list[ReportFigure | ReportTable | ReportCode] = [
        margin,
        ReportTable("Horizon", _rows(row), "Lengths are in letters.", row_head="what"),
    ]
    if pd.notna(row["adversarial_word"]):
        parts.append(ReportCode(str(row["adversarial_word"]), "A word that breaks the model"))
    return ReportSection("How far it carries", "", parts)


def _rows(row: pd.Series) -> pd.DataFrame:
    """What is in the table of a horizon, in words."""
    threshold = f"{row['threshold']:.2g}"
    word = f"{_length(row['adversarial_length'])} ({row['adversarial_found_by']})"
    proved = "all" if row["certified_all_lengths"] else _length(row["certified"])
    rows = [
        (f"token accuracy below {threshold}, measured", _at_least(row, "measured")),
        ("predicted by the ensemble", _at_least(row, "predicted")),
        ("predicted by moments", _at_least(row, "moments")),
        ("spread of a class reaches half of what tells two apart", _length(row["ratio_crossing"])),
        (
            f"first wrong answer among {row['random_words']} random words",
            _length(row["first_random_failure"]),
        ),
        ("word that breaks it", "none found" if pd.isna(row["adversarial_length"]) else word),
        ("the first repeated block was predicted to", _length(row["period_predicted"])),
        ("and did", _length(row["period_length"])),
        ("the cheapest cycle was predicted to", _length(row["cycle_predicted"])),
        ("and did", _length(row["cycle_length"])),
        (f"proved right up to ({row['certified_by']})", proved),
    ]
    return pd.DataFrame(rows, columns=["what", "length"])


def _at_least(row: pd.Series, name: str) -> str:
    """A length that may be censored."""
    known, censored = _length(row[name]), row[f"{name}_censored"]
    return f"> {known}" if pd.notna(censored) and censored else known


def _length(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:,.0f}" if math.isfinite(value) else "never"
