"""The shipped replies: training sentences for every skill of the sample, varied, and not too far from real use.

The figures printed here are those of the data card (`book/data_sample.md`).
"""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from rapidfuzz import fuzz
from rapidfuzz.process import cdist
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from helpers.data.benchmarks import load_benchmark
from helpers.data.corpora import SAMPLE_REPLIES
from helpers.evaluation import evaluate
from helpers.extraction.generation import is_refusal, parse_reply, read_store, requests_for
from helpers.extraction.lexical import LexicalRanker
from helpers.extraction.ranking import top_k
from helpers.taxonomy import load_taxonomy, without_brackets

TAXONOMY = load_taxonomy("sample")
ROWS = read_store(SAMPLE_REPLIES)
PAIRS = [
    (TAXONOMY.index_of[row["skill"]], sentence)
    for row in ROWS
    if row["prompt_version"] == "v2"
    for sentence in parse_reply(row["reply"])
]
OWNERS = np.array([owner for owner, _ in PAIRS])
SENTENCES = [sentence for _, sentence in PAIRS]
BENCHMARKS = ("sample-tech", "sample-general")
RESULTS = Path(__file__).resolve().parent.parent / "results"


def words(text):
    return re.findall(r"\w+", text.lower())


def test_every_skill_has_ten_sentences_under_the_second_prompt():
    counts = np.bincount(OWNERS, minlength=len(TAXONOMY))
    assert counts.min() == counts.max() == 10


def test_sixty_skills_were_asked_with_the_first_prompt_too_and_some_were_refused():
    first = [row for row in ROWS if row["prompt_version"] == "v1"]
    assert len(first) == len({row["skill"] for row in first}) == 60
    assert 1 <= sum(is_refusal(row["reply"]) for row in first) <= 30


def test_each_reply_answers_the_prompt_that_stands_beside_it():
    for version in ("v1", "v2"):
        hashes = {request.skill: request.messages_sha256 for request in requests_for(TAXONOMY, version=version)}
        rows = [row for row in ROWS if row["prompt_version"] == version]
        assert all(row["messages_sha256"] == hashes[row["skill"]] for row in rows)
        assert all(row["skill_id"] == TAXONOMY.ids[TAXONOMY.index_of[row["skill"]]] for row in rows)


def test_sentences_have_five_to_thirty_five_words():
    lengths = [len(sentence.split()) for sentence in SENTENCES]
    print(f"words: {min(lengths)} to {max(lengths)}, median {np.median(lengths):.0f}")
    assert min(lengths) >= 5
    assert max(lengths) <= 35
    assert np.percentile(lengths, 90) - np.percentile(lengths, 10) >= 10


def test_few_sentences_name_their_skill():
    named = [without_brackets(TAXONOMY.labels[i]).lower() in sentence.lower() for i, sentence in PAIRS]
    print(f"naming the skill: {100 * np.mean(named):.1f}%")
    assert np.mean(named) <= 0.4


def test_openings_and_phrases_vary():
    openings = Counter(" ".join(words(sentence)[:3]) for sentence in SENTENCES)
    grams = [tuple(w[i : i + 4]) for w in map(words, SENTENCES) for i in range(len(w) - 3)]
    (opening, count), distinct = openings.most_common(1)[0], len(set(grams)) / len(grams)
    print(f"most frequent opening {opening!r}: {100 * count / len(SENTENCES):.1f}%; distinct 4-grams: {distinct:.3f}")
    assert count / len(SENTENCES) <= 0.02
    assert distinct >= 0.85


def test_hardly_any_two_sentences_are_alike():
    plain = [" ".join(sorted(words(sentence))) for sentence in SENTENCES]  # neither case nor punctuation
    alike = cdist(plain, plain, scorer=fuzz.ratio, score_cutoff=85, dtype=np.uint8, workers=-1)
    np.fill_diagonal(alike, 0)
    share = np.mean(alike.any(axis=1))
    print(f"near-duplicates: {100 * share:.2f}%")
    assert share < 0.01


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_nearest_sentence_by_characters_does_not_solve_the_benchmark(name):
    benchmark = load_benchmark(name, "test", TAXONOMY)
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    vectors = vectorizer.fit_transform(SENTENCES)
    scores = (vectorizer.transform(benchmark.sentences) @ vectors.T).toarray()
    best = np.stack([scores[:, skill == OWNERS].max(axis=1) for skill in range(len(TAXONOMY))], axis=1)
    nearest = evaluate(top_k(best, len(TAXONOMY)), benchmark).mean["rp@5"]
    labels = evaluate(LexicalRanker(TAXONOMY).rank(benchmark.sentences, len(TAXONOMY)), benchmark).mean["rp@5"]
    print(f"{name}: nearest sentence {100 * nearest:.1f}, labels {100 * labels:.1f}")
    assert nearest <= labels + 0.10


def test_a_linear_classifier_has_trouble_to_tell_replies_from_benchmark_sentences():
    theirs = [
        s for b in BENCHMARKS for split in ("validation", "test") for s in load_benchmark(b, split, TAXONOMY).sentences
    ]
    ours = list(np.random.default_rng(0).choice(SENTENCES, len(theirs), replace=False))
    truth = np.repeat([1, 0], len(theirs))
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(max_iter=500))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    guess = cross_val_predict(model, ours + theirs, truth, cv=folds, method="predict_proba")[:, 1]
    area = roc_auc_score(truth, guess)
    print(f"AUC replies against benchmark sentences: {area:.3f}")
    assert area < 0.85


@pytest.mark.parametrize("profile", ["sample", "full"])
def test_the_stored_figures_of_chapter_04_are_of_these_replies(profile):
    shipped = hashlib.sha256(SAMPLE_REPLIES.read_bytes()).hexdigest()
    cost, sentences = (
        json.loads((RESULTS / profile / "04" / name).read_text(encoding="utf-8"))
        for name in ("cost.json", "sentences.json")
    )
    ours = [found["sha256"] for found in sentences["sets"].values() if found["source"] == SAMPLE_REPLIES.name]
    assert ours == [shipped] * {"sample": 2, "full": 1}[profile], "replies changed: measure chapter 04 again"
    assert cost["replies_sha256"] == shipped
