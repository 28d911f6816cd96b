"""Groups live against GAP: structure, names, classes and characters, of 48 groups to order 720.

Every group is handed to GAP as the permutations ``x -> x g`` of its own elements, one for each
generator, and as words for one element of every class. GAP computes on its own; classes are matched
through the elements, rows of the character tables as sets. Skipped where GAP is not installed
(Debian: gap-core with gap-smallgrp).
"""

import json
import shutil
import subprocess

import numpy as np
import pytest

from automata.characters import character_table, real_characters
from automata.groups import cyclic, from_matrices, from_permutations, parse, semidirect_product
from automata.normal_subgroups import normal_subgroups
from automata.subgroups import all_subgroups, centre, exponent

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gap") is None, reason="GAP is not installed"),
]

# What GAP itself calls each group, from its own constructors.
GAP_NAMES = {
    "Z2": "CyclicGroup(2)",
    "Z7": "CyclicGroup(7)",
    "Z12": "CyclicGroup(12)",
    "Z60": "CyclicGroup(60)",
    "V4": "AbelianGroup([2,2])",
    "Z2xZ4": "AbelianGroup([2,4])",
    "Z2^4": "AbelianGroup([2,2,2,2])",
    "Z3^3": "AbelianGroup([3,3,3])",
    "S3": "SymmetricGroup(3)",
    "D4": "DihedralGroup(8)",
    "D5": "DihedralGroup(10)",
    "D6": "DihedralGroup(12)",
    "D17": "DihedralGroup(34)",
    "D60": "DihedralGroup(120)",
    "Q8": "QuaternionGroup(8)",
    "Q16": "QuaternionGroup(16)",
    "Dic3": "DicyclicGroup(12)",
    "Dic15": "DicyclicGroup(60)",
    "A4": "AlternatingGroup(4)",
    "S4": "SymmetricGroup(4)",
    "A5": "AlternatingGroup(5)",
    "S5": "SymmetricGroup(5)",
    "A6": "AlternatingGroup(6)",
    "S6": "SymmetricGroup(6)",
    "A4xZ5": "DirectProduct(AlternatingGroup(4), CyclicGroup(5))",
    "S4xZ3": "DirectProduct(SymmetricGroup(4), CyclicGroup(3))",
    "S3xS3": "DirectProduct(SymmetricGroup(3), SymmetricGroup(3))",
    "S5xS3": "DirectProduct(SymmetricGroup(5), SymmetricGroup(3))",
    "Q8xS4": "DirectProduct(QuaternionGroup(8), SymmetricGroup(4))",
    "A5xZ2": "DirectProduct(AlternatingGroup(5), CyclicGroup(2))",
    "F20": "Group((1,2,3,4,5),(2,3,5,4))",
    "F21": "SmallGroup(21,1)",
    "F42": "SmallGroup(42,1)",
    "F55": "SmallGroup(55,1)",
    "SL(2,3)": "SL(2,3)",
    "SL(2,5)": "SL(2,5)",
    "SL(2,7)": "SL(2,7)",
    "GL(2,3)": "GL(2,3)",
    "GL(2,5)": "GL(2,5)",
    "SL(3,2)": "SL(3,2)",
    "PSL(2,7)": "PSL(2,7)",
    "PSL(2,11)": "PSL(2,11)",
    "SL(2,5)xS3": "DirectProduct(SL(2,5), SymmetricGroup(3))",
    "SD16": "SmallGroup(16,8)",
    "2^3:7": "SmallGroup(56,11)",
    "B3": "WreathProduct(CyclicGroup(2), SymmetricGroup(3))",
    "PGL(2,5)": "PGL(2,5)",
    "3^1+2": "ExtraspecialGroup(27, 3)",
}


def build(name):
    """Return one of our groups by its name, or by how it is put together."""
    if name == "SD16":
        return semidirect_product(cyclic(8), cyclic(2), [[3 * k % 8 for k in range(8)]])
    if name == "2^3:7":
        cubes = parse("Z2^3")
        # A map of order 7, on numbers as triples of bits: 4 -> 2 -> 1 -> 6 = 4 + 2.
        images = [(c & 1) * 6 ^ (c >> 1 & 1) * 1 ^ (c >> 2 & 1) * 2 for c in range(8)]
        return semidirect_product(cubes, cyclic(7), [images])
    if name == "B3":
        return from_permutations([(1, 0, 2, 3, 4, 5), (2, 3, 0, 1, 4, 5), (2, 3, 4, 5, 0, 1)])
    if name == "PGL(2,5)":
        generators = [[[1, 1], [0, 1]], [[0, 1], [1, 0]], [[2, 0], [0, 1]]]
        return from_matrices(generators, 5, projective=True)
    if name == "3^1+2":
        upper = [np.eye(3, dtype=np.int64) for _ in range(2)]
        upper[0][0, 1] = upper[1][1, 2] = 1
        return from_matrices(upper, 3)
    return parse(name)


GAP_PROGRAM = """
SetPrintFormattingStatus("*stdout*", false);;
Numbers := function(value)
  local n;
  n := Conductor(value);
  return [n, CoeffsCyc(value, n)];
end;;
Report := function(name, g, elements, reference)
  local table, irreps, classes, where, out;
  table := CharacterTable(g);
  irreps := Irr(table);
  classes := ConjugacyClasses(table);
  where := List(elements, x -> PositionProperty(classes, c -> x in c));
  out := [];
  Add(out, Size(g));
  Add(out, List(where, i -> Size(classes[i])));
  Add(out, List(irreps, chi -> List(where, i -> Numbers(chi[i]))));
  Add(out, Indicator(table, irreps, 2));
  Add(out, IsSolvableGroup(g));
  Add(out, List(DerivedSeriesOfGroup(g), Size));
  Add(out, Size(Centre(g)));
  Add(out, Exponent(g));
  Add(out, SortedList(List(NormalSubgroups(g), Size)));
  if Size(g) <= 120 then
    Add(out, Sum(ConjugacyClassesSubgroups(g), Size));
  else
    Add(out, -1);
  fi;
  Add(out, IdGroup(g) = IdGroup(reference));
  Add(out, where);
  Print("RESULT ", name, " ", out, "\\n");
end;;
"""


def as_gap(group, element):
    """The permutation x -> x g of the elements, as GAP writes it."""
    images = (group.table[:, element] + 1).tolist()
    return f"PermList({images})".replace(" ", "")


@pytest.fixture(scope="module")
def gap_results(tmp_path_factory):
    """Run GAP once over all groups."""
    lines = [GAP_PROGRAM]
    for name, reference in GAP_NAMES.items():
        group = build(name)
        generators = ",".join(as_gap(group, g) for g in group.generators)
        elements = ",".join(as_gap(group, members[0]) for members in group.conjugacy_classes)
        lines.append(
            f"Report({json.dumps(name)}, Group([{generators}]), [{elements}], {reference});;"
        )
    path = tmp_path_factory.mktemp("gap") / "groups.g"
    path.write_text("\n".join(lines))
    run = subprocess.run(
        ["gap", "-q", "--quitonbreak", str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    results = {}
    for line in run.stdout.splitlines():
        if line.startswith("RESULT "):
            bracket = line.index("[")
            results[line[7:bracket].strip()] = json.loads(line[bracket:])
    assert len(results) == len(GAP_NAMES), run.stdout[-2000:] + run.stderr[-2000:]
    return results


def as_complex(number):
    """Read a cyclotomic number: conductor and coefficients of the powers of exp(2 pi i / n)."""
    conductor, coefficients = number
    powers = np.exp(2j * np.pi * np.arange(conductor) / conductor)
    return complex(np.array(coefficients) @ powers)


def rows_matched(ours, theirs):
    """Largest difference between two tables after matching every row with the nearest one."""
    distances = np.abs(ours[:, None] - theirs[None]).max(axis=2)
    nearest = distances.argmin(axis=1)
    assert sorted(nearest.tolist()) == list(range(len(ours))), "two rows match the same row"
    return distances.min(axis=1).max(), nearest


def test_there_are_enough_groups():
    assert len(GAP_NAMES) >= 25
    assert max(build(name).order for name in ("S6", "SL(2,5)xS3", "S5xS3")) == 720


@pytest.mark.parametrize("name", GAP_NAMES)
def test_group_agrees_with_gap(name, gap_results):
    group = build(name)
    (order, sizes, values, indicators, solvable, series, centre_order, gap_exponent, normal_sizes,
     num_subgroups, same_group, where) = gap_results[name]  # fmt: skip
    table = character_table(group)
    assert group.order == order
    assert same_group, "GAP's own group of that name is another one"
    assert sorted(where) == list(range(1, len(where) + 1))
    assert table.class_sizes.tolist() == sizes
    assert (group.is_solvable, len(centre(group)), exponent(group)) == (
        solvable,
        centre_order,
        gap_exponent,
    )
    assert [len(part) for part in group.derived_series] == series
    assert [len(part) for part in normal_subgroups(group)] == normal_sizes
    if group.order <= 120:
        assert len(all_subgroups(group)) == num_subgroups
    theirs = np.array([[as_complex(number) for number in row] for row in values])
    difference, nearest = rows_matched(table.values, theirs)
    assert difference < 1e-9
    assert sorted(table.degrees.tolist()) == sorted(np.rint(theirs[:, where.index(1)].real))
    assert table.indicators.tolist() == np.array(indicators)[nearest].tolist()
    reals = " ".join(f"{real.dimension}{real.type}" for real in real_characters(table))
    print(
        f"\n{name:12s} order {order:4d}  classes {len(sizes):3d}  subgroups {num_subgroups:4d}  "
        f"solvable {solvable!s:5s}  largest difference {difference:.1e}  "
        f"{reals if len(reals) < 80 else reals[:77] + '...'}",
        end="",
    )
