"""Repeated blocks by powers of their affine maps, held against running them letter by letter."""

import numpy as np
import pytest
import torch

from automata.tasks import get_task
from statetrack.analysis.adversary import adversarial_word, first_failure
from statetrack.analysis.affine import read_affine, with_matrices
from statetrack.analysis.beam_search import beam_search
from statetrack.analysis.periodic_words import first_periodic_failure, short_blocks
from statetrack.models import build_model
from statetrack.models.constructions import group_by_matrices
from tests.horizon_cases import noisy_group

CAP = 600


def test_short_blocks_come_in_order_and_end():
    one, two, three = short_blocks(2, 10)
    assert one.tolist() == [[0], [1]]
    assert two.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert three.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]]
    assert [len(blocks) for blocks in short_blocks(5, 3)] == [3]


@pytest.mark.parametrize(("group", "error"), [("D5", 0.02), ("Z5", 0.01), ("S3", 0.05)])
def test_the_predicted_length_is_where_the_word_fails_when_it_is_run(group, error):
    """The model in float64, every block run letter by letter: the same first failure."""
    model, task = noisy_group(group, error)
    recurrence = read_affine(model, task.num_tokens)
    for blocks in short_blocks(task.num_tokens, 30):
        words = np.stack([np.resize(block, CAP) for block in blocks])
        run = [length or np.inf for length in first_failure(recurrence.model, task, words)]
        found = first_periodic_failure(recurrence, task, blocks, CAP)
        assert found.length == min(run)
        if np.isfinite(found.length):
            assert found.length == run[blocks.tolist().index(list(found.block))]


def test_powers_do_not_overflow_where_the_scale_is_not_read():
    """Matrices of an MRU that grow: a plain power overflows before the 3,000th letter."""
    torch.manual_seed(3)
    task = get_task("s3")
    model = build_model("mru", task.num_tokens, task.num_classes, width=12, num_heads=2)
    recurrence = read_affine(model, task.num_tokens)
    grown = 2.0 * recurrence.matrices
    blocks = short_blocks(task.num_tokens, 6)[0]
    plain = first_periodic_failure(recurrence, task, blocks, 3000)
    assert (
        first_periodic_failure(
            with_matrices(recurrence, grown, recurrence.offsets), task, blocks, 3000
        )
        == plain
    )


def test_rounded_rotations_turn_wrong_after_as_many_letters_as_they_have_digits():
    """A turn by a third is off by less than 1e-7: right for a million letters, not for 2^30."""
    task = get_task("word_problem", group="S3")
    recurrence = read_affine(group_by_matrices(task.group), task.num_tokens)
    blocks = short_blocks(task.num_tokens, task.num_tokens)[0]
    assert first_periodic_failure(recurrence, task, blocks, 2**20).length == np.inf
    assert 2**23 < first_periodic_failure(recurrence, task, blocks, 2**30).length < 2**30


def test_an_adversarial_word_says_where_its_period_was_predicted_to_fail():
    model, task = noisy_group("S3", 0.05)
    found = adversarial_word(model, task, cap=CAP, beam=0)
    assert found.period_length == pytest.approx(found.period_predicted, rel=0.25)
    assert found.length <= found.period_length
    assert found.to_frame().period.iloc[0] == " ".join(map(str, found.period))


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_beam_ends_at_its_first_wrong_answer(share):
    model, task = noisy_group("S3", 0.2)
    word = beam_search(model, task, 8, 200, random_share=share)
    assert first_failure(model, task, word[None]) == [len(word)]
    again = beam_search(model, task, 8, 200, random_share=share)
    assert word.tolist() == again.tolist()
    assert beam_search(model, task, 8, len(word) - 1, random_share=share) is None


def test_a_beam_of_all_words_finds_a_shortest_one():
    """Wide enough to drop nothing, it is an exhaustive search whatever the share."""
    model, task = noisy_group("Z3", 0.2)
    lengths = {
        len(beam_search(model, task, 3**7, 7, random_share=share)) for share in (0.0, 0.3, 1.0)
    }
    words = np.array(np.meshgrid(*[range(task.num_tokens)] * 7)).reshape(7, -1).T
    failures = [length for length in first_failure(model, task, words) if length is not None]
    assert lengths == {min(failures)}
