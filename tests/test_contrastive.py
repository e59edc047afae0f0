"""Contrastive training: the batches it lays out, the loss it takes, a killed run that goes on, and ranking by names."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from tiny import tiny_encoder

from helpers.encoders import encode, identity, load_encoder
from helpers.extraction.contrastive import (
    NAMES,
    SCALE,
    BiEncoder,
    ByLength,
    Pairs,
    Training,
    batches,
    layout,
    load_pairs,
    pairs_from,
    train,
)
from helpers.files import InputError
from helpers.profiles import PROFILES
from helpers.taxonomy import Taxonomy, load_taxonomy

SKILLS = st.lists(st.integers(0, 12), min_size=2, max_size=80).filter(lambda skills: len(set(skills)) > 1)
LABELS = [f"skill {i}" for i in range(13)]
TEXTS = ["you bake bread", "lay bricks in the night", "drive a bus", "repair cars and drive", "teach children", "plan"]


def pairs_of(skills):
    return Pairs(tuple(f"<{i}>" for i in range(len(skills))), np.array(skills))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tiny_encoder(folder)
    return folder / "encoder"


def weights(encoder):
    return {name: value.clone() for name, value in encoder.state_dict().items()}


def same_weights(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


# --- batches ---------------------------------------------------------------------------------------------------------


@given(SKILLS, st.integers(2, 16), st.integers(1, 3), st.integers(0, 5))
def test_a_batch_is_full_and_holds_no_skill_twice(skills, size, epochs, seed):
    skills = np.array(skills)
    found = list(batches(skills, Training(batch_size=size, epochs=epochs, seed=seed)))
    expected = min(size, len(set(skills.tolist())))
    for _, batch in found:
        assert len(batch) == len(set(skills[batch].tolist())) == expected


@given(SKILLS, st.integers(2, 16), st.integers(1, 3))
def test_no_pair_comes_more_often_than_there_are_epochs(skills, size, epochs):
    found = list(batches(np.array(skills), Training(batch_size=size, epochs=epochs)))
    seen = Counter(i for _, batch in found for i in batch.tolist())
    assert max(seen.values()) <= epochs


def test_an_epoch_of_distinct_skills_holds_every_pair_once_but_for_a_rest_that_fills_no_batch():
    found = [batch for _, batch in batches(np.arange(100), Training(batch_size=16))]
    assert len(found) == 6
    assert len(set(np.concatenate(found).tolist())) == 96


def test_what_did_not_fit_comes_in_the_next_epoch():
    found = [batch for _, batch in batches(np.arange(10), Training(batch_size=4, epochs=2))]
    assert Counter(np.concatenate(found).tolist()) == dict.fromkeys(range(10), 2)


def test_steps_go_on_over_the_epochs():
    found = list(batches(np.arange(10), Training(batch_size=5, steps=7)))
    assert [epoch for epoch, _ in found] == [0, 0, 1, 1, 2, 2, 3]


def test_epochs_are_shuffled_anew_and_by_the_seed():
    def first(**given):
        return [batch.tolist() for _, batch in batches(np.arange(40), Training(batch_size=40, **given))]

    assert first() == first()
    assert first() != first(seed=1)
    one, two = first(epochs=2)
    assert one != two


def test_one_skill_alone_is_no_training_data():
    with pytest.raises(InputError, match="two skills"):
        list(batches(np.zeros(5, dtype=int), Training()))


# --- augmentation ----------------------------------------------------------------------------------------------------


@given(SKILLS, st.integers(0, 5))
def test_the_added_sentence_never_belongs_to_a_label_of_the_batch(skills, seed):
    pairs = pairs_of(skills)
    rows, size = layout(pairs, LABELS, Training(batch_size=4, seed=seed))
    for start in range(0, len(rows["skill"]), size):
        present = set(rows["skill"][start : start + size])
        for text, label in zip(
            rows["sentence"][start : start + size], rows["skill"][start : start + size], strict=True
        ):
            owners = [LABELS[skills[int(part[1:-1])]] for part in text.split()]
            assert label in owners
            assert len(owners) == 1 or {owner for owner in owners if owner != label}.isdisjoint(present)
            assert len(owners) <= 2


def test_half_stand_in_front_and_half_behind_and_epochs_differ():
    pairs = pairs_of([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] * 50)
    rows, _ = layout(pairs, LABELS, Training(batch_size=4, epochs=4))
    owners = [[LABELS[pairs.skills[int(part[1:-1])]] for part in text.split()] for text in rows["sentence"]]
    behind = np.mean([owner[0] == label for owner, label in zip(owners, rows["skill"], strict=True)])
    assert all(len(owner) == 2 for owner in owners)
    assert 0.46 < behind < 0.54
    quarter = len(owners) // 4
    repeated = set(rows["sentence"][:quarter]) & set(rows["sentence"][quarter : 2 * quarter])
    assert len(repeated) < 0.05 * quarter


def test_the_layout_is_a_pure_function():
    pairs = pairs_of(list(range(12)) * 5)
    related = [np.array([i % 12, 12]) for i in range(1, 14)]
    one, other = (layout(pairs, LABELS, Training(batch_size=5, seed=3), related) for _ in range(2))
    assert one == other
    assert one != layout(pairs, LABELS, Training(batch_size=5, seed=4), related)


def test_without_augmentation_each_sentence_stands_alone():
    rows, _ = layout(pairs_of([0, 1, 2, 3]), LABELS, Training(augment=False, batch_size=4))
    assert sorted(rows["sentence"]) == ["<0>", "<1>", "<2>", "<3>"]


@given(SKILLS)
def test_a_hard_negative_is_related_and_no_label_of_the_batch(skills):
    related = [np.array([j for j in range(13) if j != i]) for i in range(13)]
    rows, size = layout(pairs_of(skills), LABELS, Training(batch_size=4), related)
    for start in range(0, len(rows["skill"]), size):
        assert not set(rows["skill"][start : start + size]) & set(rows["negative"][start : start + size])


# --- the loss, and training ------------------------------------------------------------------------------------------


def test_the_loss_is_cross_entropy_over_the_scaled_cosines(tiny):
    encoder = load_encoder(str(tiny), "cpu").eval()
    columns = [encoder.preprocess(TEXTS[:3]), encoder.preprocess(TEXTS[3:])]
    library = MultipleNegativesRankingLoss(encoder, scale=SCALE)([dict(c) for c in columns], torch.zeros(3)).item()
    cosines = encode(encoder, TEXTS[:3]) @ encode(encoder, TEXTS[3:]).T
    by_hand = np.mean(np.log(np.exp(SCALE * cosines).sum(axis=1)) - SCALE * np.diag(cosines))
    assert library == pytest.approx(by_hand, abs=1e-5)


def test_parts_of_like_length_give_the_same_embeddings_and_gradients(tmp_path):
    encoder = tiny_encoder(tmp_path, dropout=0.0).train()
    gradients = []
    for model in (encoder, ByLength(encoder, 3)):
        encoder.zero_grad()
        found = model(encoder.preprocess([*TEXTS, "you " * 30]))["sentence_embedding"]
        (found**2).sum().backward()
        gradients.append((found.detach(), [p.grad.clone() for p in encoder.parameters() if p.grad is not None]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


def test_training_brings_sentences_to_their_skills_and_leaves_the_given_encoder_alone(tiny):
    encoder = load_encoder(str(tiny), "cpu")
    before = weights(encoder)
    pairs = pairs_from([(text, i) for i, text in enumerate(TEXTS)])
    labels = ["bread", "bricks", "bus", "cars", "children", "lessons"]
    seen = []
    training = Training(steps=40, learning_rate=5e-3, augment=False)
    trained, history = train(
        encoder, pairs, labels, training=training, validate=lambda model: seen.append(model) or 1.0
    )
    right = (encode(trained, TEXTS) @ encode(trained, labels).T).argmax(axis=1)
    assert (right == np.arange(6)).mean() > 0.8
    assert same_weights(before, encoder.state_dict())
    assert identity(encoder)
    assert identity(trained) is None  # or its embeddings would be the stock encoder's, from the cache
    losses = [entry["loss"] for entry in history if "loss" in entry]
    assert losses[-1] < losses[0] / 2
    assert [entry["step"] for entry in history if "validation" in entry] == list(range(4, 41, 4))
    assert len(seen) == 10


def test_a_trained_encoder_is_kept_and_read_instead_of_trained_again(tiny, tmp_path, monkeypatch):
    encoder, pairs = load_encoder(str(tiny), "cpu"), pairs_from([(text, i) for i, text in enumerate(TEXTS)])
    first, history = train(encoder, pairs, TEXTS, tmp_path / "out", Training(steps=3))
    assert {"model.safetensors", "modules.json", "training.json"} <= {p.name for p in (tmp_path / "out").iterdir()}
    assert not (tmp_path / "out.partial").exists()
    monkeypatch.setattr("helpers.extraction.contrastive._run", lambda *_: pytest.fail("trained again"))
    again, same = train(encoder, pairs, TEXTS, tmp_path / "out", Training(steps=3))
    assert same == history
    assert same_weights(weights(first), again.state_dict())
    with pytest.raises(InputError, match="something else"):
        train(encoder, pairs, TEXTS, tmp_path / "out", Training(steps=4))
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="mine holds something else"):
        train(encoder, pairs, TEXTS, tmp_path / "mine", Training(steps=3))


RUN = """
import sys, time, torch
from helpers.encoders import load_encoder
from helpers.extraction.contrastive import Training, pairs_from, train
torch.set_num_threads(1)
texts = {texts!r}
pairs = pairs_from([(text, i) for i, text in enumerate(texts)])
slow = lambda model: time.sleep(0.5) or 0.0
train(load_encoder({tiny!r}, "cpu"), pairs, texts, sys.argv[1], Training(steps=30, batch_size=4), validate=slow)
"""


def test_a_killed_training_goes_on_to_the_same_weights(tiny, tmp_path):
    """Killed without warning after the first checkpoint, then run again; beside it a run that nobody disturbed."""
    script = RUN.format(texts=TEXTS, tiny=str(tiny))
    root = Path(__file__).resolve().parent.parent

    def start(folder):
        return subprocess.Popen([sys.executable, "-c", script, str(folder)], cwd=root)

    broken = start(tmp_path / "broken")
    deadline = time.monotonic() + 120
    while not list((tmp_path / "broken.partial").glob("checkpoint-*/trainer_state.json")):
        assert time.monotonic() < deadline
        assert broken.poll() is None
        time.sleep(0.02)
    broken.send_signal(signal.SIGKILL)
    broken.wait()
    assert not (tmp_path / "broken").exists()
    for name in ("broken", "whole"):
        assert start(tmp_path / name).wait(timeout=240) == 0
    broken, whole = (load_encoder(str(tmp_path / name), "cpu") for name in ("broken", "whole"))
    assert same_weights(weights(broken), whole.state_dict())
    told = [json.loads((tmp_path / name / "training.json").read_text())["history"] for name in ("broken", "whole")]
    assert told[0] == told[1]


# --- pairs and ranking -----------------------------------------------------------------------------------------------


def test_every_kind_of_pairs_of_the_sample():
    taxonomy = load_taxonomy("sample")
    sizes = {k: len(load_pairs(k, taxonomy, PROFILES["sample"])) for k in ("descriptions", "altlabels", "sentences")}
    assert sizes["descriptions"] == 500
    assert sizes["altlabels"] == sum(map(len, taxonomy.alt_labels))
    assert sizes["sentences"] == 5000
    distant = load_pairs("distant", taxonomy, PROFILES["sample"])
    assert len(distant) > 1000
    both = distant + load_pairs("descriptions", taxonomy, PROFILES["sample"])
    assert len(both) == len(distant) + 500


def test_a_store_of_ones_own_and_what_is_wrong_with_it(tmp_path):
    taxonomy = load_taxonomy("sample")
    row = {"prompt_version": "v2", "model": "m", "skill": taxonomy.labels[3], "messages_sha256": "x", "reply": "- a b"}
    store = tmp_path / "mine.jsonl"
    store.write_text(json.dumps(row) + "\n")
    pairs = load_pairs(str(store), taxonomy, PROFILES["sample"])
    assert pairs.texts == ("a b",)
    assert pairs.skills.tolist() == [3]
    store.write_text(json.dumps(row | {"skill": "no such skill"}) + "\n")
    with pytest.raises(InputError, match=r"mine\.jsonl: skill 'no such skill'"):
        load_pairs(str(store), taxonomy, PROFILES["sample"])
    with pytest.raises(InputError, match="no training data 'no such kind'"):
        load_pairs("no such kind", taxonomy, PROFILES["sample"])


def test_names_at_ranking_time():
    table = {"alt_labels": (("baker of bread", "bread"), (), ("bus",)), "labels": ("bake", "lay bricks", "drive a bus")}
    blank = ("", "", "")
    taxonomy = Taxonomy("t", ("a", "b", "c"), table["labels"], table["alt_labels"], blank, blank, blank, ((), (), ()))
    encoder = load_encoder()
    queries = ["you bake bread every night", "the bus leaves at six"]
    names = [["bake", "baker of bread", "bread"], ["lay bricks"], ["drive a bus", "bus"]]
    cosines = [encode(encoder, queries) @ encode(encoder, group).T for group in names]
    best, label = (np.stack([f(c) for c in cosines], axis=1) for f in (lambda c: c.max(axis=1), lambda c: c[:, 0]))
    for how, expected in zip(NAMES, (label, best, (label + best) / 2), strict=True):
        ranking = BiEncoder(encoder, taxonomy, how).rank(queries, 3)
        np.testing.assert_allclose(ranking.scores, -np.sort(-expected, axis=1), atol=1e-5)
        np.testing.assert_array_equal(ranking.indices, np.argsort(-expected, axis=1))
    with pytest.raises(InputError, match="no names 'best'"):
        BiEncoder(encoder, taxonomy, "best")
