"""Characters and irreducible representations of finite groups, from their tables alone.

``character_table(group)`` computes the irreducible complex characters, ``real_characters`` combines
them to those over the real numbers, and ``real_irreps(group)`` gives the representations themselves
by orthogonal matrices. Columns are the classes in the order of ``group.conjugacy_classes``;
matrices multiply as the group does, ``R[table[p, q]] = R[p] @ R[q]``.

Examples
--------
>>> from automata.groups import parse
>>> table = character_table(parse("A4"))
>>> table.degrees, table.indicators
(array([1, 1, 1, 3]), array([1, 0, 0, 1]))
>>> real_irreps(parse("A4"))[-1]
RealIrrep(dimension=3, type='R', order=12)
"""

from automata.character_tables import MAX_CLASSES, CharacterTable, character_table
from automata.irreps import MAX_ENTRIES, RealIrrep, real_irreps
from automata.real_characters import RealCharacter, real_characters

__all__ = [
    "MAX_CLASSES",
    "MAX_ENTRIES",
    "CharacterTable",
    "RealCharacter",
    "RealIrrep",
    "character_table",
    "real_characters",
    "real_irreps",
]
