"""Parts of a report as HTML: every text is escaped, every image is inline."""

import base64
import html
import io
import math
from collections.abc import Sequence
from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from automata.errors import InputError
from statetrack.analysis.report_parts import (
    ReportCode,
    ReportFigure,
    ReportList,
    ReportSection,
    ReportTable,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONG_TEXT = 36
_MOST_SVG_BYTES = 40_000
_DOTS_PER_INCH = 200
_REM_PER_INCH = (6, 9.5)
_HASH_SALT = "statetrack"


def section_html(section: ReportSection, anchor: str) -> str:
    """A section with its heading; figures that stand in a row share it where there is room.

    Raises
    ------
    InputError
        A figure has no alternative text.
    """
    blocks = [paragraphs_html(section.text)] if section.text else []
    small: list[str] = []
    for part in section.parts:
        if isinstance(part, ReportFigure) and not part.wide:
            small.append(part_html(part))
            continue
        blocks += _row(small)
        small = []
        blocks.append(part_html(part))
    blocks += _row(small)
    body = "\n".join(blocks)
    title = html.escape(section.title)
    return (
        f'<section aria-labelledby="{anchor}">\n<h2 id="{anchor}">{title}</h2>\n{body}\n</section>'
    )


def _row(figures: Sequence[str]) -> list[str]:
    return ['<div class="figures">\n' + "\n".join(figures) + "\n</div>"] if figures else []


def paragraphs_html(text: str) -> str:
    """Plain text; an empty line starts a new paragraph."""
    blocks = [block.strip() for block in text.strip().split("\n\n")]
    return "\n".join(f"<p>{html.escape(block)}</p>" for block in blocks if block)


def facts_html(facts: Sequence[tuple[str, str]]) -> str:
    """Names and values, shown large."""
    if not facts:
        return ""
    items = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>\n"
        for name, value in facts
    )
    return f'<dl class="facts">\n{items}</dl>'


def contents_html(entries: Sequence[tuple[str, str]]) -> str:
    """Links to sections, by title and anchor."""
    items = "".join(
        f'<li><a href="#{anchor}">{html.escape(title)}</a></li>\n' for title, anchor in entries
    )
    return f'<nav aria-label="Sections">\n<ul>\n{items}</ul>\n</nav>' if entries else ""


@singledispatch
def part_html(part: object) -> str:
    """Any part of a section."""
    raise InputError(f"a report holds figures, tables, lists and code, not {type(part).__name__}")


@part_html.register
def _list_html(part: ReportList) -> str:
    items = "".join(f"<li>{html.escape(item)}</li>\n" for item in part.items)
    return f"<ul>\n{items}</ul>" if items else ""


@part_html.register
def _code_html(part: ReportCode) -> str:
    label = html.escape(part.label)
    code = html.escape(part.text)
    return f'<pre tabindex="0" role="region" aria-label="{label}"><code>{code}</code></pre>'


@part_html.register
def _figure_html(part: ReportFigure) -> str:
    if not part.alt.strip():
        raise InputError("every figure of a report needs alternative text that says what it shows")
    alt = html.escape(part.alt)
    style = ""
    if part.wide:
        least, most = (ratio * part.figure.get_figwidth() for ratio in _REM_PER_INCH)
        style = f' style="min-width: {least:.1f}rem; max-width: {most:.1f}rem"'
    image = f'<img alt="{alt}"{style} src="{_image(part.figure)}">'
    if part.wide:
        label = html.escape(part.caption or "Figure")
        image = f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">{image}</div>'
    caption = f"<figcaption>{html.escape(part.caption)}</figcaption>" if part.caption else ""
    kind = ' class="wide"' if part.wide else ""
    return f"<figure{kind}>\n{image}\n{caption}\n</figure>"


def _image(figure: "Figure") -> str:
    """As lines where they are few, so that they stay sharp at any size; else as points."""
    import matplotlib as mpl
    from PIL import Image

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": _HASH_SALT, "svg.fonttype": "path"}):
        figure.savefig(
            buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": None}
        )
    kind = "svg+xml"
    if buffer.tell() > _MOST_SVG_BYTES:
        points, buffer, kind = io.BytesIO(), io.BytesIO(), "webp"
        figure.savefig(points, format="png", dpi=_DOTS_PER_INCH, facecolor="white")
        # 256 colours are enough for lines on white, and save a third of the bytes. This method
        # keeps the rare ones, which are those of the data. WebP without loss takes a quarter less
        # than PNG.
        image = Image.open(points).convert("RGB")
        image = image.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        image.convert("RGB").save(buffer, format="webp", lossless=True)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


@part_html.register
def _table_html(part: ReportTable) -> str:
    title, note = html.escape(part.title), paragraphs_html(part.caption)
    table = (
        f'<div class="scroll" role="region" aria-label="{title}" tabindex="0">\n'
        f"{_cells_html(part)}\n</div>"
    )
    block = f'<div class="table">\n{table}\n{note}\n</div>'
    if part.folded:
        return f"<details>\n<summary>{title}</summary>\n{block}\n</details>"
    return block


def _cells_html(part: ReportTable) -> str:
    frame = part.frame
    for name in filter(None, (part.group_by, part.row_head)):
        if name not in frame:
            raise InputError(f"table {part.title!r} of a report has no column {name!r}")
    columns = [name for name in frame.columns if name != part.group_by]
    if part.row_head:
        columns = [part.row_head, *(name for name in columns if name != part.row_head)]
    align = {name: ' class="number"' if _is_number(frame[name]) else "" for name in columns}
    heads = "".join(
        f'<th scope="col"{align[name]}>{html.escape(str(name).replace("_", " "))}</th>'
        for name in columns
    )
    lines = [
        f"<table>\n<caption>{html.escape(part.title)}</caption>",
        f"<thead><tr>{heads}</tr></thead>",
    ]
    groups = frame.groupby(part.group_by, sort=False) if part.group_by else [("", frame)]
    for group, rows in groups:
        lines.append("<tbody>")
        if part.group_by:
            width = len(columns)
            lines.append(
                f'<tr><th scope="rowgroup" colspan="{width}">{html.escape(str(group))}</th></tr>'
            )
        for row in rows[columns].itertuples(index=False, name=None):
            cells = [
                _cell(part, name, value, align[name])
                for name, value in zip(columns, row, strict=True)
            ]
            lines.append(f"<tr>{''.join(cells)}</tr>")
        lines.append("</tbody>")
    lines.append("</table>")
    return "\n".join(lines)


def _cell(part: ReportTable, name: object, value: object, align: str) -> str:
    text = html.escape(format_value(value, part.formats.get(str(name))))
    if name == part.row_head:
        return f'<th scope="row">{text}</th>'
    long = ' class="long"' if len(text) > _LONG_TEXT else ""
    return f"<td{align or long}>{text}</td>"


def _is_number(column: pd.Series) -> bool:
    is_bool = pd.api.types.is_bool_dtype(column)
    return bool(pd.api.types.is_numeric_dtype(column) and not is_bool)


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
