"""Reading trained models: length curves, learned matrices, spectra, algebra, figures, reports.

Drawing names (`length_curves`, `horizon_rows`, `eigenvalue_plane`, ...) load matplotlib and
seaborn when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from statetrack.analysis.censoring import HorizonDistribution, horizon_distribution
from statetrack.analysis.comparisons import Comparison, compare, holm
from statetrack.analysis.controlled import ControlledPair, compare_controlled, controlled_pairs
from statetrack.analysis.expressivity import (
    Expressivity,
    expressivity_markdown,
    expressivity_table,
    predict_expressivity,
)
from statetrack.analysis.extrapolation import (
    accuracy_table,
    best_runs,
    horizon,
    horizons,
    summarize_curves,
)
from statetrack.analysis.group_matrices import canonical_words, extend_to_group
from statetrack.analysis.homomorphism import (
    HeadHomomorphism,
    HomomorphismErrors,
    Tolerances,
    homomorphism_error,
)
from statetrack.analysis.intervals import (
    bootstrap_interval,
    median_intervals,
    order_statistic_interval,
    share_interval,
    superiority_interval,
)
from statetrack.analysis.loss_spikes import loss_spikes
from statetrack.analysis.report import (
    ReportCode,
    ReportFigure,
    ReportList,
    ReportSection,
    ReportTable,
    write_report,
)
from statetrack.analysis.scale import dominant_subspace, without_scale
from statetrack.analysis.seeds import (
    horizon_distributions,
    run_horizons,
    seeds_solved,
    summarize_horizons,
    with_variants,
)
from statetrack.analysis.spectra import determinants, eigenvalues, orthogonality, roots_of_unity
from statetrack.analysis.subspace import (
    ActiveSubspace,
    active_subspace,
    persistent_subspace,
    restrict,
)
from statetrack.analysis.transitions import LayerTransitions, Transitions, extract_transitions

if TYPE_CHECKING:
    from statetrack.analysis.figures import (
        curves_and_spectra,
        eigenvalue_plane,
        length_curves,
        spectra_of_runs,
    )
    from statetrack.analysis.seed_axes import horizon_rows, solved_rows

__all__ = [
    "ActiveSubspace",
    "Comparison",
    "ControlledPair",
    "Expressivity",
    "HeadHomomorphism",
    "HomomorphismErrors",
    "HorizonDistribution",
    "LayerTransitions",
    "ReportCode",
    "ReportFigure",
    "ReportList",
    "ReportSection",
    "ReportTable",
    "Tolerances",
    "Transitions",
    "accuracy_table",
    "active_subspace",
    "best_runs",
    "bootstrap_interval",
    "canonical_words",
    "compare",
    "compare_controlled",
    "controlled_pairs",
    "curves_and_spectra",
    "determinants",
    "dominant_subspace",
    "eigenvalue_plane",
    "eigenvalues",
    "expressivity_markdown",
    "expressivity_table",
    "extend_to_group",
    "extract_transitions",
    "holm",
    "homomorphism_error",
    "horizon",
    "horizon_distribution",
    "horizon_distributions",
    "horizon_rows",
    "horizons",
    "length_curves",
    "loss_spikes",
    "median_intervals",
    "order_statistic_interval",
    "orthogonality",
    "persistent_subspace",
    "predict_expressivity",
    "restrict",
    "roots_of_unity",
    "run_horizons",
    "seeds_solved",
    "share_interval",
    "solved_rows",
    "spectra_of_runs",
    "summarize_curves",
    "summarize_horizons",
    "superiority_interval",
    "with_variants",
    "without_scale",
    "write_report",
]

_DRAWING = {
    "curves_and_spectra": "figures",
    "eigenvalue_plane": "figures",
    "horizon_rows": "seed_axes",
    "length_curves": "figures",
    "solved_rows": "seed_axes",
    "spectra_of_runs": "figures",
}


def __getattr__(name: str) -> Any:
    if name in _DRAWING:
        return getattr(import_module(f"statetrack.analysis.{_DRAWING[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
