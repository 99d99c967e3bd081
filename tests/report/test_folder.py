"""The files of a report: exactly those of the last one, however one before it ended."""

from __future__ import annotations

import multiprocessing
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dying import DEAD, write_and_die
from kept import SWEPT, grid, keep, point

from accelsim.errors import AccelsimError
from accelsim.report.folder import LIST, STAGE, write_files
from accelsim.report.study_report import write_report
from accelsim.study.lock import lock

ONE: dict[str, bytes | str] = {
    "results.csv": "a\n1\n", "old.csv": "b\n", "figures/a.svg": "<svg/>", "figures/b.svg": "<b/>",
    "report.html": "one",
}  # fmt: skip
TWO: dict[str, bytes | str] = {
    "results.csv": "a\n2\n", "figures/b.svg": "<c/>", "figures/d-1.svg": "<d/>",
    "details.json": "{}", "report.html": "two",
}  # fmt: skip


def found(folder: Path) -> dict[str, str]:
    """Every file but the lock, and every folder but its own, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_text() if path.is_file() else ""
        for path in folder.rglob("*")
        if path.name not in (STAGE, ".lock")
    }


def alone(tmp_path: Path, files: dict[str, bytes | str]) -> dict[str, str]:
    """What a folder holds that nothing else was ever written into."""
    write_files(tmp_path / "alone", files)
    return found(tmp_path / "alone")


def test_a_report_leaves_nothing_of_the_one_before(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    first = keep(folder, grid(), excerpt=True, swept=SWEPT)
    write_report(first, folder)
    assert (folder / "details.json").exists()
    assert (folder / "figures" / "map-1.svg").exists()
    second = keep(tmp_path / "other", [point()])
    write_report(second, folder)
    write_report(second, second.folder)
    (folder / "results.sqlite").unlink()
    (second.folder / "results.sqlite").unlink()
    assert found(folder) == found(second.folder)


def test_the_list_is_one_that_sha256sum_checks(tmp_path: Path) -> None:
    write_files(tmp_path, ONE)
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", LIST], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert {line.removesuffix(": OK") for line in done.stdout.splitlines()} == {*ONE}


def test_what_others_wrote_or_changed_is_never_removed(tmp_path: Path) -> None:
    mine = {"figures/mine.svg": "<mine/>", "notes.csv": "x", "figures/a.svg": "<edited/>"}
    write_files(tmp_path, ONE)
    for name, content in mine.items():
        (tmp_path / name).write_text(content)
    write_files(tmp_path, TWO)
    now = found(tmp_path)
    assert {name: now[name] for name in mine} == mine
    assert {*now} == {*mine, *TWO, LIST, "figures"}


@pytest.mark.parametrize(
    "name",
    ["../out.csv", "/etc/out.csv", "figures/../../out.csv", "results.sqlite", "sub/out.csv",
     "figures/sub/out.svg", ".lock"],
)  # fmt: skip
def test_a_list_that_was_tampered_with_removes_nothing_else(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "x"
    write_files(folder, ONE)
    victim = (folder / name) if not name.startswith("/") else tmp_path / "out.csv"
    victim.parent.mkdir(parents=True, exist_ok=True)
    victim.write_bytes(b"precious")
    digest = subprocess.run(["sha256sum", victim], capture_output=True, text=True).stdout[:64]
    shown = name if not name.startswith("/") else str(victim)
    with (folder / LIST).open("a") as stream:
        stream.write(f"{digest}  {shown}\n\x00 no line of a list\n")
    write_files(folder, TWO)
    assert victim.read_bytes() == b"precious"
    assert LIST in found(folder)


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.svg").write_text("<svg/>")
    (outside / "0.new").write_text("")
    for number, name in enumerate(("figures", STAGE)):
        folder = tmp_path / f"x{number}"
        folder.mkdir()
        (folder / name).symlink_to(outside)
        with pytest.raises(AccelsimError, match="is a link, expected a folder"):
            write_files(folder, ONE)
    folder = tmp_path / "x2"
    write_files(folder, ONE)
    (folder / "old.csv").unlink()
    (outside / "old.csv").write_text("b\n")
    (folder / "old.csv").symlink_to(outside / "old.csv")
    (folder / "report.html").unlink()
    (folder / "report.html").symlink_to(outside / "page")
    write_files(folder, TWO)
    assert (folder / "report.html").read_text() == "two"
    assert {path.name for path in outside.iterdir()} == {"a.svg", "0.new", "old.csv"}


def test_an_end_at_any_moment_leaves_whole_files_and_a_list_to_go_on_from(tmp_path: Path) -> None:
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["accelsim.report.folder"])
    expected = alone(tmp_path, ONE)
    contents = {name: {str(ONE.get(name)), str(TWO.get(name))} for name in {*ONE, *TWO}}
    moments, status = 0, DEAD
    while status == DEAD:
        folder = tmp_path / f"{moments}"
        write_files(folder, ONE)
        process = server.Process(target=write_and_die, args=(folder, TWO, moments))
        process.start()
        process.join()
        status = process.exitcode or 0
        assert status in (0, DEAD)
        for name, content in found(folder).items():
            if name in contents:
                assert content in contents[name], (moments, name)
        assert (folder / "report.html").is_file()
        write_files(folder, ONE)
        assert found(folder) == expected, moments
        moments += 1
    assert moments > 30


def test_a_file_that_cannot_be_written_leaves_the_report_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, ONE)
    before = found(tmp_path)
    written = Path.chmod
    seen: list[Any] = []

    def full(path: Path, mode: int) -> None:
        seen.append(path)
        if len(seen) == 4:
            raise OSError(28, "No space left on device")
        written(path, mode)

    monkeypatch.setattr(Path, "chmod", full)
    with pytest.raises(AccelsimError, match="cannot be written: No space left on device"):
        write_files(tmp_path, TWO)
    assert found(tmp_path) == before


def test_two_processes_write_one_after_the_other(tmp_path: Path) -> None:
    write_files(tmp_path, ONE)
    held = lock(tmp_path / STAGE)
    with pytest.raises(AccelsimError, match="is writing this report; wait for it, or end it"):
        write_files(tmp_path, TWO)
    held.close()
    write_files(tmp_path, TWO)
    assert (tmp_path / "report.html").read_text() == "two"


def test_a_name_that_no_report_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="are no names"):
        write_files(tmp_path, {"../a.csv": ""})
    assert not list(tmp_path.iterdir())
