"""The store: what was committed is there, and what is not as it was written is told and left."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from grids import POINTS, STUDY, contents, folder, run

from accelsim import cli, files
from accelsim.errors import AccelsimError
from accelsim.study import Outcome, open_store, read_store
from accelsim.study import store as store_module
from accelsim.study.store import FILE


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that is done."""
    path = tmp_path_factory.mktemp("done")
    run(folder(path))
    return path / "grid"


def outcome(number: int) -> Outcome:
    return Outcome(number, {"energy_pj": number * 0.1}, {"layers": []}, None, 0.5)


def message(path: Path) -> str:
    """What is said of a store that cannot be used: one line, and the store stays as it is."""
    before = path.read_bytes()
    lines = set()
    for write in (False, True):
        with pytest.raises(AccelsimError) as caught:
            (open_store(path.parent, "grid") if write else read_store(path.parent)).close()
        lines.add(str(caught.value))
        assert path.read_bytes() == before
    (line,) = lines
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


def test_results_are_read_as_they_were_added(tmp_path: Path) -> None:
    store = open_store(tmp_path, "s")
    points = [(bytes([number]) * 32, {"policy": "p", "settings": {}}) for number in range(3)]
    store.set_points({"name": "s"}, points)
    store.add([(points[2][0], outcome(2)), (points[0][0], Outcome(0, error="did not fit"))])
    found = list(store.results())
    assert [(r.number, r.row, r.error) for r in found] == [
        (0, None, "did not fit"),
        (1, None, None),
        (2, {"energy_pj": 0.2}, None),
    ]
    assert store.detail(2) == {"layers": []}
    assert store.detail(1) is None
    store.close()


def test_a_result_is_kept_once_and_only_a_failure_is_replaced(tmp_path: Path) -> None:
    store = open_store(tmp_path, "s")
    key = bytes(32)
    store.set_points({"name": "s"}, [(key, {})])
    store.add([(key, Outcome(0, error="first"))])
    store.add([(key, outcome(1))])
    store.add([(key, outcome(2)), (key, Outcome(0, error="last"))])
    (found,) = store.results()
    assert (found.row, found.error) == ({"energy_pj": 0.1}, None)
    store.close()


def test_a_batch_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    store = open_store(tmp_path, "s")
    with pytest.raises(TypeError):
        store.add([(bytes(32), outcome(1)), (bytes(31), Outcome(2, {"x": object()}))])
    assert store.states() == {}
    store.close()


@pytest.mark.parametrize("seed", range(40))
def test_a_store_that_was_cut_short_is_told_and_left(tmp_path: Path, done: Path, seed: int) -> None:
    data = (done / FILE).read_bytes()
    cut = int(np.random.default_rng(seed).integers(len(data)))
    (tmp_path / FILE).write_bytes(data[:cut])
    assert message(tmp_path / FILE).startswith(("is damaged (", "is no SQLite file, "))


@pytest.mark.parametrize("seed", range(100))
def test_a_store_with_a_bit_flipped_is_told_and_left_or_says_the_same(
    tmp_path: Path, done: Path, seed: int
) -> None:
    data = bytearray((done / FILE).read_bytes())
    generator = np.random.default_rng(seed)
    # Half of the flips go to the first page, where a few bits decide how all others are read.
    at = int(generator.integers(len(data) if seed % 2 else 4096))
    data[at] ^= 1 << int(generator.integers(8))
    path = tmp_path / FILE
    path.write_bytes(data)
    try:
        found = contents(tmp_path)
    except AccelsimError:
        message(path)
    else:
        assert found == contents(done)
        assert path.read_bytes() == data


def test_a_change_by_hand_is_told(tmp_path: Path, done: Path) -> None:
    for number, (statement, said) in enumerate(
        (
            ("UPDATE results SET row = replace(row, '1', '2')", "result 1 is not what was written"),
            ("UPDATE results SET error = ''", "result 1 is not what was written"),
            ("DELETE FROM points WHERE number = 3", "its list of points is not what was written"),
            ("UPDATE meta SET value = '\"x\"' WHERE key = 'name'", "its list of points is not"),
            ("CREATE TABLE more (x)", "its tables are not those of a study"),
            ("DROP TABLE points", "its tables are not those of a study"),
        )
    ):
        path = tmp_path / str(number)
        shutil.copytree(done, path)
        connection = sqlite3.connect(path / FILE)
        connection.execute(statement)
        connection.commit()
        connection.close()
        assert said in message(path / FILE)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no SQLite file, expected"),
        (b"name,energy\n", "is no SQLite file, expected"),
        (b"SQLite format 3\0", "is no SQLite file, expected"),
        (b"SQLite format 3\0" + bytes(200), "is another program's, expected"),
    ],
)
def test_what_is_no_store_is_told_and_left(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert message(tmp_path / FILE).startswith(said)


def test_stores_of_other_programs_and_versions_are_told_and_left(
    tmp_path: Path, done: Path
) -> None:
    for number, (pragma, said) in enumerate(
        (
            ("application_id = 0x50", "is another program's, expected"),
            ("user_version = 7", "is of version 7, and this accelsim knows 1, expected"),
        )
    ):
        path = tmp_path / str(number)
        shutil.copytree(done, path)
        connection = sqlite3.connect(path / FILE)
        connection.execute(f"PRAGMA {pragma}")
        connection.close()
        assert message(path / FILE).startswith(said)


def test_links_and_folders_are_no_stores(tmp_path: Path, done: Path) -> None:
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / FILE).symlink_to(done / FILE)
    (tmp_path / "folder" / FILE).mkdir(parents=True)
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / FILE).symlink_to(tmp_path / "nowhere")
    for name in ("link", "folder", "loose"):
        with pytest.raises(AccelsimError, match="is not a regular file"):
            open_store(tmp_path / name, "grid")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("there", [True, False])
def test_a_table_that_is_a_link_is_told_and_what_it_leads_to_is_left(
    tmp_path: Path, done: Path, there: bool
) -> None:
    file = folder(tmp_path)
    shutil.copytree(done, tmp_path / "grid")
    table = tmp_path / "grid" / "results.csv"
    precious = tmp_path / "precious"
    if there:
        precious.write_text("kept")
    table.unlink()
    table.symlink_to(precious)
    with pytest.raises(AccelsimError) as caught:
        run(file)
    assert str(caught.value) == (
        f"{table}: is not a regular file, and would be written over; move it"
    )
    assert table.is_symlink()
    assert precious.exists() == there
    assert not there or precious.read_text() == "kept"


def test_a_link_that_is_made_meanwhile_is_replaced_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "check_own", lambda path: None)
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "table").symlink_to(tmp_path / "precious")
    files.write_own(tmp_path / "table", "new")
    assert (tmp_path / "precious").read_text() == "kept"
    assert not (tmp_path / "table").is_symlink()
    assert (tmp_path / "table").read_text() == "new"


def test_the_store_of_another_study_is_told_and_left(
    tmp_path: Path, done: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder(tmp_path)
    file.write_text(file.read_text().replace("name: grid", "name: other"))
    before = (done / FILE).read_bytes()
    monkeypatch.setattr(sys, "argv", ["accelsim", "study", str(file), "--out", str(done)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        f"{done / FILE}: holds the study 'grid', not 'other'; give another folder with --out\n"
    )
    assert (done / FILE).read_bytes() == before


def test_the_journal_of_a_store_that_was_removed_is_not_played_into_a_new_one(
    tmp_path: Path, done: Path
) -> None:
    journal = bytes.fromhex("d9d505f920a163d7") + os.urandom(5000)
    (tmp_path / f"{FILE}-journal").write_bytes(journal)
    open_store(tmp_path, "s").close()
    assert not (tmp_path / f"{FILE}-journal").exists()


def in_the_middle(of: Path, to: Path) -> None:
    """Copy a store and its journal as a kill leaves them in the middle of a transaction."""
    connection = sqlite3.connect(of / FILE, isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")  # so that pages are written before the end
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE results SET row = upper(row), seconds = 7.0")
    connection.execute("INSERT INTO meta VALUES ('x', hex(randomblob(20000)))")
    to.mkdir()
    for name in (FILE, f"{FILE}-journal"):
        shutil.copyfile(of / name, to / name)
    connection.execute("ROLLBACK")
    connection.close()


@pytest.mark.parametrize("write", [True, False])
def test_what_a_kill_left_in_the_middle_of_a_transaction_is_taken_back(
    tmp_path: Path, done: Path, write: bool
) -> None:
    killed = tmp_path / "killed"
    in_the_middle(done, killed)
    assert (killed / FILE).read_bytes() != (done / FILE).read_bytes()
    if write:
        open_store(killed, "grid").close()
    assert contents(killed) == contents(done)
    assert {path.name for path in killed.iterdir()} == {FILE, ".lock"}


@pytest.mark.parametrize("write", [True, False])
def test_the_journal_of_another_store_is_told_and_not_played_in(
    tmp_path: Path, done: Path, write: bool
) -> None:
    (tmp_path / "other").mkdir()
    run(folder(tmp_path / "other", STUDY.replace("[0, 1]", "[5, 6, 7]")))
    in_the_middle(tmp_path / "other" / "grid", tmp_path / "killed")
    mine = tmp_path / "mine"
    shutil.copytree(done, mine)
    journal = mine / f"{FILE}-journal"
    shutil.copyfile(tmp_path / "killed" / journal.name, journal)
    before = [path.read_bytes() for path in (mine / FILE, journal)]
    with pytest.raises(AccelsimError) as caught:
        (open_store(mine, "grid") if write else read_store(mine)).close()
    assert str(caught.value) == (
        f"{journal}: is not the journal of {FILE}, which is whole without it; neither was changed;"
        " move the journal"
    )
    assert [path.read_bytes() for path in (mine / FILE, journal)] == before
    journal.rename(tmp_path / "moved")
    assert contents(mine) == contents(done)


def test_a_store_that_is_damaged_beside_a_journal_is_left_as_it_is(
    tmp_path: Path, done: Path
) -> None:
    killed = tmp_path / "killed"
    in_the_middle(done, killed)
    data = (killed / f"{FILE}-journal").read_bytes()
    (killed / f"{FILE}-journal").write_bytes(data[: len(data) // 2])
    assert message(killed / FILE).startswith("is damaged (with results.sqlite-journal and without)")
    assert (killed / f"{FILE}-journal").read_bytes() == data[: len(data) // 2]


def test_a_journal_that_is_a_link_is_told(tmp_path: Path, done: Path) -> None:
    shutil.copytree(done, tmp_path / "mine")
    journal = tmp_path / "mine" / f"{FILE}-journal"
    journal.symlink_to(tmp_path / "elsewhere")
    for write in (True, False):
        with pytest.raises(AccelsimError, match="is not a regular file, expected a journal"):
            (open_store(journal.parent, "grid") if write else read_store(journal.parent)).close()


def test_a_full_disk_loses_nothing_that_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder(tmp_path)
    connect = store_module._connect

    def nearly_full(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA max_page_count = 14")
        return connection

    monkeypatch.setattr(store_module, "_connect", nearly_full)
    monkeypatch.setattr(sys, "argv", ["accelsim", "study", str(file), "-j", "1"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"{tmp_path / 'grid' / FILE}: cannot be written: database or disk is full; what was"
        " finished before is kept, and the same command does the rest"
    )
    monkeypatch.undo()
    kept = [row for row in contents(tmp_path / "grid") if row[2] is not None]
    assert 0 < len(kept) < POINTS
    assert [row["status"] for row in run(file).rows] == ["done"] * POINTS
    assert [row for row in contents(tmp_path / "grid") if row in kept] == kept
