"""The report stands alone and trusts no text."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from automata.errors import InputError
from statetrack.analysis import ReportFigure, ReportSection, ReportTable, write_report
from statetrack.analysis.report import format_value

HOSTILE = "<script>alert(1)</script>\" onload='x' & $title ${body}"
VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Collect tags, attributes and text, and check that tags close in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def figure():
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    return figure


@pytest.fixture
def hostile_page(tmp_path, figure):
    path = write_report(
        tmp_path / "new folder" / "report.html",
        HOSTILE,
        [ReportFigure(figure, alt=HOSTILE, caption=HOSTILE)],
        [ReportTable(HOSTILE, pd.DataFrame({HOSTILE: [HOSTILE], "error": [1e-7]}), HOSTILE)],
        {HOSTILE: HOSTILE},
        [ReportSection(HOSTILE, HOSTILE)],
        question=HOSTILE,
        command=HOSTILE,
    )
    return path.read_text(encoding="utf-8")


def test_hostile_names_stay_text(hostile_page):
    page = Page(hostile_page)
    assert page.open == []
    assert "script" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "".join(page.text).count("alert(1)") == 13
    assert ("img", "alt", HOSTILE) in page.attributes


def test_nothing_is_fetched(hostile_page):
    page = Page(hostile_page)
    assert "http:" not in hostile_page
    assert "https:" not in hostile_page
    assert "url(" not in hostile_page
    assert not {"link", "iframe", "object", "a"} & set(page.tags)
    sources = [value for _, name, value in page.attributes if name in {"src", "href", "srcset"}]
    assert len(sources) == 1
    kind, data = sources[0].split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    assert "default-src 'none'" in hostile_page


def test_order_and_content(tmp_path, figure):
    accuracies = pd.DataFrame(
        {"label": ["MRU", "LSTM"], "best_at_64": [0.998765, np.nan], "seeds": [5, 5]}
    )
    path = write_report(
        tmp_path / "report.html",
        "Eigenvalue ranges",
        [ReportFigure(figure, alt="Accuracy over length.", caption="Figure 1.")],
        [ReportTable("Accuracy", accuracies, "Token accuracy.")],
        {"hardware": "two cores", "commit": "abc"},
        [ReportSection("What was found", "First.\n\nSecond.")],
        question="Does the range matter?",
        command="statetrack figure eigenvalue_ranges",
    )
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings == [
        "What was asked",
        "What was found",
        "Accuracy",
        "Provenance",
        "Run it again",
    ]
    assert "<p>First.</p>\n<p>Second.</p>" in text
    assert '<th scope="col" class="number">best at 64</th>' in text
    assert '<td class="number">0.999</td>' in text
    assert '<td class="number">–</td>' in text
    assert "<td>two cores</td>" in text
    assert 'name="viewport"' in text
    assert 'lang="en"' in text


def test_the_same_content_gives_the_same_file(tmp_path, figure):
    pages = [
        write_report(tmp_path / name, "T", [ReportFigure(figure, alt="A line.")], [], {})
        for name in ("a.html", "b.html")
    ]
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_figures_need_alternative_text(tmp_path, figure):
    with pytest.raises(InputError, match="alternative text"):
        write_report(tmp_path / "a.html", "T", [ReportFigure(figure, alt=" ")], [], {})


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
