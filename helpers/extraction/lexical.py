"""The lexical floor: TF-IDF over character n-grams. No paper prints it, and every method should beat it."""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from helpers.extraction.ranking import Ranker
from helpers.taxonomy import Taxonomy


class LexicalRanker(Ranker):
    """Rank skills by the cosine of TF-IDF vectors of sentence and preferred label; weights are learnt on labels."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
        self.label_vectors = self.vectorizer.fit_transform(taxonomy.labels).T.tocsr()

    def _score(self, sentences: Sequence[str]) -> np.ndarray:
        return (self.vectorizer.transform(sentences) @ self.label_vectors).toarray()
