"""Time words, labels and random automata with NumPy on one core.

Run ``python benchmarks/words.py``; ``--repeats`` sets the number of runs behind each median.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402

from automata.dfa import DFA  # noqa: E402
from automata.minimal import count_minimal  # noqa: E402
from automata.pair_graph import minimum_mean_cycle  # noqa: E402
from automata.sampling import random_dfa  # noqa: E402
from automata.stratified import stratified_dfa  # noqa: E402
from automata.tasks import get_task  # noqa: E402
from automata.walks import random_weighted_dfa  # noqa: E402
from automata.word_counts import word_law  # noqa: E402
from automata.words import hard_negatives, sample_words, uniform_letters  # noqa: E402


def seconds(function: Callable[[int], object], repeats: int) -> list[float]:
    """Time a function of the run's number, after one run that is not counted."""
    function(0)
    times = []
    for run in range(1, repeats + 1):
        start = time.perf_counter()
        function(run)
        times.append(time.perf_counter() - start)
    return times


def report(name: str, times: list[float], size: int | None = None) -> None:
    """Print one row: median and spread, and a rate if there is a size."""
    median = statistics.median(times)
    rate = f"{size / median:14.3e}/s" if size else " " * 16
    spread = f"({1e3 * min(times):.2f} - {1e3 * max(times):.2f})"
    print(f"{name:<58}{rate}{1e3 * median:11.2f} ms  {spread}")


def labelled_tokens(repeats: int) -> None:
    """Time uniform tokens with a label on every prefix."""
    for generators in ("all", "standard"):
        task = get_task("s5", generators=generators)
        report(
            f"s5 ({generators}), 4096 x 512, tokens and labels",
            seconds(lambda r, t=task: t.sample(r, batch_size=4096, length=512), repeats),
            4096 * 512,
        )
        batch = task.sample(0, batch_size=4096, length=512)
        report(
            f"s5 ({generators}), labels alone",
            seconds(lambda _, t=task, x=batch.tokens: t.targets_of(x), repeats),
            4096 * 512,
        )
    report(
        "letters alone, 120 symbols",
        seconds(lambda r: uniform_letters(120, 512, (0, 4096), seed=r), repeats),
        4096 * 512,
    )


def language_words(repeats: int) -> None:
    """Time uniform words of a language, hard negatives and weighted walks."""
    dfa = random_dfa(1000, 2, seed=1)

    def first_time(run: int) -> None:
        word_law.cache_clear()
        sample_words(dfa, 512, 1, seed=run)

    report("1,000-state DFA: first word of length 512", seconds(first_time, repeats))
    for num_words, length in ((4096, 512), (64, 16384)):
        report(
            f"1,000-state DFA: uniform words, {num_words} x {length}",
            seconds(lambda r, n=num_words, t=length: sample_words(dfa, t, n, seed=r), repeats),
            num_words * length,
        )
    for states, words in ((10, 1000), (1000, 100)):
        automaton = random_dfa(states, 2, seed=2)
        report(
            f"{states}-state DFA: hard negatives, {words} x 256",
            seconds(lambda r, d=automaton, n=words: hard_negatives(d, 256, n, seed=r), repeats),
            words * 256,
        )
    balanced = DFA.from_partial([[1, -1], [2, 0], [-1, 1]], accepting=[0])
    report(
        "balanced brackets to depth 2: hard negatives, 1000 x 256",
        seconds(lambda r: hard_negatives(balanced, 256, 1000, seed=r), repeats),
        1000 * 256,
    )
    model = random_weighted_dfa(64, 32, seed=1)
    report(
        "weighted DFA, 64 states and 32 symbols: walks, 4096 x 512",
        seconds(lambda r: model.sample(512, 4096, seed=r), repeats),
        4096 * 512,
    )


def automata(repeats: int) -> None:
    """Time random automata."""
    for kind in ("accessible", "minimal", "strongly_connected", "permutation", "r_trivial"):
        report(
            f"random_dfa(1000, 2, kind={kind!r})",
            seconds(lambda r, k=kind: random_dfa(1000, 2, seed=r, kind=k), 3 * repeats),
        )
    report(
        "random_dfa(64, 2, kind='aperiodic')",
        seconds(lambda r: random_dfa(64, 2, seed=r, kind="aperiodic"), 3 * repeats),
    )
    report("stratified_dfa(8, 2)", seconds(lambda r: stratified_dfa(8, 2, r), 3 * repeats))
    report("count_minimal(4, 2)", seconds(lambda _: count_minimal(4, 2), repeats))
    report("count_minimal(5, 2)", seconds(lambda _: count_minimal(5, 2), repeats))
    dfa = get_task("s5", generators="standard").dfa
    costs = np.random.default_rng(0).normal(size=(120, 120, 2))
    report(
        "least mean cycle of pairs, s5 (standard)",
        seconds(lambda _: minimum_mean_cycle(dfa, costs), repeats),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    print(f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}")
    print(f"{'':<58}{'median rate':>16}{'median':>14}  (fastest - slowest)")
    labelled_tokens(repeats)
    language_words(repeats)
    automata(repeats)


if __name__ == "__main__":
    main()
