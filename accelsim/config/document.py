"""A YAML file as plain values that remember their lines: the only door to yaml.

PyYAML reads YAML 1.1, where `1e9` is a string, `no` is False, `010` is eight, and the last of two
equal keys wins. All of these are caught here or where the value is used, never passed on.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.composer import Composer
from yaml.reader import ReaderError

from accelsim.errors import InputError
from accelsim.files import NotAFileError, open_file

Location = tuple[str | int, ...]

MAX_FILE_BYTES = 2**20
_MAX_SHOWN = 80
_MAX_DIGITS = 300
_TAG = "tag:yaml.org,2002:"
_PLAIN_NUMBER = re.compile(r"[-+]?(0|[1-9]\d*)(\.\d*)?([eE][-+]?\d+)?|[-+]?\.(\d+|inf|nan)", re.I)
_NUMBER_AS_TEXT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
_YAML_BOOLEANS = {"yes", "no", "on", "off"}
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
_PLAIN_KEY = re.compile(r"[\w-]+")
_ALIAS = "alias"


class _Aliases(Composer):
    """Keeps an alias as a node of its own, with its own line, instead of what it stands for."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):  # type: ignore[attr-defined]
            event = self.get_event()  # type: ignore[attr-defined]
            return yaml.ScalarNode(_ALIAS, event.anchor, event.start_mark, event.end_mark)
        return super().compose_node(parent, index)


class _Loader(_Aliases, yaml.SafeLoader):
    """PyYAML's own parser."""


class _FastLoader(_Aliases, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """libyaml's parser, where there is one: PyYAML's own takes six times as long."""

    def __init__(self, text: str) -> None:
        super(Composer, self).__init__(text)
        Composer.__init__(self)


_RESOLVER = _Loader("")


@dataclass(frozen=True)
class Problem:
    """Something wrong at a place of a file."""

    line: int
    location: Location
    message: str


@dataclass
class Document:
    """The content of one file, and for every value its line and how it was written."""

    path: Path
    value: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    texts: dict[Location, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def report(self, location: Location, message: str) -> None:
        """Add a problem with the value, or the missing key, at `location`."""
        self.problems.append(Problem(self._line(location), location, message))

    def place(self, location: Location) -> str:
        """Say where a value is, as problems do: `file:line: key`."""
        return f"{self.path}:{self._line(location)}: {dotted(location)}".removesuffix(": ")

    def _line(self, location: Location) -> int:
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)

    def fail(self) -> NoReturn:
        """Raise an InputError with all problems, in the order of their lines, as
        `file:line: key: message`.
        """
        raise InputError(
            f"{self.path}:{problem.line}: {dotted(problem.location)}{problem.message}"
            for problem in sorted(self.problems, key=lambda problem: problem.line)
        )

    def at(self, location: Location) -> Any:
        """Return the value at `location`."""
        value: Any = self.value
        for part in location:
            value = value[part]
        return value

    def given(self, location: Location, *, hint: bool = True) -> str:
        """Describe the value at `location` as it was written, for `got …`; with a `hint`, say how
        to write a number that YAML takes for a string.
        """
        value = self.at(location)
        text = self.texts.get(location)
        if isinstance(value, dict):
            return "a mapping" if value else "an empty mapping"
        if isinstance(value, list):
            return "a list" if value else "an empty list"
        if value is None:
            return "nothing"
        if isinstance(value, str):
            if hint and number_as_text(value) and math.isfinite(number := float(value)):
                return f"{shown(value)} (a string in YAML; for the number write {_plain(number)})"
            return f"the string {shown(value)}"
        if isinstance(value, bool) and text is not None and text.lower() in _YAML_BOOLEANS:
            return f"the boolean {text} (quote it if it is a name)"
        return _bare(str(value) if text is None else text)


def _plain(number: float) -> str:
    """Return a number as YAML 1.1 reads it: an exponent needs a point before it, and a sign."""
    if number.is_integer() and abs(number) < 1e16:
        return f"{number:.0f}"
    digits, exponent, power = repr(number).partition("e")
    return digits + (".0" if exponent and "." not in digits else "") + exponent + power


def number_as_text(value: str) -> bool:
    """Return whether this is a number that YAML 1.1 takes for a string, such as 1e-3."""
    return bool(_NUMBER_AS_TEXT.fullmatch(value))


def read_text(path: Path, what: str) -> str:
    """Read a file of text; `what` says what it should be. Raises InputError if it is not text."""
    try:
        with open_file(path) as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except NotAFileError:
        raise InputError(f"{path}: is not a regular file, expected {what}") from None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a directory, expected {what}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{path}: is not a file name") from None
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{path}: is longer than {MAX_FILE_BYTES} bytes, expected {what}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: is not UTF-8 text, expected {what}") from None


def read_document(path: Path) -> Document:
    """Read one YAML file. Raises InputError if it cannot be read as YAML at all."""
    text = read_text(path, "a YAML file")
    try:
        root = _compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        reason = error.problem or error.context or "it cannot be read"
        if reason.startswith("but "):
            reason = f"{error.context}, {reason}"
        raise InputError(f"{path}:{line}: not YAML: {reason}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        character = f"U+{ord(text[error.position]):04X}"
        raise InputError(f"{path}:{line}: not YAML: character {character} is not allowed") from None
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply") from None
    document = Document(path)
    if root is None:
        raise InputError(f"{path}: is empty, expected a mapping of keys to values")
    document.value = _convert(root, (), document)
    return document


@functools.lru_cache(maxsize=32)
def _compose(text: str) -> yaml.Node | None:
    """Return the tree of a text, which nobody changes: the same file is often asked twice.

    What libyaml refuses PyYAML decides on, and says why: its messages show what was found.
    """
    try:
        return yaml.compose(text, Loader=_FastLoader)
    except yaml.YAMLError:
        return yaml.compose(text, Loader=_Loader)


def dotted(location: Location) -> str:
    """Return `layers[2].name: ` for ("layers", 2, "name"), and nothing for ()."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." if text else ""
            text += part if _PLAIN_KEY.fullmatch(part) and len(part) <= _MAX_SHOWN else shown(part)
    return f"{text}: " if text else ""


def shown(value: object) -> str:
    """Return a value as it stands in a message: quoted if it is text, and never long."""
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…{text[:1]}"


def _bare(text: str) -> str:
    """Return text without quotes, and never long."""
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def _convert(node: yaml.Node, location: Location, document: Document) -> Any:
    document.lines[location] = document.lines.get(location, node.start_mark.line + 1)
    if node.tag == _ALIAS:
        document.report(location, "aliases (*name) are not supported; write the value again")
        return None
    if node.tag != _implicit_tag(node):
        tag = node.tag.replace(_TAG, "!!")
        document.report(location, f"tag {shown(tag)} is not allowed")
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, location, document)
    if isinstance(node, yaml.SequenceNode):
        return [
            _convert(child, (*location, index), document) for index, child in enumerate(node.value)
        ]
    return _scalar(node, location, document)


def _mapping(node: yaml.MappingNode, location: Location, document: Document) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == _ALIAS:
            document.problems.append(Problem(line, location, "a key must be a word"))
            continue
        key = str(key_node.value)
        here = (*location, key)
        if key in values:
            first = document.lines[here]
            message = f"key is given twice, first on line {first}"
            document.problems.append(Problem(line, here, message))
            continue
        document.lines[here] = line
        values[key] = _convert(value_node, here, document)
    return values


def _scalar(node: yaml.Node, location: Location, document: Document) -> Any:
    text = str(node.value)
    document.texts[location] = text
    match node.tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            return text.lower() in {"true", "yes", "on"}
        case "int" | "float" if not _PLAIN_NUMBER.fullmatch(text) or len(text) > _MAX_DIGITS:
            document.report(location, f"got {_bare(text)}, expected a plain decimal number")
            return None
        case "int":
            return int(text)
        case "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if any(unicodedata.category(character) in _UNPRINTABLE for character in text):
        document.report(location, f"got the string {shown(text)}, expected text on one line")
        return None
    return text


def _implicit_tag(node: yaml.Node) -> str:
    """Return the tag that the node has if none is written."""
    if isinstance(node, yaml.ScalarNode):
        plain = not node.style
        tag = _RESOLVER.resolve(yaml.ScalarNode, node.value, (plain, not plain))  # type: ignore[no-untyped-call]
        return str(tag)
    return f"{_TAG}map" if isinstance(node, yaml.MappingNode) else f"{_TAG}seq"
