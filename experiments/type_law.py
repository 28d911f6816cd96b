"""Real representations outlast quaternionic ones, also when they are learned.

Models with one rotation a letter (MRU, `exponential`: errors are rotations, as the law takes for
granted) are trained on D4 and Q8, D6 and Dic3: pairs with the same irreducible degrees over the
complex numbers, whose faithful representation is of real type in one and of quaternionic type in
the other. Runs of several lengths of training have errors of several sizes. Expected before the
runs: the length at which token accuracy falls to .75 goes as the error to the power -1 wherever
errors can add up (`drift_directions` of the representation that was learned is above zero), so for
Q8 and Dic3 always, and to the power -2 for D4 and D6 if they learn one copy of the plane.

Four dimensions have room for two copies of the plane of D4, or for one and two signs: the first has
one drift direction, the second none, so that one group may show both laws.

Three things were added after the large grid had been read, and stand beside what was expected:

- *Whether a model uses the representation it is near.* With its errors made smaller, a model that
  does must not carry less far. Where it does carry less far (`carries` false), the nearest
  representation is not what the decoder reads, and neither its errors nor its drift directions say
  anything of the model.
- *The error of the part that is a representation.* A model may follow the group in two dimensions
  of four and do as it likes in the others. `error` is of all four; `part_error` is of the rows of
  `represented_subspace` alone: root of the squares of their distance to a representation, and of
  what leaks out of them.
- *The error that adds up.* Where there are drift directions, the law is about `drift`, of which
  `error` is only the size that it may have.
"""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from automata.errors import InputError
from statetrack.analysis.styles import paper_style
from statetrack.analysis.type_law import fitted_slopes, least_squares, scaled_slopes, theil_sen
from statetrack.analysis.type_law_axes import (
    horizons_of_scaled_errors,
    horizons_over_error,
    slope_guides,
)
from statetrack.training import Grid, Results

PRESETS = ("gpu", "cpu", "cpu-12", "smoke")
READINGS = ("representations", "learned_errors")
GROUPS = ("D4", "Q8", "D6", "Dic3")
THRESHOLD = 0.75
LARGEST_ERROR = 0.25
"""Of a letter's matrix in a model that counts: short training ends at .1, far from 1e-2."""
CAP = 2**20
"""Longest horizon looked for, in letters (`scaled_horizons`)."""
OVER = (
    "error of a letter's matrix",
    "error of the part that is a representation",
    "drift of a letter's matrix",
)
"""What horizons across models go with: as expected before the large grid, and two added after."""
FACTORS = (1.0, 0.5, 0.25)

RECIPE = [
    "task=word_problem",
    "task.generators=all",
    "model=mru",
    "model.input_method=exponential",
    "model.num_heads=1",
    "model.head_size=4",
    "model.width=32",
    "training.length=32",
    "training.learning_rate=0.004",
    "training.curriculum=doubling(start=4, threshold=0.2)",
    "evaluation.max_length=4096",
    "evaluation.num_words=1024",
    "evaluation.read_transitions=false",
]
SMALL = [
    "training.length=16",
    "training.batch_size=16",
    "training.learning_rate=0.012",
    "training.select_every=25",
    "training.select_words=64",
    "evaluation.max_length=128",
    "evaluation.num_words=128",
]
PAIRS = {"cpu": ("D4", "Q8"), "cpu-12": ("D6", "Dic3")}
"""Groups of the presets for two cores."""


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``gpu`` is sixteen seeds of four lengths of training, of four groups; ``cpu`` is four seeds of
    two lengths of training, of D4 and Q8 on words of 16 letters, and ``cpu-12`` the same of D6 and
    Dic3; ``smoke`` is two small runs.
    """
    name = f"type_law-{preset}"
    if preset == "smoke":
        tiny = ["training.steps=20", "evaluation.max_length=64", "evaluation.num_words=64"]
        return Grid.product(name, [*RECIPE, "task.group=D4", *tiny], {"seed": range(2)})
    if preset in PAIRS:
        axes = {"task.group": PAIRS[preset], "training.steps": (200, 300), "seed": range(4)}
        return Grid.product(name, [*RECIPE, *SMALL], axes)
    axes = {
        "task.group": GROUPS,
        "training.steps": (600, 1200, 2400, 4800),
        "seed": range(16),
    }
    return Grid.product(name, RECIPE, axes)


def models(results: Results) -> pd.DataFrame:
    """What every finished run learned.

    Returns
    -------
    DataFrame
        run_id, group, draw (its seed), steps; holds (.75 of the tokens right at the training
        length); representation, verdict, cover, part (dimension of the part that is a
        representation), size (dimensions of the state), part_error, part_directions (its drift
        directions); error, drift (a letter, both of `LearnedErrors`) and directions of the nearest
        representation of all dimensions, missing where none is near; horizon (from the weights,
        by random words of any length), at_half and at_quarter (with the errors made 2 and 4 times
        smaller), infinite beyond `CAP`; carries (no less far with smaller errors).
    """
    lengths = results.table("thresholds")
    reached = lengths[(lengths.metric == "token_accuracy") & (lengths.threshold == THRESHOLD)]
    heads = results.table("representations")
    errors = results.table("learned_errors")
    scaled = results.table("scaled_errors")
    if heads.empty or errors.empty or scaled.empty:
        raise InputError("no run has learned a representation of its group")
    horizons = scaled.astype({"horizon": float}).fillna({"horizon": np.inf})
    horizons = horizons.pivot(index="run_id", columns="factor", values="horizon")
    horizons = horizons[list(FACTORS)].set_axis(["horizon", "at_half", "at_quarter"], axis=1)
    own = errors[["run_id", "error", "drift", "drift_directions"]]
    frame = (
        results.finished[["run_id", "seed", "training_steps", "training_length"]]
        .merge(reached[["run_id", "length"]], on="run_id")
        .merge(heads.rename(columns={"drift_directions": "part_directions"}), on="run_id")
        .drop(columns="error")
        .merge(own.rename(columns={"drift_directions": "directions"}), on="run_id", how="left")
        .merge(horizons, on="run_id", how="left")
    )
    named = frame.cover.notna() & (frame.cover != "")
    frame["cover"] = frame.cover.astype(object).where(named, "none")
    frame["holds"] = frame.length >= frame.training_length
    frame["part_error"] = np.hypot(frame.distance, frame.leakage)
    farther = (frame.at_quarter >= frame.at_half) & (frame.at_half >= frame.horizon)
    frame["carries"] = farther & frame.error.notna()
    frame = frame.rename(columns={"seed": "draw", "training_steps": "steps", "dimension": "part"})
    names = (
        "run_id group draw steps holds representation verdict cover part size part_error "
        "part_directions error drift directions horizon at_half at_quarter carries"
    )
    return frame[names.split()]


def learned(results: Results) -> pd.DataFrame:
    """The runs that count by what was decided before the large grid.

    Returns
    -------
    DataFrame
        Of `models`, those that hold their group at the training length and are nearer than
        `LARGEST_ERROR` to a representation, with drift_directions of that.

    Raises
    ------
    InputError
        There is none.
    """
    frame = models(results)
    frame = frame[frame.holds & (frame.error <= LARGEST_ERROR)]
    if frame.empty:
        raise InputError("no run has learned a representation of its group")
    frame = frame.astype({"directions": int}).rename(columns={"directions": "drift_directions"})
    return frame.reset_index(drop=True)


def in_use(results: Results) -> pd.DataFrame:
    """The runs that use the representation they are near, whatever they do beside it.

    Returns
    -------
    DataFrame
        Of `models`, those that hold their group, carry no less far with smaller errors, and are
        nearer than `LARGEST_ERROR` to a representation in the part that is one, with
        drift_directions of that part.
    """
    frame = models(results)
    frame = frame[frame.holds & frame.carries & (frame.part_error <= LARGEST_ERROR)]
    return frame.rename(columns={"part_directions": "drift_directions"}).reset_index(drop=True)


def scaled(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs with their own errors made smaller, a row a factor.

    Parameters
    ----------
    runs : DataFrame
        Of `learned` or `in_use`.

    Returns
    -------
    DataFrame
        group, drift_directions, seed, draw (the run: every one is fitted apart), error, horizon
        (missing beyond `CAP`), carries.
    """
    columns = ["horizon", "at_half", "at_quarter"]
    parts = [
        pd.DataFrame(
            {
                "group": runs.group,
                "drift_directions": runs.drift_directions,
                "seed": runs.draw,
                "draw": runs.run_id,
                "error": factor * runs.error,
                "horizon": runs[column].replace(np.inf, np.nan),
                "carries": runs.carries,
            }
        )
        for factor, column in zip(FACTORS, columns, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def across(results: Results) -> dict[str, pd.DataFrame]:
    """Runs by what their horizons are drawn over, which is their column error: see `OVER`."""
    own = in_use(results)
    still = own.drift_directions == 0
    runs = (
        learned(results),
        own[still].assign(error=own.part_error),
        own[~still].assign(error=own.drift),
    )
    return dict(zip(OVER, runs, strict=True))


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """Slopes with intervals, how many runs count and why not, and what the parts are.

    Returns
    -------
    dict of str to DataFrame
        ``slopes``: by what the horizon is drawn over and how it is fitted, with whether that was
        added after the large grid had been read. ``counts``: runs a group that pass every
        condition. ``left_out``: runs that carry less far with smaller errors, with median horizons
        (those beyond `CAP` count as that). ``parts``: representations in use, with ranges of their
        errors, and the horizon times what the law says it goes with (median, least, largest).
        Tables without rows are left out.
    """
    found = {
        "slopes": _slopes(results),
        "counts": _counts(models(results)),
        "left_out": _left_out(models(results)),
        "parts": _parts(in_use(results)),
    }
    return {name: frame for name, frame in found.items() if not frame.empty}


def _slopes(results: Results) -> pd.DataFrame:
    own = learned(results)
    rows = [
        scaled_slopes(scaled(own[own.carries])).assign(
            over="own errors times 1, 1/2, 1/4", fit="least squares", added=False
        ),
        scaled_slopes(scaled(in_use(results))).assign(
            over="own errors times 1, 1/2, 1/4, all in use", fit="least squares", added=True
        ),
    ]
    for over, runs in across(results).items():
        for fit in (least_squares, theil_sen):
            found = fitted_slopes(runs[np.isfinite(runs.horizon)], fit=fit)
            added = over != OVER[0] or fit is theil_sen
            name = fit.__name__.replace("_", " ")
            rows.append(found.drop(columns="intercept").assign(over=over, fit=name, added=added))
    frame = pd.concat(rows, ignore_index=True)
    frame["drift_directions"] = frame.drift_directions.astype(int)
    names = "over fit added group drift_directions predicted slope low high models draws"
    return frame[names.split()].rename(columns={"draws": "seeds", "added": "added_after_the_run"})


def _counts(frame: pd.DataFrame) -> pd.DataFrame:
    near = frame.holds & frame.error.notna()
    small = near & (frame.error <= LARGEST_ERROR)
    uses = near & frame.carries
    conditions = {
        "runs": frame.run_id.notna(),
        "hold_their_group": frame.holds,
        "near_a_representation": near,
        "error_at_most_a_quarter": small,
        "of_these_carry_no_less_with_smaller_errors": small & frame.carries,
        "of_these_not_failed_at_the_cap": small & frame.carries & np.isinf(frame.horizon),
        "carry_no_less_with_smaller_errors": uses,
        "of_these_represented_in_a_part": uses & (frame.part < frame["size"]),
    }
    return pd.DataFrame(conditions).groupby(frame.group).sum().loc[_present(frame)].reset_index()


def _left_out(frame: pd.DataFrame) -> pd.DataFrame:
    out = frame[frame.holds & frame.error.notna() & ~frame.carries].copy()
    out["small"] = out.error <= LARGEST_ERROR
    lengths = ["horizon", "at_half", "at_quarter"]
    out[lengths] = out[lengths].clip(upper=CAP)
    return (
        out.groupby(["group", "verdict", "cover", "representation"])
        .agg(
            models=("run_id", "size"),
            error_at_most_a_quarter=("small", "sum"),
            horizon=("horizon", "median"),
            at_half=("at_half", "median"),
            at_quarter=("at_quarter", "median"),
        )
        .reset_index()
    )


def _parts(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.assign(
        random=frame.horizon * frame.part_error**2, adds_up=frame.horizon * frame.drift
    )
    rows = []
    for (group, part, name), own in frame.groupby(["group", "part", "representation"]):
        drift = int(own.drift_directions.iloc[0])
        rows.append(
            {
                "group": group,
                "representation": name,
                "part": f"{part} of {own['size'].iloc[0]}",
                "drift_directions": drift,
                "models": len(own),
                "error": _range(own.error),
                "part_error": _range(own.part_error),
                "horizon_times_part_error_squared": "" if drift else _median(own.random),
                "horizon_times_drift": _median(own.adds_up) if drift else "",
            }
        )
    return pd.DataFrame(rows)


def _range(values: pd.Series) -> str:
    return f"{values.min():.2g} to {values.max():.2g}"


def _median(values: pd.Series) -> str:
    known = values[np.isfinite(values)]
    if known.empty:
        return ""
    return f"{known.median():.2f} ({known.min():.2f} to {known.max():.2f})"


def _present(frame: pd.DataFrame) -> list[str]:
    return [group for group in GROUPS if group in set(frame.group)]


def figure(results: Results) -> Figure:
    """Horizon over error, both logarithmic: across trained models, and with their errors scaled."""
    panels = across(results)
    titles = (
        "a  trained models",
        "c  no drift directions: the part in use (added)",
        "d  drift directions: what adds up (added)",
    )
    with mpl.rc_context(paper_style()):
        figure = Figure(figsize=(7.0, 6.2), layout="constrained")
        axes = figure.subplots(2, 2, sharex=True, sharey=True)
        axes[0, 0].set(xscale="log", yscale="log", xlim=(5e-5, 0.4), ylim=(0.12, 4 * CAP))
        places = (axes[0, 0], axes[1, 0], axes[1, 1])
        for one, title, (over, runs) in zip(places, titles, panels.items(), strict=True):
            horizons_over_error(runs, one, CAP)
            one.set_title(title, loc="left")
            one.set_xlabel(over)
        horizons_of_scaled_errors(scaled(panels[OVER[0]]), axes[0, 1])
        axes[0, 1].set_title("b  their own errors times 1, 1/2 and 1/4", loc="left")
        axes[0, 1].set_xlabel(OVER[0])
        for one in axes.flat:
            slope_guides(one)
            for axis in (one.xaxis, one.yaxis):
                axis.set_major_locator(LogLocator())
                axis.set_minor_locator(NullLocator())
            one.tick_params(labelbottom=True)
            one.legend(
                loc="lower left",
                title="group, drift directions: slope, 95 % (models)",
                alignment="left",
                fontsize=6,
                title_fontsize=6,
                handlelength=3.0,
                borderaxespad=0.2,
                labelspacing=0.3,
            )
        for one in axes[:, 0]:
            one.set_ylabel(f"length with token accuracy ≥ {THRESHOLD}")
    return figure
