"""Published data sets keep their bits: `golden/words.json` holds the sha256 of each.

A digest is over the int64 little-endian bytes of the words, labels or tables, in item order. Run as
a program, this file prints all digests as JSON; so other processes are compared with this one. To
change a digest is to change published results: raise the semantics of the tasks concerned.
"""

import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from automata.dfa import DFA
from automata.sampling import random_dfa
from automata.stratified import stratified_dfa
from automata.tasks import get_task
from automata.walks import markov_chain, random_weighted_dfa
from automata.words import (
    alternating_letters,
    hard_negatives,
    pair_adversarial_words,
    periodic_words,
    sample_word_set,
    sample_words,
    uniform_letters,
)

GOLDEN = Path(__file__).parent / "golden" / "words.json"
NO_DOUBLE_B = DFA.from_partial([[0, 1], [0, -1]], accepting=[0, 1])
BALANCED = DFA.from_partial([[1, -1], [2, 0], [-1, 1]], accepting=[0])
RANDOM_50 = random_dfa(50, 2, seed=3)
RANDOM_1000 = random_dfa(1000, 2, seed=1)


def letters(num_symbols, length, seed, split="train"):
    return lambda first, count: uniform_letters(
        num_symbols, length, (first, count), seed=seed, split=split
    )


def words(dfa, length, **options):
    return lambda first, count: sample_words(dfa, length, count, first_item=first, **options)


def negatives(dfa, length, **options):
    return lambda first, count: hard_negatives(dfa, length, count, first_item=first, **options)


def word_sets(dfa, length, **options):
    def draw(first, count):
        drawn = sample_word_set(dfa, length, count, first_item=first, **options)
        return np.column_stack([drawn.words, drawn.lengths, drawn.labels])

    return draw


def walks(model, length, **options):
    return lambda first, count: model.sample(length, count, first_item=first, **options).words


def task_batches(name, length, split, **parameters):
    task = get_task(name, **parameters)

    def draw(first, count):
        # One item at a time is a batch of size one at that step.
        batches = [
            task.sample(7, batch_size=1, length=length, split=split, step=first + i)
            for i in range(count)
        ]
        return np.concatenate([np.column_stack([b.tokens, b.targets]) for b in batches])

    return draw


def tables(draw_one):
    """Automata by seed: transitions and accepting states."""

    def draw(first, count):
        dfas = [draw_one(seed) for seed in range(first, first + count)]
        return np.concatenate(
            [np.append(d.transitions.reshape(-1), d.accepting.astype(np.int64)) for d in dfas]
        )

    return draw


def kind(name, num_states, num_symbols, **options):
    return tables(lambda seed: random_dfa(num_states, num_symbols, seed=seed, kind=name, **options))


def fixed(array):
    return lambda first, count: array[first : first + count]


STICKY = markov_chain([[8, 1, 1], [1, 8, 1], [1, 1, 8]])
LANGUAGE_MODEL = random_weighted_dfa(12, 6, seed=9, max_stop_weight=15)
COSTS = np.add.outer(np.arange(8) % 3, np.arange(8) % 5)[:, :, None] - np.array([2, 3])
DATA_SETS = {
    "letters-2-64": (letters(2, 64, 0), 200),
    "letters-120-33-report": (letters(120, 33, 7, "report"), 100),
    "letters-3-9-selection": (letters(3, 9, 1, "selection"), 200),
    "task-s3-per-prefix": (task_batches("s3", 40, "train"), 30),
    "task-s5-standard-mixed": (task_batches("s5", (30, 30), "report", generators="standard"), 30),
    "task-random-dfa-stratified": (task_batches("random_dfa", 50, "train", seed=5), 30),
    "no-double-b-10": (words(NO_DOUBLE_B, 10, seed=0), 300),
    "no-double-b-500": (words(NO_DOUBLE_B, 500, seed=1), 40),
    "no-double-b-complement-64": (words(NO_DOUBLE_B, 64, seed=1, of="complement"), 100),
    "no-double-b-12-train": (words(NO_DOUBLE_B, 12, seed=4, split="train"), 200),
    "no-double-b-12-report": (words(NO_DOUBLE_B, 12, seed=4, split="report"), 200),
    "balanced-100-selection": (words(BALANCED, 100, seed=2, split="selection"), 60),
    "random-50-2048": (words(RANDOM_50, 2048, seed=5), 12),
    "random-1000-128": (words(RANDOM_1000, 128, seed=6), 50),
    "five-symbols-77": (words(random_dfa(9, 5, seed=2), 77, seed=2**32 - 1), 60),
    "balanced-set-3-40": (word_sets(NO_DOUBLE_B, (3, 40), seed=3), 200),
    "balanced-set-4-19-train": (word_sets(RANDOM_50, (4, 19), seed=3, split="train"), 200),
    "language-set-2-30": (word_sets(BALANCED, (2, 30), seed=8, of="language"), 100),
    "negatives-balanced-20": (negatives(BALANCED, 20, seed=1), 100),
    "negatives-balanced-201": (negatives(BALANCED, 201, seed=2, split="report"), 20),
    "negatives-random-50-64": (negatives(RANDOM_50, 64, seed=3), 60),
    "negatives-balanced-9-train": (negatives(BALANCED, 9, seed=3, split="train"), 100),
    "walks-sticky-50": (walks(STICKY, 50, seed=1), 100),
    "walks-language-model-80": (walks(LANGUAGE_MODEL, 80, seed=2, split="report"), 60),
    "alternating-7-30": (fixed(alternating_letters(7, 30)), 42),
    "periodic-3-4-30": (fixed(periodic_words(3, 30, 4)), 72),
    "pair-adversarial": (
        fixed(pair_adversarial_words(random_dfa(8, 2, seed=4), 40, COSTS, num_words=7)[0]),
        7,
    ),
    "automata-accessible-12-2": (kind("accessible", 12, 2), 20),
    "automata-accessible-200-3": (kind("accessible", 200, 3), 3),
    "automata-minimal-8-2": (kind("minimal", 8, 2), 20),
    "automata-strongly-connected-8-2": (kind("strongly_connected", 8, 2), 20),
    "automata-permutation-9-3": (kind("permutation", 9, 3), 20),
    "automata-aperiodic-7-2": (kind("aperiodic", 7, 2), 20),
    "automata-r-trivial-11-3": (kind("r_trivial", 11, 3), 20),
    "automata-group-s4": (kind("group", 24, 2, group="S4"), 10),
    "automata-mixed-6-4": (kind("mixed", 6, 4, reset_probability=0.25), 20),
    "automata-regbench-9-8": (kind("regbench", 9, 8), 20),
    "automata-stratified-8-3": (tables(lambda seed: stratified_dfa(8, 3, seed).dfa), 30),
}


def digest(draw, count, cuts=()):
    """Hash the items `0, ..., count - 1`, drawn in pieces between the cuts."""
    edges = sorted({0, *cuts, count})
    total = hashlib.sha256()
    for first, last in itertools.pairwise(edges):
        total.update(np.ascontiguousarray(draw(first, last - first)).astype("<i8").tobytes())
    return total.hexdigest()


def all_digests():
    return {name: digest(draw, count) for name, (draw, count) in DATA_SETS.items()}


def test_bits_stay_the_same():
    assert all_digests() == json.loads(GOLDEN.read_text())


def test_any_cut_into_batches():
    expected = json.loads(GOLDEN.read_text())
    for name, (draw, count) in DATA_SETS.items():
        assert digest(draw, count, (1, count // 3, count - 1)) == expected[name], name


def test_hash_seeds_do_not_matter():
    """Three processes at once, with different PYTHONHASHSEED."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    runs = [
        subprocess.Popen(
            [sys.executable, __file__],
            env={**environment, "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("0", "1", "2")
    ]
    expected = json.loads(GOLDEN.read_text())
    for run in runs:
        output, _ = run.communicate(timeout=200)
        assert run.returncode == 0 and json.loads(output) == expected


if __name__ == "__main__":
    print(json.dumps(all_digests(), indent=1))
