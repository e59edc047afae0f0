"""Files are written whole or not at all, and what is wrong with one is said in one line."""

import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.files import InputError, atomic_write, read_csv, sha256_texts


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "deep" / "result.json"
    with atomic_write(target) as file:
        file.write("{}")
        assert not target.exists()
    assert target.read_text() == "{}"


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    (tmp_path / "result.csv").mkdir()
    with pytest.raises(InputError, match="it is a folder"), atomic_write(tmp_path / "result.csv"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["result.csv"]


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    target = tmp_path / "result.json"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(target) as file:
        file.write("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_folder_that_is_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "blocked").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*blocked"), atomic_write(tmp_path / "blocked" / "x.csv"):
        pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"not a CSV file in UTF-8 \(No columns to parse from file\)"),
        (b"sentence,tag\na,b\n", "no column 'label'; its columns are: sentence, tag"),
        ("sentence,label\ncaf\xe9,x\n".encode("latin-1"), "not a CSV file in UTF-8"),
        (b'sentence,label\n"a,b\n', "not a CSV file in UTF-8"),
        (
            b"sentence,label\nbake, then rest,bake bread\n",
            "more cells than the header; put texts with commas in quotes",
        ),
    ],
)
def test_bad_csv_files_are_named_with_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_csv(path, ("sentence", "label"))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_zip_files_are_named_with_what_is_wrong(tmp_path):
    good = tmp_path / "good.zip"
    with zipfile.ZipFile(good, "w") as archive:
        archive.writestr("skills_en.csv", "a,b\n1,2\n" * 100)
    assert len(read_csv(good, ("a",), "skills_en.csv")) > 1
    with pytest.raises(InputError, match="has no file named groups_en"):
        read_csv(good, ("a",), "groups_en.csv")
    truncated = tmp_path / "truncated.zip"
    truncated.write_bytes(good.read_bytes()[:-30])
    empty = tmp_path / "empty.zip"
    empty.write_bytes(b"")
    for path in (truncated, empty):
        with pytest.raises(InputError, match="not a complete zip file; delete it and download it again"):
            read_csv(path, ("a",), "skills_en.csv")


def test_a_truncated_gzip_is_named(tmp_path):
    import gzip

    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 1000)[:-20])
    with pytest.raises(InputError, match=r"rows\.csv\.gz"):
        read_csv(path, ("a",))


def test_the_word_nan_is_text(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("label,note\nNA,\nnull,x\n")
    assert read_csv(path, ("label",)).to_numpy().tolist() == [["NA", ""], ["null", "x"]]


@given(st.lists(st.text(max_size=5), max_size=5), st.lists(st.text(max_size=5), max_size=5))
def test_fingerprints_differ_whenever_the_texts_do(a, b):
    assert (sha256_texts(a) == sha256_texts(b)) == (a == b)
