"""One encoder for sentences and skill names: every skill ranked by cosine (paper 2, section 2.3).

With a stock encoder, as here, this is zero-shot: nothing has been trained on skills.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sentence_transformers import SentenceTransformer

from helpers.encoders import encode
from helpers.extraction.ranking import Ranking, rank_in_blocks
from helpers.taxonomy import Taxonomy


class BiEncoder:
    """Rank skills by the cosine between the embeddings of the sentence and of the preferred label."""

    def __init__(self, encoder: SentenceTransformer, taxonomy: Taxonomy) -> None:
        self.encoder = encoder
        self.label_embeddings = encode(encoder, taxonomy.labels)  # (n_labels, dimension), unit length

    def rank(self, sentences: Sequence[str], k: int) -> Ranking:
        """The k best skills of each sentence; see `Ranker`."""
        return rank_in_blocks(self._score, sentences, k)

    def _score(self, sentences: Sequence[str]) -> np.ndarray:
        return encode(self.encoder, sentences) @ self.label_embeddings.T
