"""The automaton recurrence by composing letters as functions on the states.

A letter is the vector of the images of all states, and ``f`` followed by ``g`` is ``g[f]``, a
gather. An odd-even reduction needs 2 log2(T) calls and about 2 T num_states gathers, so it pays for
few long words and few states.
"""

import torch
from torch import Tensor

# Images held at once, per piece of time: 32 MB of int64.
PIECE_SIZE = 2**22


def automaton_scan_parallel(
    transitions: Tensor, words: Tensor, initial: Tensor
) -> tuple[Tensor, Tensor]:
    """Same contract as `automaton_scan_reference`; memory is bounded by cutting time in pieces."""
    images = transitions.transpose(0, 1).contiguous()
    per_letter = max(1, initial.numel() * transitions.shape[0])
    piece = max(1, PIECE_SIZE // per_letter)
    state = initial
    parts = []
    for letters in words.split(piece, dim=-1):
        if letters.shape[-1]:
            parts.append(_scan(images[letters], state))
            state = parts[-1][..., -1]
    return (torch.cat(parts, dim=-1) if parts else words), state


def _scan(maps: Tensor, initial: Tensor) -> Tensor:
    """States [..., T] after each of maps [..., T, num_states], T >= 1."""
    length = maps.shape[-2]
    pairs = length // 2
    even = maps[..., 0::2, :]
    before = initial.unsqueeze(-1)
    if length > 1:
        odd = maps[..., 1::2, :]
        after_pairs = _scan(odd.gather(-1, even[..., :pairs, :]), initial)
        before = torch.cat([before, after_pairs[..., : even.shape[-2] - 1]], dim=-1)
    after_even = even.gather(-1, before.unsqueeze(-1)).squeeze(-1)
    if length == 1:
        return after_even
    states = torch.stack([after_even[..., :pairs], after_pairs], dim=-1).flatten(-2)
    return states if length % 2 == 0 else torch.cat([states, after_even[..., -1:]], dim=-1)
