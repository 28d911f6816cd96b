"""Accuracy over length, as measured on the report words."""

from collections.abc import Sequence
from dataclasses import InitVar, dataclass

import numpy as np
import pandas as pd

from automata.errors import InputError, unknown_name
from automata.validation import FloatArray, IntArray, read_only
from statetrack.analysis.extrapolation import METRICS, horizon
from statetrack.analysis.intervals import order_statistic_interval, share_interval

THRESHOLDS = (0.5, 0.75, 0.9, 0.95, 0.99, 1.0)

EVALUATE = object()
"""Given by `evaluate` alone, so that no other numbers pass for a report."""


@dataclass(frozen=True, eq=False)
class ReportCurve:
    """Accuracy at every position of the report words; made by `evaluate` alone.

    Parameters
    ----------
    made_by : object
        What only `evaluate` has.

    Attributes
    ----------
    family : str
        The family of the words.
    num_words : int
    lengths : ndarray of int64, [num_lengths]
        Positions at which something is asked, counted from 1.
    num_right, num_whole, num_majority, num_asked : ndarray of int64, [num_lengths]
        Words right at that position, right at every position up to it, of the most frequent class,
        and asked there.
    first_error : ndarray of int64, [num_words]
        Position of a word's first wrong answer; above the last position where it has none.
    loss_sums : ndarray of float64, [num_lengths], optional
        Cross-entropy in nats, added up over the words asked there; of language models alone.

    Raises
    ------
    TypeError
        Made by anything else than `evaluate`.
    """

    family: str
    num_words: int
    lengths: IntArray
    num_right: IntArray
    num_whole: IntArray
    num_majority: IntArray
    num_asked: IntArray
    first_error: IntArray
    loss_sums: FloatArray | None = None
    made_by: InitVar[object] = None

    def __post_init__(self, made_by: object) -> None:
        if made_by is not EVALUATE:
            raise TypeError(
                "a ReportCurve is what evaluate measured on the report words; nothing else makes "
                "one: call statetrack.training.evaluate"
            )
        for array in vars(self).values():
            if isinstance(array, np.ndarray):
                read_only(array)

    @property
    def token_accuracy(self) -> FloatArray:
        """Share of words right at a position, [num_lengths]."""
        return self.num_right / self.num_asked

    @property
    def whole_prefix_accuracy(self) -> FloatArray:
        """Share of words right at every position up to there, [num_lengths]."""
        return self.num_whole / self.num_asked

    @property
    def majority_rate(self) -> FloatArray:
        """Measured share of the most frequent class at a position, [num_lengths]."""
        return self.num_majority / self.num_asked

    @property
    def loss(self) -> FloatArray | None:
        """Mean cross-entropy at a position in nats, [num_lengths]; None if it was not measured."""
        return None if self.loss_sums is None else self.loss_sums / self.num_asked

    @property
    def mean_loss(self) -> float | None:
        """Mean cross-entropy over all that was asked, in nats; None if it was not measured."""
        if self.loss_sums is None:
            return None
        return float(self.loss_sums.sum() / self.num_asked.sum())

    def to_frame(self, lengths: Sequence[int] | None = None) -> pd.DataFrame:
        """One row a length.

        Parameters
        ----------
        lengths : sequence of int, optional
            Those to keep of all that were measured.

        Returns
        -------
        DataFrame
            length, token_accuracy, whole_prefix_accuracy, majority_rate, num_words (asked there);
            of language models also loss.
        """
        frame = pd.DataFrame(
            {
                "length": self.lengths,
                "token_accuracy": self.token_accuracy,
                "whole_prefix_accuracy": self.whole_prefix_accuracy,
                "majority_rate": self.majority_rate,
                "num_words": self.num_asked,
            }
        )
        if self.loss is not None:
            frame["loss"] = self.loss
        return frame if lengths is None else frame[frame["length"].isin(lengths)]

    def horizon(self, threshold: float = 0.99, metric: str = "token_accuracy") -> int:
        """Longest length with accuracy at least `threshold` at every position up to it.

        Parameters
        ----------
        threshold : float
            In (0, 1].
        metric : {"token_accuracy", "whole_prefix_accuracy"}

        Returns
        -------
        int
            0 where the first position fails. The last length measured means only that the model
            did not fail before.
        """
        _check_metric(metric)
        return horizon(self.to_frame(), threshold, metric)

    def thresholds(self) -> pd.DataFrame:
        """How far the accuracy stays above each of `THRESHOLDS`, of all positions measured.

        Returns
        -------
        DataFrame
            metric, threshold, length (of `horizon`), longest (the last length measured; a horizon
            of that length is a lower bound), num_words.
        """
        frame, longest = self.to_frame(), int(self.lengths[-1])
        rows = [
            (metric, threshold, horizon(frame, threshold, metric), longest, self.num_words)
            for metric in METRICS
            for threshold in THRESHOLDS
        ]
        return pd.DataFrame(rows, columns=["metric", "threshold", "length", "longest", "num_words"])

    def intervals(
        self,
        lengths: Sequence[int] | None = None,
        *,
        metric: str = "token_accuracy",
        level: float = 0.95,
        method: str = "bootstrap",
    ) -> pd.DataFrame:
        """Intervals for the accuracy, from the spread between words.

        Parameters
        ----------
        lengths : sequence of int, optional
            By default all.
        metric : {"token_accuracy", "whole_prefix_accuracy"}
        level : float
            In (0, 1).
        method : {"bootstrap", "clopper_pearson"}
            See `statetrack.analysis.share_interval`: where all words are right, or none, the
            bootstrap has no width and Clopper-Pearson has.

        Returns
        -------
        DataFrame
            length, `metric`, low, high.
        """
        _check_metric(metric)
        frame = self.to_frame()[["length", metric]]
        right = self.num_right if metric == "token_accuracy" else self.num_whole
        low, high = share_interval(right, self.num_asked, level=level, method=method)
        frame = frame.assign(low=low, high=high)
        return frame if lengths is None else frame[frame["length"].isin(lengths)]

    def horizon_interval(self, threshold: float = 0.99, *, level: float = 0.95) -> tuple[int, int]:
        """Bootstrap interval for the horizon of whole-prefix accuracy, from the spread of words.

        Parameters
        ----------
        threshold, level : float

        Returns
        -------
        low, high : int

        Raises
        ------
        InputError
            The words are asked at different positions.

        Notes
        -----
        Exact, not by resampling: the horizon ends before the k-th first error, and that order
        statistic of a resample has a known law. Token accuracy has no such interval, since which
        words are right at a position is not kept.
        """
        if not 0 < threshold <= 1:
            raise InputError(f"threshold = {threshold}: expected a share in (0, 1]")
        if (self.num_asked != self.num_words).any():
            raise InputError(
                "no interval for the horizon: not every word is asked at the same positions"
            )
        shares = np.arange(self.num_words, -1, -1) / self.num_words
        fatal = int(np.flatnonzero(~(shares >= threshold))[0])
        ends = order_statistic_interval(self.first_error, fatal, level=level)
        ended = [int(np.searchsorted(self.lengths, end)) for end in ends]
        low, high = (int(self.lengths[index - 1]) if index else 0 for index in ended)
        return low, high


def _check_metric(metric: str) -> None:
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
