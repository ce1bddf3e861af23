"""What the commands tell the user: errors of one line, tables, progress."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

_LONGEST = 1500  # characters of an error
_LONGEST_NAME = 120
_PIECE = 1 << 16  # characters: a list of all is too much
_NAME_WIDTH = 16  # of the first column, at least
# Rows and characters of a table: each row takes a millisecond to lay out, and 10 kB.
_MOST_ROWS, _MOST_TEXT = 1000, 1 << 18


class UserError(Exception):
    """A failure that is told in one line, without a traceback."""


class FileError(UserError):
    def __init__(self, path: str | os.PathLike[str], problem: str) -> None:
        super().__init__(f"{os.fspath(path)}: {problem}")


def missing_extra(extra: str) -> UserError:
    return UserError(f'this command needs the extra: pip install "fastquant-kernels[{extra}]"')


def printable(text: str, encoding: str | None = None) -> str:
    """Text that is safe on a terminal: control, format and surrogate characters become escapes."""
    if not text.isprintable():
        blocks = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
        text = "".join("".join(map(_printable, block)) for block in blocks)
    return text.encode(encoding, "backslashreplace").decode(encoding) if encoding else text


def _printable(c: str) -> str:
    return c if c.isprintable() else c.encode("unicode_escape").decode()


def shortened(text: str, most: int = _LONGEST_NAME) -> str:
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 2 :]}"


def quoted(name: str) -> str:
    """A name for an error. In a file it may be of any length."""
    return repr(shortened(name))


def shape_text(shape: tuple[int, ...] | None) -> str:
    return "" if shape is None else "x".join(map(str, shape)) or "scalar"


def say(line: str) -> None:
    """Print one line that may hold names from a file."""
    print(printable(line, sys.stdout.encoding or "utf-8"))


Printer = Callable[..., None]


def table_printer() -> Printer:
    """A function that prints a table: fitted to the terminal, or unwrapped and plain where there is none. One of very
    many rows is not laid out: its cells have tabs between them, and its rows are taken one at a time.
    """
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError as error:
        raise missing_extra("cli") from error

    def show(columns: list[str], rows: Iterable[list[str]], total: Sequence[str] = (), left: int = 2) -> None:
        rest = iter(rows)
        rows = list(itertools.islice(rest, _MOST_ROWS + 1))
        if len(rows) > _MOST_ROWS or sum(len(cell) for row in rows for cell in row) > _MOST_TEXT:
            for row in itertools.chain([columns], rows, rest, [total] if total else []):
                print("\t".join(printable(cell, sys.stdout.encoding or "utf-8") for cell in row))
            print()
            return
        terminal = sys.stdout.isatty()
        console = Console(file=sys.stdout, force_terminal=terminal)
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style="bold")
        body = [*rows, total] if total else rows
        widths = [max(len(row[at]) for row in [columns, *body]) + 2 for at in range(len(columns))]
        if terminal and sum(widths) > console.width:
            # Headings break at spaces and the first column folds; the numbers are never cut.
            columns = [columns[0], *(column.replace(" ", "\n") for column in columns[1:])]
            needed = _NAME_WIDTH
            for at, column in list(enumerate(columns))[1:]:
                needed += max(map(len, [*column.split("\n"), *(row[at] for row in body)])) + 2
            console.width = max(console.width, needed)
        elif not terminal:
            console.width = 1_000_000
        for at, column in enumerate(columns):
            justify: Any = "left" if at < left else "right"
            table.add_column(Text(column), justify=justify, overflow="fold", no_wrap=bool(at))
        for row in body:
            if row is total:
                table.add_section()
            # Text, not str: a name from a file must not be read as markup.
            table.add_row(*(Text(printable(cell, console.encoding)) for cell in row))
        with console.capture() as captured:
            console.print(table)
        lines = captured.get().strip("\n").rstrip().split("\n")
        sys.stdout.write("\n".join(line.rstrip() for line in lines) + "\n\n")

    return show


def print_json(before: dict[str, Any], name: str, items: Iterable[object], after: dict[str, Any]) -> None:
    """An object with a long list in its middle, an item at a time: json takes kilobytes for each that it encodes."""

    def text(value: object, spaces: int = 0) -> str:
        lines = json.dumps(value, indent=2, allow_nan=False)  # plain ASCII: it escapes names by itself
        return lines.replace("\n", "\n" + " " * spaces)

    print(f'{text(before)[:-2]},\n  "{name}": [', end="")
    last = ""
    for item in items:
        print(f"{last}\n    {text(item, 4)}", end="")
        last = ","
    print(("\n  ]," if last else "],") + text(after)[1:])


def complain(problem: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        line = shortened(printable(problem, sys.stderr.encoding or "utf-8"), _LONGEST)
        print(f"fastquant: {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(total: int) -> Iterator[Callable[[int], object]]:
    """A bar on stderr that counts bytes of the input; nothing when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)
