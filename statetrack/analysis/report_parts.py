"""What a report is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class ReportFigure:
    """A figure of a report.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        Drawn into the page: as SVG, or as PNG where that would be large.
    alt : str
        What the figure shows, with its main numbers, for those who cannot see it.
    caption : str
        Text under the figure.
    wide : bool
        Whether it needs the whole width of a page: on a narrow screen it then scrolls in its own
        box. Others shrink to fit, and stand beside one another where there is room.
    """

    figure: "Figure"
    alt: str
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class ReportTable:
    """A table of a report.

    Attributes
    ----------
    title : str
        Caption of the table.
    frame : DataFrame
        Its columns are shown with blanks for underscores, its index is not.
    caption : str
        Text under the table: what the columns mean.
    formats : mapping of str to str
        Format specification of a column, such as ``{"error": ".1e"}``; other numbers are
        written by `format_value`.
    group_by : str
        Column whose values head groups of rows instead of standing in each; none by default.
    row_head : str
        Column that names the rows: it stays in sight when the table scrolls; none by default.
    folded : bool
        Whether the table is shown only when it is asked for.
    """

    title: str
    frame: pd.DataFrame
    caption: str = ""
    formats: Mapping[str, str] = field(default_factory=dict)
    group_by: str = ""
    row_head: str = ""
    folded: bool = False


@dataclass(frozen=True)
class ReportList:
    """Sentences of a report, one under another.

    Attributes
    ----------
    items : sequence of str
    """

    items: Sequence[str]


@dataclass(frozen=True)
class ReportCode:
    """What one types: a command line, or lines of Python.

    Attributes
    ----------
    text : str
    label : str
        What it is, for those who cannot see it.
    """

    text: str
    label: str = "Command"


ReportPart: TypeAlias = ReportFigure | ReportTable | ReportList | ReportCode


@dataclass(frozen=True)
class ReportSection:
    """A part of a report under its own heading.

    Attributes
    ----------
    title : str
        Heading.
    text : str
        Plain text; an empty line starts a new paragraph.
    parts : sequence
        Figures, tables, lists and code, in this order.
    """

    title: str
    text: str = ""
    parts: Sequence[ReportPart] = ()
