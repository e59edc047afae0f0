"""Write the sample's occupations, requisitions and competency groups from the tables in `sample_material/`.

    python scripts/build_sample_requisitions.py [--out FOLDER]

Occupations go into CSV files with ESCO's columns, requisitions into one gzipped CSV in skill2vec's layout (a job's
number, then its skills, padded with empty cells), competency groups into a CSV: group, skill, relation. A requisition
is a draw from an occupation, with stray skills put in and names written as people write them. Same material and seed,
same bytes.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import string
from pathlib import Path

import numpy as np
import pandas as pd
from build_sample_corpus import MATERIAL, TABLES, URN, pick, slug

from helpers.data.requisitions import MOST, draw_requisitions
from helpers.files import atomic_write
from helpers.taxonomy import SAMPLE_DIR, Taxonomy, load_taxonomy, without_brackets

SEED = 20261121
N_REQUISITIONS = 10_000
STRAY = 0.06  # of the skills, in the place of one of the occupation's own
ALTERNATIVE, CASE, TYPO = 0.15, 0.15, 0.03  # of the mentions; a mention may be more than one of these
WAYS = (str.lower, string.capwords, str.capitalize, str.upper)


def load_table(name: str) -> list[dict]:
    """A hand-written table: "occupations.json" or "competency_groups.json"."""
    return json.loads((MATERIAL / name).read_text(encoding="utf-8"))


def build_occupations(occupations: list[dict], taxonomy: Taxonomy) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables occupations_en.csv and occupationSkillRelations.csv, in ESCO's columns."""
    rows, links = [], []
    for occupation in occupations:
        uri = f"{URN}:occupation:{slug(occupation['label'])}"
        rows.append(("Occupation", uri, occupation["isco_group"], occupation["label"]))
        for relation, labels in (("essential", occupation["core"]), ("optional", occupation["optional"])):
            links += [(uri, relation, taxonomy.ids[taxonomy.index_of[label]]) for label in labels]
    return (
        pd.DataFrame(rows, columns=["conceptType", "conceptUri", "iscoGroup", "preferredLabel"]),
        pd.DataFrame(links, columns=["occupationUri", "relationType", "skillUri"]),
    )


def build_requisitions(
    links: pd.DataFrame, taxonomy: Taxonomy, rng: np.random.Generator, n: int
) -> list[tuple[list[int], list[str]]]:
    """n requisitions, no two alike: the skills meant (taxonomy indices), and how they are written.

    `links` has the columns occupation, skill and relation of `load_occupation_skills`.
    """
    kept: dict[tuple[str, ...], list[int]] = {}
    while len(kept) < n:
        for skills in draw_requisitions(links, n, int(rng.integers(2**32))):
            meant = with_strays(rng, skills, len(taxonomy))
            written = [spelled(rng, taxonomy.labels[i], taxonomy.alt_labels[i]) for i in meant]
            if len({text.casefold() for text in written}) == len(written):
                kept.setdefault(tuple(written), meant)
    return [(meant, list(written)) for written, meant in list(kept.items())[:n]]


def with_strays(rng: np.random.Generator, skills: np.ndarray, n_skills: int) -> list[int]:
    """The skills in random order, some of them replaced by any other skill that is not among them."""
    meant = rng.permutation(skills).tolist()
    for place in np.flatnonzero(rng.random(len(meant)) < STRAY):
        stray = int(rng.integers(n_skills))
        if stray not in meant:
            meant[place] = stray
    return meant


def spelled(rng: np.random.Generator, label: str, alternatives: tuple[str, ...]) -> str:
    """A way in which a person may write the skill's name."""
    text = label
    if alternatives and rng.random() < ALTERNATIVE:
        text = pick(rng, alternatives)
    elif rng.random() < 0.5:
        text = without_brackets(text)
    if rng.random() < CASE:
        text = pick(rng, WAYS)(text)
    return misspelled(rng, text) if rng.random() < TYPO else text


def misspelled(rng: np.random.Generator, text: str) -> str:
    """The text with one letter left out, doubled, or in its neighbour's place; short names stay as they are."""
    if len(text) < 5:
        return text
    at, kind = int(rng.integers(1, len(text) - 1)), rng.integers(3)
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + text[at] + text[at:]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def layout(requisitions: list[tuple[list[int], list[str]]]) -> bytes:
    """Rows as skill2vec has them: a number, then the skills, then empty cells up to the longest row."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for number, (_, written) in enumerate(requisitions, start=1):
        writer.writerow([number, *written, *[""] * (MOST - len(written))])
    return text.getvalue().encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=SAMPLE_DIR, help="folder to write to (default: the package's)")
    folder = parser.parse_args().out / "requisitions"
    taxonomy = load_taxonomy("sample")
    occupations, groups = map(load_table, TABLES)
    table, relations = build_occupations(occupations, taxonomy)
    competency = [
        (group["group"], label, relation)
        for group in groups
        for relation in ("core", "fringe")
        for label in group[relation]
    ]
    for name, rows in (
        ("occupations_en.csv", table),
        ("occupationSkillRelations.csv", relations),
        ("competency_groups.csv", pd.DataFrame(competency, columns=["group", "skill", "relation"])),
    ):
        with atomic_write(folder / name) as file:
            rows.to_csv(file, index=False, lineterminator="\n")
    index_of_id = {identity: index for index, identity in enumerate(taxonomy.ids)}
    links = pd.DataFrame(
        {
            "occupation": relations["occupationUri"],
            "skill": relations["skillUri"].map(index_of_id),
            "relation": relations["relationType"],
        }
    )
    requisitions = build_requisitions(links, taxonomy, np.random.default_rng(SEED), N_REQUISITIONS)
    path = folder / "requisitions.csv.gz"
    with atomic_write(path, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(layout(requisitions))
    print(f"{len(occupations)} occupations, {len(requisitions)} requisitions, {len(competency)} judgements -> {folder}")


if __name__ == "__main__":
    main()
