"""Imported by the server that forks workers, so that they know the model and start at once."""

from statetrack.training.launchers import local  # noqa: F401
from tests.grid_processes import register

register()
