"""Weights that are exponentials of unbounded logits, summed without overflow."""

import torch
from torch import Tensor


def stabilise(
    log_decay_T: Tensor | None, log_weight_T: Tensor, start: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Decays and weights of a recurrence that is carried divided by ``exp(m_t)``.

    ``S_t = f_t S_{t-1} + i_t x_t`` becomes ``S'_t = f'_t S'_{t-1} + i'_t x_t`` for ``S'_t =
    exp(-m_t) S_t``, with ``m_t = max(log f_t + m_{t-1}, log i_t)``, ``f'_t = exp(log f_t + m_{t-1}
    - m_t)`` and ``i'_t = exp(log i_t - m_t)``, both at most 1.

    Parameters
    ----------
    log_decay_T : Tensor, [..., T], optional
        Logarithms of f; zeros by default.
    log_weight_T : Tensor, [..., T]
        Logarithms of i.
    start : Tensor, [...]
        The stabiliser m before the first token.

    Returns
    -------
    decay_T, weight_T : Tensor, [..., T]
        f' and i'.
    stabiliser_T : Tensor, [..., T]
        The stabilisers m.

    Notes
    -----
    Source: Beck et al. 2024 (arXiv 2405.04517), equations 15 to 17. The stabilisers of all tokens
    at once are ``F_t + max(m_0, max_{s <= t}(log i_s - F_s))`` with ``F`` the cumulative sums of
    ``log f``. No readout that divides by ``exp(m_t)`` depends on their value, so rounding in them
    changes nothing but the scale, and they carry no gradient.
    """
    log_weight = log_weight_T.detach()
    if log_weight.shape[-1] == 0:
        return log_weight_T, log_weight_T, log_weight
    if log_decay_T is None:
        log_decay_T = torch.zeros_like(log_weight)
    total_T = log_decay_T.detach().cumsum(dim=-1)
    start_1 = start.detach().unsqueeze(-1)
    peaks_T = torch.cummax(torch.cat([start_1, log_weight - total_T], dim=-1), dim=-1).values
    stabiliser_T = total_T + peaks_T[..., 1:]
    before_T = torch.cat([start_1, stabiliser_T[..., :-1]], dim=-1)
    decay_T = (log_decay_T + before_T - stabiliser_T).exp()
    return decay_T, (log_weight_T - stabiliser_T).exp(), stabiliser_T
