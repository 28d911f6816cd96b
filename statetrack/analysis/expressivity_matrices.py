"""Verdicts on transitions that are matrices: reflections, rotations, dense blocks."""

from statetrack.analysis.expressivity_algebra import TaskAlgebra, faithful_reflections
from statetrack.analysis.expressivity_classes import TransitionClass
from statetrack.analysis.expressivity_findings import (
    INVERTIBLE,
    ORTHOGONAL,
    RANK,
    Finding,
    Setting,
    aperiodic_bound,
    by_memory,
    can,
    cannot,
    open_question,
    star_free_open,
)
from statetrack.analysis.expressivity_groups import (
    Group,
    Part,
    fits,
    layers_by_factors,
    least_dimension,
    num_minimal_normal,
)


def _dimension_bound(
    facts: TaskAlgebra, kind: TransitionClass, setting: Setting, *, rotations: bool = False
) -> Finding | None:
    """Heads too small for a group inside, whatever the read-out."""
    if not setting.one_layer:
        return None
    for group in facts.groups:
        if least_any_cover(group, kind, rotations=rotations) > kind.size:
            space = "SO" if rotations else "O"
            return cannot(
                f"{group.name} is no quotient of a finite subgroup of {space}({kind.size}), nor of "
                "products of such",
                ORTHOGONAL,
            )
    return None


def least_any_cover(group: Group, kind: TransitionClass, *, rotations: bool) -> int:
    """Smallest head that is not excluded, through covers too."""
    least = least_dimension(group, rotations=rotations)
    if rotations and kind.signed_decay:
        # With additions, states may stay in a smaller space, where signs of determinants are free.
        least = min(least, least_dimension(group, rotations=False) + 1)
    return least


def reflections_upper(facts: TaskAlgebra, kind: TransitionClass, *, linear: bool) -> int | None:
    """Fewest factors with which a construction fits the heads."""
    assert facts.group is not None
    count = num_minimal_normal(facts.group)
    for factors in range(kind.size + 1):
        if fits(facts.parts, count, kind.heads, kind.size, factors=factors):
            return factors
        if not linear and _up_to_sign(facts.parts, count, factors, kind.size):
            return factors
    return None


def _up_to_sign(parts: tuple[Part, ...], count: int, factors: int, size: int) -> bool:
    return any(
        len(part.covers) == count
        and part.dimension <= size
        and not part.has_minus_one
        and all(
            min(pair) <= factors for pair in zip(part.ranks, part.ranks_of_opposites, strict=True)
        )
        for part in parts
    )


def householder(facts: TaskAlgebra, kind: TransitionClass, setting: Setting) -> Finding:
    """Verdict on Householder products, and on a diagonal minus rank one."""
    positive = kind.lowest > -1.0
    # A diagonal minus a matrix of rank one need not be symmetric, nor a contraction.
    if positive and not kind.signed_decay and kind.kind == "householder":
        bound = aperiodic_bound(facts)
        if bound is not None:
            return bound
    if facts.is_aperiodic:
        keeps = None if kind.method else by_memory(facts, kind, setting, kind.heads * kind.size)
        return keeps or star_free_open(setting.num_layers)
    if facts.group is not None and not positive and kind.highest >= 1.0 and not kind.method:
        found = _by_reflections(facts, kind, setting)
        if found is not None:
            return found
    bound = _dimension_bound(facts, kind, setting)
    if bound is not None:
        return bound
    if facts.group is None or kind.signed_decay or kind.kind == "rank_one":
        return open_question("no bound and no construction is known here")
    if setting.one_layer:
        if facts.largest_letter_order >= 3 and kind.factors < 2:
            return cannot(
                "one factor of finite order is a reflection, and a letter has order "
                f"{facts.largest_letter_order}; this holds through covers",
                RANK,
            )
        needed = faithful_reflections(facts)
        if setting.linear and kind.factors < needed:
            return cannot(
                f"a letter is a product of {needed} reflections at least in every faithful "
                "representation, which a linear read-out needs",
                RANK,
            )
        if kind.factors < needed:
            return open_question(
                f"linearly encoded states need {needed} factors; a larger group that covers this "
                "one is not excluded",
                RANK,
            )
    return open_question(
        "the heads or layers are too few for the construction, no bound excludes it"
    )


def _by_reflections(facts: TaskAlgebra, kind: TransitionClass, setting: Setting) -> Finding | None:
    assert facts.group is not None
    needed = reflections_upper(facts, kind, linear=setting.linear)
    if needed is not None and needed <= kind.factors:
        linear = reflections_upper(facts, kind, linear=True)
        if linear is not None and linear <= kind.factors:
            reason = f"letters are products of <= {needed} reflections"
        else:
            reason = "minus a letter's matrix is a product of fewer reflections; signs are ignored"
        return can(reason, RANK, "group_by_reflections")
    plane = any(
        len(part.covers) == num_minimal_normal(facts.group) and part.dimension <= 2
        for part in facts.parts
    )
    if setting.num_layers >= 2 and plane and kind.size >= 2 and not setting.linear:
        return can(
            "with the parity of rotations from below, every letter is a reflection of the plane",
            "Siems et al. 2025, arXiv 2502.10297 (dihedral groups in two layers)",
            "reflections by turns",
            2,
        )
    if setting.num_layers >= 2:
        layers = layers_by_factors(
            facts.group, kind.factors, kind.heads, kind.size, setting.num_layers
        )
        if layers is not None:
            return can("layers follow a normal series", RANK, "normal series", layers)
    return None


def matrix(facts: TaskAlgebra, kind: TransitionClass, setting: Setting) -> Finding:
    """Verdict on dense matrices."""
    enough = kind.dictionary is None or len(facts.maps) <= kind.dictionary
    if kind.method != "centred" and enough:
        if min(facts.degree, facts.dfa.num_states) <= kind.size:
            return can(
                "letters are matrices of zeros and ones",
                "one-hot states",
                "0/1 maps",
            )
        if (
            not kind.method
            and facts.group is not None
            and fits(facts.parts, num_minimal_normal(facts.group), kind.heads, kind.size)
        ):
            return can("a faithful representation fits", ORTHOGONAL, "group_by_matrices")
    bound = _dimension_bound(facts, kind, setting)
    if bound is not None:
        return bound
    if kind.method == "centred":
        return open_question("no known construction survives centred columns")
    if not enough:
        return open_question(
            f"{len(facts.maps)} different letters, {kind.dictionary} matrices to mix: too few for "
            "the known construction"
        )
    return open_question(f"{facts.dfa.num_states} states, but matrices of order {kind.size}")


def matrix_unit(facts: TaskAlgebra, kind: TransitionClass, setting: Setting) -> Finding:
    """Verdict on products of matrices of determinant 1 or -1."""
    rotations = kind.method not in ("determinant", "newton_schulz")
    bound = _dimension_bound(facts, kind, setting, rotations=rotations)
    if bound is not None:
        return bound
    if not facts.is_group:
        if kind.invertible and setting.one_layer:
            return cannot("no letter can erase: matrices are orthogonal", INVERTIBLE)
        return open_question("invertible matrices: forgetting by scale is not understood")
    if facts.group is not None:
        found = _by_rotations(facts, kind, setting)
        if found is not None:
            return found
    return open_question(f"neither bound nor construction known for method {kind.method!r}")


def oriented_size(part: Part) -> int:
    """Dimension of a part with its determinant beside it where that is not 1."""
    return part.dimension + (min(part.determinants, default=1) < 0)


def _by_rotations(facts: TaskAlgebra, kind: TransitionClass, setting: Setting) -> Finding | None:
    assert facts.group is not None
    parts, count = facts.parts, num_minimal_normal(facts.group)
    method = kind.method
    if method == "determinant" and fits(parts, count, kind.heads, kind.size):
        return can("a faithful representation fits", ORTHOGONAL, "faithful representation")
    if method in ("exponential", "qr_exponential"):
        if fits(parts, count, kind.heads, kind.size, size_of=oriented_size):
            return can("a faithful group of rotations fits", ORTHOGONAL, "rotations")
        return None
    if method in ("cayley", "qr_cayley"):
        small = [part for part in parts if not part.turns_half]
        if fits(small, count, kind.heads, kind.size):
            return can("rotations without half turns fit", ORTHOGONAL, "rotations")
    if setting.linear or method not in ("cayley", "qr_cayley", "ldu"):
        return None
    if facts.group.is_abelian and fits(parts, count, kind.heads * (kind.size // 2), 2):
        return can(
            "rotations by half the angle, whose sign is ignored, avoid half turns",
            "Lemma 6",
            "double cover",
        )
    spatial = any(len(part.covers) == count and oriented_size(part) <= 3 for part in parts)
    if spatial and kind.size >= 4 and method != "ldu":
        return can(
            "unit quaternions over its rotations of space, whose sign is ignored, avoid half turns",
            "Lemma 6",
            "binary cover",
        )
    return None
