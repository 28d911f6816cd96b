"""Published task batches keep their bits: `golden/tasks.json` holds the sha256 of each.

A digest is over the int64 little-endian bytes of tokens, targets, mask and lengths, row by row. Run
as a program, this file prints all digests as JSON. To change a digest is to change published
results: raise the semantics of the task.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from automata.tasks import get_task

GOLDEN = Path(__file__).parent / "golden" / "tasks.json"
NUM_WORDS = 24

# Name of the task, its parameters, length, split.
DATA_SETS = {
    "parity-64": ("parity", {}, 64, "train"),
    "parity-final-3-40": ("parity", {"supervision": "final"}, (3, 40), "selection"),
    "s5-swaps-50": ("s5", {"generators": "swaps"}, 50, "train"),
    "s5-moves-3-50": ("s5", {"generators": "moves_3"}, 50, "report"),
    "a5-random-2-50": ("a5", {"generators": "random_2", "generator_seed": 4}, 50, "train"),
    "s4-spelled-40": ("word_problem", {"group": "S4", "tokens_per_element": 4}, 40, "train"),
    "sum-5-40": ("sum", {}, 40, "train"),
    "dihedral-9-33": ("dihedral", {"n": 9, "label": "position"}, 33, "train"),
    "quaternion-30": ("quaternion", {}, 30, "report"),
    "cycle-navigation-41": ("cycle_navigation", {}, 41, "train"),
    "grid-world-3x4-41": ("grid_world", {"shape": [3, 4]}, 41, "train"),
    "adder-30": ("adder", {}, 30, "selection"),
    "mary-even-pairs-5-40": ("mary_even_pairs", {}, (5, 40), "train"),
    "first-3-31": ("first", {"num_symbols": 3}, 31, "train"),
    "flip-flop-8-64": ("flip_flop", {"ignore_weight": 8}, 64, "train"),
    "permutation-reset-50": ("permutation_reset", {"n": 4}, 50, "train"),
    "modular-arithmetic-3-40": ("modular_arithmetic", {}, (3, 40), "train"),
    "modular-left-41": ("modular_arithmetic_left_to_right", {}, 41, "report"),
    "modular-brackets-41": ("modular_arithmetic_brackets", {"modulus": 3}, 41, "train"),
    "abab-20": ("abab", {}, 20, "train"),
    "repeat-01-8-40": ("repeat_01", {}, (18, 40), "train"),
    "bounded-dyck-30": ("bounded_dyck", {}, 30, "train"),
    "bounded-dyck-next-30": ("bounded_dyck", {"supervision": "next_token"}, 30, "train"),
    **{f"tomita-{n}-40": (f"tomita_{n}", {}, (17, 40), "report") for n in range(1, 8)},
    "tomita-4-short": ("tomita_4", {}, (4, 12), "selection"),
    "piecewise-30": ("piecewise_testable", {}, 30, "train"),
    "locally-30": ("locally_testable", {"words": "language"}, 30, "train"),
    "in-context-60": ("in_context_dfa", {"num_automata": 50}, 60, "train"),
    "repl-traces-60": ("repl_traces", {"num_variables": 4}, 60, "train"),
    "weighted-automaton-60": ("weighted_automaton", {"seed": 3}, 60, "train"),
    "majority-5-40": ("majority", {}, (5, 40), "train"),
    "dyck-1-2-60": ("dyck_1", {}, (18, 60), "report"),
    "reverse-string-5-40": ("reverse_string", {"num_symbols": 3}, (5, 40), "train"),
}


def digest(name, batch_size):
    """Hash the first items, drawn in batches of one size."""
    task_name, parameters, length, split = DATA_SETS[name]
    task = get_task(task_name, **parameters)
    total = hashlib.sha256()
    for step in range(NUM_WORDS // batch_size):
        batch = task.sample(6, batch_size=batch_size, length=length, split=split, step=step)
        parts = [batch.tokens, batch.targets, batch.mask, batch.lengths]
        total.update(np.column_stack(parts).astype("<i8").tobytes())
    return total.hexdigest()


def all_digests(batch_size=NUM_WORDS):
    return {name: digest(name, batch_size) for name in DATA_SETS}


@pytest.mark.parametrize("batch_size", [24, 8, 1])
def test_bits_stay_the_same_however_cut(batch_size):
    assert all_digests(batch_size) == json.loads(GOLDEN.read_text())


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


def test_torch_has_the_same_bits(device):
    """What `draw_batch` promises: on a GPU plain tasks are drawn and labelled there."""
    from statetrack.training.data import draw_batch

    for task_name, parameters, length, split in DATA_SETS.values():
        if isinstance(length, tuple):
            continue
        task = get_task(task_name, **parameters)
        drawn = draw_batch(
            task, batch_size=8, length=length, seed=6, split=split, step=1, device=device
        )
        batch = task.sample(6, batch_size=8, length=length, split=split, step=1)
        for tensor, array in zip(drawn, (batch.tokens, batch.targets, batch.mask), strict=True):
            assert (tensor.cpu().numpy() == array).all()


def test_device_words_of_plain_tasks():
    """The path that a GPU takes, run on the CPU for every plain task."""
    torch = pytest.importorskip("torch")
    from statetrack.scans.automaton import automaton_scan, uniform_letters

    plain = 0
    for task_name, parameters, length, split in DATA_SETS.values():
        task = get_task(task_name, **parameters)
        if isinstance(length, tuple) or not getattr(task, "is_plain", False):
            continue
        plain += 1
        tokens = uniform_letters(task.num_tokens, length, 8, 8, seed=6, split=split, device="cpu")
        table = torch.from_numpy(np.array(task.dfa.transitions))
        states, _ = automaton_scan(table, tokens, task.dfa.initial)
        batch = task.sample(6, batch_size=8, length=length, split=split, step=1)
        assert (tokens.numpy() == batch.tokens).all()
        assert (task.state_classes[states.numpy()] == batch.targets)[batch.mask].all()
    assert plain >= 8


if __name__ == "__main__":
    print(json.dumps(all_digests(), indent=1))
