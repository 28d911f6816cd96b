"""One page of learned algebra, for models of every kind."""

import matplotlib as mpl
import pytest

mpl.use("Agg")

from automata.errors import InputError
from automata.groups import symmetric
from automata.tasks import get_task
from statetrack.analysis import ReportSection, algebra_report, write_report
from statetrack.models import build_model
from statetrack.models.constructions import automaton_by_columns, group_by_reflections


def titles(report):
    return [table.title for table in report.tables]


def test_a_page_of_a_construction(tmp_path):
    task = get_task("word_problem", group="S3", generators="all")
    report = algebra_report(group_by_reflections(symmetric(3)), task, (16, 64), num_words=64)
    assert titles(report) == ["Automaton", "Hidden states by length", "Representations", "Letters"]
    assert report.tables[2].frame["verdict"].tolist() == ["faithful"]
    assert len(report.figures) == 5
    sections = [ReportSection("Algebra", "", [*report.figures, *report.tables])]
    page = write_report(tmp_path / "a.html", "S3", sections)
    text = page.read_text(encoding="utf-8")
    assert text.count("<img") == 5
    assert "symmetries of a 3-gon" in text


@pytest.mark.parametrize(
    ("name", "task", "figures", "tables"),
    [("lstm", "s3", 2, 2), ("mru", "s3", 5, 4), ("householder", "flip_flop", 1, 2)],
)
def test_pages_of_new_models(name, task, figures, tables):
    task = get_task(task)
    model = build_model(name, task.num_tokens, task.num_classes)
    report = algebra_report(model, task, (4, 8), num_words=64)
    assert (len(report.figures), len(report.tables)) == (figures, tables)


def test_bad_lengths():
    task = get_task("flip_flop")
    with pytest.raises(InputError, match="empty"):
        algebra_report(automaton_by_columns(task.dfa), task, ())
    with pytest.raises(InputError, match="ascending"):
        algebra_report(automaton_by_columns(task.dfa), task, (8, 4))
