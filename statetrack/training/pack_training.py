"""Train a pack: rounds of steps, a look at the selection words, checkpoints, runs that end.

Between two looks every run of a pack takes the same number of steps. Runs at the same stage of
their curricula step together; a run that is over, or whose loss is no number, leaves the pack at
the look after. Nothing a run does depends on the others.
"""

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from automata.errors import InputError
from statetrack.training.checkpoint import (
    holds_pack,
    load_tensors,
    prepare_checkpoint_path,
    save_tensors,
)
from statetrack.training.config import RunConfig
from statetrack.training.curricula import History, Stage
from statetrack.training.kept_progress import kept_pack
from statetrack.training.pack_members import Member as Member
from statetrack.training.pack_members import Progress as Progress
from statetrack.training.pack_members import last_stage
from statetrack.training.pack_step import PackState, PackStep
from statetrack.training.pack_words import PackWords
from statetrack.training.packed_model import PackedModel
from statetrack.training.packs import pack_key
from statetrack.training.parameter_groups import parameter_settings
from statetrack.training.selection import SelectionScore, select_pack
from statetrack.training.stop_rules import SOLVED, STOP_RULES

SECONDS_BETWEEN_CHECKPOINTS = 5.0
SECONDS_BETWEEN_REPORTS = 0.1
MAX_STEPS_KEPT = 16


class TrainingStoppedError(Exception):
    """The caller asked to stop; the checkpoint holds everything to go on from."""


class PackTraining:
    """The training of one pack.

    Parameters
    ----------
    configs : sequence of RunConfig
        With equal `pack_key`.
    device : torch.device or str
    checkpoint : Path, optional
        File to go on from where it exists, and to keep while training. Going on gives the same
        bits as never having stopped, on the same device and number of threads.
    known : collection of str
        Run ids whose results are known: they are not trained.
    report : callable
        Called now and then with the `Progress` of every run under way.
    should_stop : callable
        Asked at every step; True saves the checkpoint and raises `TrainingStoppedError`.

    Raises
    ------
    InputError
        Runs that cannot be one pack, or a checkpoint that cannot be written, was changed, or holds
        another pack.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        *,
        device: torch.device | str = "cpu",
        checkpoint: Path | None = None,
        known: Collection[str] = (),
        report: Callable[[list[Progress]], None] = lambda progress: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        if len({pack_key(config) for config in configs}) != 1:
            raise InputError("these runs have different shapes and cannot be trained as one pack")
        self._device = torch.device(device)
        self._checkpoint, self._report, self._should_stop = checkpoint, report, should_stop
        if checkpoint is not None:
            prepare_checkpoint_path(checkpoint)
        self.members = [Member(config, config.task.build()) for config in configs]
        for member in self.members:
            _check_lengths(member)
        models = [initial_model(config) for config in configs]
        self.model = PackedModel(models).to(self._device)
        self._decays, self._shares = (
            row.to(self._device) for row in parameter_settings(models[0], configs[0].training)
        )
        self._state = PackState.initial(
            self.model.parameters, [config.training for config in configs]
        )
        self._words = PackWords(
            [member.task for member in self.members],
            [config.seed for config in configs],
            configs[0].training.batch_size,
            self._device,
        )
        self._steps: dict[tuple[int, int, int, int], PackStep] = {}
        self._is_stopping = False
        self._saved = self._reported = time.perf_counter()
        self._resume()
        for member in self.members:
            if member.status not in _OVER:
                is_known = member.config.run_id in known
                member.status = "elsewhere" if is_known else "training"

    def rounds(self) -> Iterator[list[int]]:
        """Train to the end.

        Yields
        ------
        list of int
            After every round the places of the runs that ended in it.

        Raises
        ------
        TrainingStoppedError
            `should_stop` said so.
        """
        over = [p for p, member in enumerate(self.members) if member.status in _OVER]
        if over:
            yield over
        while self._active():
            for places in self._groups():
                self._advance(places)
            over = self._look()
            # Runs that are known when a pack goes on are over in its checkpoint: the same steps.
            if over or time.perf_counter() - self._saved > SECONDS_BETWEEN_CHECKPOINTS:
                self.save()
            yield over

    def subset(self, places: Sequence[int]) -> PackedModel:
        """The models of some runs, as a pack of their own."""
        return self.model.subset(torch.tensor(places, device=self._device))

    def model_of(self, place: int) -> nn.Module:
        """The model of one run, on the device."""
        model = initial_model(self.members[place].config).to(self._device)
        weights = self.model.weights(place)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(weights[name])
        return model

    def _active(self) -> list[int]:
        return [p for p, member in enumerate(self.members) if member.status == "training"]

    def _groups(self) -> list[list[int]]:
        """Places of the runs that step together: at one stage, with as many steps to go."""
        groups: dict[tuple[Stage, int, int], list[int]] = {}
        for place in self._active():
            member = self.members[place]
            key = (member.stage, member.step, member.round_end())
            groups.setdefault(key, []).append(place)
        return [groups[key] for key in sorted(groups)]

    def _advance(self, places: list[int]) -> None:
        """Take one group to the end of its round."""
        members = [self.members[place] for place in places]
        stage, end = members[0].stage, members[0].round_end()
        step = self.step_of(len(places), stage)
        filled = [*places, *[places[-1]] * (step.size - len(places))]
        own = torch.tensor(places, device=self._device)
        while (count := end - members[0].step) > 0:
            if self._is_stopping or self._should_stop():
                self.save()
                raise TrainingStoppedError(
                    f"stopped at step {members[0].step} of {members[0].last_step}"
                )
            started = time.perf_counter()
            self.load(step, filled, count, stage.supervised)
            taken = step.run(
                [self.members[place].step for place in filled],
                count,
                lambda done: self._pause(members, done),
            )
            step.state.write(self._state, own)
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            seconds = (time.perf_counter() - started) / len(places)
            for member in members:
                member.step += taken
                member.tokens += taken * member.tokens_of_step
                member.seconds += seconds
            self._tell(members, 0)
            if time.perf_counter() - self._saved > SECONDS_BETWEEN_CHECKPOINTS:
                self.save()

    def probe(self, count: int) -> tuple[float, float]:
        """Take steps of the longest words and one look, to see what they cost.

        Parameters
        ----------
        count : int

        Returns
        -------
        of_steps, of_look : float
            Seconds.
        """
        places = range(len(self.members))
        stage = last_stage(self.members[0].config.training)
        step = self.step_of(len(places), stage)
        started = time.perf_counter()
        settings = self.members[0].config.training
        while count > 0:
            part = min(count, settings.select_every, settings.steps)
            self.load(step, places, part, stage.supervised)
            step.run([0] * step.size, part, lambda done: False)
            count -= part
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        stepped = time.perf_counter()
        self._select(list(places))
        return stepped - started, time.perf_counter() - stepped

    def load(self, step: PackStep, places: Sequence[int], count: int, supervised: int) -> None:
        """Hand runs over to a step, with the learning rates of their next `count` steps."""
        rates = [self.members[place].rates(count) for place in places]
        step.load(self._state, self.model, places, rates, supervised)

    def _pause(self, members: Sequence[Member], done: int) -> bool:
        now = time.perf_counter()
        if now - self._reported > SECONDS_BETWEEN_REPORTS:
            self._tell(members, done)
        self._is_stopping = self._should_stop()
        return self._is_stopping or now - self._saved > SECONDS_BETWEEN_CHECKPOINTS

    def _tell(self, members: Sequence[Member], done: int) -> None:
        self._reported = time.perf_counter()
        self._report([member.progress(done) for member in members])

    def step_of(self, size: int, stage: Stage) -> PackStep:
        """The step of so many runs at a stage, made once; on a GPU with room for a few more."""
        if self._device.type == "cuda":
            size = _bucket(size, len(self.members))
        key = (size, stage.length, stage.shortest, stage.most_words)
        if key not in self._steps:
            while len(self._steps) >= MAX_STEPS_KEPT:
                del self._steps[next(iter(self._steps))]
            self._steps[key] = PackStep(
                self.subset([0] * size),
                self._state.empty(size),
                self._words.at_stage(size, stage),
                self._decays,
                self._shares,
                stage,
                self.members[0].config.training,
            )
        return self._steps[key]

    def _look(self) -> list[int]:
        """Record the round of every run under way; places of those that are over now."""
        started = time.perf_counter()
        active = self._active()
        losses = self._state.losses.tolist()
        over = [place for place in active if not math.isfinite(losses[place])]
        for place in over:
            member = self.members[place]
            member.status = "failed"
            member.reason = (
                f"loss is {losses[place]} at step {member.step}; try a lower learning rate"
            )
        active = self._active()
        for place, score in zip(active, self._select(active), strict=True):
            member = self.members[place]
            settings = member.config.training
            member.history.append(member.row(losses[place], score))
            is_solved = score.whole_prefix_accuracy >= SOLVED and not member.task.is_language_model
            if member.solved_seconds is None and is_solved:
                member.solved_seconds = sum(one.seconds for one in self.members)
            is_over = STOP_RULES.build(settings.stop).is_over(member.history)
            if is_over or member.step >= member.last_step:
                member.status = "finished"
                over.append(place)
            member.seconds += (time.perf_counter() - started) / len(active)
        return over

    def _select(self, places: list[int]) -> list[SelectionScore]:
        """Scores of some runs on their selection words, at the training length."""
        if not places:
            return []
        members = [self.members[place] for place in places]
        settings = members[0].config.training
        return select_pack(
            self.subset(places),
            [member.task for member in members],
            [member.config.seed for member in members],
            length=settings.length,
            num_words=settings.select_words,
            device=self._device,
        )

    def save(self) -> None:
        """Keep everything to go on from, where there is a checkpoint file."""
        self._saved = time.perf_counter()
        if self._checkpoint is None:
            return
        tensors = {
            f"{kind}.{name}": part
            for kind, rows in self._kept_rows().items()
            for name, part in self.model.views(rows).items()
        }
        tensors |= {"losses": self._state.losses}
        description = {
            "pack": [member.description() for member in self.members],
            "config": self.members[0].config.model_dump(mode="json"),
            "num_tokens": self.members[0].task.num_tokens,
            "num_classes": self.members[0].task.num_classes,
        }
        save_tensors(self._checkpoint, tensors, description)
        self._saved = time.perf_counter()

    def _kept_rows(self) -> dict[str, Tensor]:
        """The buffers [P, n] that a checkpoint keeps."""
        state = self._state
        return {
            "model": state.parameters,
            **{f"optimizer.{name}": one for name, one in state.slots.items()},
        }

    def _resume(self) -> None:
        """Go on from the checkpoint of this pack where there is one."""
        path = self._checkpoint
        if path is None or not path.exists():
            return
        tensors, description = load_tensors(path)
        kept = kept_pack(path, description) if holds_pack(description) else []
        own = [member.config.run_id for member in self.members]
        if [run.run_id for run in kept] != own:
            raise InputError(f"checkpoint {path} holds another run; choose another file")
        parts = {
            f"{kind}.{name}": view
            for kind, into in self._kept_rows().items()
            for name, view in self.model.views(into).items()
        } | {"losses": self._state.losses}
        for name, part in parts.items():
            found = tensors.get(name)
            if found is None or (found.shape, found.dtype) != (part.shape, part.dtype):
                raise InputError(f"checkpoint {path} holds another model: {name} is not as here")
            part.copy_(found)
        for member, run in zip(self.members, kept, strict=True):
            member.step, member.seconds = run.step, run.seconds
            member.history, member.status = run.rows(), run.status
            member.reason, member.solved_seconds = run.reason, run.solved_seconds
            done = member.history[-1]["step"] if member.history else 0
            if member.status == "training" and not done <= member.step <= member.round_end():
                raise InputError(
                    f"checkpoint {path}: run {member.run_id} is at step {member.step}, outside of "
                    f"the round that follows step {done} of its history; remove the file"
                )
        steps = torch.tensor([member.step for member in self.members])
        self._state.steps.copy_(steps)


_OVER = ("finished", "failed")


def _check_lengths(member: Member) -> None:
    """Refuse words that a task does not have before anything is trained."""
    config, task = member.config, member.task
    for split in ("train", "selection"):
        task.check_length(config.training.length, split)
    task.check_length(config.evaluation.max_length, "report")


def solved_step(history: History) -> int | None:
    """First recorded step with whole-prefix accuracy >= .99 on the selection words."""
    for row in history:
        if row["selection_whole_prefix"] >= SOLVED:
            return int(row["step"])
    return None


def initial_model(config: RunConfig) -> nn.Module:
    """Fresh model; its weights depend on the seed alone, torch's global generator is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        return config.model.build(config.task.build())


def _bucket(size: int, largest: int) -> int:
    """The smallest of largest, half of it, a quarter, ... that is at least `size`."""
    bucket = largest
    while -(-bucket // 2) >= size and bucket > 1:
        bucket = -(-bucket // 2)
    return bucket
