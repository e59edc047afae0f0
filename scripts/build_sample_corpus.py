"""Write the sample's taxonomy and job-ad corpus from the hand-written material in `sample_material/`.

    python scripts/build_sample_corpus.py [--out FOLDER]

The taxonomy goes into CSV files with ESCO's columns, the corpus into one gzipped CSV: id, sentence, truth, how.
Every sentence is a hand-written pattern of a trade, its slots filled with a skill's name, another of its names, an
inflected form, or a hand-written paraphrase; or a hand-written sentence that asks for no skill. Same material and
seed, same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.files import atomic_write
from helpers.taxonomy import SAMPLE_DIR, without_brackets

MATERIAL = Path(__file__).parent / "sample_material"
TABLES = ("occupations.json", "competency_groups.json")  # of build_sample_requisitions.py; every other file is a group
URN = "urn:skillbook"
SEED = 20261120
N_SENTENCES = 20_000
NO_SKILL_SHARE = 0.27
AMBIGUOUS_SHARE = 0.15  # of the sentences without a skill
# A skill of popularity rank r (from 0) is drawn with weight (r + SHIFT) ** -POWER: a long tail, as in real ads.
SHIFT, POWER = 12, 1.75
SLOT = re.compile(r"\{(do|doing|know)\}")

# What crawled ads put in front of a sentence that asks for nothing.
LEADS = (
    "About us:", "Good to know:", "What we offer:", "Our promise:", "Benefits:", "Why us?", "Your place of work:",
    "Please note:", "At a glance:", "Who we are:", "In short:", "The small print:", "What you get:", "Life here:",
    "One more thing:", "By the way:", "Perks:", "Pay and conditions:", "How to apply:", "The company:",
    "Where you will be:", "Your advantages:", "A word about us:", "Contract:", "Before you ask:", "Our house:",
    "Looking ahead:", "Background:", "For your information:", "The team you join:",
)  # fmt: skip
# How a name of a tool or a field becomes something one does.
USE = ("work with {}", "make use of {}", "apply {} daily", "put your knowledge of {} to use", "rely on {}")
DOUBLED = {
    "set", "put", "cut", "get", "fit", "run", "plan", "trim", "clip", "mop", "dig", "scan", "ship", "strip", "chop",
    "control", "refer", "stop", "wrap", "tap", "map", "grip", "bid", "sit", "let", "log", "swap", "rub", "tip", "top",
    "drop", "pat", "stir", "skim", "win", "transfer", "tag", "spot", "format", "debug", "submit", "shut", "hem",
}  # fmt: skip
KEPT_E = {"see", "be", "dye", "singe", "agree", "free", "oversee", "canoe"}


@dataclass(frozen=True)
class Skill:
    """A skill of the material with the trades it belongs to."""

    label: str
    type: str
    alt: tuple[str, ...]
    paraphrases: tuple[str, ...]
    groups: tuple[str, ...]


def gerund(phrase: str) -> str:
    """The phrase with its first verb in -ing.

    >>> gerund("prepare meals"), gerund("set up CNC machines"), gerund("hand-rear young animals")
    ('preparing meals', 'setting up CNC machines', 'hand-rearing young animals')
    """
    verb, blank, rest = phrase.partition(" ")
    stem = verb.rpartition("-")[2]
    if stem.endswith("ie"):
        verb = f"{verb[:-2]}y"
    elif stem.endswith("e") and stem not in KEPT_E:
        verb = verb[:-1]
    elif stem in DOUBLED:
        verb += verb[-1]
    return f"{verb}ing{blank}{rest}"


def load_material() -> list[dict]:
    """The hand-written groups, in the order of their top groups and names."""
    paths = [path for path in sorted(MATERIAL.glob("*.json")) if path.name not in TABLES]
    groups = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return sorted(groups, key=lambda group: (group["top_group"], group["group"]))


def slug(label: str) -> str:
    """The part of a URN that stands for a label.

    >>> slug("C++"), slug("C#"), slug("patients' vital signs")
    ('c-plus-plus', 'c-sharp', 'patients-vital-signs')
    """
    text = label.lower().replace("+", " plus ").replace("#", " sharp ").replace("'", "").replace("’", "")
    text = re.sub(r"^\.", "dot ", text)
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")


def build_taxonomy(groups: list[dict], folder: Path) -> None:
    """Write skills_en.csv, skillGroups_en.csv and broaderRelationsSkillPillar.csv in ESCO's columns."""
    skills, links = [], []
    group_uri = {group["group"]: f"{URN}:group:{slug(group['group'])}" for group in groups}
    top_uri = {group["top_group"]: f"{URN}:top-group:{slug(group['top_group'])}" for group in groups}
    for group in groups:
        links.append(("SkillGroup", group_uri[group["group"]], "SkillGroup", top_uri[group["top_group"]]))
        for skill in group["skills"]:
            uri = f"{URN}:skill:{slug(skill['label'])}"
            skills.append(
                {
                    "conceptType": "KnowledgeSkillCompetence",
                    "conceptUri": uri,
                    "skillType": skill["type"],
                    "reuseLevel": skill["reuse"],
                    "preferredLabel": skill["label"],
                    "altLabels": "\n".join(skill["alt"]),
                    "status": "released",
                    "description": skill["description"],
                    "opaqueName": str(skill["opaque"]).lower(),
                }
            )
            for parent in (group["group"], skill["also_in"]):
                if parent:
                    links.append(("KnowledgeSkillCompetence", uri, "SkillGroup", group_uri[parent]))
    named = [(group_uri[g["group"]], g["group"], g["group_description"]) for g in groups]
    tops = [(uri, label, "") for label, uri in top_uri.items()]
    group_table = pd.DataFrame(tops + named, columns=["conceptUri", "preferredLabel", "description"])
    group_table.insert(0, "conceptType", "SkillGroup")
    link_table = pd.DataFrame(links, columns=["conceptType", "conceptUri", "broaderType", "broaderUri"])
    for name, table in (
        ("skills_en.csv", pd.DataFrame(skills)),
        ("skillGroups_en.csv", group_table),
        ("broaderRelationsSkillPillar.csv", link_table),
    ):
        with atomic_write(folder / name) as file:
            table.to_csv(file, index=False, lineterminator="\n")


def build_corpus(groups: list[dict], rng: np.random.Generator, n_sentences: int) -> pd.DataFrame:
    """Columns id, sentence, truth and how; see `helpers.data.corpora.load_sample_truth`."""
    n_empty = round(n_sentences * NO_SKILL_SHARE)
    rows = sentences_without_skill(groups, rng, n_empty) | sentences_with_skills(groups, rng, n_sentences - n_empty)
    sentences = sorted(rows)
    order = rng.permutation(len(sentences))
    return pd.DataFrame(
        [(f"sample:{number:05d}", sentences[i], *rows[sentences[i]]) for number, i in enumerate(order)],
        columns=["id", "sentence", "truth", "how"],
    )


def sentences_without_skill(groups: list[dict], rng: np.random.Generator, n: int) -> dict[str, tuple[str, str]]:
    """Company talk, benefits and small print; some in which a skill's name stands with another meaning."""
    rows: dict[str, tuple[str, str]] = {}
    while len(rows) < n:
        group = groups[rng.integers(len(groups))]
        if rng.random() < AMBIGUOUS_SHARE:
            first, how = pick(rng, group["ambiguous"])["sentence"], "ambiguous"
        else:
            first, how = pick(rng, group["no_skill"]), "none"
        shape = rng.random()
        if shape < 0.45:
            first = f"{pick(rng, LEADS)} {first}"
        elif shape < 0.95:
            second = pick(rng, group["no_skill"])
            if second == first:
                continue
            first = f"{first} {second}"
        rows[first] = ("", how)
    return rows


def sentences_with_skills(groups: list[dict], rng: np.random.Generator, n: int) -> dict[str, tuple[str, str]]:
    """Patterns of a trade filled with skills of that trade, now and then of another."""
    skills = [
        Skill(
            s["label"],
            s["type"],
            tuple(s["alt"]),
            tuple(s["paraphrases"]),
            tuple(filter(None, (g["group"], s["also_in"]))),
        )
        for g in groups
        for s in g["skills"]
    ]
    patterns = {group["group"]: group["patterns"] for group in groups}
    weights = (rng.permutation(len(skills)) + SHIFT) ** -POWER
    weights /= weights.sum()
    members = {name: [i for i, skill in enumerate(skills) if name in skill.groups] for name in patterns}
    rows: dict[str, tuple[str, str]] = {}
    while len(rows) < n:
        first = skills[rng.choice(len(skills), p=weights)]
        trade = pick(rng, first.groups)
        pattern = pick(rng, patterns[trade])
        slots = SLOT.findall(pattern)
        chosen = [first]
        if len(slots) == 2:
            pool = np.array(members[trade] if rng.random() < 0.8 else range(len(skills)))
            second = skills[rng.choice(pool, p=weights[pool] / weights[pool].sum())]
            if second.label == first.label:
                continue
            chosen.append(second)
            if rng.random() < 0.5:
                chosen.reverse()
        filled = [fill(rng, slot, skill) for slot, skill in zip(slots, chosen, strict=True)]
        if None in filled:
            continue
        texts = iter(text for text, _ in filled)
        sentence = SLOT.sub(lambda _, texts=texts: next(texts), pattern)
        sentence = sentence[0].upper() + sentence[1:]
        rows[sentence] = ("|".join(skill.label for skill in chosen), "|".join(how for _, how in filled))
    return rows


def fill(rng: np.random.Generator, slot: str, skill: Skill) -> tuple[str, str] | None:
    """A text for a slot that expresses the skill, and how it does; None where the draw does not fit."""
    name = without_brackets(skill.label)
    # One-word alternatives are the generic ones ("support", "cut"): people rarely mean the skill by them.
    others = [without_brackets(alt) for alt in skill.alt if " " in alt or skill.type == "knowledge"]
    draw = rng.random()
    if draw < 0.36:
        text, how = pick(rng, skill.paraphrases), "implicit"
    elif draw < 0.58 and others:
        text, how = pick(rng, others), "alternative"
    else:
        text, how = name, "label"
    is_phrase = how == "implicit" or skill.type != "knowledge"  # a verb phrase, else a noun phrase
    if slot == "know":
        if not is_phrase:
            return text, how
        return (gerund(text), how if how == "implicit" else "inflected") if simple(text) else None
    if not is_phrase:
        text = pick(rng, USE).format(text)
    if slot == "do":
        return text, how
    if not simple(text):
        return None
    return gerund(text), "inflected" if is_phrase and how != "implicit" else how


def simple(phrase: str) -> bool:
    """Whether putting the first verb in -ing is enough: no second verb may be waiting behind an "and"."""
    return not re.search(r"[,;]| (and|or|then|so|but) ", phrase)


def pick(rng: np.random.Generator, items):
    """One of the items, each as likely."""
    return items[rng.integers(len(items))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=SAMPLE_DIR, help="folder to write to (default: the package's)")
    folder = parser.parse_args().out
    groups = load_material()
    build_taxonomy(groups, folder / "taxonomy")
    corpus = build_corpus(groups, np.random.default_rng(SEED), N_SENTENCES)
    with atomic_write(folder / "corpus.csv.gz", "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(corpus.to_csv(index=False, lineterminator="\n").encode())
    print(f"{sum(len(g['skills']) for g in groups)} skills, {len(corpus)} sentences -> {folder}")


if __name__ == "__main__":
    main()
