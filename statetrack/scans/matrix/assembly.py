"""The float64 tensor-core instruction of NVIDIA GPUs, several of it in one piece of assembly.

One piece a product keeps the code that Triton has to compile small: a call for every instruction
took several times as long to compile.
"""

from functools import cache

INSTRUCTION = "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64"


@cache
def product_assembly(blocks: int, tiles: int, left: str, right: str) -> tuple[str, str]:
    """Assembly and constraints of a sum of `blocks` products, for `tiles` tiles of 8 columns.

    Parameters
    ----------
    blocks : int
        Left operands, each 8 x 4.
    tiles : int
        Right operands 4 x 8 for every left one.
    left, right : {"f32", "f64"}
        Types in which operands come; products are made and summed in float64.

    Returns
    -------
    assembly : str
        Operands: 2 `tiles` results (even columns of all tiles, then odd ones), the left operands,
        the right ones (all tiles of the first left operand first), 2 `tiles` numbers to add to.
    constraints : str
        As `triton.language.inline_asm_elementwise` takes them.

    Examples
    --------
    >>> assembly, constraints = product_assembly(2, 1, "f64", "f32")
    >>> constraints
    '=&d,=&d,d,d,f,f,d,d'
    >>> assembly.count("mma.sync")
    2
    """
    results = 2 * tiles
    first_right = results + blocks
    first_sum = first_right + blocks * tiles
    lines = []

    def operand(number: int, kind: str) -> str:
        if kind == "f64":
            return f"${number}"
        lines.append(f".reg .f64 wide{number};")
        lines.append(f"cvt.f64.f32 wide{number}, ${number};")
        return f"wide{number}"

    lefts = [operand(results + block, left) for block in range(blocks)]
    rights = [operand(first_right + number, right) for number in range(blocks * tiles)]
    for block in range(blocks):
        for tile in range(tiles):
            into = f"{{${tile}, ${tiles + tile}}}"
            start = f"{{${first_sum + tile}, ${first_sum + tiles + tile}}}"
            lines.append(
                f"{INSTRUCTION} {into}, {{{lefts[block]}}}, {{{rights[block * tiles + tile]}}}, "
                f"{into if block else start};"
            )
    letters = {"f32": "f", "f64": "d"}
    inputs = [letters[left]] * blocks + [letters[right]] * (blocks * tiles) + ["d"] * results
    return "{ " + " ".join(lines) + " }", ",".join(["=&d"] * results + inputs)
