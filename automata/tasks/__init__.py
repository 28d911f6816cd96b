"""State-tracking tasks: automata and groups turned into batches of words and targets.

`get_task` gives a task by name, `list_tasks` the names, `register_task` adds your own.
"""

from automata.tasks.automaton_task import AutomatonTask
from automata.tasks.batch import Batch
from automata.tasks.registry import complete_parameters, get_task, list_tasks, register_task
from automata.tasks.supervision import SUPERVISIONS
from automata.tasks.task import Task
from automata.tasks.word_problems import word_problem

__all__ = [
    "SUPERVISIONS",
    "AutomatonTask",
    "Batch",
    "Task",
    "complete_parameters",
    "get_task",
    "list_tasks",
    "register_task",
    "word_problem",
]
