"""What `versions.py` tries in a clean environment: tests, the uses of extras, automata-lib."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
AUTOMATA_LIB = "automata-lib==9.2.0"

TESTS_WITHOUT_TORCH = (
    "tests/test_automata_package.py",
    "tests/test_automata_dfa.py",
    "tests/test_automata_groups.py",
    "tests/test_automata_philox.py",
    "tests/test_automata_golden_words.py",
    "tests/test_automata_formats.py",
    "tests/test_automata_formats_refusals.py",
    "tests/test_automata_drawing.py",
    "tests/test_tasks_golden.py",
)
TESTS_WITH_TORCH = (
    "tests/test_packaging.py::test_scans_and_models_import_with_torch_alone",
    "tests/test_scans_diagonal.py",
    "tests/test_scans_kernels.py::test_two_halves_with_the_state_carried_are_the_whole",
    "tests/test_scans_matrix.py::test_kernels_in_chunks_are_the_loop",
    "tests/test_scans_householder.py::test_parallel_is_the_loop",
    "tests/test_scans_householder.py::test_beta_0_1_2_and_zero_keys",
    "tests/test_scans_outer_product.py::test_parallel_equals_the_loop_with_all_gradients",
    "tests/test_scans_outer_product.py::test_gradients_of_the_kernel_where_it_divides_by_decays",
    "tests/test_scans_nonlinear.py::test_parallel_is_the_loop",
    "tests/test_scans_automaton_draws.py::test_drawn_words_have_the_bits_of_numpy",
    "tests/test_training_config.py",
    "tests/test_training_checkpoint.py",
    "tests/test_training_store.py",
    "tests/test_analysis_representations.py",
    "tests/test_analysis_representation_names.py",
    "tests/test_cli.py",
    "tests/test_cli_refusals.py",
    "tests/test_cli_doctor_bench.py::test_doctor_checks_every_backend_that_runs_here",
    "tests/test_cli_doctor_bench.py::test_every_scan_is_healthy",
)

LAUNCHERS = "tests/test_training_launchers"
TYPED = "from automata.dfa import DFA\nn: int = DFA([[0]]).num_states"


@dataclass(frozen=True)
class Use:
    """The smallest use of an extra: tests to run, or what `python -m` is to run."""

    tests: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    needs_torch: bool = True


USES = {
    "data": Use(("tests/test_tasks_export.py",)),
    "ray": Use(
        (
            f"{LAUNCHERS}_ray.py::test_ray_refuses_before_it_starts",
            f"{LAUNCHERS}_ray.py::test_ray_actors_run_a_grid_and_outlive_a_kill",
        )
    ),
    "slurm": Use(
        (
            f"{LAUNCHERS}_slurm.py::test_the_batch_file_asks_for_what_was_given",
            f"{LAUNCHERS}_slurm.py::test_an_array_that_ends_before_it_begins_is_told",
        )
    ),
    "dev": Use(
        commands=(
            ("ruff", "check", "--isolated", "--select", "E9,F", "tests/versions.py"),
            ("mypy", "--strict", "--config-file", os.devnull, "-c", TYPED),
            ("pre_commit", "validate-config", str(ROOT / ".pre-commit-config.yaml")),
        ),
        needs_torch=False,
    ),
    "docs": Use(commands=(("sphinx", "-q", "-b", "dummy", "docs", "built"),)),
    # The last: it needs a newer NumPy than the rest.
    "algebra": Use(("tests/test_oracle_libsemigroups.py",), needs_torch=False),
}

# Both owners of the name `automata`, each at work on what the other made.
BESIDE_AUTOMATA_LIB = """
from automata.convert import from_automata_lib, to_automata_lib
from automata.dfa import DFA
from automata.fa.dfa import DFA as Theirs
from automata.tasks import get_task
odd = DFA([[1, 0], [0, 1]], accepting=[1], alphabet="ab")
theirs = Theirs(**to_automata_lib(odd))
assert theirs.accepts_input("abb") and not theirs.accepts_input("aa")
assert from_automata_lib(theirs.minify(retain_names=False)).equivalent(odd)
assert get_task("s3").sample(seed=0, batch_size=2, length=5).tokens.shape == (2, 5)
"""
PYTHON_VERSION = "import platform; print(platform.python_version())"
ALONE = "import automata.dfa, automata.tasks, automata.groups"
WITH_TORCH = (
    "import torch; from statetrack.models import build_model\n"
    "build_model('householder', 2, 2)(torch.zeros(1, 3, dtype=torch.long))"
)
