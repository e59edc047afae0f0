"""Read and write files so that nothing is half written and every complaint names its file."""

import contextlib
import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pandas as pd


class InputError(ValueError):
    """Something given by the reader is wrong: one line that says what, where, and the way out."""


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Open a file that appears under its name only once it is complete.

    Raises InputError when the folder cannot be written; on any other failure nothing is left behind.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose a folder you can write to") from None
    try:
        text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
        with os.fdopen(handle, mode, **text) as file:
            yield file
        os.chmod(temporary, 0o644)  # mkstemp makes it private; a result is meant to be shared
        if path.is_dir():
            raise InputError(f"cannot write {path}: it is a folder; name a file")
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def require_writable(folder: Path, variable: str) -> None:
    """Raise InputError, naming the variable that moves it, unless files can be written to the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"cannot write to {folder} ({error.strerror}): set {variable} to another folder") from None


def reason(error: Exception) -> str:
    """The first line of what an error says, or its kind if it says nothing."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:160]


def sha256_file(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_texts(texts: Sequence[str]) -> str:
    """Hexadecimal SHA-256 of a list of texts: it changes with any text, their order or their number."""
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


def read_csv(source: str | Path, columns: Sequence[str], member: str | None = None) -> pd.DataFrame:
    """Read a CSV of strings (``.gz`` too), or a member of a zip archive or a folder; empty cells are "".

    Raises FileNotFoundError or InputError, which name the file and what is wrong, a missing column too.
    """
    source = Path(source)
    if member is not None and source.is_dir():
        return read_csv(source / member, columns)
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file")
    where = f"{source}" if member is None else f"{source} ({member})"
    content: Path | IO = source
    try:
        if member is not None:
            with zipfile.ZipFile(source) as archive:
                content = io.BytesIO(archive.read(member))
        table = pd.read_csv(content, dtype=str, keep_default_na=False, encoding="utf-8")
    except zipfile.BadZipFile:
        raise InputError(f"{source}: not a complete zip file; delete it and download it again") from None
    except KeyError:
        raise InputError(f"{source}: has no file named {member}; is it the right archive?") from None
    except (ValueError, EOFError, OSError) as error:  # pandas' own errors are ValueErrors
        raise InputError(f"{where}: not a CSV file in UTF-8 ({reason(error)})") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes surplus first cells for row names
        raise InputError(f"{where}: rows have more cells than the header; put texts with commas in quotes")
    require_columns(table, columns, where)
    return table


def require_columns(table: pd.DataFrame, columns: Sequence[str], where: str) -> None:
    """Raise InputError unless every named column is in the table."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        found = ", ".join(map(str, table.columns[:12]))
        raise InputError(f"{where}: no column {', '.join(map(repr, missing))}; its columns are: {found}")
