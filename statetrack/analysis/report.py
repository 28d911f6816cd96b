"""One self-contained HTML page around figures and tables: no network, no scripts."""

import base64
import html
import io
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from automata.errors import InputError
from statetrack.analysis.report_page import PAGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONG_TEXT = 36


@dataclass(frozen=True)
class ReportFigure:
    """A figure of a report.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        Drawn into the page as PNG.
    alt : str
        What the figure shows, for those who cannot see it.
    caption : str
        Text under the figure.
    """

    figure: "Figure"
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class ReportTable:
    """A table of a report.

    Attributes
    ----------
    title : str
        Heading above the table.
    frame : DataFrame
        Its columns are shown with blanks for underscores, its index is not.
    caption : str
        Text under the heading: what the columns mean.
    formats : mapping of str to str
        Format specification of a column, such as ``{"error": ".1e"}``; other numbers are
        written by `format_value`.
    """

    title: str
    frame: pd.DataFrame
    caption: str = ""
    formats: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportSection:
    """Text of a report under its own heading.

    Attributes
    ----------
    title : str
        Heading.
    text : str
        Plain text; an empty line starts a new paragraph.
    """

    title: str
    text: str


def write_report(
    path: str | os.PathLike[str],
    title: str,
    figures: Sequence[ReportFigure],
    tables: Sequence[ReportTable],
    provenance: Mapping[str, object],
    sections: Sequence[ReportSection] = (),
    *,
    question: str = "",
    command: str = "",
    dots_per_inch: int = 200,
) -> Path:
    """Write an HTML page that holds everything it shows.

    The order is: what was asked, sections, figures, tables, provenance, the command that reruns it.
    All text is escaped; images are inline; a content policy in the page forbids any request.

    Parameters
    ----------
    path : path-like
        The file to write; its folder is made if needed. The file appears whole or not at all.
    title : str
        Title and first heading.
    figures, tables, sections
        What the page holds, each in the order given.
    provenance : mapping of str to object
        Hardware, versions, seeds, commit: shown as a table of two columns.
    question : str
        What was asked.
    command : str
        The command line that makes these results again.
    dots_per_inch : int
        Resolution of the images.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        A figure has no alternative text.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_report(Path(folder, "a.html"), "Parity", [], [], {"seeds": "0..4"})
    ...     "<h1>Parity</h1>" in page.read_text(encoding="utf-8")
    True
    """
    parts = []
    if question:
        parts.append(_section("What was asked", _paragraphs(question)))
    parts += [_section(section.title, _paragraphs(section.text)) for section in sections]
    parts += [_figure_html(entry, dots_per_inch) for entry in figures]
    parts += [_table_section(table) for table in tables]
    if provenance:
        rows = pd.DataFrame({"what": list(provenance), "value": list(provenance.values())})
        parts.append(_table_section(ReportTable("Provenance", rows)))
    if command:
        code = f'<pre tabindex="0"><code>{html.escape(command)}</code></pre>'
        parts.append(_section("Run it again", code))
    page = PAGE.substitute(title=html.escape(title), body="\n".join(parts))
    return _write_whole(Path(path), page)


def format_value(value: object, specification: str | None = None) -> str:
    """Write one cell of a table.

    Parameters
    ----------
    value : object
        A number, text, or anything with a text form; None and NaN become an en dash.
    specification : str, optional
        Format specification for numbers. Without one, fractions get three decimals, or powers of
        ten where that would show too little.

    Returns
    -------
    str
        Text, not escaped.

    Examples
    --------
    >>> [format_value(value) for value in (0.5, 3, 1.2e-7, float("nan"), float("inf"), "S3")]
    ['0.500', '3', '1.2e-07', '–', '∞', 'S3']
    """
    if value is None or value is pd.NA:
        return "–"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return format(int(value), specification or "d")
    if isinstance(value, (float, np.floating)):
        return _format_float(float(value), specification)
    return str(value)


def _format_float(value: float, specification: str | None) -> str:
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if specification is not None:
        return format(value, specification)
    if value == 0:
        return "0"
    return f"{value:.3f}" if 1e-3 <= abs(value) < 1e5 else f"{value:.1e}"


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{html.escape(title)}</h2>\n{body}\n</section>"


def _paragraphs(text: str) -> str:
    blocks = [block.strip() for block in text.strip().split("\n\n")]
    return "\n".join(f"<p>{html.escape(block)}</p>" for block in blocks if block)


def _figure_html(entry: ReportFigure, dots_per_inch: int) -> str:
    if not entry.alt.strip():
        raise InputError("every figure of a report needs alternative text that says what it shows")
    buffer = io.BytesIO()
    entry.figure.savefig(
        buffer, format="png", dpi=dots_per_inch, facecolor="white", metadata={"Software": None}
    )
    image = base64.b64encode(buffer.getvalue()).decode("ascii")
    alt = html.escape(entry.alt)
    caption = f"<figcaption>{html.escape(entry.caption)}</figcaption>" if entry.caption else ""
    return (
        f'<figure>\n<div class="scroll" role="group" aria-label="{alt}" tabindex="0">'
        f'<img alt="{alt}" src="data:image/png;base64,{image}"></div>\n{caption}\n</figure>'
    )


def _table_section(table: ReportTable) -> str:
    caption = _paragraphs(table.caption)
    label = html.escape(table.title)
    body = (
        f'{caption}\n<div class="scroll" role="group" aria-label="{label}" tabindex="0">\n'
        f"{_table_html(table)}\n</div>"
    )
    return _section(table.title, body)


def _table_html(table: ReportTable) -> str:
    frame = table.frame
    is_number = pd.api.types.is_numeric_dtype
    is_bool = pd.api.types.is_bool_dtype
    align = {
        column: ' class="number"' if is_number(frame[column]) and not is_bool(frame[column]) else ""
        for column in frame.columns
    }
    heads = "".join(
        f'<th scope="col"{align[column]}>{html.escape(str(column).replace("_", " "))}</th>'
        for column in frame.columns
    )
    lines = [f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>"]
    for row in frame.itertuples(index=False, name=None):
        cells = []
        for column, value in zip(frame.columns, row, strict=True):
            text = html.escape(format_value(value, table.formats.get(str(column))))
            long = ' class="long"' if len(text) > _LONG_TEXT else ""
            cells.append(f"<td{align[column] or long}>{text}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    lines.append("</tbody>\n</table>")
    return "\n".join(lines)


def _write_whole(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return path
