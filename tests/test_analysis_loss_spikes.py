"""Loss spikes in the histories of runs."""

import math

import pandas as pd
import pytest

from automata.errors import InputError
from statetrack.analysis import loss_spikes


def history(*losses):
    return [{"step": 10 * n, "loss": loss} for n, loss in enumerate(losses, start=1)]


@pytest.mark.parametrize(
    ("losses", "steps"),
    [
        ([], []),
        ([3.0], []),
        ([3.0, 2.0, 1.0], []),
        ([1.0, 1.5, 1.5], []),
        ([1.0, 1.75, 1.0, 1.75], [20, 40]),
        ([1.0, 1.75, 2.0, 1.75, 1.0], [20]),
        ([1.0, math.nan, 1.0], [20]),
        ([1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0], [20, 70]),
    ],
)
def test_loss_spikes(losses, steps):
    found = loss_spikes(history(*losses), rounds=4)
    assert found.step.tolist() == steps
    assert list(found) == ["step", "loss", "lowest", "num_rounds"]


def test_loss_spikes_of_many_runs_and_bad_arguments():
    rows = pd.DataFrame(history(1.0, 2.0))
    both = pd.concat([rows.assign(run_id="b"), rows.assign(run_id="a", loss=1.0)])
    assert loss_spikes(both)[["run_id", "step"]].values.tolist() == [["b", 20]]
    for arguments, message in (
        ({"rise": 0}, "rise = 0"),
        ({"rise": math.nan}, "rise = nan"),
        ({"rounds": 0}, "rounds = 0"),
        ({"rounds": True}, "rounds = True"),
    ):
        with pytest.raises(InputError, match=message):
            loss_spikes(rows, **arguments)
    with pytest.raises(InputError, match="no column 'loss'"):
        loss_spikes([{"step": 1}])
