"""The package as a whole: it stays empty at the top and free of torch."""

import copy
import subprocess
import sys
from pathlib import Path
from unittest import mock

import automata.dfa
from automata.dfa import DFA
from automata.errors import InputError, unknown_name
from automata.generated_group import PermutationGroup
from automata.groups import parse
from automata.tasks import get_task
from automata.transformation_monoid import TransformationMonoid
from automata.weighted import WeightedDFA

PACKAGE = Path(automata.dfa.__file__).parent


def test_init_is_empty():
    """automata-lib owns the same import name with an empty file: only so can both be installed."""
    assert (PACKAGE / "__init__.py").stat().st_size == 0
    assert (PACKAGE / "py.typed").stat().st_size == 0


def test_no_module_has_a_reserved_name():
    reserved = {"base", "fa", "pda", "regex", "tm", "random", "types"}
    assert not reserved & {path.stem for path in PACKAGE.iterdir()}


def test_imports_without_torch():
    modules = [
        ".".join(("automata", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in sorted(PACKAGE.rglob("*.py"))
    ]
    names = [m.removesuffix(".__init__") for m in modules]
    assert len(names) > 20
    code = f"import {', '.join(names)}, sys; assert not {{'torch', 'triton'}} & set(sys.modules)"
    environment = {"PYTHONPATH": str(PACKAGE.parent)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)


def test_files_stay_short():
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path.name


def test_unknown_name_offers_the_nearest():
    error = unknown_name("task", "partiy", ["parity", "S3"])
    assert str(error) == "unknown task 'partiy': did you mean 'parity'? (valid: parity, S3)"
    assert "did you mean 'S3'" in str(unknown_name("task", "s33", ["parity", "S3"]))
    assert str(unknown_name("task", 7, ["parity"])) == "unknown task 7 (valid: parity)"
    assert isinstance(error, InputError) and isinstance(error, ValueError)


def test_copies_are_equal_and_read_only():
    for thing in (DFA([[0, 1], [1, 0]], 1, [0], "ab", [3, 4]), parse("S3"), get_task("s3")):
        twin = copy.deepcopy(thing)
        assert twin is not thing and twin == thing and hash(twin) == hash(thing)
    assert not copy.deepcopy(DFA([[0]])).transitions.flags.writeable


def test_other_things_are_unequal_and_may_say_otherwise():
    """As Python has it: an unknown thing is asked in its turn, and `==` is a boolean."""
    cycle = DFA([[1], [0]])
    for thing in (
        cycle,
        WeightedDFA([[1], [0]], [[1], [1]]),
        parse("S3"),
        PermutationGroup([[1, 0]]),
        TransformationMonoid([[1, 0]]),
        get_task("s3"),
    ):
        assert (thing == 3) is False and (thing != 3) is True
        assert thing == mock.ANY


def test_hashes_do_not_hang_on_the_process():
    """Hashes may differ between processes, but equality and words may not."""
    code = (
        "from automata.tasks import get_task; b = get_task('s3').sample(3, batch_size=4, "
        "length=50); print(b.tokens.sum() * 1000 + b.targets.sum())"
    )
    results = set()
    for hash_seed in ("0", "1"):
        environment = {"PYTHONPATH": str(PACKAGE.parent), "PYTHONHASHSEED": hash_seed}
        run = subprocess.run(
            [sys.executable, "-c", code], check=True, env=environment, capture_output=True
        )
        results.add(run.stdout)
    assert len(results) == 1
