"""Triton kernels of the optimiser: one pass over the flat buffers [P, n] of a pack."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["num_parts", "tiles"])
def sum_squares(
    gradient_pointer,
    partial_pointer,
    size,
    num_parts: tl.int32,
    tiles: tl.int32,
    BLOCK: tl.constexpr,
    STATE: tl.constexpr,
):
    """Sum of squares of one part of a run: [P, parts]."""
    run = (tl.program_id(0) // num_parts).to(tl.int64)
    part = tl.program_id(0) % num_parts
    sums = tl.zeros([BLOCK], STATE)
    for tile in range(tiles):
        at = (part * tiles + tile) * BLOCK + tl.arange(0, BLOCK)
        value = tl.load(gradient_pointer + run * size + at, mask=at < size, other=0.0)
        sums += value * value
    tl.store(partial_pointer + tl.program_id(0), tl.sum(sums, 0))


@triton.jit(do_not_specialize=["num_parts"])
def clip_finish(
    partial_pointer,
    clip_norm_pointer,
    factor_pointer,
    num_parts: tl.int32,
    BLOCK: tl.constexpr,
    STATE: tl.constexpr,
):
    """Factor of one run; NaN stays NaN."""
    run = tl.program_id(0).to(tl.int64)
    part = tl.arange(0, BLOCK)
    squares = tl.load(partial_pointer + run * num_parts + part, mask=part < num_parts, other=0.0)
    norm = tl.sqrt(tl.sum(squares, 0))
    factor = tl.load(clip_norm_pointer + run).to(STATE) / (norm + 1e-6)
    tl.store(factor_pointer + run, tl.where(factor > 1.0, 1.0, factor))


@triton.jit
def adamw(
    parameter_pointer,
    gradient_pointer,
    first_pointer,
    second_pointer,
    learning_rate_pointer,
    weight_decay_pointer,
    beta1_pointer,
    beta2_pointer,
    eps_pointer,
    clip_pointer,
    step_pointer,
    share_pointer,
    decays_pointer,
    size,
    BLOCK: tl.constexpr,
    STATE: tl.constexpr,
):
    """One update of a block of one run; what depends on the run alone is computed in float64."""
    run = tl.program_id(1).to(tl.int64)
    step = tl.load(step_pointer + run)
    if step > 0:
        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        mask = at < size
        place = run * size + at
        rate = tl.load(learning_rate_pointer + run).to(tl.float64)
        decay = tl.load(weight_decay_pointer + run).to(tl.float64)
        beta1 = tl.load(beta1_pointer + run).to(tl.float64)
        beta2 = tl.load(beta2_pointer + run).to(tl.float64)
        steps = step.to(tl.float64)
        step_size = (rate / (1.0 - tl.exp(steps * tl.log(beta1)))).to(STATE)
        inverse_root = (1.0 / tl.sqrt(1.0 - tl.exp(steps * tl.log(beta2)))).to(STATE)
        shrink = (rate * decay).to(STATE)
        eps = tl.load(eps_pointer + run).to(STATE)
        gradient = tl.load(gradient_pointer + place, mask=mask, other=0.0)
        gradient = gradient * tl.load(clip_pointer + run).to(STATE)
        first = tl.load(first_pointer + place, mask=mask, other=0.0)
        second = tl.load(second_pointer + place, mask=mask, other=0.0)
        share = tl.load(share_pointer + at, mask=mask, other=0.0).to(STATE)
        decays = tl.load(decays_pointer + at, mask=mask, other=0).to(STATE)
        parameter = tl.load(parameter_pointer + place, mask=mask, other=0.0)
        first += (1.0 - beta1).to(STATE) * (gradient - first)
        second = beta2.to(STATE) * second + (1.0 - beta2).to(STATE) * gradient * gradient
        parameter -= shrink * share * decays * parameter
        parameter -= step_size * share * (first / (tl.sqrt(second) * inverse_root + eps))
        tl.store(first_pointer + place, first, mask=mask)
        tl.store(second_pointer + place, second, mask=mask)
        tl.store(parameter_pointer + place, parameter, mask=mask)
