"""Which skills stand together in a job, and which belong to which competency group (paper 3, section 2.1)."""

import csv
import gzip
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import registry
from helpers.files import InputError, read_csv, reason
from helpers.taxonomy import SAMPLE_DIR, Taxonomy, without_brackets

FEWEST, MOST = 3, 15  # skills of a requisition
N_DRAWN = 120_000  # requisitions from ESCO: over 100,000 are left with only the most frequent skills
# Job titles among skill2vec's skills: a list written by hand, which finds most of them.
_TITLE = re.compile(
    r"\b(executive|manager|engineer|developer|analyst|officer|consultant|assistant|trainee|fresher|architect|director|"
    r"recruiter|tester|accountant|programmer|representative|coordinator|supervisor|associate|telecaller|trainer|"
    r"designer|specialist|administrator|secretary|receptionist|lecturer|professor|technician|nurse)s?$"
)


def load_requisitions(name: str, taxonomy: Taxonomy | None = None, seed: int = 0) -> list[tuple[str, ...]]:
    """The skills that each job asks for: 3 to 15 different strings, no two lists of a file alike.

    "sample"; "skill2vec", without job titles; "esco", drawn from occupations by `seed`, without those `held_out`; or
    a CSV as skill2vec's: no header, a job's id and its skills (the first 15 count) a row. With a taxonomy, what
    `skill_names` knows becomes a label; any other string stays, in lower case. Raises FileNotFoundError or InputError.
    """
    if name == "esco":
        if taxonomy is None:
            raise InputError("requisitions of esco are drawn from its occupations: give its taxonomy")
        links = load_occupation_skills(taxonomy)
        drawn = draw_requisitions(links[~held_out(links)], N_DRAWN, seed)
        return [tuple(taxonomy.labels[skill] for skill in skills) for skills in drawn]
    path = SAMPLE_DIR / "requisitions" / "requisitions.csv.gz" if name == "sample" else Path(name)
    path = registry.find("skill2vec_50K.csv.gz") if name == "skill2vec" else path
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as file:
            rows = [tuple(filter(None, map(_folded, row[1:]))) for row in csv.reader(file)]
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; requisitions are sample, esco, skill2vec or a CSV") from None
    except (OSError, EOFError, csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({reason(error)})") from None
    if name == "skill2vec":
        rows = [tuple(text for text in row if not _TITLE.search(text)) for row in rows]
    known = skill_names(taxonomy) if taxonomy else {}
    jobs = [tuple(dict.fromkeys(known.get(text, text) for text in row))[:MOST] for row in dict.fromkeys(rows)]
    jobs = [job for job in jobs if len(job) >= FEWEST]
    if not jobs:
        raise InputError(f"{path}: no row with a job's id and {FEWEST} skills")
    return jobs


def skill_names(taxonomy: Taxonomy) -> dict[str, str]:
    """What names in lower case mean: labels; and other names, or labels without brackets, that only one skill has."""
    means = defaultdict(set)
    for label, others in zip(taxonomy.labels, taxonomy.alt_labels, strict=True):
        for text in (without_brackets(label), *others):
            means[_folded(text)].add(label)
    once = {text: found.pop() for text, found in means.items() if len(found) == 1}
    return once | {_folded(label): label for label in reversed(taxonomy.labels)}


def top_skills(requisitions: Iterable[Sequence[str]], k: int = 2997) -> list[str]:
    """The k skills in most requisitions (the paper has 2,997), most frequent first, ties in alphabetical order."""
    count = Counter(skill for job in requisitions for skill in job)
    return sorted(count, key=lambda skill: (-count[skill], skill))[:k]


def only(requisitions: Iterable[Sequence[str]], skills: Iterable[str]) -> list[tuple[str, ...]]:
    """The requisitions without any other skills; those of which fewer than 3 remain are left out."""
    wanted = set(skills)
    kept = (tuple(filter(wanted.__contains__, job)) for job in requisitions)
    return [job for job in kept if len(job) >= FEWEST]


def load_occupation_skills(taxonomy: Taxonomy) -> pd.DataFrame:
    """The links between occupations and skills, of the sample for its taxonomy, else of ESCO: one row each.

    Columns: occupation (URI), isco_group (4 digits), skill (taxonomy index), relation ("essential" or "optional").
    """
    files = ("esco-v1.1.0-en.zip", "esco-v1.1.0-relations.zip")
    sample = SAMPLE_DIR / "requisitions"
    tables, relations = (sample if taxonomy.name == "sample" else registry.find(file) for file in files)
    links = read_csv(relations, ("occupationUri", "relationType", "skillUri"), "occupationSkillRelations.csv")
    isco = read_csv(tables, ("conceptUri", "iscoGroup"), "occupations_en.csv").set_index("conceptUri")["iscoGroup"]
    skill = pd.Index(taxonomy.ids).get_indexer(links["skillUri"])
    if (skill < 0).any():
        unknown = links["skillUri"][skill.argmin()]
        raise InputError(f"the occupations link to {unknown}, which is not in the taxonomy {taxonomy.name}")
    occupation, relation = links["occupationUri"], links["relationType"]
    columns = {"occupation": occupation, "isco_group": occupation.map(isco), "skill": skill, "relation": relation}
    return pd.DataFrame(columns)


def held_out(links: pd.DataFrame) -> np.ndarray:
    """Mask (n_links,) of half of each ISCO sub-major group's occupations: for groups by field, in no requisition."""
    jobs = links.drop_duplicates("occupation").sort_values("occupation").sample(frac=1, random_state=0)
    half = jobs.groupby(jobs["isco_group"].str[:2]).cumcount() % 2 == 1
    return links["occupation"].isin(jobs.loc[half, "occupation"]).to_numpy()


def draw_requisitions(links: pd.DataFrame, n: int, seed: int = 0) -> list[np.ndarray]:
    """n requisitions, int arrays of 3 to 15 skills of an occupation; essential ones are three times as likely."""
    rng = np.random.default_rng(seed)
    job, _ = pd.factorize(links["occupation"], sort=True)
    links = links[["skill"]].assign(job=job, rate=np.where(links["relation"] == "essential", 3, 1))
    counts = np.bincount(job)
    if counts.max(initial=0) < FEWEST:
        raise InputError(f"no occupation has {FEWEST} skills to draw a requisition from")
    jobs = rng.choice(np.flatnonzero(counts >= FEWEST), n)
    sizes = np.minimum(rng.integers(FEWEST, MOST + 1, n), counts[jobs])
    # A row for each link of each draw. The smallest of exponential keys are a weighted draw without replacement.
    rows = pd.DataFrame({"job": jobs, "draw": np.arange(n)}).merge(links, how="left")
    rows = rows.assign(key=rng.exponential(size=len(rows)) / rows["rate"]).sort_values(["draw", "key"])
    kept = rows.groupby("draw").cumcount() < sizes[rows["draw"]]
    return np.split(rows["skill"][kept].to_numpy(), np.cumsum(sizes)[:-1])


def load_competency_groups(name: str, taxonomy: Taxonomy) -> pd.DataFrame:
    """Competency groups, a row for each skill of a group: group, skill (labels), relation ("core" or "fringe").

    "sample", a table judged apart from the requisitions; "semantic", ESCO's groups of level 2, all core: a matter of
    names; "field", ISCO's sub-major groups of the occupations `held_out`, essential skills as core, skills that are
    only optional as fringe: a matter of use; or a reader's own table.
    """
    columns = ["group", "skill", "relation"]
    if name == "semantic":
        above = taxonomy.group_broader | dict(zip(taxonomy.ids, taxonomy.broader, strict=True))

        def paths(concept: str) -> list[tuple[str, ...]]:  # from the top down to it
            return [(*path, concept) for up in above.get(concept, ()) for path in paths(up)] or [(concept,)]

        label, groups = dict(zip(taxonomy.ids, taxonomy.labels, strict=True)), taxonomy.group_labels
        found = {(path[2], skill) for skill in taxonomy.ids for path in paths(skill) if len(path) > 3}
        rows = [(groups[group], label[skill], "core") for group, skill in sorted(found) if group in groups]
        return pd.DataFrame(rows, columns=columns)
    if name == "field":
        links = load_occupation_skills(taxonomy)
        links = links[held_out(links)].sort_values("relation")  # essential first
        isco = read_csv(registry.find("esco-v1.1.0-en.zip"), ("code", "preferredLabel"), "ISCOGroups_en.csv")
        group = links["isco_group"].str[:2].map(isco.set_index("code")["preferredLabel"].str.strip())
        relation = links["relation"].map({"essential": "core", "optional": "fringe"})
        table = pd.DataFrame({"group": group, "skill": np.array(taxonomy.labels)[links["skill"]], "relation": relation})
        return table.drop_duplicates(columns[:2]).sort_values(columns, ignore_index=True)
    path = SAMPLE_DIR / "requisitions" / "competency_groups.csv" if name == "sample" else name
    table = read_csv(path, columns)
    wrong = table[~table["skill"].isin(taxonomy.labels) | ~table["relation"].isin(["core", "fringe"])]
    for row, cells in wrong.iterrows():
        raise InputError(f"{path}, row {row + 2}: no core or fringe skill of {taxonomy.name}: {', '.join(cells)}")
    return table


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
