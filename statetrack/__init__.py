"""State tracking in recurrent sequence models: tasks, models, length curves, learned algebra."""

from importlib.util import find_spec

if find_spec("automata.errors") is None:
    from automata import __path__ as _found

    raise ImportError(
        "another package named 'automata' hides the one that comes with statetrack "
        f"(found in {list(_found)}); install statetrack as a wheel, use a separate environment, "
        "or put this checkout first on PYTHONPATH"
    )
