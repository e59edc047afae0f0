"""Make a release: everything a reader can download without cloning, and its checksums, into _build/release.

    python scripts/release.py [--dirty]

What is packed is what git tracks, the built site, and an encoder that is trained here, so no file of the real data can
slip in. The same commit gives the same bytes on the same machine. --dirty is for a trial: it passes over an unclean
tree, a missing tag and versions that disagree.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import yaml
from safetensors import numpy as tensors

from helpers import evaluation
from helpers.data.benchmarks import Benchmark, load_benchmark
from helpers.encoders import SentenceTransformer, load_encoder
from helpers.extraction.contrastive import BiEncoder, Training, load_pairs, train
from helpers.extraction.ranking import package_versions
from helpers.files import InputError
from helpers.profiles import Profile, start
from helpers.registry import FILES
from helpers.taxonomy import Taxonomy, load_taxonomy

ROOT = Path(__file__).resolve().parent.parent
TERMS = ("LICENSE", "LICENSE-TEXT", "NOTICE")
SAME_TOP = 0.98  # share of sentences whose first skill halving the weights has to leave alone
# Datasheets for Datasets (Gebru et al., 2021): their sections, and the data card's that answer them.
DATASHEET = {
    "Motivation": ("",),
    "Composition": ("What is in it",),
    "Collection, cleaning and labelling": ("How it was made, plainly",),
    "Uses": ("What it can and cannot show", "Room to learn"),
    "Distribution": ("Licence",),
    "Maintenance": ("Maintenance",),
}
RUNS = """\
# Measured runs

`results/` of the book, version {version}: run files (`.csv.gz`: sentence id, rank, label id, score) with the JSON of
their provenance beside them, the records that the chapters read, and chapter 07's small SkillBERT. Ids and figures, no
text of the real data. To score a run:

    python -m helpers evaluate --benchmark sample-tech --run results/sample/00/sample-tech-test-lexical.csv.gz
"""
SITE = """\
# Skill Extraction, Step by Step, version {version}

Open `index.html`: pages, pictures, formulas, search and the skill explorer work without a network. Links to other sites
do not.
"""
CARD = """\
---
license: apache-2.0
language: en
base_model: sentence-transformers/all-MiniLM-L6-v2
library_name: sentence-transformers
pipeline_tag: sentence-similarity
---
# {name}

An encoder that puts a sentence of a job ad near the skills that it asks for: *Skill Extraction, Step by Step*, version
{version}, trained as in its chapter 05 (Decorte et al., 2023) on the book's sample.

    python -m helpers extract "You bake bread and run payroll." --model {name}

## Training

- Data: {pairs:,} sentences for {skills} skills, written by a language model for the book (the sample's replies, which
  the datasheet in the sample's archive describes). No real ad, nothing of ESCO, no sentence of the benchmarks.
- Start: {encoder}. Multiple negatives ranking loss, {steps} steps of {batch} pairs, learning rate {rate:g},
  seed {seed}, {augmented}; `training.json` has all settings and the losses.
- Again: `python -m helpers train --data sentences --augment --out trained`.

## Figures

RP@5 times 100 on the sample's test splits with its 95% bootstrap interval, measured on these files when they were made:

{table}

Weights are stored as 16-bit floats and computed with as 32-bit ones. Against the 32-bit weights that were trained, the
first skill is the same for {same} of {total} test sentences; no cosine differs by more than {apart:.4f}.

## Limits

The sample is a simulation: texts and annotations are a language model's. The figures say nothing about real ads or
about ESCO; the book measures those apart, and the encoder was not trained for them. It ranks skills and does not decide
whether a sentence asks for one. Do not use it to judge people.

## Licence

Weights: Apache-2.0, as the encoder they started from. Training sentences: CC BY 4.0, the skillbook authors.

Made with {versions}.
"""


def version_of(root: Path) -> str:
    """The version that pyproject.toml states."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def git(root: Path, *arguments: str) -> list[str]:
    """What git says, line by line."""
    done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def problems(root: Path) -> Iterator[str]:
    """What stands in the way of a release, one line each; the site is looked at apart."""
    version = version_of(root)
    cited = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    newest = re.search(r"^## (\S+) \((.+)\)$", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    if newest is None:
        yield "CHANGELOG.md has no entry: write `## VERSION (DATE)` above the newest one"
    elif not version == str(cited["version"]) == newest[1]:
        stated = f"pyproject.toml {version}, CITATION.cff {cited['version']}, CHANGELOG.md {newest[1]}"
        yield f"the versions disagree ({stated}): write one into all three"
    elif newest[2] != str(cited["date-released"]):
        stated = f"CHANGELOG.md {newest[2]}, CITATION.cff {cited['date-released']}"
        yield f"the dates disagree ({stated}): write the day of the release into both"
    if changed := git(root, "status", "--porcelain"):
        yield f"{len(changed)} file(s) are not committed, {changed[0][3:]} first: commit them or put them away"
    if f"v{version}" not in git(root, "tag", "--points-at", "HEAD"):
        yield f"this commit has no tag v{version}: git tag v{version}"


def require_site(root: Path) -> None:
    """Raise InputError unless the site was built from the pages and notebooks that are there."""
    again = "run `make book` first"
    if not (root / "_build" / "html" / "index.html").exists():
        raise InputError(f"the site is not built: {again}")
    for path in tracked(root, "_config.yml", "book", "notebooks/*.ipynb"):
        copy = root / "_build" / "stage" / path.relative_to(root)
        if not copy.exists() or not is_built(path, copy):
            raise InputError(f"{path.relative_to(root)} has changed since the site was built: {again}")


def is_built(path: Path, copy: Path) -> bool:
    """Is the copy that the site was built from this file? The build may add to a cell, and fill in a comment."""
    if path.suffix == ".ipynb":
        cells, built = (nbformat.read(p, as_version=4).cells for p in (path, copy))
        return len(cells) == len(built) and all(
            b.source.startswith(c.source) for c, b in zip(cells, built, strict=True)
        )
    parts = re.split(rb"<!--.*?-->", path.read_bytes())
    return re.fullmatch(b".*".join(map(re.escape, parts)), copy.read_bytes(), re.DOTALL) is not None


def tracked(root: Path, *folders: str) -> list[Path]:
    """The files that git tracks there, in order; never a download, a cache or a key."""
    names = sorted(git(root, "-c", "core.quotePath=false", "ls-files", "--", *folders))
    return [root / name for name in names if (root / name).exists()]


def pack(target: Path, files: dict[str, Path | str]) -> None:
    """A zip archive of files and texts by name, below a folder called as the archive; the same bytes every time.

    Raises InputError for a file of the real data, by its name or its content.
    """
    foreign = {source.sha256 for source in FILES.values()}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            file = files[name]
            data = file.encode() if isinstance(file, str) else file.read_bytes()
            if Path(name).name in FILES or hashlib.sha256(data).hexdigest() in foreign:
                raise InputError(f"{name} is a file of the real data and may not be given away: take it out")
            entry = zipfile.ZipInfo(f"{target.stem}/{name}")  # dated 1980, as nothing else is the same tomorrow
            entry.external_attr, entry.create_system = 0o644 << 16, 3
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)


def below(folder: Path, paths: list[Path]) -> dict[str, Path]:
    """Paths by their names in an archive: relative to a folder."""
    return {path.relative_to(folder).as_posix(): path for path in paths}


def build_wheel(root: Path, out: Path) -> None:
    """The wheel, built from a copy of the tracked files: what lies about elsewhere in the folder stays out."""
    with tempfile.TemporaryDirectory() as copy:
        names = ("helpers", "pyproject.toml", "README.md", *TERMS)
        for name, path in below(root, tracked(root, *names)).items():
            (Path(copy) / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, Path(copy) / name)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
        environment = os.environ | {"SOURCE_DATE_EPOCH": "315532800"}  # 1980, the first year of a zip archive
        subprocess.run([*command, "--wheel-dir", out.resolve(), "."], cwd=copy, env=environment, check=True)


def datasheet(card: str, references: str, version: str) -> str:
    """The data card of the book as a datasheet: its sections in the order of Gebru et al., in plain Markdown.

    Raises InputError if a section of the card has no place in it, or one is missing.
    """
    for key in set(re.findall(r"\{cite:t\}`(\w+)`", card)):
        entry = references[references.index("{" + key + ",") :]
        author, year = re.search(r"author = {(\w+)", entry)[1], re.search(r"year = {(\d+)", entry)[1]
        card = card.replace(f"{{cite:t}}`{key}`", f"{author} et al. ({year})")
    # The box at the top is a section in itself.
    notes = dict(re.findall(r"^```\{admonition\} (.+)\n:class: .*\n([\s\S]+?)\n```$", card, re.M))
    card = re.sub(r"^```[\s\S]+?^```$", "", card, flags=re.M)
    before, *rest = re.split(r"^## ", card, flags=re.M)
    sections = {"": before.split("\n", 1)[1], **notes} | {
        part.split("\n", 1)[0]: part.split("\n", 1)[1] for part in rest
    }
    wanted = [name for names in DATASHEET.values() for name in names]
    if odd := set(sections) ^ set(wanted):
        raise InputError(f"book/data_sample.md and scripts/release.py disagree about the section {min(odd)!r}")
    parts = [f"# Datasheet: the sample of skillbook {version}"]
    for heading, names in DATASHEET.items():
        parts += [f"## {heading}", *(sections[name].strip() for name in names)]
    return "\n\n".join(parts) + "\n"


def halve(folder: Path) -> None:
    """Store a model's weights as 16-bit floats. Its config still says float32: that is what it is loaded as."""
    for path in folder.rglob("*.safetensors"):
        weights = tensors.load_file(path)
        small = {name: w.astype(np.float16) if w.dtype == np.float32 else w for name, w in weights.items()}
        tensors.save_file(small, path, metadata={"format": "pt"})


def scores(rankers: dict[str, BiEncoder], benchmarks: list[Benchmark]) -> str:
    """A Markdown table: RP@5 times 100 of each ranker on each benchmark, with its interval."""
    lines = ["| | " + " | ".join(b.name for b in benchmarks) + " |", "|---" * (1 + len(benchmarks)) + "|"]
    for name, ranker in rankers.items():
        row = [name]
        for benchmark in benchmarks:
            metrics = evaluation.evaluate(ranker.rank(benchmark.sentences, len(benchmark.taxonomy)), benchmark)
            low, high = metrics.intervals()["rp@5"]
            row.append(f"{100 * metrics.mean['rp@5']:.1f} [{100 * low:.1f}, {100 * high:.1f}]")
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def checkpoint(root: Path, out: Path, version: str, profile: Profile, training: Training) -> None:
    """Train the encoder, halve and measure it; write it with its model card, and the embeddings of all labels."""
    taxonomy = load_taxonomy(profile.taxonomy)
    benchmarks = [load_benchmark(name, "test", taxonomy) for name in profile.benchmarks]
    stock, pairs = load_encoder(profile.encoder, "cpu"), load_pairs("sentences", taxonomy, profile)
    name = f"skillbook-encoder-{version}"
    trained, _ = train(stock, pairs, taxonomy.labels, root / "_build" / "encoder", training)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / name
        shutil.copytree(root / "_build" / "encoder", folder)
        halve(folder)
        small = load_encoder(str(folder), "cpu")
        sentences = [sentence for benchmark in benchmarks for sentence in benchmark.sentences]
        same, apart = compared(trained, small, taxonomy, sentences)
        if same < SAME_TOP * len(sentences):
            raise InputError(
                f"halved, the encoder ranks first what it did for {same} of {len(sentences)} only: not made"
            )
        rankers = {
            "before training": BiEncoder(stock, taxonomy),
            "this encoder": BiEncoder(small, taxonomy),
            "this encoder, `--names mix`": BiEncoder(small, taxonomy, "mix"),
        }
        facts = json.loads((folder / "training.json").read_text(encoding="utf-8"))["facts"]
        card = CARD.format(
            name=name,
            version=version,
            pairs=len(pairs),
            skills=len(np.unique(pairs.skills)),
            encoder=Path(profile.encoder).name,
            steps=facts["steps"],
            batch=training.batch_size,
            rate=training.learning_rate,
            seed=training.seed,
            augmented="with augmentation" if training.augment else "without augmentation",
            table=scores(rankers, benchmarks),
            same=same,
            total=len(sentences),
            apart=apart,
            versions=", ".join(f"{package} {number}" for package, number in package_versions().items()),
        )
        print(card[card.index("## Figures") : card.index("## Limits")].strip())
        files = below(folder, [path for path in folder.rglob("*") if path.is_file()])
        pack(out / f"{name}.zip", {**files, "README.md": card})
        embeddings = {
            Path(profile.encoder).name: rankers["before training"].label_embeddings,
            name: rankers["this encoder"].label_embeddings,
        }
    # One entry: several would be written in another order each time.
    what = {
        "taxonomy": taxonomy.name,
        "taxonomy_sha256": taxonomy.sha256,
        "rows": "unit-length embeddings of the preferred labels, in the order of ids",
        "ids": taxonomy.ids,
        "labels": taxonomy.labels,
    }
    tensors.save_file(embeddings, out / f"skillbook-labels-{version}.safetensors", {"skillbook": json.dumps(what)})


def compared(
    one: SentenceTransformer, other: SentenceTransformer, taxonomy: Taxonomy, sentences: list[str]
) -> tuple[int, float]:
    """For how many sentences two encoders put the same skill first, and the largest difference of their cosines."""
    wholes = [BiEncoder(encoder, taxonomy).rank(sentences, len(taxonomy)) for encoder in (one, other)]
    cosines = [np.take_along_axis(whole.scores, np.argsort(whole.indices), axis=1) for whole in wholes]
    same = wholes[0].indices[:, 0] == wholes[1].indices[:, 0]
    return int(same.sum()), float(np.abs(cosines[0] - cosines[1]).max())


def release(root: Path, profile: Profile, training: Training, dirty: bool = False) -> Path:
    """Write every file of the release into _build/release, SHA256SUMS last; raises InputError, and leaves none."""
    for problem in problems(root):
        if not dirty:
            raise InputError(problem)
        print(f"passed over: {problem}")
    require_site(root)
    version, out = version_of(root), root / "_build" / "release"
    shutil.rmtree(out, ignore_errors=True)
    partial = out.with_name("release.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()

    terms = below(root, tracked(root, *TERMS))
    build_wheel(root, partial)
    card, references = (
        (root / "book" / name).read_text(encoding="utf-8") for name in ("data_sample.md", "references.bib")
    )
    sample = root / "helpers" / "data" / "sample"
    files = below(sample, tracked(root, "helpers/data/sample"))
    sheet = datasheet(card, references, version)
    pack(partial / f"skillbook-sample-{version}.zip", {**files, **terms, "DATASHEET.md": sheet})
    html = root / "_build" / "html"
    pages = [path for path in html.rglob("*") if path.is_file() and not path.name.startswith(".")]
    site = {**below(html, pages), **terms, "README.md": SITE.format(version=version)}
    pack(partial / f"skillbook-html-{version}.zip", site)
    runs = below(root, tracked(root, "results"))
    pack(partial / f"skillbook-runs-{version}.zip", {**runs, **terms, "README.md": RUNS.format(version=version)})
    checkpoint(root, partial, version, profile, training)

    made = sorted(partial.iterdir())
    for path in made:
        path.chmod(0o644)  # safetensors makes its files private
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in made]
    (partial / "SHA256SUMS").write_text("".join(sums), encoding="utf-8", newline="\n")
    partial.rename(out)
    for path in made:
        print(f"{(out / path.name).stat().st_size / 1e6:8.1f} MB  {path.name}")
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dirty", action="store_true", help="a trial: whatever is not ready is said and passed over")
    arguments = parser.parse_args()
    profile = start("sample")
    try:
        out = release(ROOT, profile, Training(augment=True, seed=profile.seed), arguments.dirty)
    except InputError as error:
        print("error:", *str(error).split(), file=sys.stderr)
        return 1
    print(f"the release is in {out}; check it there with sha256sum -c SHA256SUMS")
    return 0


if __name__ == "__main__":
    sys.exit(main())
