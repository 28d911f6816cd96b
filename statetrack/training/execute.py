"""Runs from configuration to record: train as a pack, measure, read the transitions."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import torch

from automata.errors import InputError
from statetrack.training.checkpoint import remove_checkpoint
from statetrack.training.config import RunConfig
from statetrack.training.evaluate import evaluate, evaluate_pack
from statetrack.training.loop import TrainedModel, TrainingFailedError, train
from statetrack.training.pack_training import PackTraining, Progress, TrainingStoppedError
from statetrack.training.packs import pack_id
from statetrack.training.records import RunRecord, failed_record, finished_record
from statetrack.training.report_curve import ReportCurve

MAX_REASON = 2000
CHECKPOINTS = "checkpoints"
PACK = "pack-"
END = ".safetensors"


def execute(
    config: RunConfig,
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RunRecord:
    """Train a configuration and measure the model.

    Parameters
    ----------
    config : RunConfig
    device, checkpoint, report, should_stop
        As for `train`.

    Returns
    -------
    RunRecord
        Tables: ``curves`` (accuracy over length on the report words), ``history`` (training),
        and for models with linear transitions ``spectra``; for word problems ``homomorphism``.
        A run that cannot be finished gives a record with status "failed" and the reason.

    Raises
    ------
    TrainingStoppedError
        `should_stop` said so; nothing is lost.
    InputError
        The checkpoint cannot be used.
    """
    try:
        trained = train(
            config, device=device, checkpoint=checkpoint, report=report, should_stop=should_stop
        )
        return finished_record(config, trained, _curves(config, trained, device), device)
    except (TrainingStoppedError, InputError):
        raise
    except TrainingFailedError as failure:
        return failed_record(config, str(failure), device)
    except Exception as error:  # noqa: BLE001 - whatever a run raises costs that run alone
        return failed_record(config, _reason(error), device)


def execute_pack(
    configs: Sequence[RunConfig],
    *,
    known: Collection[str] = (),
    device: str = "cpu",
    checkpoints: Path | None = None,
    report: Callable[[list[Progress]], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[RunRecord]:
    """Train a pack and measure its models, each when it has ended.

    Parameters
    ----------
    configs : sequence of RunConfig
        With equal `pack_key`.
    known : collection of str
        Run ids that have a record already: they are not run.
    device : str
    checkpoints : Path, optional
        Folder of checkpoints: one of the pack while it is trained, then one a run.
    report, should_stop
        As for `PackTraining`.

    Yields
    ------
    RunRecord
        As `execute`. Where something goes wrong in the pack as a whole, such as too little memory,
        its halves are run one after the other, down to single runs: what one run raises costs that
        run alone.

    Raises
    ------
    TrainingStoppedError
        `should_stop` said so; nothing is lost.
    """
    recorded = set(known)
    try:
        for record in _train_and_measure(
            configs, recorded, device, checkpoints, report, should_stop
        ):
            recorded.add(record.run_id)
            yield record
        return
    except TrainingStoppedError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a run raises costs that run alone
        if len(configs) == 1:
            yield failed_record(configs[0], _reason(error), device)
            return
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    middle = len(configs) // 2
    for half in (configs[:middle], configs[middle:]):
        if any(config.run_id not in recorded for config in half):
            yield from execute_pack(
                half,
                known=recorded,
                device=device,
                checkpoints=checkpoints,
                report=report,
                should_stop=should_stop,
            )
    if checkpoints is not None:
        remove_checkpoint(pack_checkpoint(checkpoints, configs))


def _train_and_measure(
    configs: Sequence[RunConfig],
    known: Collection[str],
    device: str,
    checkpoints: Path | None,
    report: Callable[[list[Progress]], None],
    should_stop: Callable[[], bool],
) -> Iterator[RunRecord]:
    place_of_pack = None if checkpoints is None else pack_checkpoint(checkpoints, configs)
    training = PackTraining(
        configs,
        device=device,
        checkpoint=place_of_pack,
        known=known,
        report=report,
        should_stop=should_stop,
    )
    for ended in training.rounds():
        new = [place for place in ended if configs[place].run_id not in known]
        finished = [place for place in new if training.members[place].status == "finished"]
        curves = dict(zip(finished, _curves_of_pack(training, finished, device), strict=True))
        for place in new:
            config = configs[place]
            if place not in curves:
                yield failed_record(config, training.members[place].reason, device, len(configs))
                continue
            trained = TrainedModel.of_member(training, place)
            if checkpoints is not None:
                trained.save(run_checkpoint(checkpoints, config))
            yield finished_record(config, trained, curves[place], device, len(configs))
    if place_of_pack is not None:
        remove_checkpoint(place_of_pack)


def pack_checkpoint(folder: Path, configs: Sequence[RunConfig]) -> Path:
    """Where a pack under way is kept."""
    return folder / f"{PACK}{pack_id(configs)}{END}"


def run_checkpoint(folder: Path, config: RunConfig) -> Path:
    """Where the weights of a finished run are kept."""
    return folder / f"{config.run_id}{END}"


def _curves(config: RunConfig, trained: TrainedModel, device: str) -> list[ReportCurve]:
    """Report curves of a model on uniform words, then on the other families asked for."""
    settings = config.evaluation
    return [
        evaluate(
            trained.model,
            trained.task,
            max_length=settings.max_length,
            num_words=settings.num_words,
            family=family,
            seed=settings.seed,
            device=device,
        )
        for family in ("uniform", *settings.families)
    ]


def _curves_of_pack(
    training: PackTraining, places: Sequence[int], device: str
) -> list[list[ReportCurve]]:
    """The same for some runs of a pack, all at once."""
    if not places:
        return []
    settings = training.members[places[0]].config.evaluation
    by_family = [
        evaluate_pack(
            training.subset(places),
            [training.members[place].task for place in places],
            max_length=settings.max_length,
            num_words=settings.num_words,
            family=family,
            seed=settings.seed,
            device=device,
        )
        for family in ("uniform", *settings.families)
    ]
    return [list(curves) for curves in zip(*by_family, strict=True)]


def _reason(error: Exception) -> str:
    kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
    return f"{kind}{' '.join(str(error).split())}"[:MAX_REASON]
