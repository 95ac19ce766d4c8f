"""Pages of results."""


def table(header: list, rows: list[list]) -> str:
    """A table; cells are shown as text."""
    lines = [header, ["---"] * len(header), *rows]
    cells = ([str(cell).replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)
