"""A report as sections, and as files: HTML in one piece, and Markdown (the only door to jinja2)."""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources

import jinja2

FIGURES = "figures"
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Image:
    """A picture: the name of its file, what it shows in words, and its bytes (SVG).

    One that is `broad` would be too small to read on a phone, and is scrolled there.
    """

    name: str
    alt: str
    data: bytes = field(repr=False)
    broad: bool = False

    def __post_init__(self) -> None:
        if not SLUG.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name for a file")

    @property
    def path(self) -> str:
        """The file, relative to the report."""
        return f"{FIGURES}/{self.name}.svg"

    @property
    def url(self) -> str:
        """The picture itself, as an address."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.data).decode("ascii")


@dataclass(frozen=True)
class Figure:
    """Pictures side by side under one caption; `source` is the file that their numbers are in."""

    caption: str
    images: tuple[Image, ...]
    source: str = "results.csv"


@dataclass(frozen=True)
class Column:
    """The head of a column of a table: text, or numbers, which stand to the right."""

    name: str
    numbers: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells as text, with a caption that says what is not shown."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A heading, what was found in sentences, and what shows it; then sections below it."""

    title: str
    paragraphs: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    sections: tuple[Section, ...] = ()

    @property
    def everything(self) -> list[Section]:
        """Itself and all sections below it."""
        return [self, *(inner for one in self.sections for inner in one.everything)]


@dataclass(frozen=True)
class Report:
    """A page: its title, its answer in short, its sections, and the command that made it."""

    title: str
    command: str
    answer: tuple[str, ...]
    sections: tuple[Section, ...]
    manifest: str

    @property
    def images(self) -> list[Image]:
        """Every picture, in order."""
        parts = [part for section in self.sections for part in section.everything]
        return [image for part in parts for figure in part.figures for image in figure.images]


def render(report: Report) -> dict[str, bytes | str]:
    """Return the files of a report by name: the page, its Markdown, and its pictures."""
    names = [image.name for image in report.images]
    if len({*names}) < len(names):
        raise ValueError(f"two pictures have one name: {sorted(names)}")
    templates = _templates()
    script = (resources.files(__package__) / "templates" / "sort.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    page = templates.get_template("page.html.j2").render(
        report=report, script=script, script_sha256=digest
    )
    text = templates.get_template("page.md.j2").render(report=report)
    files: dict[str, bytes | str] = {image.path: image.data for image in report.images}
    return files | {"report.md": text, "report.html": page}


@functools.cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("accelsim.report"),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = markdown
    environment.filters["code"] = code
    environment.filters["ruler"] = _ruler
    return environment


def markdown(text: str) -> str:
    """Return text as Markdown that shows it as it is, on one line."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    escaped = re.sub(r"([\\`*\[\]|~$])", r"\\\1", escaped)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", escaped)


def code(text: str) -> str:
    """Return text that may stand between backticks in Markdown."""
    return " ".join(text.split()).replace("`", "'")


def _ruler(columns: Sequence[Column]) -> str:
    return "|".join("--:" if column.numbers else "---" for column in columns)
