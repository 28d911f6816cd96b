"""What tests of representations share."""

import numpy as np

from statetrack.analysis import match_representation


def only(matrices, group, elements=None, **options):
    return match_representation(matrices, group, elements, **options).heads[0]


def turn(angle):
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
