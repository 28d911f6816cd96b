"""Curves, arrowheads and label boxes: the geometry of drawings, without anything drawn."""

import functools

import numpy as np

from automata.validation import FloatArray

__all__ = ["cut_head", "loop", "quadratic", "text_size", "trim"]

NUM_POINTS = 64


def quadratic(start: FloatArray, end: FloatArray, offset: float) -> FloatArray:
    """Draw a curve between two points whose control point lies `offset` to the left.

    Parameters
    ----------
    start, end : ndarray of float, [2]
    offset : float
        0 gives a straight line.

    Returns
    -------
    ndarray of float, [num_points, 2]

    Examples
    --------
    >>> curve = quadratic(np.array([0.0, 0.0]), np.array([2.0, 0.0]), 1.0)
    >>> curve[0].tolist(), curve[-1].tolist(), float(curve[:, 1].max().round(2))
    ([0.0, 0.0], [2.0, 0.0], 0.5)
    """
    ahead = end - start
    left = np.array([-ahead[1], ahead[0]]) / max(float(np.hypot(*ahead)), 1e-9)
    control = (start + end) / 2 + offset * left
    t = np.linspace(0, 1, NUM_POINTS)[:, None]
    result: FloatArray = (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end
    return result


def loop(center: FloatArray, angle: float, reach: float = 3.6) -> FloatArray:
    """Draw a loop that leaves a unit circle around `angle` and comes back to it.

    Parameters
    ----------
    center : ndarray of float, [2]
    angle : float
        Where it points, in radians.
    reach : float
        Distance of the control points from the centre.

    Returns
    -------
    ndarray of float, [num_points, 2]

    Examples
    --------
    >>> curve = loop(np.zeros(2), 0.0)
    >>> float(np.hypot(*curve[0]).round(3)), bool(curve[:, 0].max() > 2)
    (1.0, True)
    """
    t = np.linspace(0, 1, NUM_POINTS)[:, None]
    first, second = angle + 0.42, angle - 0.42
    ends = [np.array([np.cos(a), np.sin(a)]) for a in (first, second)]
    controls = [reach * np.array([np.cos(a), np.sin(a)]) for a in (angle + 0.5, angle - 0.5)]
    curve: FloatArray = (
        (1 - t) ** 3 * ends[0]
        + 3 * t * (1 - t) ** 2 * controls[0]
        + 3 * t**2 * (1 - t) * controls[1]
        + t**3 * ends[1]
    )
    return center + curve


def trim(points: FloatArray, start_radius: float, end_radius: float) -> FloatArray:
    """Cut off what lies within circles around the two ends of a curve.

    Parameters
    ----------
    points : ndarray of float, [num_points, 2]
    start_radius, end_radius : float

    Returns
    -------
    ndarray of float, [num_kept, 2]
        At least two points.

    Examples
    --------
    >>> line = np.stack([np.linspace(0, 10, 11), np.zeros(11)], axis=1)
    >>> trim(line, 1.5, 2.0)[[0, -1], 0].tolist()
    [1.5, 8.0]
    """
    kept = _from_radius(points, points[0], start_radius)
    return _from_radius(kept[::-1], points[-1], end_radius)[::-1]


def cut_head(points: FloatArray, length: float, width: float) -> tuple[FloatArray, FloatArray]:
    """Replace the end of a curve by a triangle that points along it.

    Parameters
    ----------
    points : ndarray of float, [num_points, 2]
    length, width : float
        Of the triangle.

    Returns
    -------
    shaft : ndarray of float, [num_kept, 2]
    head : ndarray of float, [3, 2]
        The tip is the last point of the curve.

    Examples
    --------
    >>> shaft, head = cut_head(np.array([[0.0, 0.0], [4.0, 0.0]]), 1.0, 0.5)
    >>> shaft.tolist(), head.tolist()
    ([[0.0, 0.0], [3.0, 0.0]], [[4.0, 0.0], [3.0, 0.25], [3.0, -0.25]])
    """
    tip = points[-1]
    shaft = _from_radius(points[::-1], tip, length)[::-1]
    base = shaft[-1]
    ahead = (tip - base) / max(float(np.hypot(*(tip - base))), 1e-9)
    side = np.array([-ahead[1], ahead[0]]) * width / 2
    return shaft, np.stack([tip, base + side, base - side])


@functools.lru_cache(maxsize=4096)
def text_size(text: str) -> tuple[float, float]:
    """Return width and height of a text, for a font of size 1.

    Parameters
    ----------
    text : str

    Returns
    -------
    (float, float)

    Examples
    --------
    >>> text_size("mm")[0] > text_size("i")[0] > 0
    True
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    size = 20.0
    path = TextPath((0, 0), text, size=size, prop=FontProperties())
    if not len(path.vertices):
        return 0.3, 0.75
    box = path.get_extents()
    return float(box.width) / size, max(float(box.height) / size, 0.75)


def _from_radius(points: FloatArray, center: FloatArray, radius: float) -> FloatArray:
    """Keep a curve from where it first leaves a circle."""
    distance = np.hypot(*(points - center).T)
    outside = np.flatnonzero(distance >= radius)
    if radius <= 0 or not len(outside) or outside[0] == 0:
        return points if len(outside) else points[-2:]
    index = int(outside[0])
    share = (radius - distance[index - 1]) / max(distance[index] - distance[index - 1], 1e-12)
    crossing = points[index - 1] + share * (points[index] - points[index - 1])
    return np.concatenate([crossing[None], points[index:]])
