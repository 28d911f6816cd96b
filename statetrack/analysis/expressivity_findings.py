"""What is found about a model and a task, and the theorems that findings rest on.

Lemmas are stated and proved in the page on expressivity of the documentation.
"""

from dataclasses import dataclass
from typing import Final

from statetrack.analysis.expressivity_algebra import TaskAlgebra
from statetrack.analysis.expressivity_classes import TransitionClass

LEMMA_3: Final = "Lemma 3; Grazzi et al. 2024, arXiv 2411.12537, Theorem 1; arXiv 2405.17394"
LEMMA_4: Final = "Lemma 4: real diagonal matrices of finite order square to I"
COMMUTING: Final = "Shakerinava et al. 2026, arXiv 2603.01959"
RANK: Final = "Lemma 2 with Cartan-Dieudonne (Scherk 1950)"
ORTHOGONAL: Final = "Lemma 5: finite matrix groups are conjugate to orthogonal ones"
FLIP_FLOP: Final = "pseudovariety of the flip-flop (Pin 1986, Varieties of formal languages)"
LENGTH: Final = "Barrington, Compton, Straubing, Therien 1992, Regular languages in NC1"
INVERTIBLE: Final = "finitely many states under invertible maps: a group"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a question is asked about.

    Parameters
    ----------
    num_layers : int
    linear : bool
        The state after the last layer is read by a linear map.
    window : bool
        A layer sees tokens before the last one beside its state.
    """

    num_layers: int
    linear: bool
    window: bool

    @property
    def one_layer(self) -> bool:
        """One recurrence, and nothing else that mixes over time."""
        return self.num_layers == 1 and not self.window


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A verdict with its reason, before the assumptions are added."""

    verdict: str
    reason: str
    source: str = ""
    construction: str | None = None
    layers: int | None = None


def can(reason: str, source: str, construction: str, layers: int = 1) -> Finding:
    """Report a construction."""
    return Finding(
        verdict="can", reason=reason, source=source, construction=construction, layers=layers
    )


def cannot(reason: str, source: str, layers: int | None = None) -> Finding:
    """Report a bound."""
    return Finding(verdict="cannot", reason=reason, source=source, layers=layers)


def open_question(reason: str, source: str = "") -> Finding:
    """Report that neither is known."""
    return Finding(verdict="open", reason=reason, source=source)


def by_memory(
    facts: TaskAlgebra, kind: TransitionClass, setting: Setting, slots: int
) -> Finding | None:
    """Star-free tasks that one layer with gates follows."""
    if not (kind.lowest <= 0.0 and kind.highest >= 1.0) or kind.invertible:
        return None
    needed = facts.reset_slots
    if needed is not None:
        needed = facts.dfa.num_states if setting.linear and needed == 1 else needed
        if needed <= slots and not (setting.linear and facts.reset_slots != 1):
            return can(
                "every letter keeps or overwrites numbers that determine the state",
                FLIP_FLOP,
                "flip-flops side by side",
            )
    if facts.is_definite and not setting.linear:
        return can(
            "the last few letters tell the state, and a decay of 1/k writes them as digits",
            "digits of a decaying sum",
            "window of letters as digits",
        )
    return None


def star_free_open(depth: int) -> Finding:
    """Report a star-free task that takes an unknown number of layers."""
    return open_question(
        f"star-free, so enough layers can; whether {depth} can is not known here",
        "Sarrof et al. 2024, arXiv 2405.17394; Krohn-Rhodes",
    )


def aperiodic_bound(facts: TaskAlgebra) -> Finding | None:
    """Report a group inside that positive contractions cannot have."""
    if facts.is_aperiodic:
        return None
    inside = facts.groups[0].name
    return cannot(f"star-free tasks only, at any depth; {inside} is inside this one", LEMMA_3)
