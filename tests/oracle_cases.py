"""How a task is held to a slow answer that shares no code with it."""

import itertools

WORDS = 60


def check(task, answer, length=None, num_words=WORDS):
    """Compare with `answer(prefix)`: the class after the prefix, or None where nothing is asked."""
    length = task.law.next_length(23) if length is None else length
    batch = task.sample(11, batch_size=num_words, length=length)
    asked = 0
    for word, targets, mask in zip(batch.tokens, batch.targets, batch.mask, strict=True):
        symbols = [task.alphabet[token] for token in word]
        for end in range(1, length + 1):
            expected = answer(symbols[:end])
            assert mask[end - 1] == (expected is not None)
            if expected is not None:
                assert targets[end - 1] == expected
                asked += 1
    assert asked >= num_words


def check_recogniser(task, answer):
    check(task, lambda prefix: int(bool(answer("".join(map(str, prefix))))))
    # All short words too, members or not.
    for length in range(1, 8):
        for word in itertools.product(task.alphabet, repeat=length):
            if len(task.alphabet) ** length <= 4**6:
                expected = bool(answer("".join(map(str, word))))
                assert task.targets_of(list(word))[-1] == expected
