"""The page of one trained model."""

import pytest
import torch

from automata.errors import InputError
from statetrack.cli import main
from statetrack.model_report import write_model_report
from statetrack.models.constructions import parity_by_sign
from statetrack.training import RunConfig, train
from statetrack.training.checkpoint import load_tensors
from tests.page_checks import complaints

TINY = ("training.steps=2", "training.length=8", "model.width=8", "evaluation.max_length=8")


def page_of(path):
    return path.read_text(encoding="utf-8")


def test_the_page_of_an_exact_model_says_what_is_proved(tmp_path):
    config = RunConfig.from_pairs(["task=parity", "model=diagonal", *TINY])
    told = []
    sizes = {"max_length": 64, "num_words": 32}
    path = write_model_report(
        tmp_path / "page.html", parity_by_sign(), config, "make it", tell=told.append, **sizes
    )
    page = page_of(path)
    for sentence in (
        "stays at 0.9 and above to length 64, the longest measured",
        "The automaton read from its answers to short words is that of the task.",
        "The clearest representation is that of layer 0, head 0, faithful: 1R, sign.",
        "proved to answer words of all lengths right",
        "make it",
    ):
        assert sentence in page
    assert "letters breaks it" not in page
    assert not complaints(page)
    assert len(told) == 3


def test_the_command_writes_a_page_beside_the_checkpoint(capsys, tmp_path):
    config = RunConfig.from_pairs(["task=parity", "model=lstm", *TINY])
    checkpoint = tmp_path / "run.safetensors"
    train(config, checkpoint=checkpoint)
    assert load_tensors(checkpoint)[1]["num_tokens"] == 2
    sizes = ("--max-length", "8", "--words", "16")
    assert main(["analyze", str(checkpoint), *sizes]) == 0
    assert capsys.readouterr().out.split() == ["page", str(tmp_path / "run.html")]
    page = page_of(tmp_path / "run.html")
    assert "Hidden states" in page and "How far it carries" not in page
    assert f"statetrack analyze {checkpoint} --output" in page


def test_what_cannot_be_read_is_named(tmp_path):
    config = RunConfig.from_pairs(["task=parity", "model=diagonal", *TINY])
    with pytest.raises(InputError, match=r"max_length = 4: expected at least .* 8"):
        write_model_report(tmp_path / "a.html", torch.nn.Linear(1, 1), config, "", max_length=4)
    assert not list(tmp_path.iterdir())
