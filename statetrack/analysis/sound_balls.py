"""Sets of vectors that hold what a float32 program may compute: a midpoint and two radii.

Every operation bounds two things from above: how far the exact result may lie from the exact
result at the midpoint, and how far a float32 result may lie from the exact one, for any order of
summation and with or without fused multiply-adds (Higham 2002: Accuracy and Stability of Numerical
Algorithms, lemma 3.1: ``gamma_n = n u / (1 - n u)``). The bounds are themselves computed in
float64; every radius is widened by more than float64 can have lost.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from automata.validation import FloatArray

UNIT = 2.0**-24
"""Unit roundoff of float32."""
SMALLEST = 2.0**-125
"""More than one operation can lose where float32 numbers underflow, kept or flushed to zero."""
EPS = 1e-6
"""What `statetrack.layers.rms_norm` adds to the mean square."""
GELU_SLOPE = 1.13
"""Above the largest slope of GELU, 1.1289."""
LIBRARY = 8.0
"""Unit roundoffs granted to one call of erf or of a reciprocal root in float32."""

_WIDER = 1.0 + 1e-9
_DOUBLE = 1e-13


def gamma(count: float) -> float:
    """Relative error of `count` float32 operations one after the other."""
    return count * UNIT / (1.0 - count * UNIT)


@dataclass(frozen=True, eq=False)
class Balls:
    """One set of vectors a row: within a box and within a Euclidean ball about a midpoint.

    Attributes
    ----------
    middle : ndarray, float64 [..., D]
    box : ndarray, float64 [..., D]
        How far each entry may be from the midpoint.
    ball : ndarray, float64 [...]
        How far the whole vector may be.
    """

    middle: FloatArray
    box: FloatArray
    ball: FloatArray

    @staticmethod
    def make(middle: FloatArray, box: FloatArray, ball: FloatArray) -> "Balls":
        """Widen by what float64 loses, and let the two radii bound one another."""
        box = box * _WIDER + np.abs(middle) * _DOUBLE
        ball = ball * _WIDER + np.linalg.norm(middle, axis=-1) * _DOUBLE
        box = np.minimum(box, ball[..., None])
        return Balls(middle, box, np.minimum(ball, np.linalg.norm(box, axis=-1) * _WIDER))

    @staticmethod
    def exactly(middle: FloatArray) -> "Balls":
        """Known numbers."""
        return Balls(middle, np.zeros_like(middle), np.zeros(middle.shape[:-1]))

    @property
    def largest(self) -> FloatArray:
        """Bound on the size of each entry."""
        return (np.abs(self.middle) + self.box) * _WIDER

    def rounded(self, relative: float, extra: FloatArray | float = 0.0) -> "Balls":
        """After a rounding of every entry by a share of itself, and by `extra`."""
        error: FloatArray = relative * self.largest + extra + SMALLEST
        return Balls.make(self.middle, self.box + error, self.ball + np.linalg.norm(error, axis=-1))

    def plus(self, other: "Balls") -> "Balls":
        """A float32 sum."""
        total = Balls.make(self.middle + other.middle, self.box + other.box, self.ball + other.ball)
        return total.rounded(UNIT)

    def linear(self, weight: FloatArray, norm: float) -> "Balls":
        """A float32 product with a matrix.

        Parameters
        ----------
        weight : ndarray, float64 [outputs, inputs]
            Float32 numbers.
        norm : float
            From `spectral_norm`.
        """
        terms = self.largest @ np.abs(weight).T * _WIDER
        count = weight.shape[1]
        error = gamma(count + 1) * terms + count * SMALLEST
        rows = np.linalg.norm(weight, axis=1) * _WIDER
        box = np.minimum(self.box @ np.abs(weight).T, self.ball[..., None] * rows)
        exact = Balls.make(self.middle @ weight.T, box, self.ball * norm)
        lost = error + terms * count * 2.0**-52
        return Balls.make(
            exact.middle, exact.box + lost, exact.ball + np.linalg.norm(lost, axis=-1)
        )

    def normalised(
        self,
        scale: FloatArray,
        low_eps: FloatArray | float = EPS,
        high_eps: FloatArray | float = EPS,
    ) -> "Balls":
        """`rms_norm` in float32.

        Parameters
        ----------
        scale : ndarray, float64 [D]
        low_eps, high_eps : float or ndarray [...]
            Bounds on what is added to the mean square.
        """
        count = self.middle.shape[-1]
        size = np.linalg.norm(self.middle, axis=-1)
        nearest = np.clip(np.abs(self.middle) - self.box, 0.0, None)
        low = np.maximum(
            np.square(nearest).sum(axis=-1), np.square(np.clip(size - self.ball, 0.0, None))
        )
        low = low / count * (1 - 1e-12) + low_eps
        high = np.square(self.largest).sum(axis=-1) / count * _WIDER + high_eps
        middle_eps = (low_eps + high_eps) / 2
        at_middle = 1.0 / np.sqrt(np.square(size) / count + middle_eps)
        most, least = _WIDER / np.sqrt(low), (1 - 1e-12) / np.sqrt(high)
        spread = np.maximum(most - at_middle, at_middle - least)
        box = self.box * most[..., None] + np.abs(self.middle) * spread[..., None]
        # The norm's Jacobian is g (I - g^2 x x^T / n), with 0 <= g^2 |x|^2 / n < 1.
        slack = size * most * 0.25 * (high_eps - low_eps) / low * _WIDER
        ball = (self.ball * most + slack) * np.abs(scale).max()
        exact = Balls.make(self.middle * at_middle[..., None] * scale, box * np.abs(scale), ball)
        return exact.rounded(gamma(count / 2 + 4 + LIBRARY))

    def gelu(self) -> "Balls":
        """Exact GELU in float32."""
        middle = self.middle * ndtr(self.middle)
        exact = Balls.make(middle, GELU_SLOPE * self.box, GELU_SLOPE * self.ball)
        # 1 + erf may cancel to nothing: its error counts in full, times the argument.
        return exact.rounded(gamma(4), (LIBRARY + 3) * UNIT * self.largest)


def spectral_norm(matrix: FloatArray) -> float:
    """Bound from above on the largest singular value; widened by more than the SVD can be off."""
    if matrix.size == 0:
        return 0.0
    values = np.linalg.svd(matrix, compute_uv=False)
    return float(values[0] * (1 + 1e-10) + 1e-300)


def spectral_norms(matrices: FloatArray) -> FloatArray:
    """The same for a stack, [..., n, m] -> [...]."""
    values = np.asarray(np.linalg.svd(matrices, compute_uv=False)[..., 0], dtype=np.float64)
    return values * (1 + 1e-10) + 1e-300
