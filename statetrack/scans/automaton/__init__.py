"""Automata and words on any device: the same bits as `automata` gives in NumPy."""

from statetrack.scans.automaton.letters import uniform_letters as uniform_letters
from statetrack.scans.automaton.reference import automaton_scan as automaton_scan
