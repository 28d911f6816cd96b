"""What sets the horizon, and what carries S5 to 10,000 letters.

The best recipes for S5 train a linear RNN to answer every word of 128 letters, and its answers go
wrong after some 500. Here one thing of a recipe is changed at a time, around two baselines:
products of four Householder factors (the recipe of `group_recipes`), and Matrix Recurrent Units
(MRU) that turn by an exponential, with the same width, heads, words and rates. Read is the length
to which 99 % of the words are right at every position. The aim is 10,000 letters, by training and
not by construction; a change counts as found if it buys ten times.

Expected before anything ran. By the type law (`type_law.py`) the horizon goes as the error of a
letter's matrix to the power -2 where errors only turn, to the power -1 where they add up or shrink
the state. The faithful heads of five earlier models of S5 had distances of .013 to .029 to a
representation, and horizons near 400: so 10,000 letters take errors near .003 to .006 with the
power -2, and of .001 or less with the power -1.

1. *Steps of the fall.* Errors go as one over the square root of the steps. Twice the steps: twice
   the horizon of the MRU, 1.4 times that of Householder products while these shrink the state.
   Eight times the steps: 8 and 2.8 times, so some 4,000 and 1,600 letters and not the aim.
2. *Rate of the last steps.* Noise of the weights goes as the root of the rate, so from 1/50 to 1/10
   of the rate costs a factor of two or more. Below 1/50 it buys at most twice, since a cosine
   spends a tenth of its steps near its end; a rate of zero is no better than 1/500.
3. *Precision of the projections.* They are rounded in training alone. tensorfloat32 rounds by 5e-4,
   far below the errors, and float32 buys nothing. bfloat16 rounds by 2e-3 to 4e-3: of no matter
   near 500 letters, and a bound near 10,000.
4. *Training length.* Loss vanishes when the error is small against the length, by either power, so
   that the horizon is a multiple of the training length: .5, 2 and 4 times for 64, 256 and 512.
5. *Weight decay.* It holds betas off 2, by a distance that goes as the decay: without it twice the
   horizon or more of Householder products, with four times of it half. A rotation has no end to be
   held off: less than 1.5 times either way for the MRU. Some seeds are not solved without.
6. *Beta at the start* (before the sigmoid). From 2 it has less far to go: 1.5 to 2 times, and one
   seed in eight not solved.
7. *Steepness of the range.* Half the raw number for the same beta: 2 to 3 times at 2, and no more
   beyond, where turning is what is left; a steeper range costs seeds.
8. *Matrices of the MRU.* `exponential` and `householder` have every rotation and end alike, within
   a factor of two. `cayley` has no half turn, which swaps need: a third or less, or not solved.
   `ldu` is not orthogonal: half. Householder products shrink, and so end before the MRU.
9. *Together* (9,600 steps, a last rate of 1/500, float32, words of 256): the factors multiply, some
   5,000 letters for Householder products and 10,000 for the MRU; with steepness 2 the first come to
   10,000 too, on the seeds that are solved.

The aim is met if the median seed of some change has .99 of the words right to 10,000 letters.

Which error is read was chosen after the small preset had been read and before the large one ran:
the distance of a faithful head to a representation, together with what leaks out of its part of the
state (`type_law.py` came to the same). The homomorphism error of the head, which leaves the leak
out, ordered the horizons of neither family.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from statetrack.analysis import compare
from statetrack.analysis.knob_axes import KnobRow, knob_figure
from statetrack.analysis.seeds import run_horizons, summarize_horizons
from statetrack.analysis.type_law import commutant_drift, fitted_slopes
from statetrack.training import Grid, Results, RunConfig

PRESETS = ("gpu", "cpu", "smoke")
READINGS = ("representations",)
AIM = 10_000
BASELINE = "baseline"
TOGETHER = "together"
KIND = ["family", "knob", "value"]

FALL = "steps of the fall"
SETTINGS = {
    "rate of the last steps": "training.final_rate_share",
    "precision": "training.projections",
    "training length": "training.length",
    "weight decay": "training.weight_decay",
    "beta at the start": "model.beta_bias",
    "steepness of the range": "model.range_steepness",
    "matrices": "model.input_method",
}
"""Knobs that are one setting; the steps of the fall are two."""

Knobs = Mapping[str, object]


@dataclass(frozen=True)
class Plan:
    """Runs of a preset.

    Attributes
    ----------
    shared : list of str
        Settings of all runs.
    families : mapping of str to list of str
        Settings of the models.
    falls_from : int
        Letters of the words at which the rate begins to fall.
    before : int
        Most steps before that.
    baseline : mapping of str to mapping
        Values of the knobs, by family.
    values : mapping of str to tuple
        All values in their order, each tried alone by the families that have the knob.
    together : mapping of str to mapping
        Values that are changed at once, by family and name.
    seeds : range
    """

    shared: list[str]
    families: Mapping[str, list[str]]
    falls_from: int
    before: int
    baseline: Mapping[str, Knobs]
    values: Mapping[str, tuple[object, ...]]
    together: Mapping[str, Mapping[str, Knobs]]
    seeds: range

    def kinds(self) -> dict[tuple[str, str, str], list[str]]:
        """Settings of every kind of run, by family, knob and value."""
        kinds = {}
        for family, base in self.baseline.items():
            changes: dict[tuple[str, str], Knobs] = {(BASELINE, ""): {}}
            for knob, usual in base.items():
                for value in self.values.get(knob, ()):
                    if value != usual:
                        changes[knob, shown(value)] = {knob: value}
            for name, several in self.together.get(family, {}).items():
                changes[TOGETHER, name] = several
            for (knob, value), change in changes.items():
                kinds[family, knob, value] = self._pairs(family, {**base, **change})
        return kinds

    def _pairs(self, family: str, knobs: Knobs) -> list[str]:
        pairs = [*self.shared, *self.families[family]]
        for knob, value in knobs.items():
            if knob == FALL:
                steps = int(str(value))
                pairs.append(f"training.steps={self.before + steps}")
                pairs.append(f"training.schedule=settling(steps={steps}, length={self.falls_from})")
            else:
                pairs.append(f"{SETTINGS[knob]}={value}")
        return pairs


TRAINING: Knobs = {
    FALL: 1200,
    "rate of the last steps": 0.02,
    "precision": "tensorfloat32",
    "training length": 128,
    "weight decay": 0.2,
}
BETAS: Knobs = {"beta at the start": 0.5, "steepness of the range": 1}
LONG: Knobs = {
    FALL: 9600,
    "rate of the last steps": 0.002,
    "precision": "float32",
    "training length": 256,
}
S5 = Plan(
    shared=[
        *["task=s5", "model.width=128", "model.num_heads=8"],
        "training.batch_size=512",
        "training.learning_rate=0.004",
        "training.warmup_steps=100",
        "training.select_every=50",
        "training.select_words=128",
        "training.curriculum=doubling(start=4, threshold=0.2, tokens=8192)",
        "evaluation.max_length=16384",
        "evaluation.num_words=1024",
        "evaluation.read_transitions=false",
    ],
    families={
        "Householder": ["model=householder", "model.num_factors=4", "model.head_size=16"],
        "MRU": ["model=mru", "model.head_size=6"],
    },
    falls_from=32,
    before=2800,
    baseline={
        "Householder": {**TRAINING, **BETAS},
        "MRU": {**TRAINING, "matrices": "exponential"},
    },
    values={
        FALL: (600, 1200, 2400, 4800, 9600),
        "rate of the last steps": (0.1, 0.02, 0.002, 0.0),
        "precision": ("bfloat16", "tensorfloat32", "float32"),
        "training length": (64, 128, 256, 512),
        "weight decay": (0.0, 0.05, 0.2, 0.8),
        "beta at the start": (0.0, 0.5, 1.0, 2.0),
        "steepness of the range": (1, 2, 4, 8),
        "matrices": ("exponential", "householder", "cayley", "ldu"),
    },
    together={
        "Householder": {"long": LONG, "long, steep": {**LONG, "steepness of the range": 2}},
        "MRU": {"long": LONG},
    },
    seeds=range(6),
)
SMALL: Knobs = {
    FALL: 200,
    "rate of the last steps": 0.02,
    "precision": "float32",
    "training length": 32,
    "weight decay": 0.2,
}
S3 = Plan(
    shared=[
        *["task=s3", "model.width=32", "model.num_heads=2"],
        "training.batch_size=64",
        "training.learning_rate=0.005",
        "training.select_every=25",
        "training.select_words=64",
        "training.curriculum=doubling(start=4, threshold=0.2, tokens=1024)",
        "evaluation.max_length=1024",
        "evaluation.num_words=256",
        "evaluation.read_transitions=false",
    ],
    families={
        "Householder": ["model=householder", "model.num_factors=2", "model.head_size=8"],
        "MRU": ["model=mru", "model.head_size=4"],
    },
    falls_from=16,
    before=400,
    baseline={
        "Householder": {**SMALL, **BETAS},
        "MRU": {**SMALL, "matrices": "exponential"},
    },
    values={
        FALL: (100, 200, 400),
        "rate of the last steps": (0.2, 0.02, 0.0),
        "precision": ("bfloat16", "float32"),
        "training length": (32, 64),
        "weight decay": (0.0, 0.2, 0.8),
        "beta at the start": (0.5, 2.0),
        "steepness of the range": (1, 4),
        "matrices": ("exponential", "cayley", "ldu"),
    },
    together={},
    seeds=range(2),
)
TINY = Plan(
    shared=[
        *["task=s3", "model.width=16", "training.batch_size=8", "training.select_words=16"],
        *["training.select_every=10", "evaluation.max_length=64", "evaluation.num_words=32"],
        "evaluation.read_transitions=false",
    ],
    families={"Householder": ["model=householder", "model.num_factors=2"]},
    falls_from=4,
    before=10,
    baseline={"Householder": {FALL: 10, "training length": 4}},
    values={FALL: (10, 20)},
    together={},
    seeds=range(1),
)
PLANS = {"gpu": S5, "cpu": S3, "smoke": TINY}


def shown(value: object) -> str:
    """A value of a knob as it is written in tables and figures."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``gpu`` is S5 with all elements as letters, 44 kinds of runs of six seeds (the fewest that
    `compare` pairs): 264 runs in 17 shapes, 450,000 steps of a Householder run and 354,000 of an
    MRU if rates begin to fall after 700. At .6 and .3 ms a step of a run in a full pack, 3 to 10 ms
    a step of a pack of six, and 100 s to measure all at 16,384 letters, 12 minutes of one H200, and
    a minute of 16 processes to read the representations: estimates from other packs. ``cpu`` is S3
    and two seeds of fewer values; ``smoke`` shows that everything works.
    """
    grids = [
        Grid.product(f"horizon_causes-{preset}", pairs, {"seed": PLANS[preset].seeds})
        for pairs in PLANS[preset].kinds().values()
    ]
    return sum(grids[1:], start=grids[0])


def models(results: Results) -> pd.DataFrame:
    """What every finished run came to.

    Returns
    -------
    DataFrame
        run_id, preset, family, knob, value, seed, solved, is_baseline, rotations (whether its
        matrices are near such); horizon (longest length with .99 of the words right at every
        position), longest, censored; of the faithful head with the least error: error (of a
        letter's matrix: root of the squares of its distance to a representation and of what leaks
        out of the part that is one) and directions (in which errors add up, of what is not
        trivial), missing where no head is faithful.
    """
    runs = results.require_finished()
    kinds = pd.DataFrame(
        [
            (RunConfig.from_pairs([*pairs, f"seed={seed}"]).run_id, preset, *kind)
            for preset, plan in PLANS.items()
            for kind, pairs in plan.kinds().items()
            for seed in plan.seeds
        ],
        columns=["run_id", "preset", *KIND],
    )
    reached = run_horizons(
        runs.merge(kinds, on="run_id"), results.table("curves"), metric="whole_prefix_accuracy"
    )
    reached["solved"] = reached.solved_step.notna()
    reached["is_baseline"] = reached.knob == BASELINE
    reached["rotations"] = reached.value != "ldu"
    columns = ["run_id", "preset", *KIND, "seed", "solved", "horizon", "longest", "censored"]
    columns += ["is_baseline", "rotations"]
    return reached[columns].merge(_errors(results), on="run_id", how="left")


def _errors(results: Results) -> pd.DataFrame:
    """run_id, error, directions of the faithful head with the least error, where there is one."""
    heads, irreps = results.table("representations"), results.table("irreps")
    if heads.empty:
        return pd.DataFrame(columns=["run_id", "error", "directions"]).astype({"error": float})
    place = ["run_id", "layer", "head"]
    faithful = heads[heads.verdict == "faithful"]
    faithful = faithful.assign(error=np.hypot(faithful.distance, faithful.leakage))
    best = faithful.sort_values("error").drop_duplicates("run_id")[[*place, "error"]]
    moved = irreps[irreps.irrep != "trivial"].merge(best[place], on=place)
    drift = [
        commutant_drift(kind, int(copies))
        for kind, copies in zip(moved.type, moved.multiplicity, strict=True)
    ]
    directions = moved.assign(directions=drift).groupby("run_id").directions.sum()
    return best.merge(directions, on="run_id")[["run_id", "error", "directions"]]


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """What every value of every knob came to, and slopes of horizons over errors.

    Returns
    -------
    dict of str to DataFrame
        ``knobs``: family, knob, value, runs, solved, to_the_aim (seeds), censored, the worst,
        median and best horizon (the median infinite where it was not measured far enough), median
        error, and the ratio to the baseline: of geometric means, with interval, p-value and verdict
        of `compare`; a lower bound where seeds are censored. Each p-value is of one value alone.
        ``slopes``: of solved, uncensored runs with a faithful head, `ldu` left out since the law is
        of rotations, by family and drift directions (`fitted_slopes`).
    """
    frame = models(results)
    return {"knobs": _ratios(frame), "slopes": _slopes(frame)}


def _ratios(frame: pd.DataFrame) -> pd.DataFrame:
    logs = frame.assign(log_horizon=np.log10(frame.horizon.clip(lower=1)))
    rows = []
    for kind, own in logs.groupby(KIND, sort=False):
        family, knob, _ = kind
        line = summarize_horizons(own, KIND).iloc[0]
        row = {
            **dict(zip(KIND, kind, strict=True)),
            "runs": len(own),
            "solved": int(own.solved.sum()),
            "to_the_aim": int((own.horizon >= AIM).sum()),
            "censored": int(own.censored.sum()),
            "worst": line.worst,
            "median": line["median"],
            "best": line.best,
            "median_error": own.error.median(),
        }
        base = logs[(logs.family == family) & (logs.knob == BASELINE)]
        if knob != BASELINE and len(base):
            found = compare(own, base, "log_horizon", by=["seed"])
            row |= {"ratio": 10**found.effect, "low": 10**found.low, "high": 10**found.high}
            row |= {"p_value": found.p_value, "verdict": found.verdict}
        rows.append(row)
    words = {"first is above": "longer", "second is above": "shorter"}
    return pd.DataFrame(rows).replace({"verdict": words})


def _slopes(frame: pd.DataFrame) -> pd.DataFrame:
    known = frame[frame.solved & ~frame.censored & frame.error.notna() & frame.rotations]
    named = known.rename(
        columns={"family": "group", "seed": "draw", "directions": "drift_directions"}
    )
    return fitted_slopes(named).rename(columns={"group": "family", "draws": "seeds"})


def figure(results: Results) -> Figure:
    """Horizons of every value of every knob, and horizons over errors, a column a family."""
    frame = models(results)
    plan = PLANS[frame.preset.iloc[0]]
    families = [family for family in plan.families if (frame.family == family).any()]
    return knob_figure(frame, {family: _rows(plan, family) for family in families}, AIM)


def _rows(plan: Plan, family: str) -> list[KnobRow]:
    """Rows of a family from the top, the baseline among the values of every knob."""
    rows = []
    for knob, usual in plan.baseline[family].items():
        values = plan.values.get(knob, ())
        if len(values) > 1:
            rows += [KnobRow(knob), *(KnobRow(knob, shown(one), one == usual) for one in values)]
    several = plan.together.get(family, {})
    headed = [KnobRow(TOGETHER)] if several else []
    return [*rows, *headed, *(KnobRow(TOGETHER, name) for name in several)]
