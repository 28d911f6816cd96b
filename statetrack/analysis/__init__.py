"""Reading trained models: length curves, learned matrices, spectra, algebra, figures, reports.

Drawing names (`length_curves`, `eigenvalue_plane`, `horizon_scatter` and others) load matplotlib
and seaborn when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from statetrack.analysis.adversary import AdversarialWord, adversarial_word
from statetrack.analysis.affine import AffineRecurrence, read_affine
from statetrack.analysis.certificates import Certificate, certify
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
from statetrack.analysis.horizon_prediction import HorizonPrediction, margins, predict_horizon
from statetrack.analysis.horizon_scores import horizon_scores
from statetrack.analysis.intervals import (
    bootstrap_interval,
    median_intervals,
    order_statistic_interval,
    share_interval,
)
from statetrack.analysis.loss_spikes import loss_spikes
from statetrack.analysis.report import ReportFigure, ReportSection, ReportTable, write_report
from statetrack.analysis.scale import dominant_subspace, without_scale
from statetrack.analysis.spectra import determinants, eigenvalues, orthogonality, roots_of_unity
from statetrack.analysis.subspace import (
    ActiveSubspace,
    active_subspace,
    persistent_subspace,
    restrict,
)
from statetrack.analysis.transitions import LayerTransitions, Transitions, extract_transitions

if TYPE_CHECKING:
    from statetrack.analysis.figures import curves_and_spectra, eigenvalue_plane, length_curves
    from statetrack.analysis.horizon_axes import horizon_scatter, margin_over_length

__all__ = [
    "ActiveSubspace",
    "AdversarialWord",
    "AffineRecurrence",
    "Certificate",
    "Expressivity",
    "HeadHomomorphism",
    "HomomorphismErrors",
    "HorizonPrediction",
    "LayerTransitions",
    "ReportFigure",
    "ReportSection",
    "ReportTable",
    "Tolerances",
    "Transitions",
    "accuracy_table",
    "active_subspace",
    "adversarial_word",
    "best_runs",
    "bootstrap_interval",
    "canonical_words",
    "certify",
    "curves_and_spectra",
    "determinants",
    "dominant_subspace",
    "eigenvalue_plane",
    "eigenvalues",
    "expressivity_markdown",
    "expressivity_table",
    "extend_to_group",
    "extract_transitions",
    "homomorphism_error",
    "horizon",
    "horizon_scatter",
    "horizon_scores",
    "horizons",
    "length_curves",
    "loss_spikes",
    "margin_over_length",
    "margins",
    "median_intervals",
    "order_statistic_interval",
    "orthogonality",
    "persistent_subspace",
    "predict_expressivity",
    "predict_horizon",
    "read_affine",
    "restrict",
    "roots_of_unity",
    "share_interval",
    "summarize_curves",
    "without_scale",
    "write_report",
]

_DRAWING = {
    "curves_and_spectra": "figures",
    "eigenvalue_plane": "figures",
    "horizon_scatter": "horizon_axes",
    "length_curves": "figures",
    "margin_over_length": "horizon_axes",
}


def __getattr__(name: str) -> Any:
    if name in _DRAWING:
        return getattr(import_module(f"statetrack.analysis.{_DRAWING[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
