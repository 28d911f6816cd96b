"""Training: configuration, loop, evaluation, checkpoints, results, grids."""

from statetrack.training.axes import Axes as Axes
from statetrack.training.axes import fixed as fixed
from statetrack.training.axes import product as product
from statetrack.training.axes import zipped as zipped
from statetrack.training.config import RunConfig as RunConfig
from statetrack.training.dataset import TaskDataset as TaskDataset
from statetrack.training.evaluate import evaluate as evaluate
from statetrack.training.evaluate import evaluate_pack as evaluate_pack
from statetrack.training.grid import Grid as Grid
from statetrack.training.grid import run_grid as run_grid
from statetrack.training.launchers.local import LocalLauncher as LocalLauncher
from statetrack.training.loop import TrainedModel as TrainedModel
from statetrack.training.loop import train as train
from statetrack.training.report_curve import ReportCurve as ReportCurve
from statetrack.training.results import Results as Results
from statetrack.training.results import export_results as export_results
from statetrack.training.results import load_results as load_results
from statetrack.training.selection import SelectionScore as SelectionScore
from statetrack.training.selection import select as select
from statetrack.training.selection import select_pack as select_pack
from statetrack.training.word_families import WordFamily as WordFamily
