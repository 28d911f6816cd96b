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
TILE = tl.constexpr(32)


@triton.jit
def _join_halves(parts):
    joined = ()
    for i in tl.static_range(len(parts) // 2):
        joined = joined + (tl.join(parts[i], parts[i + len(parts) // 2]),)
    return joined


@triton.jit
def _join_columns(columns):
    """TILE vectors [LANES] as one tile [LANES, TILE]."""
    parts = _join_halves(_join_halves(_join_halves(_join_halves(_join_halves(columns)))))
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
    parts = (tl.reshape(tile, (LANES, 2, 2, 2, 2, 2)),)
    return _split_last(_split_last(_split_last(_split_last(_split_last(parts)))))


@triton.jit
def _in_range(values, count):
    """As int32; -1 where not 0 <= value < count."""
    if values.dtype == tl.uint8:
        values = values.to(tl.int32)
    return tl.where((values >= 0) & (values < count), values, -1).to(tl.int32)


@triton.jit
def _each_or_all(values, place, value_of_all):
    """What `values` holds, or one value for every lane where it is None."""
    if values is None:
        result = value_of_all + tl.zeros((LANES,), tl.int32)
    else:
        result = tl.load(values + place)
    return result


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
def _rounded(value, ALIGNED: tl.constexpr):
    """A multiple of TILE, which it is already, in a form that tells the compiler so."""
    return value // TILE * TILE if ALIGNED else value


@triton.jit
def _lanes(num_lanes):
    """Lanes of this program; beyond the last one the last again, so that no mask is needed."""
    lane = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    return tl.minimum(lane, num_lanes - 1)


@triton.jit
def _tile_mask(steps, time, CUT: tl.constexpr, ALIGNED: tl.constexpr):
    """Where a tile lies inside its words; with ALIGNED it does so wholly or not at all."""
    if ALIGNED:
        mask = (time < steps)[:, None] if CUT else tl.full((1, 1), 1, tl.int1)
    else:
        column = tl.arange(0, TILE)[None, :]
        mask = time + column < (steps[:, None] if CUT else steps)
    return mask


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
    CUT: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """Run pieces of words from given states, or (IMAGES) from every state.

    A lane is (word, chunk), with IMAGES (word, chunk, start state) and only `final` is written.
    """
    lane = _lanes(num_lanes)
    word = lane
    if IMAGES:
        word = lane // num_states
        state = (lane - word * num_states).to(tl.int32)
    else:
        state = _in_range(_each_or_all(initial, lane, start), num_states)
    steps = length
    begin = tl.zeros((LANES,), tl.int64)
    if CUT:
        piece = word
        word = piece // num_chunks
        begin = _rounded((piece - word * num_chunks) * chunk_length, ALIGNED)
        steps = tl.minimum(length - begin, chunk_length).to(tl.int32)
    steps = _rounded(steps, ALIGNED)
    column = tl.arange(0, TILE)[None, :]
    sources = (word * _rounded(tl.cast(word_stride, tl.int64), ALIGNED) + begin)[:, None] + column
    places = (word * _rounded(tl.cast(length, tl.int64), ALIGNED) + begin)[:, None] + column
    for time in range(0, chunk_length, TILE):
        mask = _tile_mask(steps, time, CUT, ALIGNED)
        letters = _in_range(tl.load(words + sources + time, mask=mask, other=0), num_symbols)
        letters = _split_columns(letters)
        columns = ()
        for i in tl.static_range(TILE):
            following = _step(transitions, state, letters[i], num_states, num_symbols)
            if CUT or not ALIGNED:
                following = tl.where(time + i < steps, following, state)
            state = following
            columns = columns + (state,)
        if not IMAGES:
            _store_states(_join_columns(columns), outputs, written, places + time, mask, FILL)
    tl.store(final + lane, state.to(final.dtype.element_ty))


@triton.jit(
    do_not_specialize=["num_lanes", "length", "group_length", "num_groups", "num_states", "start"],
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
    lane = _lanes(num_lanes)
    if IMAGES:
        piece = lane // num_states
        state = (lane - piece * num_states).to(tl.int32)
    else:
        piece = lane
        state = _in_range(_each_or_all(initial, lane, start), num_states)
    word = piece // num_groups
    begin = (piece - word * num_groups) * group_length
    steps = tl.minimum(length - begin, group_length)
    cell = word * length + begin
    for time in range(0, group_length):
        inside = time < steps
        if not IMAGES:
            tl.store(before + cell + time, state, mask=inside)
        image = tl.load(
            maps + (cell + time) * num_states + state, mask=inside & (state >= 0), other=-1
        )
        state = tl.where(inside, image, state)
    if IMAGES:
        tl.store(final + lane, state)


@triton.jit
def _long_words(item_low, item_high, first_block, key_low, key_high, num_symbols):
    """Letters [LANES, TILE] of consecutive blocks, drawn as one tile: few operations to compile."""
    blocks = ()
    for i in tl.static_range(TILE // 4):
        blocks = blocks + (first_block + i,)
    blocks = _join_halves(_join_halves(_join_halves(blocks)))
    blocks = tl.reshape(blocks[0], (LANES, TILE // 4))
    none = tl.zeros((LANES, TILE // 4), tl.uint32)
    random = tl.philox_impl(
        item_low[:, None] + none,
        item_high[:, None] + none,
        blocks.to(tl.uint32),
        (blocks >> 32).to(tl.uint32),
        key_low[:, None] + none,
        key_high[:, None] + none,
    )
    words = tl.join(tl.join(random[0], random[2]), tl.join(random[1], random[3]))
    count = num_symbols.to(tl.uint32)
    letters = tl.umulhi(words, tl.zeros((LANES, TILE // 4, 2, 2), tl.uint32) + count)
    return tl.reshape(letters.to(tl.int32), (LANES, TILE))


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
        "first_block",
        "start",
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
    first_block,
    start,
    FILL: tl.constexpr,
    CUT: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """Draw uniform words and, where there is an automaton, run it over them.

    A lane is (run, item, chunk); with an automaton there is one chunk. With a `portion` words are
    short, and drawn whole; else they begin at block `first_block`. `seeds`, `items` and `initial`
    hold a value for each run, or are None and the scalars hold for all.
    """
    lane = _lanes(num_lanes)
    word = lane
    begin = tl.zeros((LANES,), tl.int64)
    steps = length
    if CUT:
        word = lane // num_chunks
        begin = _rounded((lane - word * num_chunks) * chunk_length, ALIGNED)
        steps = tl.minimum(length - begin, chunk_length).to(tl.int32)
    steps = _rounded(steps, ALIGNED)
    run = word // items_per_run
    if items is None:
        first_item = (tl.cast(item_high, tl.int64) << 32) | item_low.to(tl.uint32).to(tl.int64)
        item = first_item + (word - run * items_per_run)
    else:
        item = tl.load(items + run) + (word - run * items_per_run)
    none = tl.zeros((LANES,), tl.uint32)
    key_low = _each_or_all(seeds, run, seed).to(tl.uint32)
    key_high = none + stream.to(tl.uint32)
    item_word = item.to(tl.uint32)
    item_word_high = (item >> 32).to(tl.uint32)
    state = _each_or_all(initial, run, start)
    if transitions is not None:
        state = _in_range(state, num_states)
    column = tl.arange(0, TILE)[None, :]
    places = (word * _rounded(tl.cast(length, tl.int64), ALIGNED) + begin)[:, None] + column
    for time in range(0, chunk_length, TILE):
        if portion is not None:
            block = none + length.to(tl.uint32)
            random = tl.philox_impl(item_word, item_word_high, block, none, key_low, key_high)
            choice = tl.umulhi(random[0], none + portion_size.to(tl.uint32)).to(tl.int32)
            letters = _short_word(tl.load(portion + choice), place_value, num_symbols)
            drawn = _join_columns(letters)
        else:
            block = first_block + ((begin + time) >> 2)
            drawn = _long_words(item_word, item_word_high, block, key_low, key_high, num_symbols)
        mask = _tile_mask(steps, time, CUT, ALIGNED)
        if transitions is not None:
            # Letter and state move between the arrangements of a tile as one number.
            letters = _split_columns(drawn)
            columns = ()
            for i in tl.static_range(TILE):
                state = _step(transitions, state, letters[i], num_states, num_symbols)
                columns = columns + (
                    (state.to(tl.int64) << 32) | letters[i].to(tl.uint32).to(tl.int64),
                )
            pairs = _join_columns(columns)
            drawn = pairs.to(tl.int32)
            reached = (pairs >> 32).to(tl.int32)
            if states is not None:
                _store_states(reached, None, states, places + time, mask, FILL)
            if outputs is not None:
                _store_states(reached, outputs, labels, places + time, mask, FILL)
        tl.store(tokens + places + time, drawn.to(tokens.dtype.element_ty), mask=mask)
