"""The report stands alone, trusts no text, and can be read by everyone."""

import base64
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from automata.errors import InputError
from statetrack.analysis import (
    ReportCode,
    ReportFigure,
    ReportList,
    ReportSection,
    ReportTable,
    write_report,
)
from statetrack.analysis.report_html import format_value
from statetrack.analysis.report_page import BACKGROUNDS, DARK, LIGHT, TEXT_COLORS
from tests import page_checks
from tests.page_checks import Reader, complaints, contrast

HOSTILE = "<script>alert(1)</script>\" onload='x' & $title ${body}"


@pytest.fixture
def figure():
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    return figure


@pytest.fixture
def hostile_page(tmp_path, figure):
    frame = pd.DataFrame({HOSTILE: [HOSTILE], "group": HOSTILE, "error": [1e-7]})
    parts = [
        ReportFigure(figure, alt=HOSTILE, caption=HOSTILE),
        ReportFigure(figure, alt=HOSTILE, caption=HOSTILE, wide=True),
        ReportTable(HOSTILE, frame, HOSTILE, group_by="group", row_head=HOSTILE),
        ReportTable(HOSTILE, frame, HOSTILE, folded=True),
        ReportList([HOSTILE]),
        ReportCode(HOSTILE, HOSTILE),
    ]
    path = write_report(
        tmp_path / "new folder" / "report.html",
        HOSTILE,
        [ReportSection(HOSTILE, HOSTILE, parts)],
        lead=HOSTILE,
        facts=[(HOSTILE, HOSTILE)],
        foot=HOSTILE,
    )
    return path.read_text(encoding="utf-8")


def test_hostile_names_stay_text(hostile_page):
    page = Reader(hostile_page).root
    assert not page.all("script")
    names = [name for element in page.all() for name in element.attributes]
    assert not [name for name in names if name.startswith("on")]
    assert page.text.count("alert(1)") == 24
    assert [image.attributes["alt"] for image in page.all("img")] == [HOSTILE] * 2


def test_nothing_is_fetched(hostile_page):
    page = Reader(hostile_page).root
    assert "http:" not in hostile_page
    assert "https:" not in hostile_page
    assert "url(" not in hostile_page
    assert "@import" not in hostile_page
    assert not page.all("link", "iframe", "object", "embed", "video")
    for name in ("src", "href", "srcset", "action"):
        for element in page.all():
            target = element.attributes.get(name, "#")
            assert target.startswith("#") or re.match(r"data:image/(webp|svg\+xml);base64,", target)
    assert "default-src 'none'" in hostile_page


def test_images_are_lines_where_they_are_few_and_points_where_not(tmp_path, figure):
    crowded = Figure(figsize=(2, 1))
    crowded.subplots().plot(np.random.default_rng(0).random(20_000))
    parts = [ReportFigure(figure, "few"), ReportFigure(crowded, "many")]
    page = write_report(tmp_path / "a.html", "T", [ReportSection("S", "", parts)]).read_text()
    sources = [image.attributes["src"] for image in Reader(page).root.all("img")]
    few, many = (base64.b64decode(source.split(",")[1], validate=True) for source in sources)
    assert b"<svg" in few
    assert not re.search(rb'(href|src)="(?!#)', few.replace(b"http://www.w3.org", b""))
    assert (many[:4], many[8:16]) == (b"RIFF", b"WEBPVP8L"), "points are kept without loss"


def test_a_hostile_page_can_be_read_by_everyone(hostile_page):
    assert complaints(hostile_page) == []


def text(old, new=""):
    return re.escape(old), new


def tag(old, new):
    return rf"(</?){old}\b", rf"\1{new}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        text('lang="en"'),
        text('name="viewport"', 'name="view"'),
        tag("main", "div"),
        tag("h2", "h3"),
        tag("h1", "h2"),
        tag("caption", "p"),
        text('aria-label="Sections"'),
        text("<img alt=", "<img data="),
        text('scope="col"'),
        text('scope="row"'),
        text('href="#section-1"', 'href="#section-9"'),
        text('colspan="2"', 'colspan="3"'),
        text('class="scroll" role="region"', 'class="scroll"'),
        text('tabindex="0"'),
        text(f"--quiet: {LIGHT['quiet']}", "--quiet: #999999"),
        text(f"--quiet: {DARK['quiet']}", "--quiet: #555555"),
        text("color: var(--quiet)", "color: #777"),
    ],
)
def test_the_checks_see_what_is_wrong(hostile_page, old, new):
    worse = re.sub(old, new, hostile_page)
    assert worse != hostile_page
    assert complaints(worse)


def test_contrasts_as_published():
    """WCAG 2.2: black on white is 21; #767676 is the lightest grey that passes on white."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=5e-3)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=5e-3)
    assert (page_checks.TEXT_COLORS, page_checks.BACKGROUNDS) == (TEXT_COLORS, BACKGROUNDS)


def test_order_and_content(tmp_path, figure):
    accuracies = pd.DataFrame(
        {
            "task": ["s3", "s3", "parity"],
            "seeds": [5, 5, 4],
            "label": ["MRU", "LSTM", "MRU"],
            "best_at_64": [0.998765, np.nan, 1.0],
        }
    )
    table = ReportTable("Accuracy", accuracies, "Of a token.", {}, "task", "label")
    path = write_report(
        tmp_path / "report.html",
        "Eigenvalue ranges",
        [
            ReportSection("What was found", "First.\n\nSecond.", [table]),
            ReportSection("Figures", "", [ReportFigure(figure, "Accuracy over length.", "One.")]),
        ],
        lead="Does the range matter?",
        facts=[("runs", "90")],
    )
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", text) == ["What was found", "Figures"]
    assert re.findall(r'<a href="#([\w-]+)">(.*?)</a>', text) == [
        ("section-1", "What was found"),
        ("section-2", "Figures"),
    ]
    assert "<p>First.</p>\n<p>Second.</p>" in text
    (rows,) = (page.all("tr") for page in Reader(text).root.all("table"))
    assert [[cell.text for cell in row.children] for row in rows] == [
        ["label", "seeds", "best at 64"],
        ["s3"],
        ["MRU", "5", "0.999"],
        ["LSTM", "5", "–"],
        ["parity"],
        ["MRU", "4", "1.000"],
    ]
    assert complaints(text) == []


def test_the_same_content_gives_the_same_file(tmp_path, figure):
    section = ReportSection("S", "", [ReportFigure(figure, alt="A line.")])
    pages = [write_report(tmp_path / name, "T", [section]) for name in ("a.html", "b.html")]
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (lambda figure: ReportFigure(figure, alt=" "), "alternative text"),
        (lambda figure: ReportTable("T", pd.DataFrame({"a": [1]}), row_head="b"), "no column 'b'"),
        (lambda figure: "text", "not str"),
    ],
)
def test_parts_that_cannot_be_shown(tmp_path, figure, part, message):
    with pytest.raises(InputError, match=message):
        write_report(tmp_path / "a.html", "T", [ReportSection("S", "", [part(figure)])])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "specification", "text"),
    [
        (0.12345, None, "0.123"),
        (0.00012, None, "1.2e-04"),
        (0.0, None, "0"),
        (-2.5, ".1f", "-2.5"),
        (np.float32(0.5), None, "0.500"),
        (np.int64(1_000_000), ",d", "1,000,000"),
        (np.True_, None, "yes"),
        (False, None, "no"),
        (None, None, "–"),
        (pd.NA, None, "–"),
        (float("-inf"), None, "−∞"),
    ],
)
def test_cells(value, specification, text):
    assert format_value(value, specification) == text
