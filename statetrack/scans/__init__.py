"""Recurrences, one folder each; one file per strategy.

``reference.py`` is a plain loop and the truth; ``parallel.py`` computes the same numbers with few,
large torch operations on any device. All strategies of a scan share one signature.
"""

from statetrack.scans.diagonal import diagonal_scan as diagonal_scan
from statetrack.scans.householder import householder_scan as householder_scan
from statetrack.scans.low_rank import low_rank_scan as low_rank_scan
from statetrack.scans.matrix import BlockDiagonal as BlockDiagonal
from statetrack.scans.matrix import PermutationDiagonal as PermutationDiagonal
from statetrack.scans.matrix import ScaledStates as ScaledStates
from statetrack.scans.matrix import matrix_scan as matrix_scan
from statetrack.scans.nonlinear import nonlinear_scan as nonlinear_scan
from statetrack.scans.nonlinear.newton import NewtonSolution as NewtonSolution
from statetrack.scans.nonlinear.newton import newton_scan as newton_scan
from statetrack.scans.outer_product import outer_product_scan as outer_product_scan
