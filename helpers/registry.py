"""Every remote file of the book: where it is, at which commit, its checksum, licence and citation."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pooch

from helpers.files import InputError, atomic_write, sha256_file

ESCO_CITATION = "ESCO v1.1.0, European Commission (2022), https://esco.ec.europa.eu"
ESCO_LICENCE = "ESCO reuse notice (free, with attribution)"
DECORTE_2022 = "Decorte et al. (2022), Design of Negative Sampling Strategies for Distantly Supervised Skill Extraction"
DECORTE_2023 = "Decorte et al. (2023), Extreme Multi-Label Skill Extraction Training using Large Language Models"


@dataclass(frozen=True)
class RemoteFile:
    """A file at a fixed commit of a public GitHub repository. `size` is in bytes, None if unknown."""

    repository: str
    commit: str
    path: str
    sha256: str
    size: int | None
    licence: str
    citation: str

    @property
    def url(self) -> str:
        """Where the file is downloaded from."""
        return f"https://raw.githubusercontent.com/{self.repository}/{self.commit}/{quote(self.path)}"


@dataclass(frozen=True)
class HubTable:
    """A table of the Hugging Face hub at a fixed revision; its hash is recorded on first download."""

    repository: str
    revision: str
    licence: str
    citation: str

    @property
    def url(self) -> str:
        """Where a reader can look at the table."""
        return f"https://huggingface.co/datasets/{self.repository}/tree/{self.revision}"


def _esco(path: str, sha256: str, size: int) -> RemoteFile:
    commit = "1a8a32efb786c7f72052c893b144beb911fa7db1"
    return RemoteFile(
        "tabiya-tech/tabiya-esco-datasets-and-tools", commit, path, sha256, size, ESCO_LICENCE, ESCO_CITATION
    )


def _benchmark(name: str, sha256: str, size: int | None) -> RemoteFile:
    commit = "19305c85e35a74fb2a5128d8ee3798b06470b596"
    path = f"data/{name}"
    citation = DECORTE_2023 if name.startswith("techwolf") else DECORTE_2022
    return RemoteFile("jensjorisdecorte/Skill-Extraction-benchmark", commit, path, sha256, size, "CC BY 4.0", citation)


def _skillspan(path: str, sha256: str, size: int) -> RemoteFile:
    commit = "2ccf3de5b5af7a5409b8dd814fb1315dd6e0ae1b"
    citation = "Zhang et al. (2022), SkillSpan: Hard and Soft Skill Extraction from English Job Postings"
    return RemoteFile("kris927b/SkillSpan", commit, path, sha256, size, "see the repository", citation)


def _nnose(path: str, sha256: str, size: int, licence: str, citation: str) -> RemoteFile:
    return RemoteFile("jjzha/nnose", "afc785b664a5cbec445f6ac5cac45cd97c76b3d7", path, sha256, size, licence, citation)


def _skillskape(split: str, sha256: str, size: int) -> RemoteFile:
    commit = "2dec11084441240edbb69611ee848d3c54aeb02e"
    citation = "Magron et al. (2024), JobSkape: A Framework for Generating Synthetic Job Postings"
    path = f"jobskape/SkillSkape/{split}.csv"
    return RemoteFile("magantoine/JobSkape", commit, path, sha256, size, "MIT", citation)


FILES: dict[str, RemoteFile] = {
    "esco-v1.1.0-en.zip": _esco(
        "datasets/esco/v1.1.0/ESCO dataset - v1.1.0 - classification - en - csv.zip",
        "dd11b53cd0bb2a7dc83faa786bae337fdedefb3cf46c0918e87bea9ba15f2d99",
        3507146,
    ),
    "esco-v1.1.0-relations.zip": _esco(
        "datasets/esco/v1.1.0/ESCO dataset - v1.1.0 - classification -  - csv.zip",
        "4876891b51e0adae2a120091bc18aac9a7fe718deda4721d86fb166fd695659a",
        3964133,
    ),
    "tech_validation_annotations.csv": _benchmark(
        "tech_validation_annotations.csv", "3a436122f22ebf193193f6592cc2139fedc65d04a8b346f8b9b906e7d438ee3f", 44559
    ),
    "tech_test_annotations.csv": _benchmark(
        "tech_test_annotations.csv", "af6f0507015a7acb0668315a6388c780611e4fd859626b46e242abf172278184", 169045
    ),
    "house_validation_annotations.csv": _benchmark(
        "house_validation_annotations.csv", "4cc21f54af010c73e2f8696ed55a7ae4b8389552573dd79185d666dd2047bfe4", 78452
    ),
    "house_test_annotations.csv": _benchmark(
        "house_test_annotations.csv", "0050dcaa3ae37c01597ee525b5bc0dd283f209398ee93fb4e316609ba4ce5890", 222310
    ),
    "techwolf_test_annotations.csv": _benchmark(
        "techwolf_test_annotations.csv", "e2af8df7f515b9c1d5ca7dd87f892ed456255ee38d7f76fd6b3c8b102823c34a", None
    ),
    "skillspan_train.json": _skillspan(
        "data/json/train.json", "5e884c3426087d14fc437d328eb72132082edbfe1e776292ae0e6e9b36c1e1f6", 2207996
    ),
    "skillspan_dev.json": _skillspan(
        "data/json/dev.json", "3732937c6869fe191c749b4efe7ffd597ce84eea1192f09b7fe3bd1eb459e2b4", 1036099
    ),
    "green_train.json": _nnose(
        "data/green/train.json",
        "d4b114e4c127ac5f02ea85e5dff97222370131bb224d2a1efa7558f3f2e21cf0",
        3321075,
        "CC BY 4.0",
        "Green et al. (2022), Development of a Benchmark Corpus to Support Entity Recognition in Job Descriptions",
    ),
    "sayfullina_train.json": _nnose(
        "data/sayfullina/train.json",
        "350e8cf1a0445d07bf40403e5f0a7b6f2e82652c8df92beb44c48093b47402d7",
        914291,
        "see the repository",
        "Sayfullina et al. (2018), Learning Representations for Soft Skill Matching",
    ),
    "skill2vec_50K.csv.gz": RemoteFile(
        "duyet/skill2vec-dataset",
        "4f8c819b6ab188ea3ac2ca6cc35b1358b1b16bf0",
        "skill2vec_50K.csv.gz",
        "05c93eb9abf7e8c581a5391702de1ec7afe31af0882307fccf589d114f4754d2",
        3221283,
        "MIT",
        "Van-Duyet et al. (2017), Skill2vec: Machine Learning Approach for Determining the Relevant Skills",
    ),
    "skillskape_train.csv": _skillskape(
        "train", "d1f512e3d5ccdc4cea471d48819491e4cd7836618c09117d0ee82ea9a043d815", 1870931
    ),
    "skillskape_dev.csv": _skillskape(
        "dev", "23dc30d9f42b923c00883176aee1bf0c2dacdcd455787decce45ead3e5d88519", 359554
    ),
    "skillskape_test.csv": _skillskape(
        "test", "4d53378da3810c0cf936deda8bcd6b2a9608d3aeeb6bf767bed62cfcad36e97f", 371127
    ),
}

HUB_TABLES: dict[str, HubTable] = {
    "synthetic-esco-skill-sentences.parquet": HubTable(
        "TechWolf/Synthetic-ESCO-skill-sentences",
        "09fc487d1394c1fdfd224cb621a89b14af925716",
        "CC BY 4.0",
        DECORTE_2023,
    ),
}


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
    """Path of a file that must already be there, its checksum verified; never touches the network.

    Raises FileNotFoundError (how to get it) or InputError (it is damaged).
    """
    path = download_dir() / name
    if not path.exists():
        url = (FILES | HUB_TABLES)[name].url
        raise FileNotFoundError(f"{path} is missing: run `python -m helpers fetch {name}`, or get it from {url}")
    expected = _expected_hash(name)
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
    path = download_dir() / name
    existed = path.exists()
    if existed:
        try:
            return find(name), "complete"
        except InputError:
            pass  # damaged: the download below replaces it
    require_writable(path.parent, "SKILLBOOK_CACHE")
    source = (FILES | HUB_TABLES)[name]
    try:
        if isinstance(source, HubTable):
            _download_hub_table(source, path)
        else:
            pooch.get_logger().setLevel(logging.ERROR)  # its notes would mix with the progress bar
            downloader = pooch.HTTPDownloader(progressbar=progress, timeout=30)
            pooch.retrieve(source.url, f"sha256:{source.sha256}", fname=name, path=path.parent, downloader=downloader)
    except InputError:
        raise
    except Exception as error:  # requests, urllib3, pooch and the hub each have their own families
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise InputError(
            f"cannot download {name} ({reason}); with no network, get it from {source.url} and put it at {path}"
        ) from None
    return path, "replaced" if existed else "downloaded"


def fetch_all(names: Sequence[str] | None = None, progress: bool = False) -> Iterator[tuple[str, str]]:
    """Fetch files (all, by default), going on after a failure; yields the name and what was done or went wrong."""
    for name in names or (*FILES, *HUB_TABLES):
        try:
            yield name, fetch(name, progress)[1]
        except InputError as error:
            yield name, f"FAILED: {error}"


def _expected_hash(name: str) -> str | None:
    if name in FILES:
        return FILES[name].sha256
    record = download_dir() / f"{name}.json"
    return json.loads(record.read_text())["sha256"] if record.exists() else None


def require_writable(folder: Path, variable: str) -> None:
    """Raise InputError, naming the variable that moves it, unless files can be written to the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"cannot write to {folder} ({error.strerror}): set {variable} to another folder") from None


def _download_hub_table(source: HubTable, path: Path) -> None:
    """Bring the table's files at the pinned revision and keep them as one Parquet file, its hash beside it."""
    import pandas as pd
    from huggingface_hub import snapshot_download

    with tempfile.TemporaryDirectory() as folder:
        snapshot_download(
            source.repository,
            repo_type="dataset",
            revision=source.revision,
            allow_patterns=["*.csv", "*.parquet"],
            local_dir=folder,
        )
        found = sorted(p for p in Path(folder).rglob("*") if p.suffix in (".csv", ".parquet"))
        if not found:
            raise InputError(f"{source.repository} at {source.revision} holds no table")
        tables = [pd.read_parquet(p) if p.suffix == ".parquet" else pd.read_csv(p, dtype=str) for p in found]
        whole = Path(folder) / "whole.parquet"
        pd.concat(tables, ignore_index=True).to_parquet(whole, index=False)
        with atomic_write(path, "wb") as target, open(whole, "rb") as content:
            shutil.copyfileobj(content, target)
    with atomic_write(path.with_name(f"{path.name}.json")) as record:
        json.dump({"repository": source.repository, "revision": source.revision, "sha256": sha256_file(path)}, record)
