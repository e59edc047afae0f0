"""The real data, through the same loaders: `make test-real`. A missing file is a failure, never a skip."""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers import registry
from helpers.data.benchmarks import load_annotations, load_benchmark
from helpers.data.corpora import load_asking, load_corpus
from helpers.data.requisitions import (
    held_out,
    load_competency_groups,
    load_occupation_skills,
    load_requisitions,
    only,
    top_skills,
)
from helpers.encoders import load_encoder
from helpers.evaluation import evaluate, precision_recall_sets, recall_at_k
from helpers.extraction.classifiers import train_from_corpus
from helpers.extraction.contrastive import BiEncoder
from helpers.extraction.lexical import LexicalRanker
from helpers.extraction.matching import LiteralMatcher, alternative_names, preferred_names, reliable_names
from helpers.extraction.methods import make_decision
from helpers.extraction.ranking import Ranking, ranks_of, run_benchmark
from helpers.profiles import PROFILES
from helpers.taxonomy import load_taxonomy

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def esco():
    return load_taxonomy("esco-v1.1.0")


@pytest.mark.parametrize("name", [name for name in registry.FILES if not name.startswith("techwolf")])
def test_every_file_is_there_and_whole(name):
    assert registry.find(name).exists()  # its hash is right, or this would raise


def test_esco_has_its_skills_names_and_relations(esco):
    assert len(esco) == 13_891
    assert sum(map(len, esco.broader)) + sum(map(len, esco.group_broader.values())) == 20_771
    assert all(label == label.strip() for label in esco.labels)
    kinds = [esco.types.count(kind) for kind in ("skill/competence", "knowledge", "")]
    assert kinds == [10_833, 3_057, 1]  # as chapter 01 says
    assert sum(1 for above in esco.broader if above) > 13_000
    assert "Erlang" in {esco.labels[i] for i in esco.siblings(esco.index_of["Haskell"])}


def test_sentences_without_a_span_come_back_empty_and_recall_is_kept(esco):
    ranker = BiEncoder(load_encoder(), esco)
    decision = make_decision(ranker, PROFILES["full"], esco)
    dev, asks = load_asking("job-ads", "dev")
    free = [text for text, asked in zip(dev, asks, strict=True) if not asked]
    kept = decision.keep(free, ranker.rank(free, 5))
    assert np.mean(~kept.any(axis=1)) >= 2 / 3
    for name in ("tech", "house"):
        test = load_benchmark(name, "test", esco)
        ranking = ranker.rank(test.sentences, 5)
        answer = np.where(decision.keep(test.sentences, ranking), ranking.indices, -1)
        before, after = (
            recall_at_k(ranks_of(Ranking(labels, ranking.scores), test.gold), 5).mean()
            for labels in (ranking.indices, answer)
        )
        assert 1 - after / before <= 0.1, name


def test_a_detector_never_sees_a_sentence_of_a_benchmark_and_dev_has_none_of_train():
    (train, _), (dev, _) = load_asking("job-ads"), load_asking("job-ads", "dev")
    benchmark = {
        sentence.strip()
        for name in ("tech", "house")
        for split in ("validation", "test")
        for sentence in load_annotations(name, split)["sentence"]
    }
    assert not benchmark & {*train, *dev}
    assert not set(train) & set(dev)


def test_occupations_have_their_links(esco):
    links = load_occupation_skills(esco)
    assert len(links) == 123_852
    assert links["occupation"].nunique() == 3_008
    assert set(links["relation"]) == {"essential", "optional"}
    assert links.notna().all().all()
    assert not links.duplicated(["occupation", "skill"]).any()
    assert links[held_out(links)]["occupation"].nunique() == 1_496


def test_requisitions_and_groups_have_the_papers_size(esco):
    jobs = load_requisitions("esco", esco)
    skills = top_skills(jobs)
    jobs = only(jobs, skills)
    assert len(skills) == 2_997
    assert len(jobs) >= 100_000
    assert all(3 <= len(job) == len(set(job)) <= 15 for job in jobs)
    for name, n_groups in (("semantic", 126), ("field", 42)):
        groups = load_competency_groups(name, esco)
        assert groups[groups["skill"].isin(skills)]["group"].nunique() == pytest.approx(n_groups, abs=2)
    postings = load_requisitions("skill2vec")
    assert len(postings) == 41_155
    assert not {"sales manager", "java developer"} & {skill for job in postings for skill in job}


COUNTS = {
    ("tech", "test"): (338, 583),
    ("house", "test"): (262, 529),
    ("tech", "validation"): (75, 131),
    ("house", "validation"): (61, 131),
}


@pytest.mark.parametrize("key", COUNTS, ids="-".join)
def test_the_protocol_gives_the_published_counts(esco, key):
    benchmark = load_benchmark(*key, esco)
    assert (len(benchmark.sentences), benchmark.n_pairs) == COUNTS[key]


@pytest.mark.parametrize(
    ("name", "zero_shot", "lexical"), [("tech", (43.48, 45.57), 41.07), ("house", (33.21, 33.85), 31.56)]
)
def test_the_baselines_give_the_known_figures(esco, name, zero_shot, lexical):
    benchmark = load_benchmark(name, "test", esco)
    dense = evaluate(run_benchmark(BiEncoder(load_encoder(), esco), benchmark), benchmark).mean
    assert (100 * dense["mrr"], 100 * dense["rp@5"]) == pytest.approx(zero_shot, abs=0.1)
    sparse = evaluate(run_benchmark(LexicalRanker(esco), benchmark), benchmark).mean
    assert 100 * sparse["rp@5"] == pytest.approx(lexical, abs=0.3)


def test_literal_matching_is_as_precise_as_the_papers(esco):
    matcher = LiteralMatcher(reliable_names(esco))
    counts = [
        precision_recall_sets(matcher.labels(b.sentences), b.gold).sum()
        for b in (load_benchmark(name, "test", esco) for name in ("tech", "house"))
    ]
    total = counts[0] + counts[1]
    assert total["hits"] / total["predicted"] >= 0.77
    assert total["hits"] / total["gold"] >= 0.155


def test_no_benchmark_sentence_is_in_the_corpus():
    corpus = load_corpus("job-ads")
    assert 18_000 < len(corpus) < 20_348
    sentences = set(corpus.sentences)
    for name in ("tech", "house"):
        for split in ("validation", "test"):
            assert not sentences & set(load_annotations(name, split)["sentence"])


def test_escos_own_texts_follow_the_job_ads(esco):
    corpus, n_ads = load_corpus("job-ads+descriptions"), len(load_corpus("job-ads"))
    assert len(corpus) - n_ads == 13_891 + 3_008
    assert corpus.ids[n_ads : n_ads + len(esco)] == esco.ids


def test_distant_labels_reach_few_of_the_skills(esco):
    labels = LiteralMatcher(reliable_names(esco)).labels(load_corpus("job-ads").sentences)
    reached = np.unique(np.concatenate(labels))
    assert 200 < len(reached) < 2_000


def stored(name):
    return json.loads((Path(__file__).parent.parent / "results" / "full" / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def matchers(esco):
    every = preferred_names(esco) + alternative_names(esco)
    return {"reliable names": LiteralMatcher(reliable_names(esco)), "every name": LiteralMatcher(every)}


def test_the_stored_label_space_is_what_the_data_give(esco):
    rows = stored("01/label-space.json")["rows"]
    row = next(r for r in rows if (r["benchmark"], r["n_labels"], r["seed"]) == ("tech", 13_891, 0))
    benchmark = load_benchmark("tech", "test", esco)
    lexical = evaluate(run_benchmark(LexicalRanker(esco), benchmark), benchmark).mean["rp@5"]
    assert row["lexical"] == pytest.approx(100 * lexical, abs=0.1)
    assert row["zero-shot"] == pytest.approx(45.57, abs=0.1)  # computed in test_the_baselines_give_the_known_figures


@pytest.mark.parametrize(("kind", "n_reached"), [("reliable names", 435), ("every name", 760)])
def test_the_stored_distant_labels_are_what_the_data_give(esco, matchers, kind, n_reached):
    corpus, record = load_corpus("job-ads"), stored("02/distant-labels.json")
    assert record["corpus_sha256"] == corpus.sha256
    assert record["taxonomy_sha256"] == esco.sha256
    found = np.bincount(np.concatenate(matchers[kind].labels(corpus.sentences)), minlength=len(esco))
    assert record[kind]["skills_reached"] == np.count_nonzero(found) == n_reached  # as chapter 02 says
    assert record[kind]["share_at_most_10"] == pytest.approx(np.mean(found <= 10), abs=1e-4)
    assert record[kind]["mean_per_skill"] == pytest.approx(found.mean(), abs=1e-3)
    assert record[kind]["largest"][0] == [esco.labels[found.argmax()], found.max()]
    counts = np.array(record[kind]["skills_by_sentences"])
    assert (counts[:, 1].sum(), counts.prod(axis=1).sum()) == (len(esco), found.sum())
    tech = record[kind]["gold_reached"]["tech"]
    gold = load_benchmark("tech", "test", esco).gold
    assert tech["pairs_reached"] == sum(np.count_nonzero(found[labels]) for labels in gold)


@pytest.mark.parametrize("name", ["tech", "house"])
def test_the_stored_oracle_is_what_the_data_give(esco, matchers, name):
    benchmark = load_benchmark(name, "test", esco)
    for kind, matcher in matchers.items():
        pairs = zip(benchmark.gold, matcher.labels(benchmark.sentences), strict=True)
        n_found = [np.isin(gold, labels).sum() for gold, labels in pairs]
        best = [min(5, n) / min(5, len(gold)) for n, gold in zip(n_found, benchmark.gold, strict=True)]
        record = stored("02/literal-on-benchmarks.json")["oracle_rp5"][name][kind]
        assert record["mean"] == pytest.approx(100 * np.mean(best), abs=1e-3)
        assert record["interval_95"][0] < record["mean"] < record["interval_95"][1]


def test_esco_knows_rust_only_as_corrosion(esco):
    names = preferred_names(esco) + alternative_names(esco)
    rusty = {esco.labels[skill] for name, skill in names if re.search(r"\brust\b", name, re.IGNORECASE)}
    assert rusty == {
        "remove rust from motor vehicles",
        "operate rust proofing spray gun",
        "rust proofing spray gun parts",
    }
    assert ("remove rust", esco.index_of["remove rust from motor vehicles"]) in names
    kept = {name for name, _ in reliable_names(esco)}
    assert not {"remove rust", "Swift", "Go"} & kept
    assert not {"go", "golang"} & {name.lower() for name, _ in names}
    swift = re.findall(r"\bswift\b", " ".join(esco.descriptions), re.IGNORECASE)
    assert sorted(swift) == ["Swift", "swift", "swift"]


def settings_of(name):
    lines = (Path(__file__).parent.parent / "results" / "full" / "03" / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[1:]]


@pytest.mark.parametrize("strategies", [(), ("siblings", "levenshtein", "embedding")])
def test_the_stored_classifiers_are_what_the_data_give(esco, strategies):
    row = next(
        row
        for row in settings_of("corpus.jsonl")
        if (row["split"], row["strategies"], row["c"]) == ("test", list(strategies), 0.1)
    )
    ranker = train_from_corpus(esco, load_corpus("job-ads").sentences, load_encoder(), strategies, seed=0)
    assert len(ranker.classifiers.skills) == stored("03/corpus.json")["n_skills_with_a_positive"] == 435
    for name in ("tech", "house"):
        benchmark = load_benchmark(name, "test", esco)
        run = run_benchmark(ranker, benchmark)
        found = row["results"][name]
        assert 100 * evaluate(run, benchmark).mean["rp@5"] == pytest.approx(found["rp@5"][0], abs=0.2)
        covered = evaluate(run, benchmark, only=ranker.classifiers.trained).mean["rp@5"]
        assert 100 * covered == pytest.approx(found["rp@5 covered"][0], abs=0.4)


def test_most_names_in_the_papers_table_of_related_skills_are_alternative_labels(esco):
    rows = stored("03/related.json")["paper"]
    assert len(rows) == 24
    for row in rows:
        assert row["is a preferred label"] == (row["name"] in esco.index_of)
        assert all(
            row["name"] in (esco.labels[i], *esco.alt_labels[i])
            for i in map(esco.index_of.get, row["names the skills"])
        )
    assert sum(not row["is a preferred label"] for row in rows) == 16  # as chapter 03 says


def test_every_label_of_skillskape_is_a_gold_label_as_chapter_04_says(esco):
    told = set()
    for cell in pd.read_csv(registry.find("skillskape_train.csv"))["skills"]:
        told |= {label.strip() for label in ast.literal_eval(cell)} - {"UNK"}
    gold = {name: {esco.labels[i] for part in load_benchmark(*name, esco).gold for i in part} for name in COUNTS}
    tests = gold["tech", "test"] | gold["house", "test"]
    assert len(told) == len(told & set().union(*gold.values())) == 514
    record = stored("04/skillskape-labels.json")
    assert record["labels"]["train"] == {
        "n": 514,
        **{" ".join(name): len(told & found) for name, found in gold.items()},
        "all": 514,
        "test": len(told & tests),
    }
    tech = load_benchmark("tech", "test", esco)
    assert record["rp@5"]["tech lexical"]["all labels"][0] == pytest.approx(
        100 * evaluate(run_benchmark(LexicalRanker(esco), tech), tech).mean["rp@5"], abs=0.1
    )
    among = np.array([esco.index_of[label] for label in sorted(told)])
    order = LexicalRanker(esco).rank(tech.sentences, len(esco)).indices
    hits = [
        np.isin(row[np.isin(row, among)][:5], found).sum() / min(5, len(found))
        for row, found in zip(order, tech.gold, strict=True)
    ]
    assert record["rp@5"]["tech lexical"]["SkillSkape's labels"][0] == pytest.approx(100 * np.mean(hits), abs=0.1)
