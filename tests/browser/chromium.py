"""A real Chromium, without a window: what a page has become once its scripts have run."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from tests.tools import program

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--window-size=1400,1300",
)


@dataclass
class Element:
    """One element: its attributes, its children, its text and that of everything in it."""

    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())

    def every(self, tag: str = "", **wanted: str) -> list[Element]:
        """Those inside, in order, of this tag and with these attributes (`class_`, `id`, ...)."""
        names = {name.rstrip("_").replace("_", "-"): value for name, value in wanted.items()}
        found = []
        for child in self.children:
            if tag in ("", child.tag) and names.items() <= child.attributes.items():
                found.append(child)
            found += child.every(tag, **wanted)
        return found

    def one(self, tag: str = "", **wanted: str) -> Element:
        (found,) = self.every(tag, **wanted)
        return found


class Tree(HTMLParser):
    """Markup -> Element."""

    VOID = frozenset({"meta", "link", "img", "input", "br", "hr"})

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.root = Element("")
        self._open = [self.root]
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self._open[-1].children.append(element)
        if tag not in self.VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag in {element.tag for element in self._open}:
            while self._open.pop().tag != tag:
                pass

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.pieces.append(data)


@dataclass
class Visit:
    """What a visit left: the document, and what its scripts complained about."""

    page: Element
    complaints: list[str]


def visit(url: str, milliseconds: int = 3000) -> Visit:
    """Open a page, let its own time run so long, and read it."""
    done = _opened(url, milliseconds, "--dump-dom")
    complaints = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return Visit(Tree(done.stdout).root, complaints)


def photograph(url: str, file: Path, milliseconds: int = 3000, *flags: str) -> None:
    """Open a page, let its own time run so long, and keep what is to be seen as PNG."""
    _opened(url, milliseconds, f"--screenshot={file}", "--hide-scrollbars", *flags)


def _opened(url: str, milliseconds: int, *flags: str) -> subprocess.CompletedProcess[str]:
    path = program("chromium", "chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        return subprocess.run(
            [
                path,
                *FLAGS,
                f"--user-data-dir={Path(profile)}",
                f"--virtual-time-budget={milliseconds}",
                *flags,
                url,
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
