"""Why a skill was predicted: contributions add up to the cosine, words come out whole, HTML is escaped."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling

from helpers.encoders import encode, load_encoder
from helpers.extraction.attribution import explain, highlighted, token_table
from helpers.files import InputError


def cosine(sentence, label):
    return float(encode(load_encoder(), [sentence])[0] @ encode(load_encoder(), [label])[0])


@settings(max_examples=15, deadline=None)
@given(st.text(min_size=1, max_size=60))
def test_contributions_add_up_to_the_cosine(sentence):
    table = token_table(load_encoder(), sentence, "bake bread")
    assert table["contribution"].sum() == pytest.approx(cosine(sentence, "bake bread"), abs=1e-5)


def test_words_are_whole_and_between_the_special_tokens():
    answer = explain(load_encoder(), "Coach IT teams with strong C++ skills", "C++")
    assert answer["word"].tolist() == ["[CLS]", "Coach", "IT", "teams", "with", "strong", "C++", "skills", "[SEP]"]
    assert answer["contribution"].sum() == pytest.approx(
        cosine("Coach IT teams with strong C++ skills", "C++"), abs=1e-5
    )
    assert answer.set_index("word")["contribution"].idxmax() == "C++"
    assert answer.set_index("word")["deletion"].idxmax() == "C++"


def test_a_deletion_is_what_the_cosine_loses_without_the_word():
    answer = explain(load_encoder(), "bake bread daily", "bread")
    expected = cosine("bake bread daily", "bread") - cosine("bake daily", "bread")
    assert answer["deletion"][2] == pytest.approx(expected, abs=1e-5)
    assert np.isnan(answer["deletion"][[0, 4]]).all()


def test_a_token_cosine_is_the_angle_between_token_and_label():
    encoder = load_encoder()
    tokens = encoder.encode("bake bread", output_value="token_embeddings").cpu().numpy()
    label = encode(encoder, ["bread"])[0]
    table = token_table(encoder, "bake bread", "bread")
    assert table["token"].tolist() == ["[CLS]", "ba", "##ke", "bread", "[SEP]"]
    np.testing.assert_allclose(table["cosine"], tokens @ label / np.linalg.norm(tokens, axis=1), atol=1e-5)


def test_one_word_has_nothing_left_to_delete_and_a_long_text_is_cut():
    assert explain(load_encoder(), "bread", "bread")["deletion"].isna().all()
    long = explain(load_encoder(), "word " * 400, "bread")
    assert len(long) == 402
    assert long["contribution"][300:401].isna().all()
    assert long["contribution"].sum() == pytest.approx(cosine("word " * 400, "bread"), abs=1e-5)


def test_an_encoder_without_mean_pooling_is_refused():
    stock = load_encoder()
    other = SentenceTransformer(modules=[stock[0], Pooling(384, pooling_mode="cls")], device="cpu")
    with pytest.raises(InputError, match="mean pooling"):
        token_table(other, "bake bread", "bread")


def test_html_is_escaped_and_signed():
    text = highlighted(["<script>", "bread", "&"], [0.5, -0.25, np.nan])
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "&amp;" in text
    assert 'title="+0.500"' in text
    assert 'title="-0.250"' in text
