"""Literal matching: find skill names in text, and so label sentences at a distance (paper 1, section 3).

Whole tokens, any case, longest first, with spans. An Aho-Corasick automaton reads a text once, however many names
it looks for. Names are skills' preferred labels (without a remark in brackets) and those alternative labels that
`reliable_names` keeps: over all of ESCO's alternative labels a match is wrong more often than it is right.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from ahocorasick_rs import AhoCorasick, Implementation
from rapidfuzz import fuzz

from helpers.extraction.ranking import Ranker
from helpers.taxonomy import Taxonomy, without_brackets

MIN_SIMILARITY = 0.85  # of an alternative label's spelling to the preferred label; see `reliable_names`

# A token is a word with the marks that belong to it (C++, C#, R&D, Node.js), .NET, or one punctuation mark, so that
# no name is found across a comma. Hyphens and slashes only separate: "decision-making" is "decision making".
# Tokenised corpora write ". NET"; in capitals it is the name, in a new sentence ("Net income") it is not.
# Soft hyphens and zero-width blanks stand inside words and are not seen.
_TOKEN = re.compile(r"[\w\u0300-\u036f\u00ad\u200b]+(?:[.&]\w+)*[+#]*|(?<!\w)\.(?:\s*NET|net)\b|[^\w\s/‐‑–—-]")


class Span(NamedTuple):
    """Where a name stands: `text[start:end]`, and the taxonomy index of the skill it names."""

    start: int
    end: int
    skill: int


class LiteralMatcher:
    """Find names in sentences: `names` are pairs of a name and the index of a skill, of which it may have several."""

    def __init__(self, names: Iterable[tuple[str, int]]) -> None:
        skills: dict[str, set[int]] = {}
        for name, skill in names:
            skills.setdefault(normalise(name), set()).add(skill)
        skills.pop("", None)
        self._skills = [tuple(sorted(indices)) for indices in skills.values()]
        # Blanks around a name let it match at token borders only.
        self._automaton = AhoCorasick(
            [f" {key} " for key in skills], implementation=Implementation.ContiguousNFA, store_patterns=False
        )
        self.n_names = len(skills)

    def spans(self, sentence: str) -> list[Span]:
        """Non-overlapping matches in order of appearance: the longest first, then the leftmost, are kept."""
        normal = normalise(sentence)
        hits = self._hits(normal)
        # Token i of the normalised text is token i of the sentence, and one blank follows each.
        tokens = list(_TOKEN.finditer(sentence)) if hits else []
        spans, number, place = [], 0, 0
        for start, end, name in hits:
            number += normal.count(" ", place, start)
            last = number + normal.count(" ", start, end)
            place = start
            spans += [Span(tokens[number].start(), tokens[last].end(), skill) for skill in self._skills[name]]
        return spans

    def labels(self, sentences: Sequence[str]) -> list[np.ndarray]:
        """Skills named in each sentence: sorted int arrays (paper 1's distant labels)."""
        found = (self._hits(normalise(sentence)) for sentence in sentences)
        named = ({skill for *_, name in hits for skill in self._skills[name]} for hits in found)
        return [np.array(sorted(skills), dtype=np.int64) for skills in named]

    def _hits(self, normal: str) -> list[tuple[int, int, int]]:
        """Kept matches in a normalised text, in order: start and end of the name, and which name it is."""
        # A match takes in the blanks around the name; they come in the order of their ends.
        found = self._automaton.find_matches_as_indexes(f" {normal} ", overlapping=True)
        hits = [(start, end - 2, name) for name, start, end in found]
        if len(hits) < 2 or not any(after[0] < before[1] for before, after in pairwise(hits)):
            return hits
        taken = bytearray(len(normal))
        kept = []
        for start, end, name in sorted(hits, key=lambda hit: (hit[0] - hit[1], hit[0])):
            if not any(taken[start:end]):
                taken[start:end] = b"\1" * (end - start)
                kept.append((start, end, name))
        return sorted(kept)


@dataclass
class LiteralRanker(Ranker):
    """Rank the skills a sentence names first (score 1), all others after them in taxonomy order (score 0)."""

    matcher: LiteralMatcher
    taxonomy: Taxonomy

    def _score(self, sentences: Sequence[str]) -> np.ndarray:
        scores = np.zeros((len(sentences), len(self.taxonomy)), dtype=np.float32)
        for row, skills in enumerate(self.matcher.labels(sentences)):
            scores[row, skills] = 1
        return scores


def preferred_names(taxonomy: Taxonomy) -> list[tuple[str, int]]:
    """Each skill's preferred label, without a final remark in brackets."""
    return [(without_brackets(label), index) for index, label in enumerate(taxonomy.labels)]


def alternative_names(taxonomy: Taxonomy) -> list[tuple[str, int]]:
    """Every alternative label, without a final remark in brackets."""
    return [(without_brackets(alt), index) for index, alts in enumerate(taxonomy.alt_labels) for alt in alts]


def reliable_names(taxonomy: Taxonomy, min_similarity: float = MIN_SIMILARITY) -> list[tuple[str, int]]:
    """Preferred and alternative labels that can be trusted to name their skill.

    - A proper name that is also an ordinary word is left out ("Source", "Polish"): one word with a capital in the
      label, but in the taxonomy's own descriptions more often without one than with one.
    - Many alternative labels are generic ("design" for think creatively) or shared. One is kept if it names no other
      skill, by preferred or alternative label, and is spelt like its skill's preferred label: `rapidfuzz.fuzz.ratio`
      / 100 of at least `min_similarity` (0 to 1; above 1 none is kept).

    Both rules were chosen on the validation splits of TECH and HOUSE; the default is the threshold with the highest
    recall there among those with a precision of at least 0.77.
    """
    tokens = Counter(token for text in taxonomy.descriptions for token in _TOKEN.findall(text))
    capitalised = Counter(token.lower() for token in tokens.elements() if not token.islower())
    preferred = preferred_names(taxonomy)
    alternative = alternative_names(taxonomy)
    owners = Counter(name for name, _ in {(normalise(name), skill) for name, skill in preferred + alternative})
    alike = [
        (name, skill)
        for name, skill in alternative
        if owners[normalise(name)] == 1
        and fuzz.ratio(normalise(name), normalise(preferred[skill][0])) >= 100 * min_similarity
    ]
    return [
        (name, skill)
        for name, skill in preferred + alike
        if name.islower() or tokens[name.lower()] <= capitalised[name.lower()]
    ]


def normalise(text: str) -> str:
    """Tokens of a text in one case, separated by single blanks: what is compared.

    >>> normalise("C++ and C#/.NET: decision-making")
    'c++ and c# .net : decision making'
    """
    tokens = _TOKEN.findall(text.replace("’", "'"))
    if "NET" in text:
        tokens = ["".join(token.split()) for token in tokens]  # ". NET" is one token
    if text.isascii():
        return " ".join(tokens).lower()
    # Compatibility forms may hold blanks ("¨" does); a token stays one token. What has no width is not seen.
    visible = (re.sub(r"[\s\u00ad\u200b]", "", unicodedata.normalize("NFKC", t).casefold()) for t in tokens)
    return " ".join(token or "\ufffd" for token in visible)
