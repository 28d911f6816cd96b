"""The gallery of committed results, as MyST: one entry a folder of ``experiments/results``."""

import ast
import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
MOST_FINDINGS = 2


def result_folders() -> list[Path]:
    """Folders with a figure and what it was measured with, of experiments that are there."""
    found = sorted(path.parent for path in (EXPERIMENTS / "results").glob("*/figure.png"))
    return [
        folder
        for folder in found
        if (folder / "provenance.json").is_file() and experiment_of(folder).is_file()
    ]


def experiment_of(folder: Path) -> Path:
    """File of the experiment; the folder is called as its grid, NAME-PRESET."""
    return EXPERIMENTS / f"{folder.name.partition('-')[0]}.py"


def gallery_markdown() -> str:
    """One section an experiment: its question, then figure, findings and command of every preset.

    Returns
    -------
    str
        Links are relative to ``docs``; reports and tables are served from the root of the site.
    """
    sections: dict[Path, list[str]] = {}
    for folder in result_folders():
        file = experiment_of(folder)
        sections.setdefault(file, [f"## {_title(file)}"]).append(_entry(folder, file.stem))
    return "\n\n".join("\n\n".join(section) for section in sections.values())


def _entry(folder: Path, name: str) -> str:
    preset = folder.name.partition("-")[2]
    findings = list(_findings(folder / "report.html"))[:MOST_FINDINGS]
    links = [
        f'<a href="{folder.name}/{file}">{what}</a>'
        for file, what in (("report.html", "report"), ("table.csv", "table"))
        if (folder / file).is_file()
    ]
    return "\n\n".join(
        [
            f"![{name}, preset {preset}](../experiments/results/{folder.name}/figure.png)",
            *(["\n".join(f"- {finding}" for finding in findings)] if findings else []),
            f"`statetrack grid experiments/{name}.py --preset {preset}`",
            " · ".join([_measured_on(folder / "provenance.json"), *links]),
        ]
    )


def _title(file: Path) -> str:
    """First line of the experiment's docstring; the file is not run."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or file.stem
    return text.partition("\n")[0].rstrip(".")


def _findings(report: Path) -> Iterator[str]:
    """What the report says in short."""
    if not report.is_file():
        return
    page = report.read_text(encoding="utf-8")
    found = re.search(r"<h2[^>]*>In short</h2>\s*<ul[^>]*>(.*?)</ul>", page, flags=re.DOTALL)
    for item in re.findall(r"<li>(.*?)</li>", found[1], flags=re.DOTALL) if found else []:
        yield re.sub(r"([\\`*_\[\]<>$])", r"\\\1", unescape(re.sub(r"<[^>]+>", "", item)).strip())


def _measured_on(provenance: Path) -> str:
    entries = json.loads(provenance.read_text(encoding="utf-8"))
    times = sorted(time for entry in entries for time in entry["runs"].values())
    devices = sorted({"CPU" if e["device"] == "cpu" else e["device"] for e in entries})
    return f"{len(times)} runs, {', '.join(devices)}, {times[0][:10]}"
