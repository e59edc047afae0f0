"""Training an encoder beside the bare trainer of sentence-transformers, and ranking beside encoding; one run.

    python benchmarks/contrastive.py

Labels are ESCO's if they are there, else the sample's. Times are the best of the rounds; what counts is their ratios.
"""

from __future__ import annotations

import copy
import tempfile

import numpy as np
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from timing import best_of
from transformers import PrinterCallback

from helpers.data.corpora import load_corpus
from helpers.encoders import encode, load_encoder
from helpers.extraction.contrastive import (
    SCALE,
    BiEncoder,
    MultipleNegativesRankingLoss,
    Training,
    layout,
    load_pairs,
    train,
)
from helpers.profiles import PROFILES
from helpers.taxonomy import load_taxonomy

TRAINING = Training(steps=8)


def bare(encoder: SentenceTransformer, rows: dict[str, list[str]], size: int) -> None:
    """The same rows as one would train on them without this book."""
    with tempfile.TemporaryDirectory() as folder:
        model = copy.deepcopy(encoder)
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder,
            max_steps=TRAINING.steps,
            per_device_train_batch_size=size,
            learning_rate=TRAINING.learning_rate,
            warmup_steps=1,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        loss = MultipleNegativesRankingLoss(model, scale=SCALE)
        trainer = SentenceTransformerTrainer(model, arguments, Dataset.from_dict(rows), loss=loss)
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def main() -> None:
    encoder = load_encoder(device="cpu")
    sample = PROFILES["sample"]
    taxonomy = load_taxonomy(sample.taxonomy)
    pairs = load_pairs("sentences", taxonomy, sample)
    rows, size = layout(pairs, taxonomy.labels, TRAINING)
    seconds = best_of(
        2,
        bare=lambda: bare(encoder, rows, size),
        ours=lambda: train(encoder, pairs, taxonomy.labels, training=TRAINING),
    )
    print(
        f"sentences, augmented, {TRAINING.steps} steps of {size} on the CPU: ours {seconds['ours']:.1f} s, "
        f"the bare trainer {seconds['bare']:.1f} s: {seconds['ours'] / seconds['bare']:.2f} times",
        flush=True,
    )

    try:
        profile = PROFILES["full"]
        labels, corpus = load_taxonomy(profile.taxonomy), load_corpus(profile.corpus)
    except FileNotFoundError as error:
        print(f"{error}\n-> ranking among the sample's labels instead")
        labels, corpus = taxonomy, load_corpus(sample.corpus)
    sentences = [corpus.sentences[i] for i in np.random.default_rng(0).choice(len(corpus), 1000, replace=False)]
    ranker = BiEncoder(encoder, labels)  # the label embeddings are there now
    nobody = copy.deepcopy(encoder)
    nobody.skillbook_id = None  # so that no embedding comes from the cache
    ranker.encoder = nobody
    seconds = best_of(3, encoding=lambda: encode(nobody, sentences), ranking=lambda: ranker.rank(sentences, 10))
    print(
        f"1,000 sentences among {len(labels):,} labels: encoding {seconds['encoding']:.1f} s, encoding and ranking "
        f"{seconds['ranking']:.1f} s: {seconds['ranking'] / seconds['encoding']:.2f} times"
    )


if __name__ == "__main__":
    main()
