"""Embeddings of skills: same seed, same vectors; an interrupted training ends as an unbroken one."""

import functools
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import tiny_encoder
from transformers import BertForMaskedLM

from helpers.competency import embeddings
from helpers.competency.embeddings import CLS, MASK, SEP, BertTraining, SkillBert, stemmed, train_skillbert, word2vec
from helpers.encoders import encode, load_encoder
from helpers.files import InputError, sha256_texts

KITCHEN = ["bake bread", "prepare meals", "wash dishes", "serve guests"]
SITE = ["lay bricks", "mix mortar", "read drawings", "erect timber frames"]


@pytest.fixture(scope="module")
def jobs():
    """Two trades whose skills never meet."""
    rng = np.random.default_rng(0)
    return [tuple(rng.permutation(trade)[:3].tolist()) for _ in range(40) for trade in (KITCHEN, SITE)]


TINY = BertTraining(layers=1, hidden=32, vocabulary=120, epochs=3, batch_size=8)


@pytest.fixture(scope="module")
def bert(jobs, tmp_path_factory):
    return train_skillbert(jobs, TINY, tmp_path_factory.mktemp("bert"))


def test_word2vec_learns_which_skills_stand_together_and_repeats_itself():
    rng = np.random.default_rng(0)
    trades = [[f"{trade}{i}" for i in range(60)] for trade in ("a", "b")]  # so many that gensim keeps the frequent ones
    jobs = [rng.choice(trade, 8, replace=False).tolist() for _ in range(150) for trade in trades]
    vectors = word2vec(jobs, epochs=40, seed=1)(trades[0] + trades[1])
    assert vectors.shape == (120, 30)
    assert vectors.dtype == np.float32
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    assert cosines[:60, :60].mean() > cosines[:60, 60:].mean() + 0.2
    assert np.array_equal(vectors, word2vec(jobs, epochs=40, seed=1)(trades[0] + trades[1]))
    assert not np.array_equal(vectors, word2vec(jobs, epochs=40, seed=2)(trades[0] + trades[1]))


def test_what_word2vec_gives_to_a_text_it_has_not_seen(jobs):
    embed = word2vec(jobs)
    bread, dishes, unseen, nothing = embed(["bake bread", "wash dishes", "Baking and Washing", "Tally"])
    assert np.allclose(unseen, (bread + dishes) / 2)
    assert not nothing.any()
    assert np.array_equal(embed(["Bakes the BREAD"])[0], bread)
    assert embed([]).shape == (0, 30)


@pytest.mark.parametrize(
    ("skill", "token"),
    [("Managing the Teams", "manag team"), ("IT", "it"), ("C", "c"), ("the", "the"), ("C++", "c++"), ("", "")],
)
def test_no_skill_is_lost_in_preprocessing(skill, token):
    assert stemmed(skill) == token


def test_a_pretrained_encoder_is_an_embedding(tmp_path):
    tiny_encoder(tmp_path)
    embed = functools.partial(encode, load_encoder(str(tmp_path / "encoder"), "cpu"))
    assert embed(KITCHEN).shape[0] == 4
    assert embed(KITCHEN).dtype == np.float32


@pytest.mark.parametrize("whole", [False, True])
def test_masks_ask_for_tokens_or_for_whole_skills(jobs, tmp_path, monkeypatch, whole):
    """What the model is fed: no special token is asked for, something of every job is; of whole skills, all tokens."""
    seen = []

    class Seen(BertForMaskedLM):
        def forward(self, input_ids, labels, **rest):
            seen.append((input_ids, labels))
            return super().forward(input_ids=input_ids, labels=labels, **rest)

    monkeypatch.setattr(embeddings, "BertForMaskedLM", Seen)
    embeddings._train(jobs, replace(TINY, whole_skills=whole), tmp_path)
    broken = total = 0
    for ids, labels in seen:
        asked = labels != -100
        assert asked.any(dim=1).all()
        assert (labels[asked] > MASK).all()
        skill = (ids == SEP).cumsum(dim=1)
        for row in range(len(ids)):
            for n in skill[row, asked[row]].unique():
                own = (skill[row] == n) & (ids[row] != SEP) & (ids[row] != CLS)
                total += 1
                broken += bool((own & ~asked[row]).any())
    assert broken == 0 if whole else broken > total / 3


def test_batches_are_of_like_length_and_every_job_is_met_in_every_epoch():
    lengths = np.random.default_rng(0).integers(3, 60, 500)
    order = embeddings._by_length(lengths, BertTraining(epochs=3, batch_size=8))
    for epoch in range(3):
        part = order[epoch * 500 : (epoch + 1) * 500]
        assert sorted(part) == list(range(500))
        padding = [np.max(lengths[part[i : i + 8]]) * len(part[i : i + 8]) for i in range(0, 500, 8)]
        assert sum(padding) < 1.4 * lengths.sum()  # shuffled, it would be 1.7 times
    assert order[:500] != order[500:1000]


def test_the_tokenizer_is_the_same_each_time(jobs):
    texts = [skill for job in jobs for skill in job]
    first, *others = (embeddings._train_tokenizer(texts, 90) for _ in range(6))
    assert all(other.get_vocab() == first.get_vocab() for other in others)
    assert sorted(first.get_vocab().values()) == list(range(90))
    assert first.encode("Bread ##d").tokens[0] == "[CLS]"
    assert [first.token_to_id(token) for token in embeddings.SPECIAL] == [0, 1, 2, 3, 4]


def test_skillbert_has_the_size_asked_for_and_its_loss_falls(bert):
    config = bert.model.config
    assert (config.num_hidden_layers, config.hidden_size, config.vocab_size) == (1, 32, bert.tokenizer.get_vocab_size())
    assert config.vocab_size <= 120
    losses = [entry["loss"] for entry in bert.history]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_a_skills_vector_is_the_mean_over_its_tokens(bert):
    text = "bake bread"
    found = bert.tokenizer.encode(text)
    assert found.tokens[0] == "[CLS]"
    with torch.inference_mode():
        hidden = bert.model.bert(torch.tensor([found.ids])).last_hidden_state[0]
    assert np.allclose(bert.embed([text])[0], hidden[1:-1].mean(0), atol=1e-5)
    together = bert.embed(["serve guests", text, ""])  # padding changes nothing
    assert np.allclose(together[1], hidden[1:-1].mean(0), atol=1e-5)
    assert not together[2].any()
    assert bert.embed([]).shape == (0, 32)
    assert np.isfinite(bert.embed(["日本", "x" * 900, " ".join(["bake"] * 300)])).all()


def test_the_same_call_reads_the_model_and_another_seed_trains_another(jobs, bert, tmp_path, monkeypatch):
    first = train_skillbert(jobs, TINY, tmp_path)
    assert np.array_equal(first.embed(KITCHEN), bert.embed(KITCHEN))
    (folder,) = tmp_path.iterdir()
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    other = train_skillbert(jobs, BertTraining(layers=1, hidden=32, vocabulary=120, epochs=1, seed=1), tmp_path)
    assert not np.allclose(other.embed(KITCHEN), first.embed(KITCHEN))
    monkeypatch.setattr(embeddings, "_train", None)
    assert np.array_equal(train_skillbert(jobs, TINY, tmp_path).embed(KITCHEN), first.embed(KITCHEN))
    assert np.array_equal(SkillBert(folder).embed(KITCHEN), first.embed(KITCHEN))


def test_a_model_of_older_code_is_not_read_and_the_first_codes_names_stay(jobs, bert, tmp_path, monkeypatch):
    parts = [repr(TINY), str(torch.cuda.is_available()), *(json.dumps(list(job)) for job in jobs)]
    assert bert.folder.name == sha256_texts(parts)[:16]
    shutil.copytree(bert.folder, tmp_path / bert.folder.name)
    asked = []

    def trained(some, training, folder):
        asked.append(folder.stem)
        shutil.copytree(bert.folder, folder / "model")

    monkeypatch.setattr(embeddings, "_train", trained)
    train_skillbert(jobs, TINY, tmp_path)
    assert asked == []
    monkeypatch.setattr(embeddings, "TRAINED_BY", 2)
    assert train_skillbert(jobs, TINY, tmp_path).folder != tmp_path / bert.folder.name
    assert asked == [name.name for name in tmp_path.iterdir() if name.name != bert.folder.name]


@pytest.mark.parametrize("stop", [2, 17, 29])  # before the first checkpoint, within an epoch, in the last one
def test_a_killed_training_goes_on_and_ends_as_an_unbroken_one(jobs, bert, tmp_path, monkeypatch, stop):
    padded, calls = embeddings._padded, []

    def killed(rows):
        calls.append(1)
        if len(calls) > stop:
            raise KeyboardInterrupt
        return padded(rows)

    monkeypatch.setattr(embeddings, "_padded", killed)
    with pytest.raises(KeyboardInterrupt):
        train_skillbert(jobs, TINY, tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".partial"]
    resumed = []

    def counted(rows):
        resumed.append(1)
        return padded(rows)

    monkeypatch.setattr(embeddings, "_padded", counted)
    found = train_skillbert(jobs, TINY, tmp_path)
    assert len(resumed) <= 30 - stop + 6  # of 30 batches, those since the last checkpoint
    assert [path.suffix for path in tmp_path.iterdir()] == [""]
    for name, weight in bert.model.state_dict().items():
        assert torch.equal(weight, found.model.state_dict()[name]), name
    assert found.history == bert.history


def test_filling_the_mask_ranks_whole_skills(jobs, bert):
    found = bert.fill_mask(["bake bread", "wash dishes"], KITCHEN + SITE, k=8)
    assert sorted(name for name, _ in found) == sorted(KITCHEN + SITE)
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert max(scores) < 0
    assert len(bert.fill_mask([], KITCHEN, k=2)) == 2  # beside nothing: what is frequent
    assert bert.fill_mask(["bake bread"], ["", " "]) == []
    two, one = bert.tokenizer.encode_batch(["bake bread", "bake"], add_special_tokens=False)
    ids = torch.tensor([[2] + [4] * len(two.ids) + [3] + one.ids + [3]])
    with torch.inference_mode():
        logits = bert.model(ids).logits[0, 1 : len(two.ids) + 1].log_softmax(1)
    by_hand = np.mean([logits[i, token].item() for i, token in enumerate(two.ids)])
    assert dict(bert.fill_mask(["bake"], ["bake bread"]))["bake bread"] == pytest.approx(by_hand, abs=1e-5)


@pytest.mark.parametrize("empty", [[], [[]], [["", " "]]])
def test_requisitions_without_a_skill_are_an_error(empty, tmp_path):
    with pytest.raises(InputError, match="no requisition with a skill"):
        train_skillbert(empty, TINY, tmp_path)
    with pytest.raises(InputError, match="no requisition with a skill"):
        word2vec(empty)
