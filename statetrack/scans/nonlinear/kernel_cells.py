"""One step of every cell inside a kernel, and its adjoint.

`CELL` is the code of `cells.CELLS`. What is kept of a step, beside the state before it, is as many
tensors as `Cell.num_kept`: rnn h; gru r, z, n, u_n; lstm i, f, g, o; slstm tanh(z), i, f,
sigmoid(o) with i and f before their nonlinearity.
"""

import triton
import triton.language as tl

RNN = tl.constexpr(0)
GRU = tl.constexpr(1)
LSTM = tl.constexpr(2)
SLSTM = tl.constexpr(3)
SLSTM_EXPONENTIAL = tl.constexpr(4)
RESET = tl.constexpr(0)  # places of what is kept of a GRU, and of its gates
NEW = tl.constexpr(2)


# As the plain forms, without what denormal numbers need: 1 / (1 + exp(-x)), 1 - 2 / (1 + exp(2 x)).
SIGMOID = tl.constexpr(
    """{
    .reg .f32 s;
    mul.rn.f32 s, $1, 0fBFB8AA3B;
    ex2.approx.ftz.f32 s, s;
    add.rn.f32 s, s, 0f3F800000;
    rcp.approx.ftz.f32 $0, s;
    }"""
)
TANH = tl.constexpr(
    """{
    .reg .f32 s;
    mul.rn.f32 s, $1, 0f4038AA3B;
    ex2.approx.ftz.f32 s, s;
    add.rn.f32 s, s, 0f3F800000;
    rcp.approx.ftz.f32 s, s;
    fma.rn.f32 $0, s, 0fC0000000, 0f3F800000;
    }"""
)


@triton.jit
def tanh(x, QUICK: tl.constexpr):
    """By exponentials; by its series near zero, where they cancel."""
    if QUICK:
        far = tl.inline_asm_elementwise(TANH, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)
    else:
        shrunk = tl.exp(-2.0 * tl.abs(x))
        far = (1.0 - shrunk) / (1.0 + shrunk)
        far = tl.where(x < 0, -far, far)
    square = x * x
    series = -1382.0 / 155925.0 + square * (21844.0 / 6081075.0)
    series = 62.0 / 2835.0 + square * series
    series = -17.0 / 315.0 + square * series
    series = 2.0 / 15.0 + square * series
    series = 1.0 + square * (-1.0 / 3.0 + square * series)
    return tl.where(square < 0.0625, x * series, far)


@triton.jit
def sigmoid(x, QUICK: tl.constexpr):
    """Logistic function, by an exponential that cannot overflow or whose reciprocal is zero."""
    if QUICK:
        return tl.inline_asm_elementwise(
            SIGMOID, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    else:
        shrunk = tl.exp(-tl.abs(x))
        return tl.where(x < 0, shrunk, 1.0) / (1.0 + shrunk)


@triton.jit
def log_sigmoid(x):
    """Logarithm of the logistic function."""
    return tl.minimum(x, 0.0) - tl.log(1.0 + tl.exp(-tl.abs(x)))


@triton.jit
def stabilised(i, f, normaliser, stabiliser, CELL: tl.constexpr):
    """Of an sLSTM step: whether it is the first, kept, the stabiliser after, enter, keep."""
    log_forget = f if CELL == SLSTM_EXPONENTIAL else log_sigmoid(f)
    kept = log_forget + stabiliser
    first = normaliser == 0
    # Written with `where`, which passes on what is not a number in the interpreter as well.
    larger = tl.where(kept > i, kept, tl.where(i >= kept, i, kept + i))
    after = tl.where(first, i, larger)
    enter = tl.exp(i - after)
    keep = tl.exp(tl.where(first, i, kept) - after)
    return first, kept, after, enter, keep


@triton.jit
def advance(x, u, state, CELL: tl.constexpr, QUICK: tl.constexpr):
    """The state after a token, and what is kept of the step."""
    if CELL == RNN:
        hidden = tanh(x[0] + u[0], QUICK)
        after = (hidden,)
        kept = (hidden,)
    elif CELL == GRU:
        reset = sigmoid(x[0] + u[0], QUICK)
        update = sigmoid(x[1] + u[1], QUICK)
        new = tanh(x[2] + reset * u[2], QUICK)
        after = ((1.0 - update) * new + update * state[0],)
        kept = (reset, update, new, u[2])
    elif CELL == LSTM:
        i = sigmoid(x[0] + u[0], QUICK)
        f = sigmoid(x[1] + u[1], QUICK)
        g = tanh(x[2] + u[2], QUICK)
        o = sigmoid(x[3] + u[3], QUICK)
        cell = f * state[1] + i * g
        after = (o * tanh(cell, QUICK), cell)
        kept = (i, f, g, o)
    else:
        z = tanh(x[0] + u[0], QUICK)
        i = x[1] + u[1]
        f = x[2] + u[2]
        o = sigmoid(x[3] + u[3], QUICK)
        _first, _kept, stabiliser, enter, keep = stabilised(i, f, state[2], state[3], CELL)
        cell = keep * state[1] + enter * z
        normaliser = keep * state[2] + enter
        after = (o * cell / normaliser, cell, normaliser, stabiliser)
        kept = (z, i, f, o)
    return after, kept


@triton.jit
def step_back(kept, before, grads, CELL: tl.constexpr, QUICK: tl.constexpr):
    """Gradients of what the token brought to every gate, and of the state before.

    The state before gets what does not go through ``u``; the gradient of u is that of x, times the
    reset gate for the last gate of a GRU.

    Parameters
    ----------
    kept, before : tuple
        Of the step.
    grads : tuple
        Gradients of the parts of the state after.
    """
    if CELL == RNN:
        hidden = kept[0]
        d_x = (grads[0] * (1.0 - hidden * hidden),)
        d_before = (tl.zeros_like(hidden),)
    elif CELL == GRU:
        reset, update, new, u = kept
        d_new = grads[0] * (1.0 - update) * (1.0 - new * new)
        d_update = grads[0] * (before[0] - new) * update * (1.0 - update)
        d_reset = d_new * u * reset * (1.0 - reset)
        d_x = (d_reset, d_update, d_new)
        d_before = (grads[0] * update,)
    elif CELL == LSTM:
        i, f, g, o = kept
        seen = tanh(f * before[1] + i * g, QUICK)
        d_cell = grads[1] + grads[0] * o * (1.0 - seen * seen)
        d_x = (
            d_cell * g * i * (1.0 - i),
            d_cell * before[1] * f * (1.0 - f),
            d_cell * i * (1.0 - g * g),
            grads[0] * seen * o * (1.0 - o),
        )
        d_before = (tl.zeros_like(o), d_cell * f)
    else:
        z, i, f, o = kept
        first, kept_log, _after, enter, keep = stabilised(i, f, before[2], before[3], CELL)
        cell = keep * before[1] + enter * z
        normaliser = keep * before[2] + enter
        ratio = cell / normaliser
        d_cell = grads[1] + grads[0] * o / normaliser
        d_normaliser = grads[2] - grads[0] * o * ratio / normaliser
        d_enter = (d_cell * z + d_normaliser) * enter
        d_keep = (d_cell * before[1] + d_normaliser * before[2]) * keep
        d_after = grads[3] - d_enter - d_keep
        # Of a maximum of two equal numbers each gets half.
        share = tl.where(kept_log > i, 1.0, tl.where(kept_log == i, 0.5, 0.0))
        share = tl.where(first, 0.0, share)
        d_kept = tl.where(first, 0.0, d_keep) + d_after * share
        d_i = d_enter + tl.where(first, d_keep, 0.0) + d_after * (1.0 - share)
        d_f = d_kept if CELL == SLSTM_EXPONENTIAL else d_kept * sigmoid(-f, QUICK)
        d_x = (d_cell * enter * (1.0 - z * z), d_i, d_f, grads[0] * ratio * o * (1.0 - o))
        d_before = (tl.zeros_like(o), d_cell * keep, d_normaliser * keep, d_kept)
    return d_x, d_before
