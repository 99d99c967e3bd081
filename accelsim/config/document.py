"""A YAML file as plain values that remember their lines: the only door to yaml.

PyYAML reads YAML 1.1, where `1e9` is a string, `no` is False, `010` is eight, and the last of two
equal keys wins. All of these are caught here or where the value is used, never passed on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from accelsim.errors import InputError

Location = tuple[str | int, ...]

MAX_FILE_BYTES = 16 * 2**20
_TAG = "tag:yaml.org,2002:"
_PLAIN_NUMBER = re.compile(r"[-+]?(0|[1-9]\d*)(\.\d*)?([eE][-+]?\d+)?|[-+]?\.(\d+|inf|nan)", re.I)
_NUMBER_AS_TEXT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
_YAML_BOOLEANS = {"yes", "no", "on", "off", "y", "n"}


@dataclass
class Document:
    """The content of one file, and for every value its line and how it was written.

    `problems` collects lines of the form `file:line: key: what is wrong`.
    """

    path: Path
    value: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    texts: dict[Location, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def report(self, location: Location, message: str) -> None:
        """Add a problem with the value, or the missing key, at `location`."""
        known = location
        while known and known not in self.lines:
            known = known[:-1]
        line = self.lines.get(known, 1)
        key = dotted(location)
        self.problems.append(f"{self.path}:{line}: {key + ': ' if key else ''}{message}")

    def fail(self) -> NoReturn:
        """Raise an InputError with all problems, in the order of their lines."""
        raise InputError(sorted(self.problems, key=self._line))

    def _line(self, problem: str) -> int:
        return int(problem.removeprefix(f"{self.path}:").partition(":")[0])

    def given(self, location: Location) -> str:
        """Describe the value at `location` as it was written, for `got …`."""
        value: Any = self.value
        for part in location:
            value = value[part]
        text = self.texts.get(location)
        if isinstance(value, dict):
            return "a mapping"
        if isinstance(value, list):
            return "a list"
        if value is None:
            return "nothing"
        if isinstance(value, str):
            if text is not None and _NUMBER_AS_TEXT.fullmatch(text):
                number = float(text)
                plain = f"{number:.0f}" if number.is_integer() and number < 1e16 else f"{number!r}"
                return f"{value!r} (a string in YAML; for the number write {plain})"
            return f"the string {value!r}"
        if isinstance(value, bool) and text is not None and text.lower() in _YAML_BOOLEANS:
            return f"the boolean {text} (quote it if it is a name)"
        return f"{text if text is not None else value}"


def read_document(path: Path) -> Document:
    """Read one YAML file. Raises InputError if it cannot be read as YAML at all."""
    if path.is_dir():
        raise InputError(f"{path}: is a directory, expected a YAML file")
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(f"{path}: has {size} bytes, expected at most {MAX_FILE_BYTES}")
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text, expected a YAML file") from None
    except ValueError:
        raise InputError(f"{str(path)!r}: is not a file name") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise InputError(f"{path}:{line}: not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise InputError(f"{path}: not a file of ours: nested too deeply") from None
    document = Document(path)
    if root is None:
        raise InputError(f"{path}: is empty")
    document.value = _convert(root, (), document, set())
    return document


def dotted(location: Location) -> str:
    """Return `layers[2].name` for ("layers", 2, "name")."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _convert(node: yaml.Node, location: Location, document: Document, seen: set[int]) -> Any:
    document.lines[location] = document.lines.get(location, node.start_mark.line + 1)
    if id(node) in seen:
        document.report(location, "aliases (*name) are not supported; write the value again")
        return None
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, location, document, seen)
    if isinstance(node, yaml.SequenceNode):
        return [
            _convert(child, (*location, index), document, seen)
            for index, child in enumerate(node.value)
        ]
    return _scalar(node, location, document)


def _mapping(
    node: yaml.MappingNode, location: Location, document: Document, seen: set[int]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            document.lines.setdefault((*location, "?"), line)
            document.report((*location, "?"), "a key must be a word")
            continue
        key = str(key_node.value)
        here = (*location, key)
        if key in values:
            first = document.lines[here]
            document.problems.append(
                f"{document.path}:{line}: {dotted(here)}: key is given twice, first on line {first}"
            )
            continue
        document.lines[here] = line
        values[key] = _convert(value_node, here, document, seen)
    return values


def _scalar(node: yaml.Node, location: Location, document: Document) -> Any:
    text = str(node.value)
    document.texts[location] = text
    tag = node.tag.removeprefix(_TAG)
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() in {"true", "yes", "on"}
    if tag in {"int", "float"}:
        if not _PLAIN_NUMBER.fullmatch(text):
            document.report(location, f"got {text}, expected a plain decimal number")
            return None
        return (
            int(text)
            if tag == "int"
            else float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        )
    if tag in {"str", "timestamp", "value", "merge"}:
        return text
    document.report(location, f"tag {node.tag!r} is not allowed")
    return None
