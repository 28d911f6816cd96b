"""Horizons of representations with planted errors: real against quaternionic type, as a table.

    python benchmarks/type_law.py --output benchmarks/results/type_law

writes ``horizons.csv`` (one row a group, direction of the errors and size of the errors) and
``slopes.csv``. Takes about two minutes on one core.
"""

import argparse
from pathlib import Path

import pandas as pd

from automata.groups import dicyclic, dihedral
from statetrack.analysis.type_law import faithful_irrep, planted_horizons, predicted_slope, slopes


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/type_law"))
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--num-words", type=int, default=1024)
    parser.add_argument("--errors", type=float, nargs="+", default=[0.04, 0.02, 0.01])
    arguments = parser.parse_args()
    groups = (dihedral(4), dicyclic(2), dihedral(6), dicyclic(3))
    horizons = pd.concat(
        [
            planted_horizons(
                group,
                tuple(arguments.errors),
                draws=arguments.draws,
                num_words=arguments.num_words,
            )
            for group in groups
        ],
        ignore_index=True,
    )
    predicted = {group.name: predicted_slope(group, faithful_irrep(group)) for group in groups}
    table = slopes(horizons)
    table["predicted"] = table["group"].map(predicted)
    arguments.output.mkdir(parents=True, exist_ok=True)
    horizons.to_csv(arguments.output / "horizons.csv", index=False, float_format="%.6g")
    table.to_csv(arguments.output / "slopes.csv", index=False, float_format="%.3f")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
