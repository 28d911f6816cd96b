"""The report of a grid: what it asked, what came out and how sure that is, from what, and again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from statetrack.analysis import (
    ReportCode,
    ReportFigure,
    ReportList,
    ReportSection,
    ReportTable,
    seeds_solved,
    with_variants,
    write_report,
)
from statetrack.report_figures import (
    curve_figures,
    horizon_figures,
    solved_figures,
    spectra_figures,
)
from statetrack.report_tables import (
    accuracy_overview,
    accuracy_tables,
    comparison_table,
    comparisons,
    failure_table,
    homomorphism_table,
    horizon_table,
    p_text,
    provenance_rows,
    published_table,
    reached_horizons,
    run_table,
    setting_name,
    solved_table,
)
from statetrack.training.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_NAMES = 6
PUBLISHED = "published"
_FOOT = (
    "Medians and intervals are over seeds, at a level of 95 %. A run that failed counts as not "
    "solved. Words of this page were neither trained nor selected on."
)


def write_grid_report(
    path: Path,
    title: str,
    question: str,
    figure: "Figure",
    results: Results,
    command: str,
    num_runs: int | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> Path:
    """Write the report of a grid as one HTML page.

    Parameters
    ----------
    path : Path
    title, question : str
        Of the experiment.
    figure : matplotlib.figure.Figure
        The experiment's own.
    results : Results
        With at least one finished run.
    command : str
        The command line that makes the results again.
    num_runs : int, optional
        Runs of the grid, where some may be missing among the results.
    tables : mapping of str to DataFrame, optional
        The experiment's own tables by name; ``published`` is from `compare_published`.

    Returns
    -------
    Path
        The file written.
    """
    reached = reached_horizons(results)
    compared = comparisons(reached)
    ended = with_variants(results.runs)
    own = ReportFigure(figure, _figure_alt(title, results), _caption(results), wide=True)
    sections = [
        ReportSection("In short", "", [ReportList(findings(ended, reached, compared))]),
        ReportSection("The figure", "", [own]),
        _published((tables or {}).get(PUBLISHED)),
        _own_tables(tables or {}),
        _failed(ended, command),
        _solved(ended),
        _horizons(reached, reached_horizons(results, "whole_prefix_accuracy")),
        _comparisons(compared),
        _accuracy(results),
        _matrices(results),
        _all_runs(ended),
        _origin(results),
        _again(command),
    ]
    return write_report(
        path,
        title,
        [section for section in sections if section is not None],
        lead=question,
        facts=facts(results, ended, num_runs or len(ended)),
        foot=_FOOT,
    )


def _own_tables(tables: Mapping[str, pd.DataFrame]) -> ReportSection | None:
    others = {name: frame for name, frame in tables.items() if name != PUBLISHED}
    if not others:
        return None
    parts = [ReportTable(name.replace("_", " "), frame) for name, frame in others.items()]
    return ReportSection("Tables of the experiment", "", parts)


def facts(results: Results, ended: pd.DataFrame, num_runs: int) -> list[tuple[str, str]]:
    """What sums a grid up: runs, solved, failed, where and when."""
    failed = int((ended["status"] == "failed").sum())
    runs = str(len(ended)) if len(ended) == num_runs else f"{len(ended)} of {num_runs}"
    found = [("runs", runs), ("failed", str(failed) if failed else "none")]
    if "solved_step" in ended:
        found.append(("solved", f"{ended['solved_step'].notna().sum()} of {len(ended)}"))
    finished = results.finished
    found.append(("seeds each", _span(ended.groupby(["task", "label"]).size())))
    found.append(("training length", _span(finished["training_length"])))
    found.append(("measured to", _span(_longest(results))))
    devices = list(dict.fromkeys(entry["device"] for entry in results.provenance))
    if devices:
        found.append(("measured on", ", ".join(devices)))
        found.append(("date", max(entry["last"] for entry in results.provenance)[:10]))
    return found


def findings(ended: pd.DataFrame, reached: pd.DataFrame, compared: pd.DataFrame) -> list[str]:
    """The main results as sentences.

    Parameters
    ----------
    ended : DataFrame
        All runs, with labels that tell settings apart.
    reached : DataFrame
        From `reached_horizons`.
    compared : DataFrame
        From `comparisons`.
    """
    sentences = []
    if "solved_step" in ended:
        for task, table in seeds_solved(ended).groupby("task", sort=False):
            every = table["label"][table["solved"] == table["num_runs"]].tolist()
            none = table["label"][table["solved"] == 0].tolist()
            some = [
                f"{row.label} ({row.solved} of {row.num_runs})"
                for row in table.itertuples()
                if 0 < row.solved < row.num_runs
            ]
            kinds = (("every seed", every), ("some seeds", some), ("no seed", none))
            parts = [f"{who} of {_names(labels)}" for who, labels in kinds if labels]
            sentences.append(f"{task} was solved by {'; '.join(parts)}.")
    for task, own in reached.groupby("task", sort=False):
        table = horizon_table(own)
        order = own.groupby("label", sort=False)["horizon"].median()
        best = order[order == order.max()].index.tolist()
        row = table[table["label"] == best[0]].iloc[0]
        sentences.append(
            f"Farthest on {task}: {_names(best)}, with a median horizon of {row['median']} tokens."
        )
    sentences += _real_differences(compared)
    return sentences


def _real_differences(compared: pd.DataFrame) -> list[str]:
    if compared.empty:
        return []
    real = compared[compared["verdict"].str.endswith("above")]
    sentences = []
    for (task, setting), rows in real.groupby(["task", "setting"], sort=False):
        pairs = []
        for row in rows.to_dict("records"):
            above, below = row["first"], row["second"]
            if row["verdict"] == "second is above":
                above, below = below, above
            pairs.append(f"{above} farther than {below}")
        largest = p_text(rows["adjusted_p_value"].max())
        sentences.append(
            f"Real differences on {task} by {setting_name(setting)}: {'; '.join(pairs)} "
            f"(p ≤ {largest}, adjusted)."
        )
    rest = len(compared) - len(real)
    if rest:
        few = int((compared["verdict"] == "too few runs").sum())
        sentences.append(
            f"{rest} of {len(compared)} comparisons show no difference"
            + (f", {few} of them for want of seeds." if few else ".")
        )
    return sentences


def _published(published: pd.DataFrame | None) -> ReportSection | None:
    if published is None or published.empty:
        return None
    return ReportSection(
        "Beside what was published",
        "Values and tolerances stand in the experiment's file. A number is reproduced when the "
        "same statistic of the seeds comes as near to it as its tolerance.",
        [published_table(published)],
    )


def _failed(ended: pd.DataFrame, command: str) -> ReportSection | None:
    table = failure_table(ended)
    if table.empty:
        return None
    return ReportSection(
        "Runs that failed",
        "They count as not solved, and are left out of curves and horizons.",
        [
            ReportTable("Failures by reason", table, row_head="reason"),
            ReportCode(f"{command} --retry-failed", "Command that runs failed runs again"),
        ],
    )


def _solved(ended: pd.DataFrame) -> ReportSection | None:
    if "solved_step" not in ended:
        return None
    return ReportSection(
        "Seeds solved",
        "Solved: 99 % of the selection words right at every position up to the training length. "
        "Intervals are Clopper and Pearson's: with few seeds they are wide, and rightly so.",
        [
            *solved_figures(ended),
            ReportTable(
                "Share of seeds that solved the task",
                solved_table(ended),
                "Median step: when half of the seeds that solved it had.",
                {"median step": ".0f"},
                "task",
                "label",
            ),
        ],
    )


def _horizons(reached: pd.DataFrame, whole: pd.DataFrame) -> ReportSection:
    return ReportSection(
        "How far",
        "Horizon: the longest length with token accuracy of at least .99 at every length up to it. "
        "A run that never fell below is only known to reach the longest length measured, marked ≥; "
        "medians and quartiles take that into account (Kaplan and Meier).",
        [
            *horizon_figures(reached),
            ReportTable(
                "Horizons over seeds",
                horizon_table(reached),
                "Interval: of the median, by bootstrap over seeds.",
                group_by="task",
                row_head="label",
            ),
            ReportTable(
                "Horizons of whole words",
                horizon_table(whole),
                "The same where 99 % of the words are right at every position.",
                group_by="task",
                row_head="label",
                folded=True,
            ),
        ],
    )


def _comparisons(compared: pd.DataFrame) -> ReportSection | None:
    if compared.empty:
        return None
    return ReportSection(
        "Are the differences real",
        "Runs that differ by one setting, compared by their horizons. In pairs: the share of pairs "
        "of runs, one of each, where the first reaches farther; ties count half. p: exact "
        "permutation test; adjusted for the number of comparisons of the same question (Holm).",
        [
            ReportTable(
                "Comparisons by one setting",
                comparison_table(compared),
                "Too few runs: no outcome with so many seeds could have reached 95 %.",
                group_by="question",
                row_head="farther",
            )
        ],
    )


def _accuracy(results: Results) -> ReportSection:
    runs = with_variants(results.finished)
    return ReportSection(
        "Accuracy over length",
        "Thin: one seed. Thick: the median. Dashed grey: the share of the most frequent answer.",
        [*curve_figures(runs, results.table("curves")), *accuracy_tables(results)],
    )


def _matrices(results: Results) -> ReportSection | None:
    parts: list[ReportFigure | ReportTable] = []
    runs = with_variants(results.finished)
    spectra = results.table("spectra")
    if len(spectra):
        parts += spectra_figures(runs, results.table("curves"), spectra)
    if len(results.table("homomorphism")):
        parts.append(homomorphism_table(results))
    if not parts:
        return None
    text = "Transitions of every token, read out of the trained models."
    return ReportSection("What was learned", text, parts)


def _all_runs(ended: pd.DataFrame) -> ReportSection:
    return ReportSection("Every run", "", [run_table(ended)])


def _origin(results: Results) -> ReportSection:
    rows = provenance_rows(results)
    frame = pd.DataFrame({"what": list(rows), "value": [str(value) for value in rows.values()]})
    table = ReportTable("What it was measured with", frame, row_head="what")
    return ReportSection("Provenance", "", [table])


def _again(command: str) -> ReportSection:
    python = (
        "from statetrack.training import load_results\n"
        'results = load_results(".")\n'
        "results.runs, results.tables, results.provenance"
    )
    return ReportSection(
        "Run it again",
        "The first command runs what is missing and draws this page again; finished runs are never "
        "repeated. The others read what is stored, in the folder of this page.",
        [
            ReportCode(command, "Command that makes the results again"),
            ReportCode("statetrack results . --show horizons", "Command"),
            ReportCode(python, "Python that loads the results"),
        ],
    )


def _figure_alt(title: str, results: Results) -> str:
    table = accuracy_overview(results)
    last = [name for name in table if name.startswith("best at ")][-1]
    length = last.removeprefix("best at ")
    measured = table[table[last].notna()]
    parts = [f"{row['task']} {row['label']} {row[last]:.2f}" for _, row in measured.iterrows()]
    return f"{title}. Best token accuracy at length {length}: {'; '.join(parts)}."


def _caption(results: Results) -> str:
    runs = results.finished
    curves = results.table("curves")
    return (
        f"Trained at length {_span(runs.training_length)}, measured on "
        f"{_span(curves.num_words)} fresh words of length {_span(_longest(results))}, "
        f"{runs.seed.nunique()} seeds."
    )


def _longest(results: Results) -> "pd.Series[int]":
    """Longest length of every run."""
    return results.table("curves").groupby("run_id")["length"].max()


def _span(values: "pd.Series[int]") -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


def _names(labels: Sequence[str]) -> str:
    shown = list(labels[:_MOST_NAMES])
    more = len(labels) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
