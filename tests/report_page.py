"""A report as a reader meets it: text, tables, pictures, and what a browser would load."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
from PIL import Image

_LOADING = {"src", "href", "srcset", "data", "action", "poster"}


@dataclass
class Reading(HTMLParser):
    """The parts of a page; `headings`, `tables` (rows of cells), `pictures` (source, alt)."""

    headings: list[str] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)
    pictures: list[tuple[str, str]] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        told = {name: value or "" for name, value in attrs}
        self.loads += [value for name, value in told.items() if name in _LOADING]
        if tag not in ("meta", "img", "link", "br"):
            self._open.append(tag)
        if tag == "img":
            self.pictures.append((told["src"], told["alt"]))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag in ("h1", "h2", "h3"):
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if inside == "style":
            return
        self.text += data
        if inside in ("td", "th"):
            self.tables[-1][-1][-1] += data
        if inside in ("h1", "h2", "h3"):
            self.headings[-1] += data

    def table(self, head: str) -> dict[str, dict[str, str]]:
        """The first table with a column of that name: row name -> column -> cell."""
        for heads, *rows in self.tables:
            if head in heads:
                return {row[0]: dict(zip(heads, row, strict=True)) for row in rows}
        raise AssertionError(f"no table has a column {head!r}")


def read(markup: str) -> Reading:
    """Parse a page; fails where a tag is not closed, or anything would be loaded from elsewhere."""
    found = Reading()
    found.feed(markup)
    found.close()
    assert not found._open, f"not closed: {found._open}"
    for address in found.loads:
        assert address.startswith(("data:image/png;base64,", "#")), address[:80]
    assert "script" not in found.tags
    return found


def check_pictures(found: Reading) -> int:
    """Every picture decodes, is not blank, and says what it shows; returns how many there are."""
    for source, alt in found.pictures:
        raw = base64.b64decode(source.partition(",")[2], validate=True)
        image = Image.open(io.BytesIO(raw), formats=["PNG"])
        pixels = np.asarray(image.convert("RGBA"), np.int64)
        assert min(image.size) > 50, image.size
        assert pixels.reshape(-1, 4).std(axis=0).max() > 2, f"{alt}: blank"
        assert alt
    return len(found.pictures)
