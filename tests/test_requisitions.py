"""Requisitions and competency groups: what the noise does, what is drawn, what is kept apart."""

import gzip
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.data import requisitions
from helpers.data.requisitions import (
    draw_requisitions,
    held_out,
    load_competency_groups,
    load_occupation_skills,
    load_requisitions,
    only,
    skill_names,
    top_skills,
)
from helpers.files import InputError
from helpers.taxonomy import Taxonomy, load_taxonomy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import build_sample_requisitions as build


@pytest.fixture(scope="module")
def taxonomy():
    return load_taxonomy("sample")


@pytest.fixture(scope="module")
def links(taxonomy):
    return load_occupation_skills(taxonomy)


@pytest.fixture(scope="module")
def built(taxonomy, links):
    return build.build_requisitions(links, taxonomy, np.random.default_rng(1), 1500)


def test_the_samples_requisitions_have_3_to_15_different_skills(taxonomy):
    for jobs in (load_requisitions("sample"), load_requisitions("sample", taxonomy)):
        assert len(jobs) == 10_000
        assert all(3 <= len(job) == len(set(job)) <= 15 for job in jobs)
    assert set(taxonomy.labels) <= {skill for job in jobs for skill in job}


def test_most_of_the_samples_spellings_map_back(taxonomy):
    raw, jobs, names = load_requisitions("sample"), load_requisitions("sample", taxonomy), skill_names(taxonomy)
    labels = {label.casefold() for label in taxonomy.labels}
    mentions = [text for job in raw for text in job]
    shares = [np.mean([what(text) for text in mentions]) for what in (labels.__contains__, names.__contains__)]
    card = (Path(__file__).parent.parent / "book" / "data_sample.md").read_text(encoding="utf-8")
    assert f"{100 * shares[0]:.0f}% of the mentions are labels" in card
    assert f"{100 * (shares[1] - shares[0]):.0f}% other names" in card
    assert f"{100 * (1 - shares[1]):.0f}% nothing" in card
    for before, after in zip(raw, jobs, strict=True):
        assert set(after) <= {names.get(text, text) for text in before}


def test_the_noise_does_what_it_says(taxonomy, links, built):
    of_job = links.groupby("occupation")["skill"].agg(set).to_list()
    most = [max(len(set(meant) & own) for own in of_job) for meant, _ in built]
    strays = 1 - sum(most) / sum(len(meant) for meant, _ in built)
    assert build.STRAY - 0.025 < strays <= build.STRAY + 0.005  # a stray may belong to the occupation by chance
    pairs = [(taxonomy.labels[i], text) for meant, written in built for i, text in zip(meant, written, strict=True)]
    names = skill_names(taxonomy)
    forms = [{label.casefold(), build.without_brackets(label).casefold()} for label, _ in pairs]
    plain = np.mean([text.casefold() in form for (_, text), form in zip(pairs, forms, strict=True)])
    assert plain == pytest.approx((1 - build.ALTERNATIVE) * (1 - build.TYPO), abs=0.02)
    right = np.mean([names.get(text.casefold()) == label for label, text in pairs])
    wrong = np.mean([names.get(text.casefold(), label) != label for label, text in pairs])
    assert 0.93 < right < 1
    assert wrong < 0.01
    core = links[links["relation"] == "essential"].groupby("occupation")["skill"].agg(set).to_list()
    assert not any(own <= set(meant) for meant, _ in built for own in core if len(own) > 12)  # some skill is missing


def test_every_kind_of_spelling_occurs_and_short_names_are_left_alone(taxonomy):
    rng = np.random.default_rng(0)
    seen = {build.spelled(rng, "Java (computer programming)", ("Java language",)) for _ in range(2000)}
    assert {"Java", "Java (computer programming)", "Java language", "java", "JAVA"} <= seen
    assert any(text.casefold() not in ("java", "java (computer programming)", "java language") for text in seen)
    assert {build.misspelled(rng, "SQL") for _ in range(50)} == {"SQL"}
    assert all(abs(len(build.misspelled(rng, "weld metal")) - 10) <= 1 for _ in range(50))


def test_same_seed_same_requisitions(taxonomy, links, built):
    again = build.build_requisitions(links, taxonomy, np.random.default_rng(1), 1500)
    assert again == built
    assert build.layout(again) == build.layout(built)
    one, same, other = (draw_requisitions(links, 200, seed) for seed in (3, 3, 4))
    assert all(map(np.array_equal, one, same))
    assert not all(map(np.array_equal, one, other))


def test_draws_come_from_one_occupation_and_prefer_essential_skills(links):
    of_job = links.groupby("occupation")["skill"].agg(set).to_list()
    drawn = draw_requisitions(links, 3000, 0)
    assert all(3 <= len(job) == len(set(job.tolist())) <= 15 for job in drawn)
    assert {len(job) for job in drawn} == set(range(3, 16))
    assert all(any(set(job.tolist()) <= own for own in of_job) for job in drawn)
    one = pd.DataFrame({"occupation": "a", "skill": range(20), "relation": ["essential"] * 10 + ["optional"] * 10})
    first = Counter(job[0] < 10 for job in draw_requisitions(one, 4000, 0))
    assert first[True] / 4000 == pytest.approx(0.75, abs=0.03)  # three times as likely


def test_an_occupation_with_too_few_skills_gives_no_requisition():
    few = pd.DataFrame({"occupation": ["a", "a", "b", "b", "b"], "skill": range(5), "relation": "optional"})
    assert {tuple(sorted(job)) for job in draw_requisitions(few, 50)} == {(2, 3, 4)}
    with pytest.raises(InputError, match="no occupation has 3 skills"):
        draw_requisitions(few[:2], 5)


@pytest.fixture
def esco(tmp_path, monkeypatch):
    """Six occupations in ESCO's files, each with four skills of its own; three in each of two ISCO groups."""
    skills = [f"skill {i}" for i in range(24)]
    taxonomy = Taxonomy(
        "t", tuple(skills), tuple(skills), *(((),) * 24, ("",) * 24, ("",) * 24, ("",) * 24, ((),) * 24)
    )
    rows = [f"o{i},job {i},{'51' if i < 3 else '71'}2{i}" for i in range(6)]
    (tmp_path / "occupations_en.csv").write_text("\n".join(["conceptUri,preferredLabel,iscoGroup", *rows]))
    rows = [f"o{i // 4},{'essential' if i % 2 else 'optional'},skill {i}" for i in range(24)]
    (tmp_path / "occupationSkillRelations.csv").write_text("\n".join(["occupationUri,relationType,skillUri", *rows]))
    (tmp_path / "ISCOGroups_en.csv").write_text("code,preferredLabel\n51,services\n71,trades\n")
    monkeypatch.setattr(requisitions.registry, "find", lambda name: tmp_path)
    monkeypatch.setattr(requisitions, "N_DRAWN", 300)
    return taxonomy


def test_held_out_occupations_are_in_no_requisition_and_in_every_group_by_field(esco):
    links = load_occupation_skills(esco)
    apart = held_out(links)
    assert links[apart].groupby(links["isco_group"].str[:2])["occupation"].nunique().to_dict() == {"51": 1, "71": 1}
    for seed in (0, 1):
        asked = {skill for job in load_requisitions("esco", esco, seed) for skill in job}
        assert asked == {f"skill {i}" for i in links["skill"][~apart]}
    groups = load_competency_groups("field", esco)
    assert set(groups["skill"]) == {f"skill {i}" for i in links["skill"][apart]}
    assert not asked & set(groups["skill"])
    assert set(groups["group"]) == {"services", "trades"}
    for row in groups.itertuples():
        assert row.relation == ("core" if int(row.skill.split()[1]) % 2 else "fringe")
    shuffled = links.sample(frac=1, random_state=1)
    assert (held_out(shuffled) == apart[shuffled.index]).all()  # whatever the order of the rows


def test_esco_needs_its_taxonomy():
    with pytest.raises(InputError, match="give its taxonomy"):
        load_requisitions("esco")


def test_semantic_groups_are_those_of_the_second_level():
    above = {"S1": ("S",), "S1.1": ("S1",), "S1.1.1": ("S1.1",), "S1.2": ("S1",)}
    broader = (("S1.1.1",), ("S1.1.1", "S1.2"), ("a",), ("S1",), ())
    five = ("",) * 5
    taxonomy = Taxonomy(
        "t", tuple("abcde"), tuple("ABCDE"), ((),) * 5, five, five, five, broader,
        {name: name.lower() for name in ("S", *above)}, above,
    )  # fmt: skip
    found = load_competency_groups("semantic", taxonomy)
    pairs = [("s1.1", "A"), ("s1.1", "B"), ("s1.1", "C"), ("s1.2", "B")]  # D and E are in no group of that level
    assert sorted(zip(found["group"], found["skill"], strict=True)) == pairs
    assert set(found["relation"]) == {"core"}


def test_the_samples_groups_are_judged_apart(taxonomy):
    groups = load_competency_groups("sample", taxonomy)
    assert groups["group"].nunique() == 25
    assert set(groups["group"]) <= set(taxonomy.labels)
    assert groups["relation"].value_counts().to_dict() == {"fringe": 610, "core": 506}
    assert not groups.duplicated(["group", "skill"]).any()
    assert set(groups["skill"]) == set(taxonomy.labels)


@pytest.mark.parametrize("row", ["cook,fly kites,core", "cook,prepare meals,cor"])
def test_a_bad_row_of_a_readers_groups_is_named(tmp_path, taxonomy, row):
    (tmp_path / "g.csv").write_text(f"group,skill,relation\ncook,prepare meals,core\n{row}\n")
    with pytest.raises(
        InputError, match=r"g\.csv, row 3: no core or fringe skill of sample: " + row.replace(",", ", ")
    ):
        load_competency_groups(str(tmp_path / "g.csv"), taxonomy)


def test_names_that_two_skills_share_mean_neither():
    two = ("", "")
    taxonomy = Taxonomy(
        "t", ("1", "2"), ("Go (game)", "Go"), (("board", "Play Go"), ("board",)), two, two, two, ((), ())
    )
    assert skill_names(taxonomy) == {"go (game)": "Go (game)", "play go": "Go (game)", "go": "Go"}


def test_a_file_in_skill2vecs_layout_is_cleaned(tmp_path, taxonomy, monkeypatch):
    text = "7,SQL,Java Developer,  Power  BI ,php,sql,,\n8,sql,java developer,power bi,PHP,sql,,\n"
    text += f"9,a,b\n\n10,{','.join(map(str, range(960)))}\n11,Nurses,nursing,Sales Executive Activities,x,,\n"
    for name, content in (("s.csv", text.encode()), ("s.csv.gz", gzip.compress(text.encode()))):
        (tmp_path / name).write_bytes(content)
        jobs = load_requisitions(str(tmp_path / name))
        assert jobs[0] == ("sql", "java developer", "power bi", "php")
        assert jobs[1] == tuple(map(str, range(15)))
        assert jobs[2] == ("nurses", "nursing", "sales executive activities", "x")
        assert len(jobs) == 3
    monkeypatch.setattr(requisitions.registry, "find", lambda name: tmp_path / "s.csv")
    cleaned = load_requisitions("skill2vec")
    assert cleaned[0] == ("sql", "power bi", "php")
    assert cleaned[2] == ("nursing", "sales executive activities", "x")
    assert "SQL" in load_requisitions(str(tmp_path / "s.csv"), taxonomy)[0]


def test_a_requisition_with_no_known_skill_stays_as_it_is(tmp_path, taxonomy):
    (tmp_path / "s.csv").write_text("1,Juggling,Knitting,Yodelling\n")
    assert load_requisitions(str(tmp_path / "s.csv"), taxonomy) == [("juggling", "knitting", "yodelling")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no row with a job's id and 3 skills"),
        (b"1,a,b\n", "no row"),
        (b"1,a,b,caf\xe9\n", "not a CSV file in UTF-8"),
    ],
)
def test_bad_requisitions_are_named(tmp_path, content, message):
    (tmp_path / "s.csv").write_bytes(content)
    with pytest.raises(InputError, match=rf"s\.csv: {message}"):
        load_requisitions(str(tmp_path / "s.csv"))
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"1,a,b,c\n" * 1000)[:20])
    with pytest.raises(InputError, match=r"t\.csv\.gz: not a CSV file"):
        load_requisitions(str(tmp_path / "t.csv.gz"))
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such file; requisitions are sample, esco, skill2vec or"):
        load_requisitions("nowhere")


def test_the_most_frequent_skills_and_what_is_left_with_only_them():
    jobs = [("a", "b", "c", "d"), ("a", "b", "c"), ("b", "a", "e")]
    assert top_skills(jobs, 3) == ["a", "b", "c"]
    assert top_skills(jobs) == ["a", "b", "c", "d", "e"]
    assert top_skills([]) == []
    assert only(jobs, ["a", "b", "c"]) == [("a", "b", "c"), ("a", "b", "c")]
    assert only(jobs, []) == []


def test_other_taxonomies_than_the_samples_take_escos_files(taxonomy, esco):
    with pytest.raises(InputError, match="link to skill 0, which is not in the taxonomy mine"):
        load_occupation_skills(replace(taxonomy, name="mine"))
