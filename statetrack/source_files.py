"""Python files from outside the package: experiments, and the tasks and models they register."""

import importlib.util
import traceback
from pathlib import Path
from types import ModuleType

from automata.errors import InputError, unknown_name
from automata.files import usable_path


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
        No such file (the message names the nearest beside it), it is not Python, or it raises; the
        message names the line.
    """
    file = usable_path(path, kind)
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
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a file of the user raises is told in a line
        raise raised_in(file, error, kind) from None
    return module


def raised_in(path: Path, error: Exception, kind: str = "experiment file") -> InputError:
    """What a file raised, as one line that names the last line of the file on the way there.

    Parameters
    ----------
    path : Path
    error : Exception
    kind : str
        What the file is, for the message.
    """
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
    place = f", line {lines[-1]}" if lines else ""
    return InputError(f"{kind} {path}{place}: {type(error).__name__}: {error}")
