"""Python files from outside the package: experiments, and the tasks and models they register."""

import importlib.util
from pathlib import Path
from types import ModuleType

from automata.errors import InputError, unknown_name


def import_file(path: str | Path, kind: str = "experiment file") -> ModuleType:
    """Run a Python file and return its module; nothing is added to ``sys.modules``.

    Parameters
    ----------
    path : str or Path
        Ends in ``.py``.
    kind : str
        What it is, for messages.

    Returns
    -------
    module

    Raises
    ------
    InputError
        No such file (the message names the nearest beside it), or it is not Python.
    """
    file = Path(path)
    if file.suffix != ".py" or not file.is_file():
        nearby = sorted(str(p) for p in file.parent.glob("*.py")) if file.parent.is_dir() else []
        raise unknown_name(kind, str(path), nearby or ["FOLDER/NAME.py"])
    spec = importlib.util.spec_from_file_location(f"experiment_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise InputError(f"{kind} {path}: Python cannot import it")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise InputError(f"{kind} {path}, line {error.lineno}: {error.msg}") from None
    return module
