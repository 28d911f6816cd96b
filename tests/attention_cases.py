"""Published recurrences of the attention families as plain loops over tokens and heads.

Written from the papers' equations, not from the mixers, whose parameters they read. A loop takes a
mixer and the inputs [T, D] of one word and yields the outputs one by one.
"""

import math

import torch

WIDTH, HEADS, SIZE = 16, 4, 8


def ends(mixer):
    """Ends of the eigenvalue range."""
    _, low, span = mixer.range.coefficients.tolist()
    return low, low + span


def inputs(length):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(length, WIDTH, dtype=torch.float64, generator=generator)


def heads(linear, x):
    """Outputs of a linear layer for one token, [H, size]."""
    return linear(x).unflatten(-1, (HEADS, -1))


def normed(mixer, o):
    """RMS norm of one head's output at a time."""
    rows = [row / (row.pow(2).mean() + 1e-6).sqrt() for row in o]
    return torch.stack(rows) * mixer.norm.scale.squeeze(1)


def swish(x):
    return x / (1 + torch.exp(-x))


def turned(x, position):
    """Pairs as complex numbers, times a unit number: the rotation of RoFormer."""
    frequencies = torch.tensor(
        [10000 ** (-2 * i / SIZE) for i in range(SIZE // 2)], dtype=torch.float64
    )
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], SIZE // 2, 2).contiguous())
    return torch.view_as_real(pairs * torch.exp(1j * position * frequencies)).flatten(-2)


def linear_attention_loop(mixer, x_TD):
    s = torch.zeros(HEADS, SIZE, SIZE, dtype=torch.float64)
    z = torch.zeros(HEADS, SIZE, dtype=torch.float64)
    for x in x_TD:
        q, k = (
            torch.where(raw > 0, raw + 1, raw.exp())
            for raw in (heads(mixer.to_query, x), heads(mixer.to_key, x))
        )
        v = heads(mixer.to_value, x)
        s = s + torch.einsum("hk,hv->hkv", k, v)
        z = z + k
        o = torch.einsum("hkv,hk->hv", s, q) / (z * q).sum(-1, keepdim=True)
        yield mixer.output(o.flatten())


def retnet_loop(mixer, x_TD):
    s = mixer.start
    for t, x in enumerate(x_TD, start=1):
        q, k, v = (heads(f, x) for f in (mixer.to_query, mixer.to_key, mixer.to_value))
        k = k / math.sqrt(SIZE)
        if mixer.rotary:
            q, k = turned(q, t), turned(k, t)
        o = []
        for h in range(HEADS):
            kept = (1 - 2 ** (-5 - h)) * s[h] + torch.outer(k[h], v[h])
            s = torch.cat([s[:h], kept[None], s[h + 1 :]])
            o.append(kept.T @ q[h])
        gate = swish(mixer.to_gate(x))
        yield mixer.output(normed(mixer, torch.stack(o)).flatten() * gate)


def gla_loop(mixer, x_TD):
    s = mixer.start
    lo, hi = ends(mixer)
    for x in x_TD:
        q, k, v = (heads(f, x) for f in (mixer.to_query, mixer.to_key, mixer.to_value))
        raw = heads(mixer.to_decay[1], mixer.to_decay[0](x))
        a = lo + (hi - lo) * (1 / (1 + torch.exp(-raw))) ** (1 / mixer.temperature)
        s = a[:, :, None] * s + k[:, :, None] * v[:, None, :]
        o = (s * q[:, :, None]).sum(1) / math.sqrt(SIZE)
        yield mixer.output(normed(mixer, o).flatten() * swish(mixer.to_gate(x)))


def hgrn2_loop(mixer, x_TD):
    s = mixer.start
    (lo, hi), bound = ends(mixer), mixer.lower_bound
    for x in x_TD:
        q, v = swish(heads(mixer.to_query, x)), heads(mixer.to_value, x)
        gate = bound + (1 - bound) / (1 + torch.exp(-heads(mixer.to_forget, x)))
        f = lo + (hi - lo) * gate
        s = f[:, :, None] * s + (1 - f)[:, :, None] * v[:, None, :]
        yield mixer.output(normed(mixer, (s * q[:, :, None]).sum(1)).flatten())


def mlstm_loop(mixer, x_TD):
    """The recurrence without a stabiliser: float64 holds it while gates are moderate."""
    c = torch.zeros(HEADS, SIZE, SIZE, dtype=torch.float64)
    n = torch.zeros(HEADS, SIZE, dtype=torch.float64)
    for x in x_TD:
        q, k, v = (heads(f, x) for f in (mixer.to_query, mixer.to_key, mixer.to_value))
        k = k / math.sqrt(SIZE)
        i, f = mixer.to_input_gate(x).exp(), mixer.to_forget_gate(x)
        f = f.exp() if mixer.forget_gate == "exponential" else 1 / (1 + torch.exp(-f))
        c = f[:, None, None] * c + i[:, None, None] * v[:, :, None] * k[:, None, :]
        n = f[:, None] * n + i[:, None] * k
        size = (n * q).sum(-1).abs().clamp_min(1.0)
        h = torch.einsum("hvk,hk->hv", c, q) / size[:, None]
        gate = 1 / (1 + torch.exp(-mixer.to_output_gate(x)))
        yield mixer.output(gate * normed(mixer, h).flatten())


def softmax_average(score, values):
    weight = (score - score.max()).exp()
    return (weight[:, None] * values).sum(0) / weight.sum()


def aaren_loop(mixer, x_TD):
    for t in range(1, len(x_TD) + 1):
        k = torch.stack([heads(mixer.to_key, x) for x in x_TD[:t]])
        v = torch.stack([heads(mixer.to_value, x) for x in x_TD[:t]])
        o = [
            softmax_average(k[:, h] @ mixer.query[h] / math.sqrt(SIZE), v[:, h])
            for h in range(HEADS)
        ]
        yield mixer.output(torch.cat(o))


def transformer_loop(mixer, x_TD):
    keys, values = [], []
    for t, x in enumerate(x_TD):
        if mixer.position == "learned":
            x = x + mixer.positions[t]
        if mixer.position == "sinusoidal":
            x = x + torch.tensor(
                [
                    (math.sin, math.cos)[c % 2](t / 10000 ** (2 * (c // 2) / WIDTH))
                    for c in range(WIDTH)
                ],
                dtype=torch.float64,
            )
        q, k, v = (heads(f, x) for f in (mixer.to_query, mixer.to_key, mixer.to_value))
        keys.append(k)
        values.append(v)
        o = []
        for h in range(HEADS):
            score = []
            for s in range(t + 1):
                key = keys[s][h]
                if mixer.position == "rotary":
                    key = turned(key, s - t)
                bias = (t - s) * 2 ** (-8 * (h + 1) / HEADS) if mixer.position == "alibi" else 0
                score.append(q[h] @ key / math.sqrt(SIZE) - bias)
            o.append(softmax_average(torch.stack(score), torch.stack(values)[:, h]))
        yield mixer.output(torch.cat(o))


def mru_attention_loop(mixer, x_TD):
    """Scores from the relative product alone, made of the tokens between."""
    matrices = [
        mixer.to_matrix(heads(mixer.to_elements, x).unflatten(-1, (SIZE, SIZE))) for x in x_TD
    ]
    k = torch.stack([heads(mixer.to_key, x) for x in x_TD])
    v = torch.stack([heads(mixer.to_value, x) for x in x_TD])
    for t, x in enumerate(x_TD):
        q = heads(mixer.to_query, x)
        o = []
        for h in range(HEADS):
            relative = torch.eye(SIZE, dtype=torch.float64)
            score = []
            for s in range(t, -1, -1):
                score.append(q[h] @ relative.T @ k[s, h] / math.sqrt(SIZE))
                relative = matrices[s][h] @ relative
            o.append(softmax_average(torch.stack(score[::-1]), v[: t + 1, h]))
        yield mixer.output(torch.cat(o))


LOOPS = {
    "LinearAttentionMixer": linear_attention_loop,
    "RetNetMixer": retnet_loop,
    "GLAMixer": gla_loop,
    "HGRN2Mixer": hgrn2_loop,
    "MLSTMMixer": mlstm_loop,
    "AarenMixer": aaren_loop,
    "TransformerMixer": transformer_loop,
    "MRUAttentionMixer": mru_attention_loop,
    "FFNMixer": lambda mixer, x_TD: map(mixer.mlp, x_TD),
}
