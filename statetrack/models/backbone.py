"""Embedding, blocks of recurrence and MLP, head: the same network around every recurrence.

Letters: B words, T tokens, D width, H heads, N state size of a head, C classes.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from automata.errors import InputError
from statetrack.layers import add_rms_norm, embedding, rms_norm
from statetrack.layers.backends import output_dtype
from statetrack.models.config import BackboneConfig
from statetrack.models.modules import MLP, Projection, RMSNorm, ShortConvolution

State = tuple[Tensor, ...]


class Mixer(Protocol):
    """What a recurrence layer offers."""

    def __call__(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the state after the last token."""
        ...

    def initial_state(self, batch_size: int) -> State:
        """State before the first token, [B, ...] each."""
        ...

    def transitions(self, x_BTD: Tensor) -> Tensor | None:
        """Row-form transition matrices [B, T, H, N, N], or None when there are none."""
        ...


class Letters(NamedTuple):
    """The residual stream where it begins: a row of the table for every letter.

    Rows are normalised in the table, once a letter and not once a token; the whole table each time.

    Attributes
    ----------
    tokens : Tensor of int64, [B, T]
    table : Tensor, [A, D]
    """

    tokens: Tensor
    table: Tensor

    def normalised(self, norm: RMSNorm) -> tuple[Tensor, Tensor]:
        """The rows, and the rows normalised, [B, T, D] each."""
        table = rms_norm(self.table, norm.scale, dtype=self.table.dtype)
        return embedding(self.tokens, self.table), embedding(
            self.tokens, table, dtype=output_dtype(table)
        )


class Sum(NamedTuple):
    """The residual stream, with what is still to be added to it.

    The sum is taken together with the norm that follows, in one pass over memory.

    Attributes
    ----------
    x, added : Tensor, [B, T, D]
    """

    x: Tensor
    added: Tensor

    def normalised(self, norm: RMSNorm) -> tuple[Tensor, Tensor]:
        """The sum, and the sum normalised, [B, T, D] each."""
        return add_rms_norm(self.x, self.added, norm.scale)


Stream = Letters | Sum


class Block(nn.Module):
    """Normalise, mix over time, add; normalise, MLP, add.

    Parameters
    ----------
    mixer : nn.Module
        A `Mixer`.
    config : BackboneConfig
    """

    def __init__(self, mixer: nn.Module, config: BackboneConfig) -> None:
        super().__init__()
        self.mixer_norm = RMSNorm(config.width)
        size = config.short_convolution
        self.convolution = ShortConvolution(config.width, size) if size > 0 else None
        self.mixer = mixer
        self.mlp_norm = RMSNorm(config.width)
        self.mlp = MLP(config.width, config.mlp_ratio * config.width)

    def forward(self, stream: Stream, state: State) -> tuple[Sum, State]:
        """Run the block from a state."""
        x_BTD, seen_BTD, *past = self.mixer_input(stream, state)
        mixed_BTD, state = self.mixer(seen_BTD, state[len(past) :])
        x_BTD, normalised_BTD = add_rms_norm(x_BTD, mixed_BTD, self.mlp_norm.scale)
        return Sum(x_BTD, self.mlp(normalised_BTD)), (*past, *state)

    def mixer_input(self, stream: Stream, state: State) -> tuple[Tensor, ...]:
        """The stream, what the mixer gets, and the convolution's state where there is one."""
        x_BTD, seen_BTD = stream.normalised(self.mixer_norm)
        if self.convolution is None:
            return x_BTD, seen_BTD
        return x_BTD, *self.convolution(seen_BTD, state[0])

    def initial_state(self, batch_size: int) -> State:
        """State before the first token: the convolution's, then the mixer's."""
        past = () if self.convolution is None else (self.convolution.initial_state(batch_size),)
        return (*past, *self.mixer.initial_state(batch_size))  # type: ignore[operator]


class Backbone(nn.Module):
    """A sequence model: tokens to logits at every position.

    Parameters
    ----------
    config : BackboneConfig
        Sizes.
    num_tokens, num_classes : int
        Input and output alphabets.
    build_mixer : callable
        ``build_mixer() -> nn.Module``, called once per layer.
    """

    def __init__(
        self,
        config: BackboneConfig,
        num_tokens: int,
        num_classes: int,
        build_mixer: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        for name, value in (("num_tokens", num_tokens), ("num_classes", num_classes)):
            if value < 1:
                raise InputError(f"{name} = {value}: expected a whole number >= 1")
        self.embedding = nn.Embedding(num_tokens, config.width)
        self.blocks = nn.ModuleList(Block(build_mixer(), config) for _ in range(config.num_layers))
        self.norm = RMSNorm(config.width)
        self.head = Projection(config.width, num_classes, widens=False)

    def forward(
        self, tokens_BT: Tensor, state: Sequence[State] | None = None
    ) -> tuple[Tensor, list[State]]:
        """Logits at every position and the state after the last token.

        Parameters
        ----------
        tokens_BT : Tensor of int64, [B, T]
        state : list of tuples of Tensor, optional
            What an earlier call returned; the model's own initial state by default.

        Returns
        -------
        logits_BTC : Tensor, [B, T, C]
        state : list of tuples of Tensor
            One entry a layer; carrying it over gives the same numbers as one longer word.

        Raises
        ------
        InputError
            Tokens outside the alphabet or not [B, T].
        """
        self._check_tokens(tokens_BT)
        states = self.initial_state(tokens_BT.shape[0]) if state is None else state
        stream: Stream = Letters(tokens_BT, self.embedding.weight)
        after: list[State] = []
        for block, before in zip(self.blocks, states, strict=True):
            stream, end = block(stream, before)
            after.append(end)
        _, normalised_BTD = stream.normalised(self.norm)
        return self.head(normalised_BTD), after

    def step(self, token_B: Tensor, state: Sequence[State]) -> tuple[Tensor, list[State]]:
        """Read one more token: logits [B, C] and the next state."""
        logits_BTC, after = self(token_B.unsqueeze(-1), state)
        return logits_BTC.squeeze(-2), after

    def initial_state(self, batch_size: int) -> list[State]:
        """State before the first token, for `batch_size` words."""
        return [block.initial_state(batch_size) for block in self.blocks]  # type: ignore[operator]

    @property
    def state_size(self) -> int:
        """Real numbers carried from token to token for one word, counted in the state itself.

        Where the state grows with the word, such as a cache of keys, it is that of no word.
        """
        return sum(
            tensor[0].numel() * (2 if tensor.is_complex() else 1)
            for layer in self.initial_state(1)
            for tensor in layer
        )

    @property
    def scale_free_state(self) -> bool:
        """Whether states that differ by a positive factor are one and the same to the readout.

        Transition matrices then carry meaning up to such factors only.
        """
        return any(getattr(block.mixer, "scale_free_state", False) for block in self.blocks)

    def transitions(self, tokens_BT: Tensor) -> list[Tensor | None]:
        """Transition matrices that every layer applies at every token.

        Parameters
        ----------
        tokens_BT : Tensor of int64, [B, T]

        Returns
        -------
        list of Tensor [B, T, H, N, N], or None
            In row form: words act left to right, ``M[pq] = M[p] @ M[q]``; real or complex. None for
            a layer that is not linear in its state.
        """
        self._check_tokens(tokens_BT)
        stream: Stream = Letters(tokens_BT, self.embedding.weight)
        found: list[Tensor | None] = []
        for block, before in zip(self.blocks, self.initial_state(tokens_BT.shape[0]), strict=True):
            _, seen_BTD, *_ = block.mixer_input(stream, before)  # type: ignore[operator]
            found.append(block.mixer.transitions(seen_BTD))  # type: ignore[operator, union-attr]
            stream, _ = block(stream, before)
        return found

    def _check_tokens(self, tokens_BT: Tensor) -> None:
        if tokens_BT.dim() != 2 or tokens_BT.dtype != torch.int64:
            raise InputError(
                f"tokens have shape {tuple(tokens_BT.shape)} and type {tokens_BT.dtype}, "
                "expected int64 [batch, time]"
            )


def split_heads(x_BTE: Tensor, num_heads: int) -> Tensor:
    """View [B, T, H * E] as [B, H, T, E] without a copy."""
    return x_BTE.unflatten(-1, (num_heads, -1)).transpose(-2, -3)


def merge_heads(x_BHTE: Tensor) -> Tensor:
    """Put [B, H, T, E] back to [B, T, H * E]."""
    return x_BHTE.transpose(-2, -3).flatten(-2)


def expand_state(parameter: Tensor, batch_size: int) -> Tensor:
    """One learned state for every word of a batch, [B, ...]."""
    return parameter.unsqueeze(0).expand(batch_size, *parameter.shape)
