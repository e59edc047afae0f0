"""Compute what the page book/explorer.md shows, and store it in book/_static/explorer_data.js (`make explorer`).

    python scripts/build_explorer.py

Sentences of the sample are drawn from groups: with one skill or several, named in the sentence or not, and without
any skill. Every method ranks them. The weight of a word is by how much a skill's score falls when the word is left
out (`deletion` in helpers.extraction.attribution): the one explanation that can be asked of any ranker. The trained
bi-encoder is in the repository as a run file only, so its rankings are read, and there are no words behind them.
One of the sentences is the picture on the first page, book/landing.html, which is written from the same data.
"""

from __future__ import annotations

import csv
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.data.benchmarks import load_benchmark
from helpers.data.corpora import load_asking
from helpers.extraction.decision import has_skill
from helpers.extraction.matching import LiteralMatcher, reliable_names
from helpers.extraction.methods import make_decision, make_ranker
from helpers.extraction.ranking import Ranker, package_versions, read_run
from helpers.files import atomic_write, sha256_texts
from helpers.profiles import PROFILES, Profile
from helpers.taxonomy import SAMPLE_DIR, Taxonomy, load_taxonomy

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "book" / "_static" / "explorer_data.js"
LANDING = ROOT / "book" / "landing.html"
ON_FIRST_PAGE = "61dc42b72d71"  # the methods differ on it: nothing found, a wrong word, a neighbour, the skill
RUN = ROOT / "results" / "sample" / "05" / "runs" / "{}-sentences-augmented-mix-1.csv.gz"
TOP = 5
LOSS = 0.05  # what each threshold of an answer may cost of recall@5 on the validation splits: `make_decision`'s own
# Groups and how many sentences are drawn from each.
GROUPS = {
    "One skill, named in the sentence": 5,
    "One skill, not named": 5,
    "Several skills, some or all named": 5,
    "Several skills, none named": 5,
    "No skill, but the name of one": 2,
    "No skill": 2,
}
# Options are chapter 03's choice on the validation splits.
METHODS = {
    "literal": {},
    "lexical": {},
    "classifier": {"c": 100.0, "hard_fraction": 0.01, "negatives": "all"},
    "zero-shot": {},
}
# The steps of the first page's picture: method, chapter, name, what it asks.
STEPS = (
    ("literal", "02_distant_supervision", "Literal matching", "Does the name of a skill stand there?"),
    ("lexical", "01_taxonomy_task_metrics", "TF-IDF", "Which skill shares letters with it?"),
    ("classifier", "03_negative_sampling", "Hard negatives", "What does a classifier for every skill say?"),
    ("zero-shot", "00_start_here", "Zero-shot encoder", "Which skill means something alike?"),
    (
        "bi-encoder",
        "05_contrastive_training",
        "Contrastive training",
        "And after training on sentences that a language model wrote?",
    ),
)


def choose(profile: Profile, taxonomy: Taxonomy) -> list[dict]:
    """The sentences: id, group, text and gold (taxonomy indices), in the page's order.

    A sentence without a skill is of the part of the corpus that the detector was not trained on. "Named" means by one
    of its reliable names, which literal matching finds.
    """
    matcher = LiteralMatcher(reliable_names(taxonomy))
    pool: dict[str, list[dict]] = {group: [] for group in GROUPS}
    one, one_unnamed, several, several_unnamed, trap, none = pool.values()
    for name in profile.benchmarks:
        split = load_benchmark(name, "test", taxonomy)
        named = matcher.labels(split.sentences)
        for text, gold, there in zip(split.sentences, split.gold, named, strict=True):
            explicit = bool(np.isin(gold, there).any())
            group = (several if explicit else several_unnamed) if len(gold) > 1 else one if explicit else one_unnamed
            group.append({"text": text, "gold": gold.tolist()})
    sentences, asks = load_asking(profile.corpus, "dev")
    learnt = "\n".join(load_asking(profile.corpus)[0])
    without = sorted({text for text, asking in zip(sentences, asks, strict=True) if not asking})
    seen: set[tuple] = set()
    for text, there in zip(without, matcher.labels(without), strict=True):
        # The corpus repeats sentences behind other openings ("In short: "): none that the detector knows, none twice.
        body = text.split(": ", 1)[-1]
        if body in learnt or (body,) in seen or (*there,) in seen:
            continue
        seen |= {(body,), (*there,)} - {()}
        (trap if len(there) else none).append({"text": text, "gold": []})
    rng = np.random.default_rng(profile.seed)
    chosen = []
    for group, wanted in GROUPS.items():
        for row in np.sort(rng.choice(len(pool[group]), wanted, replace=False)):
            entry = pool[group][row]
            chosen.append({"id": sha256_texts([entry["text"]])[:12], "group": group, **entry})
    return chosen


def without_each_word(sentence: str) -> list[str]:
    """The sentence without its first word, without its second, and so on.

    >>> without_each_word("We use  SQL.")
    ['use  SQL.', 'We SQL.', 'We use  ']
    """
    words = re.finditer(r"\S+", sentence)
    return [sentence[: word.start()] + sentence[word.end() :].lstrip() for word in words]


def rounded(value: float) -> float:
    """Two digits, and no minus before a zero: more would differ from processor to processor."""
    return round(float(value), 2) + 0.0


def scores_of(ranker: Ranker, sentences: Sequence[str], n_skills: int) -> np.ndarray:
    """A ranker's scores (n, n_skills) in taxonomy order."""
    ranking = ranker.rank(sentences, n_skills)
    scores = np.empty((len(sentences), n_skills), dtype=np.float32)
    np.put_along_axis(scores, ranking.indices, ranking.scores, axis=1)
    return scores


def computed(method: str, chosen: Sequence[dict], profile: Profile, taxonomy: Taxonomy) -> list[dict]:
    """For each sentence: what a method ranks first and why, what of it is the answer, and where other gold stands."""
    ranker = make_ranker(method, profile, taxonomy, **METHODS[method])
    decision = make_decision(ranker, profile, taxonomy, LOSS)
    texts = [entry["text"] for entry in chosen]
    ranking = ranker.rank(texts, len(taxonomy))
    kept = decision.keep(texts, ranking)
    asking = has_skill(decision.detector, texts)
    variants = [[text, *without_each_word(text)] for text in texts]
    scores = scores_of(ranker, [variant for group in variants for variant in group], len(taxonomy))
    found, begin = [], 0
    for row, entry in enumerate(chosen):
        whole, *others = scores[begin : begin + len(variants[row])]
        begin += len(variants[row])
        falls = whole - np.array(others)  # (n_words, n_skills)
        # Who sees letters only gives 0 to a skill that shares none: such a skill is not ranked, it is left over.
        limit = 0 if method in ("literal", "lexical") else -np.inf
        order = [skill for skill in ranking.indices[row].tolist() if whole[skill] > limit]
        top = [
            {
                "skill": taxonomy.labels[skill],
                "gold": skill in entry["gold"],
                "score": rounded(whole[skill]),
                "kept": bool(kept[row, place]),
                "weights": [rounded(fall) for fall in falls[:, skill]],
            }
            for place, skill in enumerate(order[:TOP])
        ]
        ranks = {skill: order.index(skill) + 1 if skill in order else None for skill in entry["gold"]}
        found.append({"top": top, "missed": missed(ranks, taxonomy), "asking": rounded(asking[row])})
    print(method, {"sentence": decision.sentence, "score": decision.score}, flush=True)
    return found


def from_run(chosen: Sequence[dict], profile: Profile, taxonomy: Taxonomy) -> list[dict | None]:
    """The same of a run file, without words and answer; None for sentences that are in no benchmark."""
    found = {}
    for name in profile.benchmarks:
        split = load_benchmark(name, "test", taxonomy)
        run = read_run(str(RUN).format(name), split)
        for text, indices, scores, gold, ranks in zip(
            split.sentences, run.ranking.indices, run.ranking.scores, split.gold, run.gold_ranks, strict=True
        ):
            pairs = list(zip(indices.tolist(), scores, strict=True))[:TOP]
            top = [
                {"skill": taxonomy.labels[skill], "gold": skill in gold, "score": rounded(score)}
                for skill, score in pairs
            ]
            found[text] = {"top": top, "missed": missed(dict(zip(gold, map(int, ranks), strict=True)), taxonomy)}
    return [found.get(entry["text"]) for entry in chosen]


def missed(ranks: dict[int, int | None], taxonomy: Taxonomy) -> list[dict]:
    """Gold skills that are not among the first, with their ranks; None where a method does not rank the skill."""
    return [
        {"skill": taxonomy.labels[skill], "rank": rank} for skill, rank in ranks.items() if rank is None or rank > TOP
    ]


def build(profile: Profile) -> dict:
    """Everything the page shows, and what made it."""
    taxonomy = load_taxonomy(profile.taxonomy)
    chosen = choose(profile, taxonomy)
    methods = {name: computed(name, chosen, profile, taxonomy) for name in METHODS}
    methods["bi-encoder"] = from_run(chosen, profile, taxonomy)
    sentences = [
        {
            "id": entry["id"],
            "group": entry["group"],
            "text": entry["text"],
            "gold": [taxonomy.labels[skill] for skill in entry["gold"]],
            "methods": {name: rows[row] for name, rows in methods.items() if rows[row]},
        }
        for row, entry in enumerate(chosen)
    ]
    about = {
        "profile": profile.name,
        "taxonomy_sha256": taxonomy.sha256,
        "skills": len(taxonomy),
        "encoder": profile.encoder,
        "seed": profile.seed,
        "options": METHODS,
        "run": RUN.relative_to(ROOT).as_posix(),
        "loss": LOSS,
        "versions": package_versions(),
    }
    return {"about": about, "sentences": sentences}


def write(data: dict, path: Path) -> None:
    """A script, not JSON: a page that is opened from a folder may load scripts, but may not fetch files."""
    packed = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False}
    rows = ",\n".join(json.dumps(sentence, **packed) for sentence in data["sentences"])
    with atomic_write(path) as file:
        file.write("// Written by scripts/build_explorer.py; a change by hand would be lost.\n")
        file.write(f'window.SKILL_EXPLORER = {{"about":{json.dumps(data["about"], **packed)},\n')
        file.write(f'"sentences":[\n{rows}\n]}};\n')


def read(path: Path = OUT) -> dict:
    """What `write` wrote."""
    return json.loads(path.read_text(encoding="utf-8").split("window.SKILL_EXPLORER = ")[1].rstrip().rstrip(";"))


def core_groups() -> dict[str, list[str]]:
    """The competency groups of which a skill is a core member, by the sample's table."""
    found: dict[str, list[str]] = {}
    with (SAMPLE_DIR / "requisitions" / "competency_groups.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["relation"] == "core":
                found.setdefault(row["skill"], []).append(row["group"])
    return found


def landing(data: dict) -> str:
    """The picture of the first page: one sentence, what each method makes of it, its answer and competency groups."""
    sentence = next(entry for entry in data["sentences"] if entry["id"] == ON_FIRST_PAGE)
    words = [word.strip(",.") for word in sentence["text"].split()]
    groups = core_groups()

    def skill(row: dict) -> str:
        name = html.escape(row["skill"], quote=False)
        return f'<li class="landing-gold">✓ {name}</li>' if row["gold"] else f"<li>{name}</li>"

    def step(chapter: str, name: str, asks: str, found: str) -> str:
        link = f'<a href="../notebooks/{chapter}.html">{name}</a>'
        return f"<li><div><strong>{link}</strong> <span>{asks}</span></div>\n<div>{found}</div></li>"

    steps = []
    for method, chapter, name, asks in STEPS:
        top = sentence["methods"][method]["top"][:3]
        found = f'<ol class="landing-skills">{"".join(map(skill, top))}</ol>' if top else "<p>Nothing.</p>"
        if top and "weights" in top[0]:
            word = words[int(np.argmax(top[0]["weights"]))]
            found += f"<p>What counts most for the first is the word <em>{html.escape(word, quote=False)}</em>.</p>"
        steps.append(step(chapter, name, asks, found))
    zero_shot = sentence["methods"]["zero-shot"]
    kept = [row for row in zero_shot["top"] if row["kept"]]
    answer = f'<ul class="landing-skills">{"".join(map(skill, kept))}</ul>' if kept else "<p>Nothing.</p>"
    asks = f"Is a skill asked for at all? ({zero_shot['asking']:.0%} sure.) "
    asks += "Which skills of the zero-shot ranking are sure enough?"
    steps.append(step("09_evaluation", "Answer", asks, answer))
    pairs = [
        f"<li>{row['skill']} → <strong>{'; '.join(groups.get(row['skill'], ['none']))}</strong></li>" for row in kept
    ]
    asks = "Which larger competence is each a core part of, by the sample’s table?"
    steps.append(
        step("08_competency_groups", "Competency groups", asks, f'<ul class="landing-skills">{"".join(pairs)}</ul>')
    )
    return "\n".join(
        [
            "<!-- Written by scripts/build_explorer.py; a change by hand would be lost. -->",
            '<figure class="landing" role="group" aria-labelledby="landing-said">',
            f"<blockquote>{html.escape(sentence['text'], quote=False)}</blockquote>",
            f"<p>The annotators found: <strong>{'; '.join(sentence['gold'])}</strong>. The first three skills of each "
            f"method, of {data['about']['skills']}, with a ✓ where it is theirs:</p>",
            '<ol class="landing-steps">',
            *steps,
            "</ol>",
            '<figcaption id="landing-said">One sentence of the sample on its way to skills and competency groups, as '
            "computed by <code>scripts/build_explorer.py</code>. One sentence is an example, not a measurement: "
            '<a href="which_method.html">which method when</a> has those, the <a href="explorer.html">skill '
            f"explorer</a> {len(data['sentences']) - 1} more sentences.</figcaption>",
            "</figure>\n",
        ]
    )


if __name__ == "__main__":
    import torch

    torch.set_num_threads(2)  # as the chapters do: the order of a sum depends on it
    write(build(PROFILES["sample"]), OUT)
    with atomic_write(LANDING) as file:
        file.write(landing(read()))
    print(f"{OUT.relative_to(ROOT)}: {OUT.stat().st_size / 1000:.0f} kB")
