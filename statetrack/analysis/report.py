"""One self-contained HTML page around figures and tables: no network, no scripts."""

import html
import os
from collections.abc import Sequence
from pathlib import Path

from statetrack.analysis.report_html import contents_html, facts_html, paragraphs_html, section_html
from statetrack.analysis.report_page import PAGE
from statetrack.analysis.report_parts import (
    ReportCode as ReportCode,
)
from statetrack.analysis.report_parts import (
    ReportFigure as ReportFigure,
)
from statetrack.analysis.report_parts import (
    ReportList as ReportList,
)
from statetrack.analysis.report_parts import (
    ReportSection as ReportSection,
)
from statetrack.analysis.report_parts import (
    ReportTable as ReportTable,
)
from statetrack.atomic_files import write_atomically


def write_report(
    path: str | os.PathLike[str],
    title: str,
    sections: Sequence[ReportSection],
    *,
    lead: str = "",
    facts: Sequence[tuple[str, str]] = (),
    foot: str = "",
) -> Path:
    """Write an HTML page that holds everything it shows.

    All text is escaped; images are inline; a content policy in the page forbids any request. The
    page fits a telephone (tables and wide figures scroll in their own boxes), prints, follows the
    reader's choice of light or dark, and works with a keyboard and a screen reader.

    Parameters
    ----------
    path : path-like
        The file to write; its folder is made if needed. The file appears whole or not at all.
    title : str
        Title and first heading.
    sections : sequence of ReportSection
        In the order given, with links to them on top.
    lead : str
        Text under the title.
    facts : sequence of (str, str)
        Names and values that sum the page up, shown large.
    foot : str
        Text at the end.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        A figure has no alternative text, or a table lacks a column that it names.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_report(Path(folder, "a.html"), "Parity", [ReportSection("Seeds", "0..4")])
    ...     "<h1>Parity</h1>" in page.read_text(encoding="utf-8")
    True
    """
    anchors = [f"section-{number}" for number in range(1, len(sections) + 1)]
    entries = [(section.title, anchor) for section, anchor in zip(sections, anchors, strict=True)]
    top = [paragraphs_html(lead), facts_html(facts), contents_html(entries)]
    page = PAGE.substitute(
        title=html.escape(title),
        lead="\n".join(block for block in top if block),
        body="\n".join(
            section_html(section, anchor) for section, anchor in zip(sections, anchors, strict=True)
        ),
        foot=paragraphs_html(foot),
    )
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, page.encode())
    return file
