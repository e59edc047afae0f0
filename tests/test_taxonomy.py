"""Taxonomies: the sample's, a reader's own, and what is refused."""

import pytest

from helpers.files import InputError
from helpers.taxonomy import Taxonomy, load_taxonomy, without_brackets


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def courses(tmp_path):
    text = (
        "label,id,alt_labels,broader,description\n"
        "Baking,c1,bread making|Backen,Food,You bake.\n"
        "Pastry ,c2,,Food|Art,\n"
        "Painting,c3,Painting|to paint,Art,\n"
        "Welding,c4,,,\n"
    )
    return Taxonomy.from_csv(write(tmp_path / "courses.csv", text))


def test_a_readers_own_csv_is_a_taxonomy(courses):
    assert courses.name == "courses"
    assert courses.labels == ("Baking", "Pastry", "Painting", "Welding")  # stripped
    assert courses.alt_labels[0] == ("bread making", "Backen")
    assert courses.alt_labels[2] == ("to paint",)  # its own label is no alternative
    assert courses.index_of["Pastry"] == 1
    assert [len(names) for names in courses.alt_labels] == [2, 0, 1, 0]


def test_siblings_share_a_broader_concept_and_exclude_oneself(courses):
    assert [courses.siblings(i) for i in range(4)] == [[1], [0, 2], [1], []]
    assert courses.group_labels == {"Art": "Art", "Food": "Food"}


def test_a_column_of_labels_is_enough(tmp_path):
    taxonomy = Taxonomy.from_csv(write(tmp_path / "list.csv", "label\nσκέψη\n考える\n"))
    assert taxonomy.ids == taxonomy.labels == ("σκέψη", "考える")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label\na\nb\na\n", r"label 'a' stands in rows 2 and 4; keep one"),
        ("label\na\n a \n", r"label 'a' stands in rows 2 and 3"),
        ("label,id\na,1\nb,1\n", r"id '1' stands in rows 2 and 3"),
        ("label,id\na,1\n,2\n", "no label in row 3"),
        ("name\na\n", "no column 'label'; its columns are: name"),
        ("label\n", "no skill in it"),
    ],
)
def test_bad_taxonomies_are_refused_with_the_row(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        Taxonomy.from_csv(write(tmp_path / "own.csv", text))


def test_a_missing_file_and_an_unknown_name_are_clear(tmp_path):
    with pytest.raises(FileNotFoundError, match="own.csv: no such file"):
        Taxonomy.from_csv(tmp_path / "own.csv")
    with pytest.raises(InputError, match="no taxonomy 'esco'; choose one of: sample, esco-v1.1.0"):
        load_taxonomy("esco")


def test_the_sample_takes_the_same_path_as_esco():
    sample = load_taxonomy("sample")
    assert len(sample) == 500
    assert len(sample.siblings(0)) >= 19
    assert load_taxonomy("sample") is sample


@pytest.mark.parametrize(
    ("label", "plain"),
    [
        ("Java (computer programming)", "Java"),
        ("C++", "C++"),
        ("(all)", "(all)"),
        ("project management methodology (PM²)", "project management methodology"),
        ("use (some) tools", "use (some) tools"),
    ],
)
def test_only_a_final_remark_in_brackets_is_left_out(label, plain):
    assert without_brackets(label) == plain
