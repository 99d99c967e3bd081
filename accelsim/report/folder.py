"""The files of a report in their folder: the new ones whole, and those of the one before gone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from accelsim.errors import AccelsimError
from accelsim.files import make_folder, write_whole
from accelsim.study.lock import lock

LIST = "report.sha256"
"""The files that a report consists of, as sha256sum writes and checks them."""
STAGE = ".report"
NAME = re.compile(r"(figures/)?[a-z0-9]+([-_][a-z0-9]+)*\.(csv|html|json|md|svg)")
"""What a file of a report is called. No other is ever removed, whatever a list may say."""

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
Listed = set[tuple[str, str]]
"""Digests and names."""


def write_files(folder: Path, files: Mapping[str, bytes | str]) -> None:
    """Write files by their names into `folder`, and remove what an earlier call wrote beside them.

    All are written to another place before the first takes its own, so that a full disk leaves
    the report that was there. An end at any moment leaves every file whole, and a list of all that
    was ever written, from which the next call goes on. What is not as it was written stays. Raises
    AccelsimError if something cannot be written, or if another process writes there.
    """
    if wrong := [name for name in files if not NAME.fullmatch(name)]:
        raise ValueError(f"{wrong} are no names for files of a report")
    data = {name: _bytes(content) for name, content in files.items()}
    new = {(hashlib.sha256(content).hexdigest(), name) for name, content in data.items()}
    stage = folder / STAGE
    _no_links(stage, folder / "figures")
    make_folder(stage)
    held = lock(stage, "writing this report")
    try:
        _remove_from(stage)  # what a process left that was killed
        try:
            staged = _stage(stage, data)
            before = _listed(folder / LIST)
            _list(folder, before | new)
            for path, name in staged:
                _move(path, folder / name)
            _remove(folder, before, {*files})
            _list(folder, new)
        finally:
            _remove_from(stage)
    finally:
        held.close()


def _bytes(content: bytes | str) -> bytes:
    return content.encode("utf-8") if isinstance(content, str) else content


def _no_links(*paths: Path) -> None:
    for path in paths:
        if path.is_symlink():
            raise AccelsimError(f"{path}: is a link, expected a folder")


def _stage(stage: Path, data: Mapping[str, bytes]) -> list[tuple[Path, str]]:
    """Write files under numbers, and return where, each with its name."""
    found = []
    for number, (name, content) in enumerate(data.items()):
        path = stage / f"{number}.new"
        write_whole(path, content)
        found.append((path, name))
    return found


def _listed(path: Path) -> Listed:
    """Return what a list says; nothing if there is none, or if it is not one."""
    if path.is_symlink() or not path.is_file():
        return set()
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise AccelsimError(f"{path}: cannot be read: {error.strerror}") from None
    found = [match for line in lines if (match := _LINE.fullmatch(line))]
    return {(match[1], match[2]) for match in found if NAME.fullmatch(match[2])}


def _list(folder: Path, listed: Listed) -> None:
    lines = sorted((name, digest) for digest, name in listed)
    path = folder / STAGE / "list.new"
    write_whole(path, "".join(f"{digest}  {name}\n" for name, digest in lines))
    _move(path, folder / LIST)


def _move(path: Path, target: Path) -> None:
    make_folder(target.parent)
    try:
        path.replace(target)
    except OSError as error:
        raise AccelsimError(f"{target}: cannot be written: {error.strerror}") from None


def _remove(folder: Path, listed: Iterable[tuple[str, str]], kept: set[str]) -> None:
    """Remove listed files that are as they were written, and the folder of figures if empty."""
    for digest, name in listed:
        path = folder / name
        if name in kept or path.is_symlink() or not path.is_file():
            continue
        try:
            if hashlib.sha256(path.read_bytes()).hexdigest() == digest:
                path.unlink()
        except OSError as error:
            raise AccelsimError(f"{path}: cannot be removed: {error.strerror}") from None
    figures = folder / "figures"
    if figures.is_dir() and not any(figures.iterdir()):
        figures.rmdir()


def _remove_from(stage: Path) -> None:
    for pattern in ("*.new", ".accelsim.*"):
        for path in stage.glob(pattern):
            path.unlink(missing_ok=True)
