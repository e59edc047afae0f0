"""The release recipe in miniature: what is in it, its checksums, that it comes out the same, and what it refuses."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import tiny
import yaml
from safetensors import safe_open

from helpers import registry
from helpers.encoders import load_encoder
from helpers.extraction.contrastive import Training, load_pairs
from helpers.files import InputError
from helpers.profiles import PROFILES
from helpers.taxonomy import load_taxonomy

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import release  # noqa: E402

CHANGES = "# Changelog\n\n## 1.2.3 (2030-01-02)\n\n- All of it.\n\n## 1.2.2 (2029-01-02)\n"
CITED = "cff-version: 1.2.0\nmessage: Cite it.\ntitle: Tiny\nversion: 1.2.3\ndate-released: '2030-01-02'\n"
REAL = "tech_test_annotations.csv"  # a file of the real data that somebody has put among the sample's
TRAINING = Training(steps=2, batch_size=8, learning_rate=1e-3)


def git(folder, *arguments):
    command = ["git", "-C", folder, "-c", "user.name=test", "-c", "user.email=test@example.org", *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A profile whose encoder is tiny, and knows the words of the sample."""
    taxonomy = load_taxonomy("sample")
    texts = [*taxonomy.labels, *load_pairs("sentences", taxonomy, PROFILES["sample"]).texts]
    words = sorted({word for text in texts for word in re.findall(r"[a-z]+", text.lower())})
    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "WORDS", words)
        tiny.tiny_encoder(folder)
    return replace(PROFILES["sample"], encoder=str(folder / "encoder"))


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A project of a few files, committed, tagged, with its site built; a download lies about in it, ignored."""
    root = tmp_path_factory.mktemp("project")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[project]")[0]
    project += '[project]\nname = "skillbook"\nversion = "1.2.3"\nlicense-files = ["LICENSE"]\n'
    project += '[tool.setuptools.packages.find]\ninclude = ["helpers*"]\n'
    project += '[tool.setuptools.package-data]\n"helpers.data" = ["sample/**/*"]\n'
    shutil.copytree(ROOT / "helpers" / "data" / "sample" / "taxonomy", root / "helpers/data/sample/taxonomy")
    texts = {
        "pyproject.toml": project,
        "CHANGELOG.md": CHANGES,
        "CITATION.cff": CITED,
        "README.md": "# Tiny\n",
        ".gitignore": f"_build/\n{REAL}\n",
        "_config.yml": "title: Tiny\n",
        "helpers/__init__.py": "",
        "helpers/data/__init__.py": "",
        "results/sample/00/run.json": "{}\n",
        f"helpers/data/sample/{REAL}": "sentence,label\nSecret.,x\n",
        f"results/sample/00/{REAL}": "sentence,label\nSecret.,x\n",
        "_build/html/index.html": "<p>All is well.</p>",
        "_build/html/book/primer.html": '<p><span class="math notranslate">x</span></p>',
        "_build/html/.buildinfo": "config",
        **{name: f"The terms of {name}.\n" for name in release.TERMS},
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("_*", "teach"))
    for path in [root / "_config.yml", *(root / "book").iterdir()]:
        name = path.relative_to(root)
        (root / "_build" / "stage" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, root / "_build" / "stage" / name)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "all")
    git(root, "tag", "v1.2.3")
    return root


@pytest.fixture(scope="module")
def made(ready, encoder):
    out = release.release(ready, encoder, TRAINING)
    return out, {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture
def project(ready, tmp_path):
    """A copy of it, to be spoilt."""
    return shutil.copytree(ready, tmp_path / "project", ignore=shutil.ignore_patterns("release*", "encoder*"))


def names(out, kind):
    with zipfile.ZipFile(out / f"skillbook-{kind}-1.2.3.zip") as archive:
        assert archive.testzip() is None
        top = f"skillbook-{kind}-1.2.3/"
        assert all(name.startswith(top) for name in archive.namelist())
        return [name.removeprefix(top) for name in archive.namelist()]


def read(out, kind, name):
    with zipfile.ZipFile(out / f"skillbook-{kind}-1.2.3.zip") as archive:
        return archive.read(f"skillbook-{kind}-1.2.3/{name}").decode()


def test_everything_is_there_with_its_checksum(made):
    out, _ = made
    kinds = ("encoder", "html", "runs", "sample")
    expected = {f"skillbook-{kind}-1.2.3.zip" for kind in kinds}
    expected |= {"skillbook-1.2.3-py3-none-any.whl", "skillbook-labels-1.2.3.safetensors"}
    listed = dict(line.split("  ")[::-1] for line in (out / "SHA256SUMS").read_text().splitlines())
    assert set(listed) == expected == {path.name for path in out.iterdir()} - {"SHA256SUMS"}
    for name, digest in listed.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert not out.with_name("release.partial").exists()


def test_the_archives_hold_what_git_tracks_and_the_site(made):
    out, _ = made
    taxonomy = [f"taxonomy/{path.name}" for path in (ROOT / "helpers/data/sample/taxonomy").iterdir()]
    assert sorted(names(out, "sample")) == sorted(["DATASHEET.md", *release.TERMS, *taxonomy])
    assert sorted(names(out, "html")) == sorted(["README.md", "index.html", "book/primer.html", *release.TERMS])
    assert "without a network" in read(out, "html", "README.md")
    assert sorted(names(out, "runs")) == sorted(["README.md", *release.TERMS, "results/sample/00/run.json"])
    with zipfile.ZipFile(out / "skillbook-1.2.3-py3-none-any.whl") as archive:
        assert "helpers/data/sample/taxonomy/skills_en.csv" in archive.namelist()


def test_no_file_of_the_real_data_can_be_in_it(made, project, encoder, monkeypatch):
    for name, data in made[1].items():
        assert REAL.encode() not in data, name
        assert b"Secret." not in data, name
    git(project, "add", "--force", f"results/sample/00/{REAL}")  # even if somebody commits it, under its own name
    with pytest.raises(InputError, match=f"{REAL} is a file of the real data"):
        release.release(project, encoder, TRAINING, dirty=True)
    assert not (project / "_build" / "release").exists()
    record = project / "results/sample/00/run.json"  # or under another one
    source = replace(registry.FILES[REAL], sha256=hashlib.sha256(record.read_bytes()).hexdigest())
    monkeypatch.setitem(registry.FILES, REAL, source)
    with pytest.raises(InputError, match=r"run\.json is a file of the real data"):
        release.pack(project / "some.zip", {"run.json": record})


def test_the_same_inputs_give_the_same_bytes(made, ready, encoder):
    shutil.rmtree(ready / "_build" / "encoder")  # trained anew
    again = release.release(ready, encoder, TRAINING)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == made[1]


def test_the_checkpoint_loads_halved_and_is_measured(made, encoder, tmp_path):
    out, _ = made
    with zipfile.ZipFile(out / "skillbook-encoder-1.2.3.zip") as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / "skillbook-encoder-1.2.3"
    with safe_open(folder / "model.safetensors", "np") as weights:
        kinds = {str(weights.get_tensor(name).dtype) for name in weights.keys()}  # noqa: SIM118  (no dict)
    assert "float16" in kinds
    assert "float32" not in kinds
    loaded = load_encoder(str(folder), "cpu")
    assert {str(parameter.dtype) for parameter in loaded.parameters()} == {"torch.float32"}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(card.split("---")[1])["license"] == "apache-2.0"
    assert len(re.findall(r"\d\.\d \[\d+\.\d, \d+\.\d\]", card)) == 6  # three rankers on two benchmarks
    same, total = map(int, re.search(r"the same for (\d+) of (\d+) test", card).groups())
    assert release.SAME_TOP * total <= same <= total == 501
    assert "2 steps of 8 pairs" in card
    # The embeddings are those of this checkpoint, in the order of the ids.
    taxonomy = load_taxonomy("sample")
    with safe_open(out / "skillbook-labels-1.2.3.safetensors", "np") as stored:
        facts = json.loads(stored.metadata()["skillbook"])
        for name, model in (("encoder", load_encoder(encoder.encoder, "cpu")), ("skillbook-encoder-1.2.3", loaded)):
            embedded = model.encode(list(taxonomy.labels), normalize_embeddings=True)
            assert stored.get_tensor(name) == pytest.approx(embedded, abs=1e-5)
    assert tuple(facts["ids"]) == taxonomy.ids
    assert facts["taxonomy_sha256"] == taxonomy.sha256


def test_an_encoder_that_halving_changes_is_not_released(ready, project, encoder, monkeypatch):
    shutil.copytree(ready / "_build" / "encoder", project / "_build" / "encoder")
    monkeypatch.setattr(release, "compared", lambda *_: (450, 0.5))
    with pytest.raises(InputError, match="450 of 501 only"):
        release.checkpoint(project, project, "1.2.3", encoder, TRAINING)


def test_the_datasheet_is_the_data_card(made):
    card = (ROOT / "book" / "data_sample.md").read_text(encoding="utf-8")
    sheet = read(made[0], "sample", "DATASHEET.md")
    assert re.findall(r"^## (.+)$", sheet, re.M) == list(release.DATASHEET)
    assert "{cite" not in sheet
    assert "```" not in sheet
    assert "Decorte et al. (2022)" in sheet
    for line in card.splitlines():
        if line and not re.search(r"^(# |## |```|:class)|\{cite", line):
            assert line in sheet, line
    with pytest.raises(InputError, match="'News'"):
        references = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
        release.datasheet(card + "\n## News\n\nNone.\n", references, "1.2.3")


def spoil(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("pyproject.toml", "1.2.3", "1.2.4", r"versions disagree \(pyproject.toml 1.2.4, CITATION.cff 1.2.3, CHANGE"),
        ("CITATION.cff", "1.2.3", "1.2.4", "versions disagree"),
        ("CHANGELOG.md", "1.2.3", "1.2.4", "versions disagree"),
        ("CHANGELOG.md", "2030-01-02", "unreleased", "dates disagree"),
        ("CHANGELOG.md", "## ", "### ", "no entry"),
        ("README.md", "Tiny", "Small", r"1 file\(s\) are not committed, README.md first"),
        ("book/data_sample.md", "frozen", "frosted", "data_sample.md first"),
    ],
)
def test_what_is_not_ready_is_refused_in_one_line(project, encoder, file, old, new, message):
    spoil(project / file, old, new)
    with pytest.raises(InputError, match=message) as refused:
        release.release(project, encoder, TRAINING)
    assert "\n" not in str(refused.value)
    assert not (project / "_build" / "release").exists()


def test_a_commit_without_its_tag_is_refused(project):
    assert list(release.problems(project)) == []
    git(project, "tag", "-d", "v1.2.3")
    assert list(release.problems(project)) == ["this commit has no tag v1.2.3: git tag v1.2.3"]


def test_a_site_that_is_missing_or_old_is_refused_even_for_a_trial(project, encoder):
    spoil(project / "_config.yml", "Tiny", "Small")
    with pytest.raises(InputError, match=r"_config\.yml has changed since the site was built: run `make book`"):
        release.release(project, encoder, TRAINING, dirty=True)
    (project / "_build" / "html" / "index.html").unlink()
    with pytest.raises(InputError, match="the site is not built"):
        release.release(project, encoder, TRAINING, dirty=True)


def test_what_the_build_adds_is_no_change(tmp_path):
    page, copy = tmp_path / "page.md", tmp_path / "copy.md"
    page.write_text("One\n<!-- times -->\nTwo.\n")
    for text, same in (("One\n| 3 s |\n\nTwo.\n", True), ("One\n\nThree.\n", False), ("One\n\nTwo.\nMore.\n", False)):
        copy.write_text(text)
        assert release.is_built(page, copy) is same
    one, other = tmp_path / "one.ipynb", tmp_path / "other.ipynb"
    cell = nbformat.v4.new_markdown_cell
    nbformat.write(nbformat.v4.new_notebook(cells=[cell("# One"), cell("Ten minutes.")]), one)
    for texts, same in ((["# One", "Ten minutes. *Or 3 s.*"], True), (["# One", "Ten"], False), (["# One"], False)):
        nbformat.write(nbformat.v4.new_notebook(cells=[cell(text) for text in texts]), other)
        assert release.is_built(one, other) is same


def test_the_versions_of_the_book_agree():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    newest = re.search(r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert cited["version"] == version == newest[1]
    assert newest[2] in ("unreleased", str(cited["date-released"]))
    assert {"cff-version", "message", "title", "authors"} <= set(cited)  # what CFF 1.2.0 requires
    assert all("name" in author or "family-names" in author for author in cited["authors"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", str(cited["date-released"]))
