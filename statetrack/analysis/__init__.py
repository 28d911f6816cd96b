"""Reading trained models: length curves, learned matrices, spectra, algebra, figures, reports.

Drawing names (`length_curves`, `horizon_rows`, `eigenvalue_plane`, ...) load matplotlib and
seaborn when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from statetrack.analysis.adversary import AdversarialWord, adversarial_word
from statetrack.analysis.affine import AffineRecurrence, read_affine
from statetrack.analysis.censoring import HorizonDistribution, horizon_distribution
from statetrack.analysis.certificates import Certificate, certify
from statetrack.analysis.comparisons import Comparison, compare, holm
from statetrack.analysis.contexts import Offsets, context_shares, extract_offsets
from statetrack.analysis.controlled import ControlledPair, compare_controlled, controlled_pairs
from statetrack.analysis.expressivity import (
    Expressivity,
    expressivity_markdown,
    expressivity_table,
    predict_expressivity,
)
from statetrack.analysis.extraction import ExtractedDFA, extract_dfa
from statetrack.analysis.extrapolation import (
    accuracy_table,
    best_runs,
    horizon,
    horizons,
    summarize_curves,
)
from statetrack.analysis.factor_geometry import factor_geometry
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
    superiority_interval,
)
from statetrack.analysis.ladder import quotient_accuracy, quotient_ladder
from statetrack.analysis.letters import letter_table
from statetrack.analysis.logit_characters import (
    character_similarity,
    characters_by_length,
    coset_concentration,
    element_means,
)
from statetrack.analysis.loss_spikes import loss_spikes
from statetrack.analysis.published import PublishedValue, compare_published
from statetrack.analysis.realisation import Realisation, minimal_realisation
from statetrack.analysis.relations import relation_errors
from statetrack.analysis.report import (
    ReportCode,
    ReportFigure,
    ReportList,
    ReportSection,
    ReportTable,
    write_report,
)
from statetrack.analysis.representation_match import (
    RepresentationMatch,
    RepresentationMatches,
    product_errors,
)
from statetrack.analysis.representations import match_representation
from statetrack.analysis.scale import dominant_subspace, without_scale
from statetrack.analysis.seeds import (
    horizon_distributions,
    run_horizons,
    seeds_solved,
    summarize_horizons,
    with_variants,
)
from statetrack.analysis.spectra import determinants, eigenvalues, orthogonality, roots_of_unity
from statetrack.analysis.state_clusters import state_clusters
from statetrack.analysis.state_map import state_map
from statetrack.analysis.subspace import (
    ActiveSubspace,
    active_subspace,
    persistent_subspace,
    restrict,
)
from statetrack.analysis.transitions import LayerTransitions, Transitions, extract_transitions

if TYPE_CHECKING:
    from statetrack.analysis.algebra_axes import (
        homomorphism_heat_map,
        irrep_energy_bars,
        learned_cayley_graph,
        quotient_curves,
    )
    from statetrack.analysis.algebra_page import AlgebraReport, algebra_report
    from statetrack.analysis.figures import (
        curves_and_spectra,
        eigenvalue_plane,
        length_curves,
        spectra_of_runs,
    )
    from statetrack.analysis.horizon_axes import horizon_scatter, margin_over_length
    from statetrack.analysis.seed_axes import horizon_rows, solved_rows

__all__ = [
    "ActiveSubspace",
    "AdversarialWord",
    "AffineRecurrence",
    "AlgebraReport",
    "Certificate",
    "Comparison",
    "ControlledPair",
    "Expressivity",
    "ExtractedDFA",
    "HeadHomomorphism",
    "HomomorphismErrors",
    "HorizonDistribution",
    "HorizonPrediction",
    "LayerTransitions",
    "Offsets",
    "PublishedValue",
    "Realisation",
    "ReportCode",
    "ReportFigure",
    "ReportList",
    "ReportSection",
    "ReportTable",
    "RepresentationMatch",
    "RepresentationMatches",
    "Tolerances",
    "Transitions",
    "accuracy_table",
    "active_subspace",
    "adversarial_word",
    "algebra_report",
    "best_runs",
    "bootstrap_interval",
    "canonical_words",
    "certify",
    "character_similarity",
    "characters_by_length",
    "compare",
    "compare_controlled",
    "compare_published",
    "context_shares",
    "controlled_pairs",
    "coset_concentration",
    "curves_and_spectra",
    "determinants",
    "dominant_subspace",
    "eigenvalue_plane",
    "eigenvalues",
    "element_means",
    "expressivity_markdown",
    "expressivity_table",
    "extend_to_group",
    "extract_dfa",
    "extract_offsets",
    "extract_transitions",
    "factor_geometry",
    "holm",
    "homomorphism_error",
    "homomorphism_heat_map",
    "horizon",
    "horizon_distribution",
    "horizon_distributions",
    "horizon_rows",
    "horizon_scatter",
    "horizon_scores",
    "horizons",
    "irrep_energy_bars",
    "learned_cayley_graph",
    "length_curves",
    "letter_table",
    "loss_spikes",
    "margin_over_length",
    "margins",
    "match_representation",
    "median_intervals",
    "minimal_realisation",
    "order_statistic_interval",
    "orthogonality",
    "persistent_subspace",
    "predict_expressivity",
    "predict_horizon",
    "product_errors",
    "quotient_accuracy",
    "quotient_curves",
    "quotient_ladder",
    "read_affine",
    "relation_errors",
    "restrict",
    "roots_of_unity",
    "run_horizons",
    "seeds_solved",
    "share_interval",
    "solved_rows",
    "spectra_of_runs",
    "state_clusters",
    "state_map",
    "summarize_curves",
    "summarize_horizons",
    "superiority_interval",
    "with_variants",
    "without_scale",
    "write_report",
]

_DRAWING = {
    "AlgebraReport": "algebra_page",
    "algebra_report": "algebra_page",
    "curves_and_spectra": "figures",
    "eigenvalue_plane": "figures",
    "homomorphism_heat_map": "algebra_axes",
    "horizon_rows": "seed_axes",
    "horizon_scatter": "horizon_axes",
    "irrep_energy_bars": "algebra_axes",
    "learned_cayley_graph": "algebra_axes",
    "length_curves": "figures",
    "margin_over_length": "horizon_axes",
    "quotient_curves": "algebra_axes",
    "solved_rows": "seed_axes",
    "spectra_of_runs": "figures",
}


def __getattr__(name: str) -> Any:
    if name in _DRAWING:
        return getattr(import_module(f"statetrack.analysis.{_DRAWING[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
