"""What every model configuration has, and the registry that finds a model by name."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import nn

from automata.errors import InputError, shown, unknown_name


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Size of the network around the recurrences.

    Parameters
    ----------
    width : int
        Channels of the residual stream.
    num_layers : int
        Blocks, each one recurrence and one MLP.
    mlp_ratio : int
        Hidden channels of the MLP per channel of the stream.
    short_convolution : int
        Tokens that a causal convolution before each recurrence sees, channel by channel; 0 for
        none. It mixes over time by itself, so what a model does with it does not show what its
        recurrence can do.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    width: int = 64
    num_layers: int = 1
    mlp_ratio: int = 2
    short_convolution: int = 0

    def __post_init__(self) -> None:
        require_positive(self, "width")
        require_positive(self, "num_layers", "mlp_ratio", at_most=1024)
        if self.short_convolution != 0:
            require_positive(self, "short_convolution", at_most=1024)


def per_run(default: Any) -> Any:
    """Field of a configuration in which the runs of one pack may differ.

    It sets numbers of a model, such as initial weights or buffers, and never a shape or a branch.

    Parameters
    ----------
    default : object
        The field's default.
    """
    return field(default=default, metadata={"per_run": True})


def require_positive(config: object, *names: str, at_most: int = 2**16) -> None:
    """Raise `InputError` unless every named field is a whole number from 1 to `at_most`."""
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= at_most:
            raise InputError(
                f"{type(config).__name__}.{name} = {shown(value)}: expected a whole number >= 1 "
                f"and <= {at_most}"
            )


@dataclass(frozen=True)
class Preset:
    """A published configuration.

    Parameters
    ----------
    parameters : mapping
        Fields of the model's configuration.
    source : str
        Paper or code, and where in it.
    """

    parameters: Mapping[str, Any]
    source: str


@dataclass(frozen=True)
class ModelEntry:
    """One row of the registry.

    Parameters
    ----------
    name : str
    config_class : type
        Frozen dataclass of the model's parameters; its defaults are the model's defaults.
    build : callable
        ``build(config, num_tokens, num_classes) -> nn.Module`` with
        ``forward(tokens, state=None) -> (logits, state)``.
    semantics : int
        Raised when the same configuration gives other numbers than before.
    summary : str
        One line for listings.
    presets : mapping of str to Preset
        Published configurations by name.
    """

    name: str
    config_class: type[Any]
    build: Callable[[Any, int, int], nn.Module]
    semantics: int
    summary: str
    presets: Mapping[str, Preset] = field(default_factory=dict)

    def num_parameters(self, num_tokens: int = 2, num_classes: int = 2, **parameters: Any) -> int:
        """Trainable numbers of the model, with its defaults but for `parameters`.

        Examples
        --------
        >>> list_models()["diagonal"].num_parameters(width=8, num_channels=4)
        450
        """
        with torch.random.fork_rng(devices=[]):
            model = self.build(model_config(self.name, parameters), num_tokens, num_classes)
        return sum(one.numel() for one in model.parameters() if one.requires_grad)


_REGISTRY: dict[str, ModelEntry] = {}


def register_model(
    name: str,
    config_class: type[Any],
    build: Callable[[Any, int, int], nn.Module],
    *,
    semantics: int = 1,
    summary: str = "",
    presets: Mapping[str, Preset] | None = None,
) -> None:
    """Make a model known by name, from this package or from outside.

    Parameters
    ----------
    name : str
        New name.
    config_class : type
        Frozen dataclass with the model's parameters, all with defaults.
    build : callable
        ``build(config, num_tokens, num_classes) -> nn.Module``.
    semantics : int
        Raise it when the numbers of an unchanged configuration change.
    summary : str
        One line for listings.
    presets : mapping of str to Preset, optional
        Published configurations by name.

    Raises
    ------
    InputError
        The name is taken, `config_class` is not a dataclass, or a preset does not fit it.
    """
    if name in _REGISTRY:
        raise InputError(f"model {name!r} is registered already; choose another name")
    if not dataclasses.is_dataclass(config_class):
        raise InputError(f"model {name!r}: config_class must be a dataclass, got {config_class!r}")
    entry = ModelEntry(name, config_class, build, semantics, summary, dict(presets or {}))
    for preset in entry.presets.values():
        check_parameter_names(entry, preset.parameters)
        config_class(**preset.parameters)
    _REGISTRY[name] = entry


def list_models() -> dict[str, ModelEntry]:
    """Rows of the registry by name, sorted.

    Examples
    --------
    >>> "diagonal" in list_models()
    True
    >>> list_models()["diagonal"].summary
    'diagonal linear RNN, eigenvalues by token'
    """
    return {name: _REGISTRY[name] for name in sorted(_REGISTRY)}


def model_entry(name: str) -> ModelEntry:
    """Registry row of a model.

    Raises
    ------
    InputError
        Unknown name; the message gives the nearest one.
    """
    if name not in _REGISTRY:
        raise unknown_name("model", name, list_models())
    return _REGISTRY[name]


def model_config(name: str, parameters: Mapping[str, Any]) -> Any:
    """Configuration of model `name` with some parameters set.

    Raises
    ------
    InputError
        Unknown model or parameter (the message gives the nearest name), or a bad value.
    """
    entry = model_entry(name)
    check_parameter_names(entry, parameters)
    return entry.config_class(**parameters)


def model_label(name: str, config: Any) -> str:
    """Short name of a configured model for legends: its own `label`, else its name.

    Examples
    --------
    >>> model_label("diagonal", model_config("diagonal", {"eigenvalue_range": "[0,1]"}))
    'diagonal [0,1]'
    """
    return str(getattr(config, "label", name))


def check_parameter_names(entry: ModelEntry, names: Iterable[str]) -> None:
    """Raise `InputError` for a name that is no parameter of the model, with the nearest one."""
    known = [field.name for field in dataclasses.fields(entry.config_class)]
    for name in names:
        if name not in known:
            raise unknown_name(f"parameter of model {entry.name!r}", name, known)


def build_model(
    name: str,
    num_tokens: int,
    num_classes: int,
    *,
    preset: str | None = None,
    **parameters: Any,
) -> nn.Module:
    """Build a model with fresh random weights.

    Parameters
    ----------
    name : str
        A name of `list_models()`.
    num_tokens : int
        Size of the alphabet, padding included.
    num_classes : int
        Size of the output at every position.
    preset : str, optional
        A published configuration: one of ``list_models()[name].presets``.
    **parameters
        Fields of the model's configuration; they go before those of the preset.

    Returns
    -------
    torch.nn.Module
        ``forward(tokens [B, T], state=None) -> (logits [B, T, num_classes], state)``.

    Raises
    ------
    InputError
        Unknown model, preset or parameter (the message gives the nearest name), or a bad value.

    Examples
    --------
    >>> import torch
    >>> model = build_model("diagonal", num_tokens=2, num_classes=2, eigenvalue_range="[-1,1]")
    >>> logits, state = model(torch.tensor([[0, 1, 1]]))
    >>> tuple(logits.shape)
    (1, 3, 2)
    """
    entry = model_entry(name)
    if preset is not None:
        if preset not in entry.presets:
            raise unknown_name(f"preset of model {name!r}", preset, entry.presets)
        parameters = {**entry.presets[preset].parameters, **parameters}
    return entry.build(model_config(name, parameters), num_tokens, num_classes)
