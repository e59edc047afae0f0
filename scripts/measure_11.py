"""Chapter 11's competency model, stored: Word2Vec trained elsewhere gives other vectors, and other matches."""

from __future__ import annotations

from pathlib import Path

from measure_07 import provenance
from measuring import write_record
from safetensors.numpy import save

from helpers.competency.embeddings import word2vec
from helpers.competency.features import FeatureSettings, fit_features, label_table
from helpers.competency.models import CompetencyModel, fit_classifier
from helpers.data.requisitions import load_competency_groups, load_requisitions
from helpers.files import atomic_write
from helpers.profiles import Profile
from helpers.taxonomy import load_taxonomy

TREES = 60  # as many as chapter 08 trains live


def chapter_11(profile: Profile, folder: Path) -> None:
    """The model of all skills of the sample, and Word2Vec's vectors in taxonomy order. The chapter has one profile."""
    if profile.name != "sample" or (folder / "competency.json").exists():
        return
    taxonomy = load_taxonomy("sample")
    jobs = load_requisitions("sample", taxonomy)
    labels = label_table(load_competency_groups("sample", taxonomy), taxonomy.labels)
    classes = (labels > 0).to_numpy()
    embed, every = word2vec(jobs), classes | True  # nothing is tested, so all rows are for training
    features = fit_features(embed, labels, every, FeatureSettings(clusters=None))
    rows = features.table(taxonomy.labels)
    boosted = fit_classifier("xgboost", rows, classes.astype(int), every, profile.seed, n_estimators=TREES)
    CompetencyModel(features, boosted).save(folder / "competency")
    with atomic_write(folder / "word2vec.safetensors", "wb") as file:
        file.write(save({"vectors": embed(taxonomy.labels)}))
    facts = provenance(profile, taxonomy, "sample", jobs) | {"embedding": "word2vec", "trees": TREES}
    write_record(facts, folder / "competency.json")
