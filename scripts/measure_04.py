"""Chapter 04's measurements: sentences that language models wrote, what all of a taxonomy costs, and a leak."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from measuring import benchmarks_of, write_record
from rapidfuzz import fuzz
from rapidfuzz.process import cdist
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from helpers import registry
from helpers.data.benchmarks import load_benchmark
from helpers.data.corpora import SAMPLE_REPLIES
from helpers.encoders import load_encoder
from helpers.evaluation import bootstrap_interval, paired_test, r_precision_at_k
from helpers.extraction.contrastive import BiEncoder
from helpers.extraction.generation import PROMPTS, estimate, is_refusal, parse_reply, read_store, requests_for
from helpers.extraction.lexical import LexicalRanker
from helpers.extraction.ranking import package_versions
from helpers.files import read_csv, require_columns, sha256_file
from helpers.profiles import PROFILES, Profile
from helpers.taxonomy import Taxonomy, load_taxonomy, without_brackets

SPLITS = ("train", "dev", "test")  # of SkillSkape
BOTH = ("validation", "test")
GPT_SENTENCES = "synthetic-esco-skill-sentences.parquet"
DRAWN = 5_000  # shares of repeats depend on how many sentences there are: all sets are compared at this size
ALIKE = 85  # of 100, by rapidfuzz, after both sentences' words were put into lower case and sorted
SEEDS = range(5)


@dataclass(frozen=True)
class Written:
    """Sentences by a language model, each with the labels it was written for."""

    sentences: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    source: str
    sha256: str


def replies(version: str) -> Written:
    """The shipped replies to one of the two prompts, parsed."""
    rows = [row for row in read_store(SAMPLE_REPLIES) if row["prompt_version"] == version]
    pairs = [(sentence, (row["skill"],)) for row in rows for sentence in parse_reply(row["reply"])]
    return Written(*zip(*pairs, strict=True), SAMPLE_REPLIES.name, sha256_file(SAMPLE_REPLIES))


def skillskape(splits: Sequence[str] = SPLITS) -> Written:
    """SkillSkape's sentences; its label UNK, "no label of ESCO", is left out."""
    names = [f"skillskape_{split}.csv" for split in splits]
    table = pd.concat([read_csv(registry.find(name), ("sentence", "skills")) for name in names])
    labels = [
        tuple(dict.fromkeys(label.strip() for label in ast.literal_eval(cell) if label.strip() != "UNK"))
        for cell in table["skills"]
    ]
    hashes = ", ".join(sha256_file(registry.find(name)) for name in names)
    return Written(tuple(table["sentence"].str.strip()), tuple(labels), ", ".join(names), hashes)


def gpt_sentences() -> Written:
    """The paper's released sentences, where they were fetched; FileNotFoundError says how."""
    path = registry.find(GPT_SENTENCES)
    table = pd.read_parquet(path)
    require_columns(table, ("skill", "sentence"), str(path))
    labels = tuple((skill.strip(),) for skill in table["skill"])
    return Written(tuple(table["sentence"].str.strip()), labels, GPT_SENTENCES, sha256_file(path))


def sample_exam() -> Written:
    """The sample's benchmark sentences, which a language model wrote too, with their gold labels."""
    taxonomy = load_taxonomy("sample")
    parts = [load_benchmark(name, split, taxonomy) for name, split in product(PROFILES["sample"].benchmarks, BOTH)]
    pairs = [
        (sentence, tuple(taxonomy.labels[i] for i in gold))
        for b in parts
        for sentence, gold in zip(b.sentences, b.gold, strict=True)
    ]
    source = ", ".join(f"{b.name} {b.split}" for b in parts)
    return Written(*zip(*pairs, strict=True), source, ", ".join(b.sha256 for b in parts))


SETS = {
    "sample": {"second prompt": lambda: replies("v2"), "first prompt": lambda: replies("v1")},
    "full": {
        "SkillSkape": skillskape,
        "shipped replies": lambda: replies("v2"),
        "the sample's exam": sample_exam,
        "GPT sentences": gpt_sentences,
    },
}


def words(text: str) -> list[str]:
    """A text's words in lower case, as `tests/test_replies.py` counts them."""
    return re.findall(r"\w+", text.lower())


def form(written: Written, seed: int) -> dict:
    """Number, labels, lengths and naming over all sentences; repeats over as many as `DRAWN`, drawn by seed."""
    sentences, rng = written.sentences, np.random.default_rng(seed)
    lengths = [len(sentence.split()) for sentence in sentences]
    named = [
        without_brackets(label).lower() in sentence.lower()
        for sentence, labels in zip(sentences, written.labels, strict=True)
        for label in labels
    ]
    order = rng.permutation(len(sentences))[:DRAWN]
    drawn = [sentences[i] for i in order]
    plain = [" ".join(sorted(words(sentence))) for sentence in drawn]
    alike = cdist(plain, plain, scorer=fuzz.ratio, score_cutoff=ALIKE, dtype=np.uint8, workers=-1)
    np.fill_diagonal(alike, 0)
    openings = Counter(" ".join(words(sentence)[:3]) for sentence in drawn)
    grams = [tuple(w[i : i + 4]) for w in map(words, drawn) for i in range(len(w) - 3)]
    opening, count = openings.most_common(1)[0]
    return {
        "source": written.source,
        "sha256": written.sha256,
        "n_sentences": len(sentences),
        "n_labels": len({label for labels in written.labels for label in labels}),
        "labels_per_sentence": round(float(np.mean([len(labels) for labels in written.labels])), 3),
        "words_min_10_50_90_max": [int(q) for q in np.percentile(lengths, [0, 10, 50, 90, 100])],
        "share_of_pairs_named": round(float(np.mean(named)), 4),
        "n_drawn": len(drawn),
        "near_duplicates": round(float(np.mean(alike.any(axis=1))), 4),
        "top_opening": opening,
        "top_opening_share": round(count / len(drawn), 4),
        "ten_openings_share": round(sum(n for _, n in openings.most_common(10)) / len(drawn), 4),
        "distinct_4_grams": round(len(set(grams)) / len(grams), 4),
    }


def told_apart(ours: Sequence[str], theirs: Sequence[str], vocabulary: Sequence[str] | None = None) -> list[float]:
    """Cross-validated AUC of a linear classifier between two kinds of sentences, equally many.

    One for each seed, which draws the sentences and shuffles the folds. `vocabulary`: the words that are counted.
    """
    size = min(len(ours), len(theirs))
    truth = np.repeat([1, 0], size)
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True, vocabulary=vocabulary), LogisticRegression(max_iter=500))
    areas = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        texts = [kind[i] for kind in (ours, theirs) for i in rng.choice(len(kind), size, replace=False)]
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        chance = cross_val_predict(model, texts, truth, cv=folds, method="predict_proba")[:, 1]
        areas.append(roc_auc_score(truth, chance))
    return [round(float(area), 4) for area in areas]


def provenance(profile: Profile, taxonomy: Taxonomy) -> dict:
    """What each record of this chapter begins with."""
    return {
        "profile": profile.name,
        "device": "cpu",
        "seed": profile.seed,
        "taxonomy_sha256": taxonomy.sha256,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": package_versions(),
    }


def sentences(profile: Profile, taxonomy: Taxonomy) -> dict:
    """The form of each set of sentences, and how easily each is told from the profile's benchmark sentences."""
    exams = [b for split in BOTH for b in benchmarks_of(profile, split, taxonomy)]
    # Names were masked in TECH and HOUSE: a mask would give every one of their sentences away.
    theirs = list(dict.fromkeys(re.sub(r"<\w+>", " ", sentence) for b in exams for sentence in b.sentences))
    record = provenance(profile, taxonomy) | {
        "benchmark_sha256": {f"{b.name} {b.split}": b.sha256 for b in exams},
        "n_benchmark_sentences": len(theirs),
        "benchmark_words_min_10_50_90_max": [
            int(q) for q in np.percentile([len(s.split()) for s in theirs], [0, 10, 50, 90, 100])
        ],
        "alike_from": ALIKE,
        "auc_seeds": list(SEEDS),
        "sets": {},
        "left_out": [],
    }
    for name, load in SETS[profile.name].items():
        try:
            written = load()
        except FileNotFoundError as error:
            print(f"left out: {error}")
            record["left_out"].append(name)
            continue
        record["sets"][name] = form(written, profile.seed) | {
            "auc_n_each": min(len(written.sentences), len(theirs)),
            "auc": told_apart(written.sentences, theirs),
            "auc_stop_words": told_apart(written.sentences, theirs, sorted(ENGLISH_STOP_WORDS)),
        }
        print(name, record["sets"][name])
    return record


def cost(profile: Profile, taxonomy: Taxonomy) -> dict:
    """Requests and tokens for ten sentences of each skill, estimated as the command line does, under both prompts."""
    record = provenance(profile, taxonomy) | {
        "n_skills": len(taxonomy),
        "skills_without_definition": sum(not text for text in taxonomy.descriptions),
        "replies_sha256": sha256_file(SAMPLE_REPLIES),
    }
    for version in PROMPTS:
        numbers = estimate(requests_for(taxonomy, version=version))
        record[version] = {key: int(numbers[key]) for key in ("requests", "tokens_in", "tokens_out")}
        shipped = [row for row in read_store(SAMPLE_REPLIES) if row["prompt_version"] == version]
        lengths = [len(row["reply"]) for row in shipped if not is_refusal(row["reply"])]
        record[version]["characters_of_a_shipped_reply"] = round(float(np.mean(lengths)), 1)
    return record


def leak(profile: Profile, taxonomy: Taxonomy) -> dict:
    """Which of SkillSkape's labels are gold on the benchmarks, and what it is worth to be told so.

    Two rankers without any training rank all labels, and once only SkillSkape's training labels. A gold label that is
    not among these counts as never found.
    """
    tests = benchmarks_of(profile, "test", taxonomy)
    splits = [*tests, *benchmarks_of(profile, "validation", taxonomy)]
    gold = {f"{b.name} {b.split}": {taxonomy.labels[i] for g in b.gold for i in g} for b in splits}
    gold["all"] = set().union(*gold.values())
    gold["test"] = set().union(*(gold[f"{b.name} test"] for b in tests))
    told = {split: {label for labels in skillskape([split]).labels for label in labels} for split in SPLITS}
    kept = np.isin(np.arange(len(taxonomy)), [taxonomy.index_of[label] for label in told["train"]])
    queries = {sentence for b in splits for sentence in map(words_joined, b.sentences)}
    record = provenance(profile, taxonomy) | {
        "encoder": profile.encoder,
        "benchmark_sha256": {f"{b.name} {b.split}": b.sha256 for b in splits},
        "skillskape_sha256": skillskape().sha256,
        "sentences_shared_with_benchmarks": len(queries & set(map(words_joined, skillskape().sentences))),
        "labels": {
            split: {"n": len(labels), **{name: len(labels & found) for name, found in gold.items()}}
            for split, labels in told.items()
        },
        "gold_labels": {name: len(found) for name, found in gold.items()},
        "rp@5": {},
    }
    rankers = {"lexical": LexicalRanker(taxonomy), "zero-shot": BiEncoder(load_encoder(profile.encoder), taxonomy)}
    for b in tests:
        for name, ranker in rankers.items():
            whole = ranker.rank(b.sentences, len(taxonomy))
            before = rp5_of(whole.indices, b.gold, np.ones(len(taxonomy), dtype=bool))
            after = rp5_of(whole.indices, b.gold, kept)
            test = paired_test(after, before)
            record["rp@5"][f"{b.name} {name}"] = {
                "all labels": mean_with_interval(before),
                "SkillSkape's labels": mean_with_interval(after),
                "gained": [round(100 * value, 3) for value in (test.difference, test.low, test.high)],
            }
    print(record["labels"], record["rp@5"])
    return record


def rp5_of(indices: np.ndarray, gold: Sequence[np.ndarray], kept: np.ndarray) -> np.ndarray:
    """RP@5 of each sentence when only the kept labels (a mask) are in the list; other gold labels are never found."""
    ranks = []
    for order, labels in zip(indices, gold, strict=True):
        place = np.cumsum(kept[order])[np.argsort(order)].astype(float)
        ranks.append(np.where(kept[labels], place[labels], np.inf))
    return r_precision_at_k(ranks, 5)


def mean_with_interval(values: np.ndarray) -> list[float]:
    """Mean, lower and upper end of its bootstrap interval, times 100."""
    return [round(100 * float(value), 3) for value in (values.mean(), *bootstrap_interval(values))]


def words_joined(text: str) -> str:
    """A text without case, punctuation and spacing, to find equal sentences."""
    return " ".join(words(text))


def chapter_04(profile: Profile, folder: Path) -> None:
    """Records of sentences and cost for both profiles; of SkillSkape's labels where they are the profile's."""
    taxonomy = load_taxonomy(profile.taxonomy)
    measured = {"sentences": sentences, "cost": cost}
    if "SkillSkape" in SETS[profile.name]:
        measured["skillskape-labels"] = leak
    for name, measure in measured.items():
        path = folder / f"{name}.json"
        if not path.exists():
            write_record(measure(profile, taxonomy), path)
            print(path.name)
