"""Every remote file of the book: where it is, at which commit, its checksum, licence and citation."""

import contextlib
import csv
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pooch

from helpers.files import InputError, atomic_write, reason, require_writable, sha256_file


@dataclass(frozen=True)
class RemoteFile:
    """A file at a fixed commit on GitHub; without a path a table of the Hugging Face hub, hashed on first download."""

    repository: str
    commit: str
    path: str
    sha256: str
    licence: str
    citation: str

    @property
    def url(self) -> str:
        """Where the file is downloaded from, or where a reader can look at the table."""
        if not self.path:
            return f"https://huggingface.co/datasets/{self.repository}/tree/{self.commit}"
        return f"https://raw.githubusercontent.com/{self.repository}/{self.commit}/{quote(self.path)}"


# `remote_files.csv`: a name in the download folder, then the fields of its `RemoteFile`.
with open(Path(__file__).parent / "remote_files.csv", encoding="utf-8", newline="") as _file:
    _ALL = {row.pop("name"): RemoteFile(**row) for row in csv.DictReader(_file)}
FILES = {name: source for name, source in _ALL.items() if source.path}
HUB_TABLES = {name: source for name, source in _ALL.items() if not source.path}


def download_dir() -> Path:
    """The folder of downloaded files: SKILLBOOK_CACHE, or `downloads` in the user's cache folder."""
    given = os.environ.get("SKILLBOOK_CACHE")
    if not given:
        return Path(pooch.os_cache("skillbook")) / "downloads"
    # Notebooks run in their own folder: in a checkout, a relative path counts from its root all the same.
    checkout = Path(__file__).resolve().parent.parent
    base = checkout if (checkout / "pyproject.toml").exists() else Path.cwd()
    return (base / Path(given).expanduser()).resolve()


def find(name: str) -> Path:
    """Path of a file that is there and whole; never downloads. Else FileNotFoundError, or InputError if damaged."""
    path = download_dir() / name
    if not path.exists():
        url = (FILES | HUB_TABLES)[name].url
        raise FileNotFoundError(f"{path} is missing: run `python -m helpers fetch {name}`, or get it from {url}")
    if name in FILES:
        expected = FILES[name].sha256
    else:
        record = path.with_name(f"{name}.json")
        expected = json.loads(record.read_text())["sha256"] if record.exists() else None
    if expected and sha256_file(path) != expected:
        raise InputError(f"{path} has a wrong checksum (damaged or truncated): run `python -m helpers fetch {name}`")
    return path


def fetch(name: str, progress: bool = False) -> tuple[Path, str]:
    """Make sure a file is in the download folder and whole.

    Returns its path and what was done: "complete" (it was there), "downloaded" or "replaced" (it was damaged).
    Raises InputError in one line when the network, the hub or the folder does not allow it.
    """
    if name not in FILES and name not in HUB_TABLES:
        raise InputError(f"no remote file {name!r}; choose from: {', '.join([*FILES, *HUB_TABLES])}")
    path, source = download_dir() / name, (FILES | HUB_TABLES)[name]
    existed = path.exists()
    with contextlib.suppress(FileNotFoundError, InputError):  # missing or damaged: brought below
        return find(name), "complete"
    require_writable(path.parent, "SKILLBOOK_CACHE")
    try:
        if name in HUB_TABLES:
            _download_hub_table(source, path)
        else:
            pooch.get_logger().setLevel(logging.ERROR)  # its notes would mix with the progress bar
            downloader = pooch.HTTPDownloader(progressbar=progress, timeout=30)
            pooch.retrieve(source.url, f"sha256:{source.sha256}", fname=name, path=path.parent, downloader=downloader)
    except Exception as error:  # requests, urllib3, pooch and the hub each have their own families
        raise InputError(
            f"cannot download {name} ({reason(error)}); with no network, get it from {source.url} and put it at {path}"
        ) from None
    return path, "replaced" if existed else "downloaded"


def fetch_all(names: Sequence[str] | None = None, progress: bool = False) -> Iterator[tuple[str, str]]:
    """Fetch files (all, by default), going on after a failure; yields the name and what was done or went wrong."""
    for name in names or (*FILES, *HUB_TABLES):
        try:
            yield name, fetch(name, progress)[1]
        except InputError as error:
            yield name, f"FAILED: {error}"


def _download_hub_table(source: RemoteFile, path: Path) -> None:
    """Bring the table's files at the pinned revision and keep them as one Parquet file, its hash beside it."""
    import pandas as pd
    from huggingface_hub import snapshot_download

    kinds = ["*.csv", "*.parquet"]
    with tempfile.TemporaryDirectory() as folder:
        snapshot_download(
            source.repository, repo_type="dataset", revision=source.commit, allow_patterns=kinds, local_dir=folder
        )
        found = sorted(path for kind in kinds for path in Path(folder).rglob(kind))
        if not found:
            raise InputError(f"{source.repository} at {source.commit} holds no table")
        tables = [pd.read_parquet(p) if p.suffix == ".parquet" else pd.read_csv(p, dtype=str) for p in found]
        with atomic_write(path, "wb") as target:
            pd.concat(tables, ignore_index=True).to_parquet(target, index=False)
    with atomic_write(path.with_name(f"{path.name}.json")) as record:
        json.dump({"repository": source.repository, "revision": source.commit, "sha256": sha256_file(path)}, record)
