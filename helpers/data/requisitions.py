"""Which skills stand together in a job: ESCO's occupations with their essential and optional skills (paper 3)."""

from __future__ import annotations

import pandas as pd

from helpers import registry
from helpers.files import InputError, read_csv
from helpers.taxonomy import Taxonomy


def load_occupation_skills(taxonomy: Taxonomy) -> pd.DataFrame:
    """The links between ESCO's occupations and skills.

    Returns
    -------
    DataFrame with one row a link: occupation (URI), occupation_label, isco_group (4 digits), skill
    (taxonomy index, int) and relation ("essential" or "optional").
    """
    occupations = read_csv(
        registry.find("esco-v1.1.0-en.zip"), ("conceptUri", "preferredLabel", "iscoGroup"), "occupations_en.csv"
    ).set_index("conceptUri")
    links = read_csv(
        registry.find("esco-v1.1.0-relations.zip"),
        ("occupationUri", "relationType", "skillUri"),
        "occupationSkillRelations.csv",
    )
    index_of_id = {identity: index for index, identity in enumerate(taxonomy.ids)}
    unknown = links.loc[~links["skillUri"].isin(index_of_id), "skillUri"]
    if len(unknown):
        raise InputError(f"ESCO's occupations link to {unknown.iloc[0]}, which is not in the taxonomy {taxonomy.name}")
    return pd.DataFrame(
        {
            "occupation": links["occupationUri"],
            "occupation_label": links["occupationUri"].map(occupations["preferredLabel"]).str.strip(),
            "isco_group": links["occupationUri"].map(occupations["iscoGroup"]),
            "skill": links["skillUri"].map(index_of_id).astype(int),
            "relation": links["relationType"],
        }
    )
