"""Tables as the design prints them, read back into cells; never computes one."""


def cells(table: str) -> dict[tuple[str, str], str]:
    """(row, column) → cell of a Markdown table; an empty cell is ""."""
    lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.strip().splitlines()]
    columns, rows = lines[0][1:], lines[2:]
    return {(row[0], column): cell for row in rows for column, cell in zip(columns, row[1:], strict=True)}
