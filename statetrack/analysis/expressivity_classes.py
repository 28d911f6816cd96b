"""Which class of transitions every registered model has, read off its configuration."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from automata.errors import InputError
from statetrack.models.config import list_models
from statetrack.models.ranges import EigenvalueRange

KINDS: Final = (
    "attention",
    "complex_diagonal",
    "fixed",
    "householder",
    "matrix",
    "matrix_unit",
    "memoryless",
    "nonlinear",
    "one_hot",
    "rank_one",
    "real_diagonal",
    "sum",
)


@dataclass(frozen=True, kw_only=True)
class TransitionClass:
    """What the transition of one layer can be, ends of ranges included.

    Parameters
    ----------
    kind : str
        One of `KINDS`: "sum" adds and never forgets, "fixed" has one transition for all tokens,
        "rank_one" is a diagonal minus a matrix of rank one that need not be symmetric, "one_hot"
        has one entry in every column, "matrix_unit" is a state that is a product of matrices.
    heads, size : int
        Independent states, and the order of the transition of each.
    lowest, highest : float
        Ends of the range of eigenvalues, of every factor if there are several.
    factors : int
        Householder factors per token.
    signed_decay : bool
        A decay beside the factors reaches -1.
    invertible : bool
        No token can erase.
    method : str
        How matrices arise, where that matters.
    dictionary : int or None
        Matrices that are mixed; None if tokens have matrices of their own.
    """

    kind: str
    heads: int = 1
    size: int = 1
    lowest: float = 0.0
    highest: float = 1.0
    factors: int = 1
    signed_decay: bool = False
    invertible: bool = False
    method: str = ""
    dictionary: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"kind of transitions {self.kind!r}: expected one of {KINDS}")


def _range(text: str) -> dict[str, Any]:
    interval = EigenvalueRange.parse(text)
    return {"lowest": interval.lo, "highest": interval.hi}


def _channels(config: Any) -> TransitionClass:
    # The states of a channel of Mamba share its time step.
    return TransitionClass(
        kind="real_diagonal", heads=config.num_channels, **_range(config.eigenvalue_range)
    )


def _key_channels(config: Any) -> TransitionClass:
    ends = _range(config.eigenvalue_range)
    bound = getattr(config, "lower_bound", 0.0)
    ends["lowest"] += bound * (ends["highest"] - ends["lowest"])
    return TransitionClass(kind="real_diagonal", heads=config.num_heads * config.head_size, **ends)


def _complex(config: Any) -> TransitionClass:
    return TransitionClass(
        kind="complex_diagonal",
        heads=config.num_channels * getattr(config, "state_size", 1),
        invertible=getattr(config, "eigenvalue_range", "circle") == "circle",
    )


def _mamba3(config: Any) -> TransitionClass:
    ends = EigenvalueRange.parse(config.eigenvalue_range)
    # A rotation makes a decay of -1 of a decay of 1; a modulus below 1 forgets.
    return TransitionClass(
        kind="complex_diagonal",
        heads=config.num_heads,  # its pairs share the decay
        lowest=ends.lo,
        highest=max(ends.hi, -ends.lo),
        invertible=not ends.lo <= 0.0 <= ends.hi,
    )


def _householder(config: Any) -> TransitionClass:
    decay = getattr(config, "decay_range", None)
    return TransitionClass(
        kind="householder",
        heads=config.num_heads,
        size=config.head_size,
        factors=config.num_factors,
        signed_decay=decay is not None and EigenvalueRange.parse(decay).lo <= -1.0,
        # A decay that stays below 1 forgets everything in the end.
        method="forgets" if decay is not None and EigenvalueRange.parse(decay).hi < 1.0 else "",
        **_range(config.eigenvalue_range),
    )


def _rwkv7(config: Any) -> TransitionClass:
    return TransitionClass(
        kind="rank_one",
        heads=config.num_heads,
        size=config.head_size,
        **_range(config.eigenvalue_range or "[0,1]"),
    )


def _block_diagonal(config: Any) -> TransitionClass:
    method = "centred" if config.block_norm == "columns" else ""
    return TransitionClass(
        kind="matrix", heads=config.num_blocks, size=config.block_size, method=method
    )


def _dictionary(config: Any) -> TransitionClass:
    phases = getattr(config, "complex_diagonal", None)
    ends: dict[str, Any] = {} if phases is None else _range(config.eigenvalue_range)
    return TransitionClass(
        kind="matrix" if phases is None else "one_hot",
        heads=config.num_heads,
        size=config.head_size,
        method="columns" if phases is None else ("complex" if phases else "real"),
        dictionary=config.dictionary_size,
        **ends,
    )


def _mru(config: Any) -> TransitionClass:
    full = config.input_method == "residual"
    return TransitionClass(
        kind="matrix" if full else "matrix_unit",
        heads=config.num_heads,
        size=config.head_size,
        # Matrices that are orthogonal cannot even forget little by little.
        invertible=config.input_method in ("exponential", "cayley", "householder"),
        signed_decay=config.additive,
        method="" if full else config.input_method,
    )


def _of_kind(kind: str, method: str = "") -> Callable[[Any], TransitionClass]:
    return lambda config: TransitionClass(kind=kind, method=method)


def _nonlinear(config: Any) -> TransitionClass:
    return TransitionClass(kind="nonlinear", size=config.width)


CLASSES: dict[str, Callable[[Any], TransitionClass]] = {
    "aaren": _of_kind("sum"),
    "aussm": _complex,
    "block_diagonal": _block_diagonal,
    "complex_diagonal": _complex,
    "dense": _dictionary,
    "diagonal": _channels,
    "ffn": _of_kind("memoryless"),
    "gated_householder": _householder,
    "gla": _key_channels,
    "gru": _nonlinear,
    "hgrn": _channels,
    "hgrn2": _key_channels,
    "householder": _householder,
    "kda": _householder,
    "linear_attention": _of_kind("sum"),
    "lru": _of_kind("fixed", "window"),
    "lstm": _nonlinear,
    # One row of a state is a tanh network of `head_size` units.
    "m2rnn": lambda config: TransitionClass(kind="nonlinear", size=config.head_size),
    "mamba": _channels,
    "mamba3": _mamba3,
    "mlstm": lambda config: TransitionClass(kind="real_diagonal", heads=config.num_heads),
    "mru": _mru,
    "mru_attention": _of_kind("attention"),
    "permutation_diagonal": _dictionary,
    "retnet": _of_kind("fixed"),
    "rg_lru": _channels,
    "rnn": _nonlinear,
    "rwkv7": _rwkv7,
    "s4d": _of_kind("fixed", "window"),
    "slstm": _nonlinear,
    "transformer": _of_kind("attention"),
}


def transition_class(name: str, config: Any) -> TransitionClass:
    """Class of the transitions of a configured model.

    Raises
    ------
    InputError
        A model whose class is not known here.
    """
    if name not in CLASSES:
        raise InputError(
            f"model {name!r} has no class of transitions: add one to "
            "statetrack.analysis.expressivity_classes.CLASSES"
        )
    return CLASSES[name](config)


def name_of_config(config: Any) -> str:
    """Registered name of the model that a configuration object belongs to.

    Raises
    ------
    InputError
        An object that configures no registered model.
    """
    for name, entry in list_models().items():
        if type(config) is entry.config_class:
            return name
    raise InputError(
        f"model is {config!r}: give a name of list_models() or the configuration of one of them"
    )
