"""Automata over words, read or drawn, on a GPU.

A lane runs one piece of one word: `LANES` of them step together through tiles of `TILE` letters.
Inside a tile a lane owns its letters; in memory neighbouring lanes share the 128-byte lines of a
word, and the compiler moves a tile between the two arrangements once.

State -1 stands for all that comes after a symbol, a state or a table entry out of range, so that no
address outside a table is ever formed.
"""

import triton
import triton.language as tl

LANES = tl.constexpr(32)
TILE = tl.constexpr(16)


@triton.jit
def _join_halves(parts):
    joined = ()
    for i in tl.static_range(len(parts) // 2):
        joined = joined + (tl.join(parts[i], parts[i + len(parts) // 2]),)
    return joined


@triton.jit
def _join_columns(columns):
    """TILE vectors [LANES] as one tile [LANES, TILE]."""
    parts = _join_halves(_join_halves(_join_halves(_join_halves(columns))))
    return tl.reshape(parts[0], (LANES, TILE))


@triton.jit
def _split_last(parts):
    firsts = ()
    seconds = ()
    for i in tl.static_range(len(parts)):
        first, second = tl.split(parts[i])
        firsts = firsts + (first,)
        seconds = seconds + (second,)
    return firsts + seconds


@triton.jit
def _split_columns(tile):
    """The TILE vectors [LANES] of a tile [LANES, TILE]."""
    parts = (tl.reshape(tile, (LANES, 2, 2, 2, 2)),)
    return _split_last(_split_last(_split_last(_split_last(parts))))


@triton.jit
def _in_range(values, count):
    """As int32; -1 where not 0 <= value < count."""
    return tl.where((values >= 0) & (values < count), values, -1).to(tl.int32)


@triton.jit
def _step(transitions, state, letter, num_states, num_symbols):
    """The next state; -1 after a state or letter -1, or where the table points outside."""
    is_valid = (state | letter) >= 0
    following = tl.load(transitions + (state * num_symbols + letter), mask=is_valid, other=-1)
    following = following.to(tl.int32)
    return tl.where(following.to(tl.uint32) < num_states.to(tl.uint32), following, -1)


@triton.jit
def _store_states(states_tile, outputs, written, places, mask, FILL: tl.constexpr):
    """Write states, or what `outputs` holds for them, FILL for the state -1."""
    if outputs is None:
        tl.store(written + places, states_tile.to(written.dtype.element_ty), mask=mask)
    else:
        labels = tl.load(outputs + states_tile, mask=mask & (states_tile >= 0), other=FILL)
        tl.store(written + places, labels, mask=mask)


@triton.jit
def _tile_mask(live, steps, time, column, ALIGNED: tl.constexpr):
    if ALIGNED:
        return (live & (time < steps))[:, None] & (column >= 0)[None, :]
    return live[:, None] & (time + column[None, :] < steps[:, None])


@triton.jit(
    do_not_specialize=[
        "num_lanes",
        "length",
        "chunk_length",
        "num_chunks",
        "num_states",
        "num_symbols",
        "word_stride",
        "start",
    ],
    do_not_specialize_on_alignment=[
        "transitions",
        "outputs",
        "words",
        "initial",
        "written",
        "final",
    ],
)
def scan_kernel(
    transitions,
    outputs,
    words,
    initial,
    written,
    final,
    num_lanes,
    length,
    chunk_length,
    num_chunks,
    num_states,
    num_symbols,
    word_stride,
    start,
    FILL: tl.constexpr,
    IMAGES: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """Run pieces of words from given states, or (IMAGES) from every state.

    A lane is (word, chunk), with IMAGES (word, chunk, start state) and only `final` is written.
    """
    lane = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    live = lane < num_lanes
    if IMAGES:
        piece = lane // num_states
        state = (lane - piece * num_states).to(tl.int32)
    else:
        piece = lane
        if initial is None:
            first = start + tl.zeros((LANES,), tl.int32)
        else:
            first = tl.load(initial + lane, mask=live, other=0)
        state = _in_range(first, num_states)
    word = piece // num_chunks
    begin = (piece - word * num_chunks) * chunk_length
    steps = tl.minimum(length - begin, chunk_length).to(tl.int32)
    column = tl.arange(0, TILE)
    row_length = tl.cast(length, tl.int64)
    row_stride = tl.cast(word_stride, tl.int64)
    if ALIGNED:
        words = tl.multiple_of(words, 16)
        if written is not None:
            written = tl.multiple_of(written, 16)
        row_length = tl.multiple_of(row_length, TILE)
        row_stride = tl.multiple_of(row_stride, TILE)
        begin = tl.multiple_of(begin, TILE)
    sources = (word * row_stride + begin)[:, None] + column[None, :]
    places = (word * row_length + begin)[:, None] + column[None, :]
    for time in range(0, chunk_length, TILE):
        mask = _tile_mask(live, steps, time, column, ALIGNED)
        letters = _in_range(tl.load(words + sources + time, mask=mask, other=0), num_symbols)
        letters = _split_columns(letters)
        columns = ()
        for i in tl.static_range(TILE):
            following = _step(transitions, state, letters[i], num_states, num_symbols)
            state = tl.where(time + i < steps, following, state)
            columns = columns + (state,)
        if not IMAGES:
            _store_states(_join_columns(columns), outputs, written, places + time, mask, FILL)
    tl.store(final + lane, state.to(final.dtype.element_ty), mask=live)


@triton.jit(
    do_not_specialize=["num_lanes", "length", "group_length", "num_groups", "num_states", "start"],
    do_not_specialize_on_alignment=["maps", "initial", "before", "final"],
)
def chain_kernel(
    maps,
    initial,
    before,
    final,
    num_lanes,
    length,
    group_length,
    num_groups,
    num_states,
    start,
    IMAGES: tl.constexpr,
):
    """Follow states through maps [words, length, num_states], a group of maps a lane.

    A lane is (word, group) and writes the state `before` every map, or with IMAGES
    (word, group, start state) and writes `final`, the image of that state under the whole group.
    """
    lane = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    live = lane < num_lanes
    if IMAGES:
        piece = lane // num_states
        state = (lane - piece * num_states).to(tl.int32)
    else:
        piece = lane
        if initial is None:
            first = start + tl.zeros((LANES,), tl.int32)
        else:
            first = tl.load(initial + lane, mask=live, other=0)
        state = _in_range(first, num_states)
    word = piece // num_groups
    begin = (piece - word * num_groups) * group_length
    steps = tl.minimum(length - begin, group_length)
    cell = word * length + begin
    for time in range(0, group_length):
        inside = live & (time < steps)
        if not IMAGES:
            tl.store(before + cell + time, state, mask=inside)
        image = tl.load(
            maps + (cell + time) * num_states + state, mask=inside & (state >= 0), other=-1
        )
        state = tl.where(inside, image, state)
    if IMAGES:
        tl.store(final + lane, state, mask=live)


@triton.jit
def _letters(words, num_symbols):
    """Letters of four 32-bit words."""
    count = num_symbols.to(tl.uint32)
    letters = ()
    for i in tl.static_range(4):
        letters = letters + (tl.umulhi(words[i], count).to(tl.int32),)
    return letters


@triton.jit
def _short_word(code, place_value, num_symbols):
    """The digits of a word's code, the most significant first."""
    letters = ()
    for _ in tl.static_range(TILE):
        place = tl.maximum(place_value, 1)
        letter = code // place
        letters = letters + (letter,)
        code = code - letter * place
        place_value = place_value // num_symbols
    return letters


@triton.jit(
    do_not_specialize=[
        "num_lanes",
        "items_per_run",
        "length",
        "chunk_length",
        "num_chunks",
        "num_states",
        "num_symbols",
        "portion_size",
        "place_value",
        "seed",
        "stream",
        "item_low",
        "item_high",
        "start",
    ],
    do_not_specialize_on_alignment=[
        "transitions",
        "outputs",
        "portion",
        "seeds",
        "items",
        "initial",
        "tokens",
        "states",
        "labels",
    ],
)
def draw_kernel(
    transitions,
    outputs,
    portion,
    seeds,
    items,
    initial,
    tokens,
    states,
    labels,
    num_lanes,
    items_per_run,
    length,
    chunk_length,
    num_chunks,
    num_states,
    num_symbols,
    portion_size,
    place_value,
    seed,
    stream,
    item_low,
    item_high,
    start,
    FILL: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """Draw uniform words and, where there is an automaton, run it over them.

    A lane is (run, item, chunk); with an automaton there is one chunk. With a `portion` words are
    short, and drawn whole. `seeds`, `items` and `initial` hold a value for each run, or are None
    and the scalars hold for all.
    """
    lane = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    live = lane < num_lanes
    word = lane // num_chunks
    begin = (lane - word * num_chunks) * chunk_length
    steps = tl.minimum(length - begin, chunk_length).to(tl.int32)
    run = word // items_per_run
    if items is None:
        first_item = (tl.cast(item_high, tl.int64) << 32) | item_low.to(tl.uint32).to(tl.int64)
        item = first_item + (word - run * items_per_run)
    else:
        item = tl.load(items + run, mask=live, other=0) + (word - run * items_per_run)
    none = tl.zeros((LANES,), tl.uint32)
    if seeds is None:
        key_low = none + seed.to(tl.uint32)
    else:
        key_low = tl.load(seeds + run, mask=live, other=0).to(tl.uint32)
    key_high = none + stream.to(tl.uint32)
    item_word = item.to(tl.uint32)
    item_word_high = (item >> 32).to(tl.uint32)
    if initial is None:
        state = start + tl.zeros((LANES,), tl.int32)
    else:
        state = tl.load(initial + run, mask=live, other=0)
    if transitions is not None:
        state = _in_range(state, num_states)
    column = tl.arange(0, TILE)
    row_length = tl.cast(length, tl.int64)
    if ALIGNED:
        tokens = tl.multiple_of(tokens, 16)
        if states is not None:
            states = tl.multiple_of(states, 16)
        if labels is not None:
            labels = tl.multiple_of(labels, 16)
        row_length = tl.multiple_of(row_length, TILE)
        begin = tl.multiple_of(begin, TILE)
    places = (word * row_length + begin)[:, None] + column[None, :]
    for time in range(0, chunk_length, TILE):
        if portion is not None:
            block = none + length.to(tl.uint32)
            drawn = tl.philox_impl(item_word, item_word_high, block, none, key_low, key_high)
            choice = tl.umulhi(drawn[0], none + portion_size.to(tl.uint32)).to(tl.int32)
            letters = _short_word(tl.load(portion + choice), place_value, num_symbols)
        else:
            letters = ()
            for i in tl.static_range(TILE // 4):
                block = ((begin + time) >> 2) + i
                letters = letters + _letters(
                    tl.philox_impl(
                        item_word,
                        item_word_high,
                        block.to(tl.uint32),
                        (block >> 32).to(tl.uint32),
                        key_low,
                        key_high,
                    ),
                    none + num_symbols.to(tl.uint32),
                )
        mask = _tile_mask(live, steps, time, column, ALIGNED)
        drawn_tile = _join_columns(letters)
        tl.store(tokens + places + time, drawn_tile.to(tokens.dtype.element_ty), mask=mask)
        if transitions is not None:
            columns = ()
            for i in tl.static_range(TILE):
                state = _step(transitions, state, letters[i], num_states, num_symbols)
                columns = columns + (state,)
            states_tile = _join_columns(columns)
            if states is not None:
                _store_states(states_tile, None, states, places + time, mask, FILL)
            if outputs is not None:
                _store_states(states_tile, outputs, labels, places + time, mask, FILL)
