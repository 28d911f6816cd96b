"""Words for training and testing, each set a pure function of its arguments.

=============================  ==================================================================
`uniform_letters`              independent uniform letters (`automata.letters`)
`sample_words`                 exactly uniform words of a language or of its complement
`sample_word_set`              the same with labels, balanced, of one or many lengths
`hard_negatives`               exactly uniform rejected words one edit away from the language
`repeated_letters`             one letter again and again; `alternating_letters`, `periodic_words`
`pair_adversarial_words`       words that keep two states apart at the least cost
`WeightedDFA.sample`           walks with integer weights (`automata.weighted`)
=============================  ==================================================================
"""

from automata.adversarial_words import alternating_letters, periodic_words, repeated_letters
from automata.hard_negatives import hard_negatives
from automata.language_words import WordSet, sample_word_set, sample_words
from automata.letters import Items, is_split_by_word, uniform_letters, word_portion
from automata.pair_graph import minimum_mean_cycle, pair_adversarial_words

__all__ = [
    "Items",
    "WordSet",
    "alternating_letters",
    "hard_negatives",
    "is_split_by_word",
    "minimum_mean_cycle",
    "pair_adversarial_words",
    "periodic_words",
    "repeated_letters",
    "sample_word_set",
    "sample_words",
    "uniform_letters",
    "word_portion",
]
