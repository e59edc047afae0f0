"""An encoder small enough to train in a test: one layer, random weights, a vocabulary of its own."""

from __future__ import annotations

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertModel, BertTokenizer

try:  # where they lie since version 6 of sentence-transformers, and before
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
except ModuleNotFoundError:
    from sentence_transformers.models import Pooling, Transformer

WORDS = [
    "you", "bake", "bread", "lay", "bricks", "drive", "a", "bus", "repair", "cars",
    "teach", "children", "mix", "mortar", "and", "plan", "lessons", "in", "the", "night",
]  # fmt: skip


def tiny_encoder(folder: Path, dropout: float = 0.1) -> SentenceTransformer:
    """Build and save one; load it with `load_encoder(str(folder / "encoder"))`, where weights have an identity."""
    torch.manual_seed(0)
    base = folder / "base"
    base.mkdir(parents=True)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    BertTokenizer(vocab={token: number for number, token in enumerate(tokens)}).save_pretrained(base)
    config = BertConfig(
        vocab_size=5 + len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    BertModel(config).save_pretrained(base)
    encoder = SentenceTransformer(modules=[Transformer(str(base), max_seq_length=32), Pooling(16)], device="cpu")
    encoder.save(str(folder / "encoder"), create_model_card=False)
    return encoder
