"""Check what the sample promises, and print the counts.

    python scripts/check_sample.py

The data card (book/data_sample.md) says what each number means; tests run the same checks.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from itertools import chain

import numpy as np
from build_sample_corpus import load_material
from rapidfuzz import fuzz, process

from helpers.data.benchmarks import NO_SKILL_LABELS, load_annotations, load_benchmark
from helpers.data.corpora import load_corpus, load_sample_truth
from helpers.data.requisitions import (
    load_competency_groups,
    load_occupation_skills,
    load_requisitions,
    top_skills,
)
from helpers.extraction.matching import LiteralMatcher, alternative_names, preferred_names
from helpers.files import read_csv
from helpers.taxonomy import SAMPLE_DIR, Taxonomy, load_taxonomy

NEAR = 90  # two texts are near-duplicates from this similarity on (rapidfuzz.fuzz.ratio, 0 to 100)
BENCHMARKS = ("sample-tech", "sample-general")


def near_duplicates(texts: list[str]) -> float:
    """Share of texts that have a near-duplicate among the others."""
    found = 0
    lowered = [text.lower() for text in texts]
    for start in range(0, len(lowered), 500):
        scores = process.cdist(lowered[start : start + 500], lowered, scorer=fuzz.ratio, score_cutoff=NEAR, workers=-1)
        found += int((np.count_nonzero(scores, axis=1) > 1).sum())
    return found / len(texts)


def commonest_opening(texts: list[str]) -> float:
    """Share of texts that begin with the commonest three words."""
    openings = Counter(" ".join(re.findall(r"[\w{}'’]+", text.lower())[:3]) for text in texts)
    return openings.most_common(1)[0][1] / len(texts)


def hand_written() -> dict[str, list[str]]:
    """Everything in the sample that was written, by kind."""
    groups = load_material()
    skills = [skill for group in groups for skill in group["skills"]]
    rows = [load_annotations(name, split)["sentence"] for name in BENCHMARKS for split in ("validation", "test")]
    return {
        "descriptions": [skill["description"] for skill in skills],
        "paraphrases": [text for skill in skills for text in skill["paraphrases"]],
        "patterns": [text for group in groups for text in group["patterns"]],
        "sentences without a skill": [text for group in groups for text in group["no_skill"]],
        "ambiguous sentences": [item["sentence"] for group in groups for item in group["ambiguous"]],
        "benchmark sentences": list(dict.fromkeys(chain.from_iterable(rows))),
    }


def checks() -> list[tuple[str, float, bool]]:
    """What is checked, its value, and whether it holds."""
    taxonomy, groups = load_taxonomy("sample"), load_material()
    table = read_csv(SAMPLE_DIR / "taxonomy" / "skills_en.csv", ("opaqueName",))
    found: list[tuple[str, float, bool]] = []

    def check(what: str, value: float, low: float = -np.inf, high: float = np.inf) -> None:
        found.append((what, value, low <= value <= high))

    check("skills", len(taxonomy), 500, 500)
    names = {group["group"] for group in groups}
    check("groups", len(names), 25, 25)
    tops = top_groups(taxonomy)
    check("top groups", len(set().union(*tops)), 6, 8)
    check("fewest top groups of a skill", min(map(len, tops)), 1)
    check("group names that are skills", len(names & set(taxonomy.labels)), 25, 25)
    check("fewest skills of a group", min(len(group["skills"]) for group in groups), 15)
    check("skills with two broader groups", sum(len(above) == 2 for above in taxonomy.broader), 60)
    check("share of opaque names", (table["opaqueName"] == "true").mean(), 0.25)
    alternatives = [len(alts) for alts in taxonomy.alt_labels]
    check("fewest alternative labels", min(alternatives), 2)
    check("most alternative labels", max(alternatives), 0, 6)
    sentences = [len(re.findall(r"[.!?](?:\s|$)", text)) for text in taxonomy.descriptions]
    check("longest description, sentences", max(sentences), 1, 3)
    check("fewest paraphrases of a skill", min(len(s["paraphrases"]) for g in groups for s in g["skills"]), 3)
    check("paraphrases that name their skill", sum(named_paraphrases(groups)), 0, 0)
    check("patterns", sum(len(group["patterns"]) for group in groups), 250)
    for kind, texts in hand_written().items():
        check(f"{kind}: repeated", len(texts) - len(set(texts)), 0, 0)
        check(f"{kind}: share near-duplicates", near_duplicates(texts), 0, 0.02)
        check(f"{kind}: share of the commonest opening", commonest_opening(texts), 0, 0.03)

    corpus, truth = load_corpus("sample"), load_sample_truth()
    check("corpus sentences", len(corpus), 20_000, 20_000)
    check("corpus sentences, distinct", len(set(corpus.sentences)), 20_000, 20_000)
    count = Counter(chain.from_iterable(filter(None, cell.split("|")) for cell in truth["truth"]))
    per_skill = np.array([count[label] for label in taxonomy.labels])
    check("share of skills in 10 sentences or fewer", (per_skill <= 10).mean(), 0.4)
    check("skills in 200 sentences or more", (per_skill >= 200).sum(), 5, 50)
    check("share of sentences without a skill", (truth["truth"] == "").mean(), 0.22, 0.3)
    check("share of sentences with an implicit skill", truth["how"].str.contains("implicit").mean(), 0.15)
    check("share of ambiguous sentences", (truth["how"] == "ambiguous").mean(), 0.01)

    matcher = LiteralMatcher(preferred_names(taxonomy) + alternative_names(taxonomy))
    seen = set(corpus.sentences)
    for name in BENCHMARKS:
        for split, fewest in (("validation", 60), ("test", 200)):
            benchmark, rows = load_benchmark(name, split, taxonomy), load_annotations(name, split)
            where = f"{name} {split}"
            check(f"{where}: sentences", len(benchmark.sentences), fewest)
            check(f"{where}: labels a sentence", benchmark.n_pairs / len(benchmark.sentences), 1.6)
            named = matcher.labels(benchmark.sentences)
            literal = sum(len(np.intersect1d(a, b)) for a, b in zip(named, benchmark.gold, strict=True))
            check(f"{where}: share of gold pairs named literally", literal / benchmark.n_pairs, 0, 0.25)
            for label in NO_SKILL_LABELS:
                check(f"{where}: rows {label}", (rows["label"] == label).sum(), 1)
            check(f"{where}: sentences of the corpus", len(seen & set(rows["sentence"])), 0, 0)
            spans = zip(rows["sentence"], rows["span"], rows["sub_span"], strict=True)
            check(
                f"{where}: spans that are not in their sentence",
                sum(s not in t or u not in s for t, s, u in spans),
                0,
                0,
            )
        both = [set(load_annotations(name, split)["sentence"]) for split in ("validation", "test")]
        check(f"{name}: sentences in both splits", len(both[0] & both[1]), 0, 0)

    jobs, links = load_requisitions("sample", taxonomy), load_occupation_skills(taxonomy)
    judged = load_competency_groups("sample", taxonomy)
    check("requisitions", len(jobs), 10_000, 10_000)
    check("requisitions: fewest skills", min(map(len, jobs)), 3)
    check("requisitions: most skills", max(map(len, jobs)), 0, 15)
    commonest = top_skills(jobs)[0]
    check("requisitions: share with the most frequent skill", np.mean([commonest in job for job in jobs]), 0, 0.4)
    check("occupations", links["occupation"].nunique(), 60, 60)
    check("occupations: links", len(links), 1641, 1641)
    check("occupations: skills that none has", len(taxonomy) - links["skill"].nunique(), 0, 0)
    above = [{taxonomy.group_labels[group] for group in groups} for groups in taxonomy.broader]
    inside = [
        group in above[taxonomy.index_of[skill]] for group, skill in zip(judged["group"], judged["skill"], strict=True)
    ]
    for relation in ("core", "fringe"):
        of_it = (judged["relation"] == relation).to_numpy()
        check(f"competency groups: {relation} pairs", of_it.sum(), 500)
        check(f"competency groups: {relation} pairs that are links of the taxonomy", (of_it & inside).sum(), 0)

    files = [path for path in SAMPLE_DIR.rglob("*") if path.is_file()]
    check("size of the sample, MB", sum(path.stat().st_size for path in files) / 1e6, 0, 6)
    check("largest file, MB", max(path.stat().st_size for path in files) / 1e6, 0, 3)
    return found


def top_groups(taxonomy: Taxonomy) -> list[set[str]]:
    """For each skill the labels of the topmost groups above it."""
    above = dict(zip(taxonomy.ids, taxonomy.broader, strict=True)) | taxonomy.group_broader

    def tops(concept: str) -> set[str]:
        if above.get(concept):
            return set().union(*map(tops, above[concept]))
        return {taxonomy.group_labels[concept]} if concept in taxonomy.group_labels else set()

    return [tops(skill) for skill in taxonomy.ids]


def named_paraphrases(groups: list[dict]) -> list[bool]:
    """For each paraphrase, whether its skill's label or an alternative label of more than one word stands in it."""
    result = []
    for skill in (skill for group in groups for skill in group["skills"]):
        names = [skill["label"], *(alt for alt in skill["alt"] if " " in alt)]
        matcher = LiteralMatcher([(name, 0) for name in names])
        result += [bool(matcher.spans(text)) for text in skill["paraphrases"]]
    return result


def main() -> int:
    results = checks()
    for what, value, holds in results:
        print(
            f"{'ok' if holds else 'NO'}  {what:<70} {value:g}"
            if value == int(value)
            else f"{'ok' if holds else 'NO'}  {what:<70} {value:.4f}"
        )
    return int(not all(holds for *_, holds in results))


if __name__ == "__main__":
    sys.exit(main())
