"""A small grid that processes share, for tests that start, kill and count them.

`Zygote` is a process that has imported everything and forks one process a request, so that a start
costs milliseconds. Each of them runs the grid as `statetrack grid` does, with worker processes of a
server that forks as well. What a process acknowledges it appends to a file.
"""

import json
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
BASE = (
    "task=parity",
    "model=short_memory",
    "training.steps=6",
    "training.length=4",
    "training.batch_size=2",
    "training.select_every=2",
    "training.select_words=4",
    "evaluation.max_length=6",
    "evaluation.num_words=8",
)
ACKNOWLEDGED = "acknowledged.txt"
ERRORS = "errors.txt"
EXECUTED = "executed.txt"


def register():
    """A model without time, for quick steps."""
    from torch import nn

    from statetrack.models import config as models

    class ShortMemory(nn.Module):
        def __init__(self, num_tokens, num_classes):
            super().__init__()
            self.table = nn.Embedding(num_tokens, num_classes)

        def forward(self, tokens, state=None):
            return self.table(tokens), tokens[..., :0]

    if "short_memory" not in models._REGISTRY:
        models.register_model(
            "short_memory",
            models.BackboneConfig,
            lambda config, num_tokens, num_classes: ShortMemory(num_tokens, num_classes),
        )


def small_grid(num_runs, steps=6):
    from statetrack.training import Grid

    register()
    return Grid.product("small", [*BASE, f"training.steps={steps}"], {"seed": range(num_runs)})


def append(path, text):
    """One line, whole or not at all, even where the process is killed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, f"{text}\n".encode())
    os.close(descriptor)


def run(folder, num_runs, pack_size, steps, in_workers, seconds_a_run):
    """What a forked process does."""
    from statetrack.training import LocalLauncher, run_grid
    from statetrack.training.launchers import local
    from statetrack.training.progress import GridProgress
    from tests.launcher_cases import Here

    class Acknowledging(GridProgress):
        def finished(self, record):
            super().finished(record)
            append(folder / ACKNOWLEDGED, f"{os.getpid()} {record.run_id} {record.status}")

    class Slow(Here):
        def run(self, *arguments):
            for record in super().run(*arguments):
                append(folder / EXECUTED, record.run_id)
                time.sleep(seconds_a_run)
                yield record

    folder.mkdir(parents=True, exist_ok=True)
    launcher = Slow(pack_size)
    if in_workers:
        local.START_METHOD = "forkserver"
        launcher = LocalLauncher(1, "cpu", pack_size)
    with open(folder / f"{os.getpid()}.out", "w") as output:
        results = run_grid(
            small_grid(num_runs, steps),
            folder / "results",
            launcher=launcher,
            progress=Acknowledging(output),
        )
    append(folder / "ended.txt", f"{os.getpid()} {results.runs.status.tolist().count('finished')}")


def serve():
    """Fork a process for every line of standard input; print its process id."""
    import torch

    # What forks should not repeat.
    from statetrack.training.launchers import local  # noqa: F401
    from tests import launcher_cases  # noqa: F401

    torch.set_num_threads(1)
    register()
    server = multiprocessing.forkserver._forkserver
    multiprocessing.set_forkserver_preload(["tests.grid_processes_worker"])
    ensure_running = server.ensure_running
    server.ensure_running = lambda: None  # it is no child of those who are forked here
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        arguments = json.loads(line)
        if arguments["in_workers"] and server._forkserver_pid is None:
            ensure_running()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setpgid(0, 0)
            folder = Path(arguments.pop("folder"))
            try:
                run(folder, **arguments)
            except BaseException as error:  # noqa: BLE001 - told to the test
                append(folder / ERRORS, f"{type(error).__name__}: {error}")
                os._exit(1)
            os._exit(0)
        print(pid, flush=True)


class Zygote:
    """Starts processes that share a grid."""

    def __init__(self):
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-W",
                "ignore",
                "-c",
                "from tests.grid_processes import serve; serve()",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
                "OMP_WAIT_POLICY": "PASSIVE",
            },
            cwd=ROOT,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"

    def start(self, folder, num_runs, *, pack_size=5, steps=6, in_workers=False, seconds_a_run=0.0):
        """Start a process on the grid in a folder; its process id."""
        request = {
            "folder": str(folder),
            "num_runs": num_runs,
            "pack_size": pack_size,
            "steps": steps,
            "in_workers": in_workers,
            "seconds_a_run": seconds_a_run,
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def descendants(pid):
    """Process ids of all that a process started, and these, and so on."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(one) for one in path.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return b""


def wait_for(condition, seconds=120):
    """Until something holds; whether it did in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def acknowledged(folder):
    """(process id, run id, status) of every line that a process printed."""
    path = folder / ACKNOWLEDGED
    return [tuple(line.split()) for line in path.read_text().splitlines()] if path.exists() else []


def errors(folder):
    path = folder / ERRORS
    return path.read_text() if path.exists() else ""
