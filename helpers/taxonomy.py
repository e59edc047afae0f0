"""The label space: skills with their names, descriptions, groups and broader relation.

One loader reads ESCO's CSV files (a zip or a folder), so the shipped sample and the real taxonomy take the same
path; `Taxonomy.from_csv` reads a reader's own list.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pandas as pd

from helpers import registry
from helpers.files import InputError, read_csv, sha256_texts

SAMPLE_DIR = Path(__file__).parent / "data" / "sample"
BRACKET = re.compile(r"\s*\([^()]*\)\s*$")


@dataclass(frozen=True, eq=False)
class Taxonomy:
    """Skills in a fixed order: a skill's index is its place in these tuples, and ties are broken by it.

    `broader[i]` are the ids of the concepts directly above skill i (groups, or more general skills);
    `group_labels` and `group_broader` describe the groups by id.
    """

    name: str
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    alt_labels: tuple[tuple[str, ...], ...]
    descriptions: tuple[str, ...]
    types: tuple[str, ...]
    reuse_levels: tuple[str, ...]
    broader: tuple[tuple[str, ...], ...]
    group_labels: dict[str, str] = field(default_factory=dict)
    group_broader: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, values in (("label", self.labels), ("id", self.ids)):
            first: dict[str, int] = {}
            for row, value in enumerate(values, start=2):  # row 1 of the file is its header
                if (other := first.setdefault(value, row)) < row:
                    where = f"stands in rows {other} and {row}; keep one"
                    raise InputError(f"taxonomy {self.name}: {what} {value!r} {where}")

    def __len__(self) -> int:
        return len(self.labels)

    @functools.cached_property
    def index_of(self) -> dict[str, int]:
        """Index of each preferred label."""
        return {label: index for index, label in enumerate(self.labels)}

    @functools.cached_property
    def sha256(self) -> str:
        """Fingerprint of ids, names and descriptions in order: what a ranking of this label space depends on."""
        names = ["\n".join(alternatives) for alternatives in self.alt_labels]
        return sha256_texts([*self.ids, *self.labels, *names, *self.descriptions])

    def siblings(self, index: int) -> list[int]:
        """Skills that share a broader concept with this one, in taxonomy order (paper 1, section 3.1)."""
        related = {other for parent in self.broader[index] for other in self._children[parent]}
        return sorted(related - {index})

    @functools.cached_property
    def _children(self) -> dict[str, list[int]]:
        children = defaultdict(list)
        for index, parents in enumerate(self.broader):
            for parent in parents:
                children[parent].append(index)
        return children

    @classmethod
    def from_esco(cls, classification: Path, relations: Path, name: str = "ESCO") -> Self:
        """Read ESCO's CSV files from two zips (or folders): the classification and the relations."""
        columns = ("conceptUri", "skillType", "reuseLevel", "preferredLabel", "altLabels", "description")
        skills = _stripped(read_csv(classification, columns, "skills_en.csv"))
        groups = _stripped(read_csv(classification, ("conceptUri", "preferredLabel"), "skillGroups_en.csv"))
        links = read_csv(relations, ("conceptUri", "broaderUri"), "broaderRelationsSkillPillar.csv")
        above = links.groupby("conceptUri")["broaderUri"].agg(tuple).to_dict()
        labels = tuple(skills["preferredLabel"])
        return cls(
            name=name,
            ids=tuple(skills["conceptUri"]),
            labels=labels,
            alt_labels=_alternatives(skills["altLabels"].str.split("\n"), labels),
            descriptions=tuple(skills["description"]),
            types=tuple(skills["skillType"]),
            reuse_levels=tuple(skills["reuseLevel"]),
            broader=tuple(above.get(uri, ()) for uri in skills["conceptUri"]),
            group_labels=groups.set_index("conceptUri")["preferredLabel"].to_dict(),
            group_broader={uri: above[uri] for uri in groups["conceptUri"] if uri in above},
        )

    @classmethod
    def from_csv(cls, path: str | Path, name: str | None = None) -> Self:
        """Read a reader's own taxonomy: a CSV with the column `label` and, where there are any, `id`,
        `alt_labels` and `broader` (values separated by `|`), `description`, `type`, `reuse_level`.

        Raises FileNotFoundError or InputError (which names the row of an empty or repeated label).
        """
        table = _stripped(read_csv(path, ("label",)))
        labels = tuple(table["label"])
        if "" in labels:
            raise InputError(f"{path}: no label in row {labels.index('') + 2}")
        if not labels:
            raise InputError(f"{path}: no skill in it, only a header")

        optional = dict.fromkeys(("alt_labels", "broader", "description", "reuse_level"), "")
        table = pd.DataFrame({"id": labels, "type": "skill/competence", **optional, **table})
        ids = tuple(table["id"])
        broader = tuple(tuple(part.strip() for part in cell.split("|") if part.strip()) for cell in table["broader"])
        groups = {group for parents in broader for group in parents}.difference(ids)
        return cls(
            name=name or Path(path).stem,
            ids=ids,
            labels=labels,
            alt_labels=_alternatives(table["alt_labels"].str.split("|"), labels),
            descriptions=tuple(table["description"]),
            types=tuple(table["type"]),
            reuse_levels=tuple(table["reuse_level"]),
            broader=broader,
            group_labels={group: group for group in sorted(groups)},
        )


@functools.cache
def load_taxonomy(name: str) -> Taxonomy:
    """The taxonomy of that name (a profile's field): "sample" or "esco-v1.1.0". Loaded once per process."""
    if name == "sample":
        return Taxonomy.from_esco(SAMPLE_DIR / "taxonomy", SAMPLE_DIR / "taxonomy", name)
    if name == "esco-v1.1.0":
        return Taxonomy.from_esco(registry.find("esco-v1.1.0-en.zip"), registry.find("esco-v1.1.0-relations.zip"), name)
    raise InputError(f"no taxonomy {name!r}; choose one of: sample, esco-v1.1.0")


def without_brackets(label: str) -> str:
    """The label without a final remark in brackets, as a job ad would write it.

    >>> without_brackets("Java (computer programming)")
    'Java'
    """
    return BRACKET.sub("", label) or label


def _stripped(table: pd.DataFrame) -> pd.DataFrame:
    """Texts without blanks around them (78 of ESCO's labels carry some, no-break spaces among them)."""
    return table.apply(lambda column: column.str.strip())


def _alternatives(candidates: Iterable[Sequence[str]], labels: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Each skill's alternative labels, each once, without the preferred label itself."""
    once = (dict.fromkeys(map(str.strip, texts)) for texts in candidates)
    return tuple(tuple(t for t in texts if t not in ("", label)) for texts, label in zip(once, labels, strict=True))
