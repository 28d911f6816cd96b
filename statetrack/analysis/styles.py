"""Colours, dashes and markers that mean the same thing in every panel of a figure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns

Color = tuple[float, float, float]

_DASHES: tuple[tuple[float, ...], ...] = ((), (1.0, 1.0), (4.0, 1.2), (4.0, 1.2, 1.0, 1.2))
_RANGES_FIRST = ("[-1,1]", "[0,1]")
_MARKERS = "osD^vPXp<>"


@dataclass(frozen=True)
class LabelStyle:
    """How one label is drawn.

    Attributes
    ----------
    color : tuple of float
        One colour for a model, whatever its eigenvalue range.
    dashes : tuple of float
        Lengths of strokes and gaps in line widths, one pattern for an eigenvalue range; empty for
        a solid line.
    marker : str
        One matplotlib marker for a model, whatever its eigenvalue range.
    variant : str
        The label without the range.
    eigenvalue_range : str
        The range; empty if the model has none.
    """

    color: Color
    dashes: tuple[float, ...]
    marker: str
    variant: str
    eigenvalue_range: str

    @property
    def line_style(self) -> Any:
        """The same dashes as matplotlib's ``linestyle``."""
        return (0, self.dashes) if self.dashes else "-"

    @property
    def marker_fill(self) -> Color:
        """The colour inside a marker: white where the line is not solid."""
        return (1.0, 1.0, 1.0) if self.dashes else self.color


@dataclass(frozen=True)
class TokenStyle:
    """How the eigenvalues of one token are drawn.

    Attributes
    ----------
    color : tuple of float
        From dark to light in the order of tokens.
    marker : str
        A matplotlib marker.
    size : float
        Diameter in points, falling with the token, so that equal eigenvalues show as nested marks.
    """

    color: Color
    marker: str
    size: float


def label_styles(runs: pd.DataFrame) -> dict[str, LabelStyle]:
    """Give every label a colour and marker by its model, and dashes by its eigenvalue range.

    Parameters
    ----------
    runs : DataFrame
        A column label, and eigenvalue_range where there is one. Labels that differ only by the
        text of their range share colour and marker.

    Returns
    -------
    dict of str to LabelStyle
        In order of appearance. The range [-1,1] is solid, [0,1] dotted, others follow.

    Examples
    --------
    >>> styles = label_styles(pd.DataFrame({
    ...     "label": ["diagonal [0,1]", "diagonal [-1,1]", "LSTM"],
    ...     "eigenvalue_range": ["[0,1]", "[-1,1]", None]}))
    >>> [style.variant for style in styles.values()]
    ['diagonal', 'diagonal', 'LSTM']
    >>> styles["diagonal [0,1]"].color == styles["diagonal [-1,1]"].color
    True
    """
    ranges: dict[str, str] = {}
    for row in runs.drop_duplicates("label").itertuples():
        ranges[str(row.label)] = _range_text(getattr(row, "eigenvalue_range", None))
    variants = {label: _without_range(label, text) for label, text in ranges.items()}
    shared = [(variants[label], ranges[label]) for label in ranges]
    if len(set(shared)) < len(shared):
        variants = {label: label for label in ranges}
    names = list(dict.fromkeys(variants.values()))
    colors = dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))
    dashes = _dashes(ranges.values())
    return {
        label: LabelStyle(
            color=_rgb(colors[variants[label]]),
            dashes=dashes[text],
            marker=_MARKERS[names.index(variants[label]) % len(_MARKERS)],
            variant=variants[label],
            eigenvalue_range=text,
        )
        for label, text in ranges.items()
    }


def token_styles(names: Sequence[str]) -> dict[str, TokenStyle]:
    """Give every token a colour, a marker and a size.

    Parameters
    ----------
    names : sequence of str
        Names of the tokens, in their order. Beyond ten tokens the markers repeat.

    Returns
    -------
    dict of str to TokenStyle
        One style for every name.
    """
    unique = list(dict.fromkeys(names))
    last = max(1, len(unique) - 1)
    colormap = mpl.colormaps["viridis"]
    return {
        name: TokenStyle(
            color=_rgb(colormap(0.78 * rank / last)),
            marker=_MARKERS[rank % len(_MARKERS)],
            size=7.0 - 3.2 * rank / last,
        )
        for rank, name in enumerate(unique)
    }


def paper_style() -> dict[Any, Any]:
    """Settings for ``matplotlib.rc_context``: 7 to 8 points at print size, quiet axes.

    Returns
    -------
    dict
        Matplotlib parameters; nothing is set globally.
    """
    return {
        "font.size": 7.5,
        "axes.titlesize": 8,
        "axes.labelsize": 7.5,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7,
        "legend.title_fontsize": 7,
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "0.9",
        "grid.linewidth": 0.5,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "legend.frameon": False,
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
    }


def with_minus_sign(text: str) -> str:
    """Write the negative end of a range with a minus sign instead of a hyphen.

    Parameters
    ----------
    text : str
        A label or range, such as "[-1,1]".

    Returns
    -------
    str
        The text to draw.

    Examples
    --------
    >>> with_minus_sign("low-rank [-1,1]")
    'low-rank [−1,1]'
    """
    return text.replace("[-", "[−").replace(",-", ",−").replace(", -", ", −")


def _rgb(color: Sequence[float]) -> Color:
    red, green, blue = color[:3]
    return (red, green, blue)


def _range_text(value: object) -> str:
    return value.replace(" ", "") if isinstance(value, str) else ""


def _without_range(label: str, range_text: str) -> str:
    for written in (range_text, range_text.replace(",", ", ")):
        if written and written in label:
            return label.replace(written, "").strip(" ,;:()") or label
    return label


def _dashes(ranges: Iterable[str]) -> dict[str, tuple[float, ...]]:
    found = dict.fromkeys(text for text in ranges if text)
    later = [text for text in found if text not in _RANGES_FIRST]
    order = [*_RANGES_FIRST, *later]
    patterns = {text: _DASHES[rank % len(_DASHES)] for rank, text in enumerate(order)}
    return {"": (), **patterns}
