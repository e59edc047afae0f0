"""The real data, through the same loaders: `make test-real`. A missing file is a failure, never a skip."""

import numpy as np
import pytest

from helpers import registry
from helpers.data.benchmarks import load_annotations, load_benchmark
from helpers.data.corpora import load_corpus
from helpers.data.requisitions import load_occupation_skills
from helpers.encoders import load_encoder
from helpers.evaluation import evaluate, precision_recall_sets
from helpers.extraction.contrastive import BiEncoder
from helpers.extraction.lexical import LexicalRanker
from helpers.extraction.matching import LiteralMatcher, reliable_names
from helpers.extraction.ranking import run_benchmark
from helpers.taxonomy import load_taxonomy

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def esco():
    return load_taxonomy("esco-v1.1.0")


@pytest.mark.parametrize("name", [name for name in registry.FILES if not name.startswith("techwolf")])
def test_every_file_is_there_and_whole(name):
    path = registry.find(name)
    assert path.stat().st_size == registry.FILES[name].size


def test_esco_has_its_skills_names_and_relations(esco):
    assert len(esco) == 13_891
    assert sum(map(len, esco.broader)) + sum(map(len, esco.group_broader.values())) == 20_771
    assert all(label == label.strip() for label in esco.labels)
    kinds = [esco.types.count(kind) for kind in ("skill/competence", "knowledge", "")]
    assert kinds == [10_833, 3_057, 1]  # as chapter 01 says
    assert sum(1 for above in esco.broader if above) > 13_000
    assert "Erlang" in {esco.labels[i] for i in esco.siblings(esco.index_of["Haskell"])}


def test_occupations_have_their_links(esco):
    links = load_occupation_skills(esco)
    assert len(links) == 123_852
    assert links["occupation"].nunique() == 3_008
    assert set(links["relation"]) == {"essential", "optional"}
    assert links.notna().all().all()


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


def test_distant_labels_reach_few_of_the_skills(esco):
    labels = LiteralMatcher(reliable_names(esco)).labels(load_corpus("job-ads").sentences)
    reached = np.unique(np.concatenate(labels))
    assert 200 < len(reached) < 2_000
