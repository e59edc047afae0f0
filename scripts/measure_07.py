"""Chapter 07's measurements: three embeddings of skills, their neighbours, their maps, and the filling of masks.

Requisitions are the sample's, or ESCO's occupations, for which there are competency groups, and skill2vec's real
postings, for which there are none.
"""

from __future__ import annotations

import functools
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from measuring import write_record

from helpers.competency.embeddings import BertTraining, Embedding, SkillBert, train_skillbert, word2vec
from helpers.competency.features import label_table, unit
from helpers.data.requisitions import load_competency_groups, load_requisitions, only, top_skills
from helpers.encoders import encode, load_encoder
from helpers.evaluation import bootstrap_interval, paired_test
from helpers.extraction.ranking import package_versions
from helpers.files import sha256_texts
from helpers.profiles import Profile
from helpers.taxonomy import Taxonomy, load_taxonomy

ASKED = 500  # requisitions kept from training, to fill masks in
NEAREST = 10
# Requisitions, the competency groups to judge by, and the size of SkillBERT (the paper's needs a GPU).
SMALL = BertTraining(bf16=True)
LARGE = BertTraining(layers=4, hidden=256, epochs=1, bf16=True)
# The sample's again: four times as many steps, and the other way to mask.
OTHERS = {
    "longer": replace(SMALL, epochs=20, batch_size=32),
    "whole-skills": replace(SMALL, batch_size=32, whole_skills=True),
}
SOURCES = {
    "sample": {"sample": (("sample",), SMALL)},
    "full": {"esco": (("semantic", "field"), LARGE), "skill2vec": ((), LARGE)},
}


def split_requisitions(
    source: str, taxonomy: Taxonomy, seed: int
) -> tuple[list[str], list[Sequence[str]], list[Sequence[str]]]:
    """The most frequent skills, the requisitions to train on, and those to ask about."""
    jobs = load_requisitions(source, taxonomy, seed)
    skills = top_skills(jobs)
    if source == "sample":  # its 500 skills, and not the names that could not be read
        skills = list(taxonomy.labels)
    kept = only(jobs, skills) if source != "sample" else jobs
    order = np.random.default_rng(seed).permutation(len(kept))
    return skills, [kept[i] for i in order[ASKED:]], only([kept[i] for i in order[:ASKED]], skills)


def embeddings(profile: Profile, jobs: Sequence[Sequence[str]], training: BertTraining) -> dict[str, Embedding]:
    """Pretrained, Word2Vec and SkillBERT, by name."""
    bert = train_skillbert(jobs, training)
    return {
        "pretrained": functools.partial(encode, load_encoder(profile.encoder)),
        "Word2Vec": word2vec(jobs, seed=training.seed),
        "SkillBERT": bert.embed,
    }


def chapter_07(profile: Profile, folder: Path) -> None:
    """A record for each source of requisitions, and what becomes of the paper's learning rate of 0.01."""
    taxonomy = load_taxonomy(profile.taxonomy)
    for source, (groupings, training) in SOURCES[profile.name].items():
        path = folder / f"{source}.json"
        if not path.exists():
            write_record(measured(profile, taxonomy, source, groupings, training), path)
            print(path.name, flush=True)
    for name, training in OTHERS.items() if profile.name == "sample" else ():
        path = folder / f"{name}.json"
        if not path.exists():
            write_record(measured(profile, taxonomy, "sample", ("sample",), training), path)
            print(path.name, flush=True)
    shipped = folder / "skillbert"
    if profile.name == "sample" and not shipped.exists():  # what chapters 07 and 08 read
        _, jobs, _ = split_requisitions("sample", taxonomy, profile.seed)
        shutil.copytree(train_skillbert(jobs, SMALL).folder, shipped)
    path = folder / "learning-rates.json"
    if not path.exists():
        source, (_, training) = next(iter(SOURCES[profile.name].items()))
        write_record(learning_rates(profile, taxonomy, source, training), path)
        print(path.name, flush=True)


def provenance(profile: Profile, taxonomy: Taxonomy, source: str, jobs: Sequence[Sequence[str]]) -> dict:
    """What every record begins with."""
    return {
        "profile": profile.name,
        "source": source,
        "requisitions": len(jobs),
        "requisitions_sha256": sha256_texts([text for job in jobs for text in (*job, "")]),
        "taxonomy_sha256": taxonomy.sha256,
        "encoder": profile.encoder,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "seed": profile.seed,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": package_versions(),
    }


def measured(
    profile: Profile, taxonomy: Taxonomy, source: str, groupings: Sequence[str], training: BertTraining
) -> dict:
    """Neighbours that share a competency group, and masks filled right, for each embedding; skills as names only."""
    skills, jobs, asked = split_requisitions(source, taxonomy, profile.seed)
    began = time.perf_counter()
    embed = embeddings(profile, jobs, training)
    seconds = time.perf_counter() - began
    record = provenance(profile, taxonomy, source, jobs) | {
        "skills": len(skills),
        "training": asdict(training),
        "seconds": round(seconds),  # of all three; next to nothing when SkillBERT was trained before
        "loss": train_skillbert(jobs, training).history,
        "loss_of_frequencies": frequencies_alone(train_skillbert(jobs, training), jobs),
        "skills_of_a_requisition": round(len([skill for job in jobs for skill in job]) / len(jobs), 2),
        "requisitions_of_a_skill": float(np.median([*counted(jobs, skills).values()])),
        "groupings": {},
    }
    for grouping in groupings:
        labels = label_table(load_competency_groups(grouping, taxonomy), skills)
        record["groupings"][grouping] = neighbours(embed, labels, opaque_names(taxonomy, skills))
    record["masks"] = masks(train_skillbert(jobs, training), embed["Word2Vec"], skills, jobs, asked)
    return record


def counted(jobs: Sequence[Sequence[str]], skills: Sequence[str]) -> dict[str, int]:
    """In how many requisitions each skill is."""
    count = Counter(skill for job in jobs for skill in job)
    return {skill: count[skill] for skill in skills}


def frequencies_alone(bert: SkillBert, jobs: Sequence[Sequence[str]]) -> float:
    """The loss of an answer that knows only how frequent each piece is: the entropy of the pieces, in nats."""
    texts = bert.tokenizer.encode_batch([skill for job in jobs for skill in job], add_special_tokens=False)
    share = np.bincount([i for text in texts for i in text.ids]) / sum(len(text.ids) for text in texts)
    return round(float(-(share[share > 0] * np.log(share[share > 0])).sum()), 3)


def opaque_names(taxonomy: Taxonomy, skills: Sequence[str]) -> np.ndarray | None:
    """Mask (n_skills,) of names from which nobody can read the skill: the sample says so, ESCO does not."""
    if taxonomy.name != "sample":
        return None
    opaque = dict(zip(taxonomy.labels, opaque_column(), strict=True))
    return np.array([opaque[skill] for skill in skills])


def opaque_column() -> list[bool]:
    """The sample's `opaqueName`, in taxonomy order."""
    from helpers.files import read_csv
    from helpers.taxonomy import SAMPLE_DIR

    return (read_csv(SAMPLE_DIR / "taxonomy" / "skills_en.csv", ("opaqueName",))["opaqueName"] == "true").tolist()


def neighbours(embed: dict[str, Embedding], labels: pd.DataFrame, opaque: np.ndarray | None) -> dict:
    """How many of a skill's nearest skills share a group with it; skills in no group are left out.

    Cosines are of centred vectors, as in the feature table.
    """
    member = labels.to_numpy() > 0
    labels, opaque = labels[member.any(axis=1)], None if opaque is None else opaque[member.any(axis=1)]
    member = member[member.any(axis=1)]
    share = (member.astype(np.float32) @ member.T.astype(np.float32)) > 0
    np.fill_diagonal(share, False)
    found = {"chance": share.sum(axis=1) / (len(share) - 1)}
    for name, make in embed.items():
        vectors = make(list(labels.index))
        vectors = unit(vectors - vectors.mean(axis=0))
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, -np.inf)
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :NEAREST]
        found[name] = np.take_along_axis(share, nearest, axis=1).mean(axis=1)
    parts = {"all": np.ones(len(labels), dtype=bool)}
    if opaque is not None:
        parts |= {"opaque": opaque, "transparent": ~opaque}
    table = {
        part: {"skills": int(rows.sum())} | {name: interval(values[rows]) for name, values in found.items()}
        for part, rows in parts.items()
    }
    pairs = (("SkillBERT", "Word2Vec"), ("SkillBERT", "pretrained"), ("Word2Vec", "pretrained"))
    differences = {
        part: {f"{a} minus {b}": difference(found[a][rows], found[b][rows]) for a, b in pairs}
        for part, rows in parts.items()
    }
    return {"groups": labels.shape[1], "nearest": NEAREST, "shares": table, "differences": differences}


def interval(values: np.ndarray) -> list[float]:
    """Mean over skills and its 95% bootstrap interval, times 100."""
    return [round(100 * float(x), 2) for x in (values.mean(), *bootstrap_interval(values))]


def difference(a: np.ndarray, b: np.ndarray) -> list[float]:
    """Mean of a - b over the same skills and its 95% interval, times 100, and the p-value."""
    test = paired_test(a, b)
    return [*(round(100 * x, 2) for x in (test.difference, test.low, test.high)), round(test.p_value, 4)]


def masks(
    bert: SkillBert,
    neighbouring: Embedding,
    skills: Sequence[str],
    jobs: Sequence[Sequence[str]],
    asked: Sequence[Sequence[str]],
) -> dict:
    """One skill of each requisition hidden: how often it is among the first ten that fit the rest.

    Beside SkillBERT: the most frequent skills, and those nearest to the mean of the rest's Word2Vec vectors.
    """
    count = counted(jobs, skills)
    vectors = unit(neighbouring(skills))
    place = {skill: i for i, skill in enumerate(skills)}
    hits = {"most frequent": [], "Word2Vec": [], "SkillBERT": []}
    rng = np.random.default_rng(0)
    for job in asked:
        hidden = job[rng.integers(len(job))]
        rest = [skill for skill in job if skill != hidden]
        left = [skill for skill in skills if skill not in rest]
        near = vectors @ vectors[[place[skill] for skill in rest]].mean(axis=0)
        ranked = {
            "most frequent": sorted(left, key=lambda skill: -count[skill])[:10],
            "Word2Vec": sorted(left, key=lambda skill: -near[place[skill]])[:10],
            "SkillBERT": [skill for skill, _ in bert.fill_mask(rest, left, 10)],
        }
        for name, first in ranked.items():
            hits[name].append(hidden in first)
    found = {name: np.array(hit, dtype=float) for name, hit in hits.items()}
    pairs = (("SkillBERT", "most frequent"), ("SkillBERT", "Word2Vec"), ("Word2Vec", "most frequent"))
    return {
        "asked": len(asked),
        "hits_at_10": {name: interval(hit) for name, hit in found.items()},
        "differences": {f"{a} minus {b}": difference(found[a], found[b]) for a, b in pairs},
    }


RATES = (1e-4, 1e-3, 1e-2)


def learning_rates(profile: Profile, taxonomy: Taxonomy, source: str, training: BertTraining) -> dict:
    """Losses of short trainings at several learning rates; the paper finalised 0.01, the highest."""
    _, jobs, _ = split_requisitions(source, taxonomy, profile.seed)
    some = jobs[:5000]
    trained = {f"{rate:g}": train_skillbert(some, replace(training, epochs=2, learning_rate=rate)) for rate in RATES}
    return provenance(profile, taxonomy, source, some) | {
        "training": asdict(training) | {"epochs": 2},
        "loss_of_frequencies": frequencies_alone(next(iter(trained.values())), some),
        "losses": {rate: bert.history for rate, bert in trained.items()},
    }
