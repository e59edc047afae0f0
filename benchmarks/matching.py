"""Literal matching against spaCy: the same names, the same sentences, one core, one run.

    python benchmarks/matching.py

On the real data if it is there (ESCO's names, public job ads), else on the sample. Times are the best of fifteen
rounds; what counts is their ratios.
"""

from __future__ import annotations

from importlib.metadata import version

import spacy
from spacy.matcher import PhraseMatcher
from timing import best_of
from tqdm import tqdm

from helpers.data.corpora import load_corpus
from helpers.extraction.matching import LiteralMatcher, alternative_names, preferred_names
from helpers.profiles import PROFILES
from helpers.taxonomy import load_taxonomy


def main() -> None:
    try:
        profile = PROFILES["full"]
        taxonomy, sentences = load_taxonomy(profile.taxonomy), load_corpus(profile.corpus).sentences
    except FileNotFoundError as error:
        print(f"{error}\n-> measuring on the sample instead")
        profile = PROFILES["sample"]
        taxonomy, sentences = load_taxonomy(profile.taxonomy), load_corpus(profile.corpus).sentences
    names = preferred_names(taxonomy) + alternative_names(taxonomy)
    print(f"{taxonomy.name}: {len(names):,} names; {profile.corpus}: {len(sentences):,} sentences")
    print(f"spaCy {version('spacy')}, ahocorasick-rs {version('ahocorasick-rs')}, one core")

    nlp = spacy.blank("en")
    phrases = PhraseMatcher(nlp.vocab, attr="LOWER")
    for name, skill in tqdm(names, desc="spaCy's patterns", delay=2, leave=False):
        phrases.add(str(skill), [nlp.make_doc(name)])
    matcher = LiteralMatcher(names)
    tenth = LiteralMatcher(names[::10])

    text = " ".join(sentences)
    eighth = len(text) // 8
    seconds = best_of(
        15,
        spacy=lambda: [phrases(doc) for doc in nlp.pipe(sentences)],
        ours=lambda: [matcher.spans(sentence) for sentence in sentences],
        few_names=lambda: [tenth.spans(sentence) for sentence in sentences],
        text=lambda: matcher.spans(text[:eighth]),
        twice=lambda: matcher.spans(text[: 2 * eighth]),
    )
    ours, few = seconds["ours"], seconds["few_names"]
    print(f"PhraseMatcher               {seconds['spacy']:7.3f} s")
    print(f"LiteralMatcher, with spans  {ours:7.3f} s   {seconds['spacy'] / ours:.1f} times as fast")
    print(f"  a tenth of the names      {few:7.3f} s   ten times the names: {ours / few:.2f} times the time")
    ratio = seconds["twice"] / seconds["text"]
    print(f"  one text, {eighth:,} chars {seconds['text']:7.3f} s   twice the text: {ratio:.2f} times the time")


if __name__ == "__main__":
    main()
