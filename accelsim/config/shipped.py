"""Machines and workloads that come with accelsim, known by their names.

They lie beside the package in a checkout, and inside it where it is installed.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from accelsim.config.validate import did_you_mean
from accelsim.errors import InputError

KINDS = {"hwconfigs": "machine", "workloads": "workload"}


def shipped(folder: str, name: str) -> Path:
    """Return the path of a hardware or workload file that comes with accelsim."""
    return shipped_folder(folder) / f"{name}.yaml"


def shipped_folder(folder: str) -> Path:
    """Return where the files of `hwconfigs` or `workloads` that come with accelsim lie."""
    package = Path(str(resources.files("accelsim")))
    installed = package / "data" / folder
    return installed if installed.exists() else package.parent / folder


def shipped_names(folder: str) -> list[str]:
    """Return the names of the shipped files of a folder, in order."""
    return sorted(path.stem for path in shipped_folder(folder).glob("*.yaml"))


def find(path: str | Path, folder: str) -> Path:
    """Return `path`, or the shipped file that it names: a file goes before a name.

    Raises InputError for a bare word that is neither.
    """
    given = Path(path)
    if given.suffix or given.name != str(given) or _exists(given):
        return given
    names = shipped_names(folder)
    if given.name in names:
        return shipped(folder, given.name)
    kind = KINDS[folder]
    raise InputError(
        f"{given}: no such file, and no {kind} of that name comes with accelsim"
        f"{did_you_mean(given.name, names)}"
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return True  # and what is wrong with it shows when it is opened
