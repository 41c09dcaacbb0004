"""A report as one HTML file: nothing is loaded from anywhere, everything told is escaped."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from monitor import __version__
from monitor.errors import ConfigError

_PAGES = Environment(
    loader=PackageLoader("monitor.offline.report", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG, what to say where it cannot be seen, and a sentence below it."""

    png: bytes
    alt: str
    caption: str = ""

    @property
    def source(self) -> str:
        """The whole picture as an address."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as they are to be read; the first column names its row."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands below it; `level` 1 is of the page, 2 inside of the last 1."""

    title: str
    notes: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    level: int = 1


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report; `facts` are pairs such as ("recordings", "12")."""

    title: str
    sections: Sequence[Section]
    facts: Sequence[tuple[str, str]] = field(default=())


def write(path: Path, page: Page, *, made: datetime | None = None) -> None:
    """Write the page as HTML. Raises ConfigError where the file cannot be written."""
    text = html(page, made or datetime.now(UTC))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error


def html(page: Page, made: datetime) -> str:
    """The page as text."""
    told = f"monitor {__version__}, {made:%Y-%m-%d %H:%M} UTC"
    style = _PAGES.get_template("report.css").render()
    return _PAGES.get_template("report.html").render(page=page, made=told, style=style)
