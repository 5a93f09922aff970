"""Finds the blocks of commands in Markdown pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

# Languages of blocks that a shell runs.
SHELL = {"sh", "bash", "shell", "console"}
# How a line begins that is a command, in a block without a language: it may as well be a figure or output.
COMMAND = re.compile(r"(\$ |(\w+=\S* )*(scriptorium|make|export|docker|cargo) |scripts/|tests/|\./)")


@dataclass(frozen=True)
class Block:
    """A block of commands: where it stands, and its text without the indent."""

    page: str
    line: int
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def script(self) -> str:
        """What is typed: of a console session, the lines with a prompt."""
        typed = [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
        return "\n".join(typed) + "\n" if typed else self.text


def of_page(page: str, text: str) -> list[Block]:
    """Returns the blocks of commands of a page."""
    found: list[Block] = []
    fence, indent, language, first, lines = "", "", "", 0, []
    for number, line in enumerate(text.splitlines(), start=1):
        if fence:
            if line.strip() == fence:
                block = Block(page, first, "".join(f"{line}\n" for line in lines))
                if language in SHELL or not language and is_commands(block.text):
                    found.append(block)
                fence = ""
            else:
                lines.append(line.removeprefix(indent))
        elif opening := re.match(r"( *)(`{3,})([^`\s]*)[^`]*$", line):
            indent, fence, language = opening.groups()
            first, lines = number + 1, []
    return found


def is_commands(text: str) -> bool:
    return any(COMMAND.match(line) for line in text.splitlines())


def of_pages(root: Path, pages: list[str]) -> list[Block]:
    """Returns the blocks of pages, which are globs below `root`."""
    paths = sorted({path for page in pages for path in root.glob(page)})
    return [block for path in paths for block in of_page(str(path.relative_to(root)), path.read_text())]
