"""Where results are kept: an SQLite file that only one process writes, a transaction a batch.

A rollback journal and not a write-ahead log: it needs no shared memory, so that any file system
will do, and leaves one file. What was committed survives the process and the power.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from accelsim.errors import AccelsimError
from accelsim.study.lock import lock
from accelsim.study.work import Outcome

FILE = "results.sqlite"
APPLICATION_ID = 0x41434353
"""`ACCS`, at byte 68 of the file."""
VERSION = 1
_MAGIC = b"SQLite format 3\0"
_TABLES = {
    "meta": "CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)",
    "points": "CREATE TABLE points (number INTEGER PRIMARY KEY, key BLOB NOT NULL,"
    " description TEXT NOT NULL)",
    "results": "CREATE TABLE results (key BLOB PRIMARY KEY NOT NULL, row TEXT, detail BLOB,"
    " error TEXT, seconds REAL NOT NULL, digest BLOB NOT NULL)",
}


@dataclass(frozen=True)
class Result:
    """A point with what is kept of it; both `row` and `error` are None if it is still to do."""

    number: int
    description: dict[str, Any]
    row: dict[str, Any] | None
    error: str | None
    seconds: float | None


class Store:
    """The results of one study. `number` counts points in the order of the study file."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: Any) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock

    def close(self) -> None:
        """Let others have it."""
        self._connection.close()
        if self._lock is not None:
            self._lock.close()

    @property
    def meta(self) -> dict[str, Any]:
        """What the study is: its name, objectives, constraints, files."""
        rows = self._read("SELECT key, value FROM meta WHERE key NOT IN ('digest', 'points')")
        return {key: json.loads(value) for key, value in rows}

    def states(self) -> dict[bytes, bool]:
        """Return for the key of every result whether the point failed, old results included."""
        return {key: bool(bad) for key, bad in self._read("SELECT key, row IS NULL FROM results")}

    def results(self) -> Iterator[Result]:
        """Yield every point of the study, in order."""
        for number, description, row, error, seconds in self._read(
            "SELECT number, description, row, error, seconds FROM points"
            " LEFT JOIN results USING (key) ORDER BY number"
        ):
            found = None if row is None else json.loads(row)
            yield Result(number, json.loads(description), found, error, seconds)

    def detail(self, number: int) -> dict[str, Any] | None:
        """Return layers and counts of a point, in the words of the JSON report; None without."""
        for (packed,) in self._read(
            "SELECT detail FROM points JOIN results USING (key) WHERE number = ?", (number,)
        ):
            if packed is not None:
                found: dict[str, Any] = json.loads(zlib.decompress(packed))
                return found
        return None

    def set_points(
        self, meta: dict[str, Any], points: Iterable[tuple[bytes, dict[str, Any]]]
    ) -> None:
        """Say what the study is now. Results of points that it has no more are kept."""
        rows = [
            (number, key, json.dumps(description))
            for number, (key, description) in enumerate(points)
        ]
        values = {key: json.dumps(value) for key, value in meta.items()}
        values["points"] = _digest(part for row in rows for part in row).hex()
        values["digest"] = _digest(part for pair in sorted(values.items()) for part in pair).hex()
        before = dict(self._read("SELECT key, value FROM meta"))
        if before == values:
            return
        with self._transaction():
            self._connection.execute("DELETE FROM points")
            self._connection.execute("DELETE FROM meta")
            self._connection.executemany("INSERT INTO points VALUES (?, ?, ?)", rows)
            self._connection.executemany("INSERT INTO meta VALUES (?, ?)", values.items())

    def add(self, outcomes: Sequence[tuple[bytes, Outcome]]) -> None:
        """Keep results, all or none; one that is there already stays, unless it failed."""
        rows = []
        for key, outcome in outcomes:
            row = None if outcome.row is None else json.dumps(outcome.row)
            detail = None
            if outcome.detail is not None:
                detail = zlib.compress(json.dumps(outcome.detail).encode("utf-8"))
            values = (key, row, detail, outcome.error, outcome.seconds)
            rows.append((*values, _digest(values)))
        with self._transaction():
            self._connection.executemany(
                "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
                " row = excluded.row, detail = excluded.detail, error = excluded.error,"
                " seconds = excluded.seconds, digest = excluded.digest WHERE results.row IS NULL",
                rows,
            )

    def check(self) -> None:
        """Raise AccelsimError if anything in the file is not as it was written."""
        if [*self._read("PRAGMA integrity_check")] != [("ok",)]:
            _damaged(self.path, "its pages do not fit together")
        tables = self._read("SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        if {*tables} != {*_TABLES.items()}:
            _damaged(self.path, "its tables are not those of a study")
        meta = dict(self._read("SELECT key, value FROM meta"))
        rest = {key: value for key, value in meta.items() if key != "digest"}
        if meta:
            pairs = (part for pair in sorted(rest.items()) for part in pair)
            points = self._read("SELECT number, key, description FROM points ORDER BY number")
            if _digest(pairs).hex() != meta.get("digest") or _digest(
                part for row in points for part in row
            ).hex() != meta.get("points"):
                _damaged(self.path, "its list of points is not what was written")
        for number, (*values, written) in enumerate(
            self._read("SELECT key, row, detail, error, seconds, digest FROM results")
        ):
            if _digest(values) != written:
                _damaged(self.path, f"result {number + 1} is not what was written")

    def _read(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(query, values)
        except sqlite3.Error as error:
            _fail(self.path, error)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                _fail(self.path, error)
            raise


def open_store(folder: Path, name: str) -> Store:
    """Open the store of a study to add to it; make one if there is none.

    Raises AccelsimError if another process has it, if it is another's, or if it is damaged; it is
    then left as it is.
    """
    path = folder / FILE
    held = lock(folder)
    try:
        if _exists(path):
            _check_journal(path)
        else:
            _make(path)
        store = Store(path, _connect(path), held)
        try:
            store.check()
            given = store.meta.get("name", name)
            if given != name:
                raise AccelsimError(
                    f"{path}: holds the study {given!r}, not {name!r}; give another folder with"
                    " --out"
                )
        except BaseException:
            store._connection.close()
            raise
    except BaseException:
        held.close()
        raise
    return store


def read_store(folder: Path) -> Store:
    """Open the store of a study to read it, whether or not a process is adding to it.

    Raises AccelsimError if there is none, or if it is damaged.
    """
    path = folder / FILE
    if not _exists(path):
        raise AccelsimError(f"{path}: no such file, expected the results of a study")
    with _alone_with_journal(path):
        store = Store(path, _connect(path), None)
        try:
            store.check()
        except BaseException:
            store.close()
            raise
    return store


@contextlib.contextmanager
def _alone_with_journal(path: Path) -> Iterator[None]:
    """Check the journal that lies beside a store, unless it is that of a process at work."""
    held = None
    if os.path.lexists(_journal(path)):
        with contextlib.suppress(AccelsimError):
            held = lock(path.parent)
    try:
        if held is not None:
            _check_journal(path)
        yield
    finally:
        if held is not None:
            held.close()


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")


def _check_journal(path: Path) -> None:
    """Raise AccelsimError if the journal beside a store is another's, or cannot be played back.

    SQLite plays any journal of that name into the store when it is first read, and cannot tell
    whose it is. What follows from it is therefore looked at in a copy before.
    """
    journal = _journal(path)
    try:
        if not os.path.lexists(journal):
            return
        if journal.is_symlink() or not journal.is_file():
            raise AccelsimError(f"{journal}: is not a regular file, expected a journal of SQLite")
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".accelsim.") as place:
            copy = Path(place) / path.name
            shutil.copyfile(path, copy)
            shutil.copyfile(journal, _journal(copy))
            if _is_whole(copy):
                return
            _journal(copy).unlink(missing_ok=True)
            shutil.copyfile(path, copy)
            foreign = _is_whole(copy)
    except OSError as error:
        raise AccelsimError(
            f"{journal}: cannot be tried on a copy of the results: {error.strerror}"
        ) from None
    if foreign:
        raise AccelsimError(
            f"{journal}: is not the journal of {path.name}, which is whole without it; neither was"
            " changed; move the journal"
        )
    _damaged(path, f"with {journal.name} and without")


def _is_whole(path: Path) -> bool:
    try:
        store = Store(path, _connect(path), None)
    except AccelsimError:
        return False
    try:
        store.check()
    except AccelsimError:
        return False
    finally:
        store.close()
    return True


def _exists(path: Path) -> bool:
    """Return whether there is a store; raise AccelsimError for anything else of that name."""
    try:
        if not path.exists() and not path.is_symlink():
            return False
        if path.is_symlink() or not path.is_file():
            raise AccelsimError(f"{path}: is not a regular file, expected the results of a study")
        with path.open("rb") as stream:
            head = stream.read(100)
    except OSError as error:
        raise AccelsimError(f"{path}: cannot be read: {error.strerror}") from None
    version, application = (int.from_bytes(head[at : at + 4]) for at in (60, 68))
    if head[:16] != _MAGIC or len(head) < 100:
        _foreign(path, "is no SQLite file")
    if application != APPLICATION_ID:
        _foreign(path, "is another program's")
    if version != VERSION:
        _foreign(path, f"is of version {version}, and this accelsim knows {VERSION}")
    return True


def _foreign(path: Path, reason: str) -> NoReturn:
    raise AccelsimError(
        f"{path}: {reason}, expected the results of a study; move it, or give another folder with"
        " --out"
    )


def _damaged(path: Path, reason: str) -> NoReturn:
    raise AccelsimError(
        f"{path}: is damaged ({reason}), and was left as it is; move it, and the study starts anew"
    )


def _fail(path: Path, error: sqlite3.Error) -> NoReturn:
    """Say in a line what SQLite says."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        raise AccelsimError(
            f"{path}: cannot be written: {error}; what was finished before is kept, and the same"
            " command does the rest"
        ) from None
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        raise AccelsimError(f"{path}: cannot be written: {error}") from None
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        raise AccelsimError(f"{path}: is in use by another program") from None
    _damaged(path, str(error))


def _connect(path: Path) -> sqlite3.Connection:
    try:
        uri = f"{path.resolve().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10.0)
    except sqlite3.Error as error:
        _fail(path, error)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
    except sqlite3.Error as error:
        connection.close()
        _fail(path, error)
    return connection


def _make(path: Path) -> None:
    """Make an empty store under another name, and give it its own when it is whole."""
    try:
        # A journal without its file is of one that was removed, and would be played into this one.
        _journal(path).unlink(missing_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".accelsim.")
        os.close(handle)
    except OSError as error:
        raise AccelsimError(f"{path}: cannot be made: {error.strerror}") from None
    try:
        connection = sqlite3.connect(temporary, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            for statement in _TABLES.values():
                connection.execute(statement)
        finally:
            connection.close()
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except sqlite3.Error as error:
        _fail(path, error)
    except OSError as error:
        raise AccelsimError(f"{path}: cannot be made: {error.strerror}") from None
    finally:
        for name in (temporary, f"{temporary}-journal"):
            Path(name).unlink(missing_ok=True)


def _digest(values: Iterable[object]) -> bytes:
    """Return SHA-256 of values as SQLite gives them back: numbers, text, bytes and nothing."""
    found = hashlib.sha256()
    for value in values:
        data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        found.update(f"{type(value).__name__}:{len(data)}:".encode())
        found.update(data)
    return found.digest()
