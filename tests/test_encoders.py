"""Encoders: checked weights, unit vectors, computed once, and one clear error when they cannot be had."""

import numpy as np
import pytest

from helpers import encoders
from helpers.encoders import MINILM, encode, load_encoder
from helpers.files import InputError

TEXTS = ["You bake bread every night.", "bake bread", "You lay bricks.", ""]


def test_embeddings_have_unit_length_and_keep_the_order():
    vectors = encode(load_encoder(), TEXTS)
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[2] @ vectors[1]
    np.testing.assert_allclose(encode(load_encoder(), TEXTS[::-1]), vectors[::-1], atol=1e-5)


def test_the_same_texts_are_encoded_once(monkeypatch):
    encoder = load_encoder()
    texts = ["a text that no other test encodes", "nor this one"]
    first = encode(encoder, texts)
    monkeypatch.setattr(encoders, "_encode", lambda *_: pytest.fail("encoded again"))
    np.testing.assert_array_equal(encode(encoder, [str(text) for text in texts]), first)


def test_other_weights_do_not_share_a_cache():
    encoder = load_encoder()
    kept = encoder.skillbook_id
    try:
        first = encode(encoder, TEXTS)
        encoder.skillbook_id = "changed"
        assert encode(encoder, TEXTS) == pytest.approx(first, abs=1e-5)
        encoder.skillbook_id = None  # unknown weights: encoded, not kept
        assert encode(encoder, TEXTS) == pytest.approx(first, abs=1e-5)
    finally:
        encoder.skillbook_id = kept


@pytest.mark.parametrize("fused", [False, True])
def test_weights_changed_in_place_are_not_answered_from_the_cache(fused):
    """Training changes weights: what was kept before must not come back. Torch does not count a fused step."""
    import torch

    load_encoder.cache_clear()
    encoder = load_encoder()
    before = encode(encoder, TEXTS)
    weights = next(encoder.parameters())
    weights.grad = weights.detach().clone()
    torch.optim.AdamW([weights], lr=0.1, fused=fused).step()
    changed = encode(encoder, TEXTS)
    load_encoder.cache_clear()
    assert np.abs(changed - before).max() > 0.01
    np.testing.assert_allclose(encode(load_encoder(), TEXTS), before, atol=1e-6)


def test_a_shorter_window_is_another_embedding():
    long = ["You bake bread. " * 40]
    encoder = load_encoder()
    whole, window = encode(encoder, long), encoder.max_seq_length
    try:
        encoder.max_seq_length = 8
        assert np.abs(encode(encoder, long) - whole).max() > 0.01
    finally:
        encoder.max_seq_length = window


def test_no_texts_give_an_empty_array():
    assert encode(load_encoder(), []).shape == (0, 384)


def test_encoding_prints_nothing(capfd):
    load_encoder.cache_clear()
    encode(load_encoder(), ["hit or miss, the same"])
    encode(load_encoder(), ["hit or miss, the same"])
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_an_encoder_that_cannot_be_had_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # its variable is read at the import only
    for name in ("no-such/encoder", str(tmp_path)):
        with pytest.raises(InputError, match=f"cannot load encoder {name!r}.*or {MINILM}") as error:
            load_encoder(name)
        assert "\n" not in str(error.value)


def test_changed_weights_are_refused(monkeypatch):
    monkeypatch.setattr(encoders, "MINILM_SHA256", "0" * 64)
    load_encoder.cache_clear()
    with pytest.raises(InputError, match=r"model\.safetensors has a wrong checksum: reinstall"):
        load_encoder()


def test_a_pickled_model_is_not_loaded(tmp_path):
    """A folder whose weights come as a pickle is refused: only safetensors are read."""
    import shutil

    folder = tmp_path / "pickled"
    shutil.copytree(encoders._packaged_minilm(), folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot load encoder"):
        load_encoder(str(folder))


def test_an_unwritable_cache_is_one_clear_error(tmp_path, monkeypatch):
    (tmp_path / "blocked").write_text("")
    monkeypatch.setattr(encoders, "computed_dir", lambda: tmp_path / "blocked" / "computed")
    encoders._memory.cache_clear()
    try:
        with pytest.raises(InputError, match="cannot write to .*blocked.*set SKILLBOOK_COMPUTED to another folder"):
            encode(load_encoder(), ["something new"])
    finally:
        encoders._memory.cache_clear()
