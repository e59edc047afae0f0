"""What in a sentence speaks for a skill: three explanations of one cosine (paper 2, Appendix D, and beyond it)."""

import html
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from sentence_transformers import SentenceTransformer

from helpers.encoders import encode
from helpers.files import InputError


def token_table(encoder: SentenceTransformer, sentence: str, label: str) -> pd.DataFrame:
    """Each token of a sentence, special ones included, and what it has to do with a skill's label.

    Columns: token; start and stop, its place in the sentence (0 and 0 for special tokens); cosine, of the token's
    embedding with the label's (Appendix D); contribution, t·s / (n |mean t|) for token embedding t, unit label
    embedding s and n tokens. The contributions add up to the sentence's cosine: the sentence is the mean of its tokens.

    Raises InputError for an encoder whose sentence embedding is no mean of token embeddings.
    """
    pooling = encoder[1]  # sentence-transformers 6 says it in one attribute, 5 in another
    if getattr(pooling, "pooling_mode", "") != "mean" and not getattr(pooling, "pooling_mode_mean_tokens", False):
        raise InputError("attribution needs an encoder with mean pooling: the contributions would not add up")
    features = getattr(encoder, "preprocess", encoder.tokenize)([sentence])  # the older name in version 5
    with torch.no_grad():
        device = {name: value.to(encoder.device) for name, value in features.items() if hasattr(value, "to")}
        tokens = encoder[0](device)["token_embeddings"][0].float().cpu().numpy()  # (n, dimension)
    skill = encode(encoder, [label])[0]
    spans = encoder.tokenizer(sentence, return_offsets_mapping=True, truncation=True, max_length=len(tokens))
    along = tokens @ skill
    return pd.DataFrame(
        {
            "token": encoder.tokenizer.convert_ids_to_tokens(spans["input_ids"]),
            "start": [start for start, _ in spans["offset_mapping"]],
            "stop": [stop for _, stop in spans["offset_mapping"]],
            "cosine": along / np.linalg.norm(tokens, axis=1),
            "contribution": along / len(tokens) / np.linalg.norm(tokens.mean(axis=0)),
        }
    )


def explain(encoder: SentenceTransformer, sentence: str, label: str) -> pd.DataFrame:
    """Each word of a sentence, between [CLS] and [SEP], explained in three ways.

    Columns: word; cosine, the mean over the word's tokens; contribution, their sum; deletion, by how much the
    sentence's cosine with the label falls without the word (NaN for [CLS], [SEP] and an only word).
    """
    table = token_table(encoder, sentence, label)
    words = list(re.finditer(r"\S+", sentence))
    # 0 is [CLS], then the words, then [SEP]; a word beyond the encoder's length has no tokens and no values.
    special = (table["stop"] == table["start"]).to_numpy()
    place = np.searchsorted([word.start() for word in words], table["start"], side="right")
    place[special] = 0
    place[np.flatnonzero(special)[-1]] = len(words) + 1
    groups = table.groupby(place)[["cosine", "contribution"]].agg({"cosine": "mean", "contribution": "sum"})
    answer = groups.reindex(range(len(words) + 2))
    without = [sentence[: word.start()] + sentence[word.end() :].lstrip() for word in words]
    answer["deletion"] = np.nan
    if len(words) > 1:
        vectors = encode(encoder, [sentence, *without]) @ encode(encoder, [label])[0]
        answer.loc[1 : len(words), "deletion"] = vectors[0] - vectors[1:]
    answer.insert(0, "word", ["[CLS]", *(word[0] for word in words), "[SEP]"])
    return answer


def highlighted(words: Sequence[str], values: Sequence[float]) -> str:
    """HTML of a sentence, each word on blue as far as it speaks for the skill, on orange as far as against it.

    Words are escaped; each carries its value as a tooltip, and strength is relative to the strongest.
    """
    values = np.nan_to_num(np.asarray(values, dtype=float))
    strongest = max(np.abs(values).max(initial=0), 1e-12)
    spans = [
        f'<span title="{value:+.3f}" style="background:rgba({"0,114,178" if value > 0 else "213,94,0"},'
        f'{0.6 * abs(value) / strongest:.2f});padding:0 .15em">{html.escape(word)}</span>'
        for word, value in zip(words, values, strict=True)
    ]
    return f"<p>{' '.join(spans)}</p>"
