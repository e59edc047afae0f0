"""Downloads: from a real server on this machine, checked, resumed by trying again, never half there."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass

import pandas as pd
import pytest

from helpers import registry
from helpers.files import InputError

CONTENT = b"sentence,label\nYou bake bread.,bake bread\n"


@dataclass(frozen=True)
class LocalFile:
    """A remote file served by the test's own server."""

    url: str
    sha256: str
    licence: str = "none"
    citation: str = "none"


@pytest.fixture
def server():
    """A web server that answers /good with the content, /bad with other bytes, and anything else with 404."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body = {"/good": CONTENT, "/bad": b"something else"}.get(self.path)
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        running.asked = asked
        yield running
        running.shutdown()


@pytest.fixture
def cache(tmp_path, monkeypatch, server):
    """An empty download folder, and a registry of three files on the test's server."""
    base = f"http://127.0.0.1:{server.server_port}"
    digest = hashlib.sha256(CONTENT).hexdigest()
    files = {f"{name}.csv": LocalFile(f"{base}/{name}", digest) for name in ("good", "bad", "gone")}
    monkeypatch.setattr(registry, "FILES", files)
    monkeypatch.setattr(registry, "HUB_TABLES", {})
    monkeypatch.setenv("SKILLBOOK_CACHE", str(tmp_path))
    return tmp_path


def test_a_file_is_downloaded_once(cache, server):
    assert registry.fetch("good.csv") == (cache / "good.csv", "downloaded")
    assert registry.fetch("good.csv") == (cache / "good.csv", "complete")
    assert server.asked == ["/good"]
    assert registry.find("good.csv").read_bytes() == CONTENT


def test_a_damaged_file_is_refused_by_the_loaders_and_replaced_by_fetch(cache):
    (cache / "good.csv").write_bytes(CONTENT[:-5])
    with pytest.raises(InputError, match=r"good\.csv has a wrong checksum .*fetch good\.csv"):
        registry.find("good.csv")
    assert registry.fetch("good.csv")[1] == "replaced"
    assert registry.find("good.csv").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["bad.csv", "gone.csv"])
def test_wrong_bytes_or_none_leave_no_file(cache, name):
    with pytest.raises(InputError, match=f"cannot download {name}.*put it at") as error:
        registry.fetch(name)
    assert "\n" not in str(error.value)
    assert list(cache.iterdir()) == []


def test_fetch_all_goes_on_after_a_failure(cache):
    done = dict(registry.fetch_all())
    assert done["good.csv"] == "downloaded"
    assert done["bad.csv"].startswith("FAILED")
    assert done["gone.csv"].startswith("FAILED")


def test_no_network_is_one_clear_error(cache, monkeypatch):
    nowhere = LocalFile("http://127.0.0.1:9/good", "0" * 64)
    monkeypatch.setattr(registry, "FILES", {"good.csv": nowhere})
    with pytest.raises(InputError, match=r"cannot download good\.csv .*with no network, get it from http"):
        registry.fetch("good.csv")


def test_a_complete_file_is_found_in_a_read_only_folder(cache, server):
    (cache / "good.csv").write_bytes(CONTENT)
    os.chmod(cache, 0o555)
    try:
        assert registry.fetch("good.csv")[1] == "complete"
        assert registry.find("good.csv").exists()
    finally:
        os.chmod(cache, 0o755)
    assert server.asked == []


def test_a_folder_that_cannot_be_written_is_one_clear_error(cache, monkeypatch):
    (cache / "blocked").write_text("")
    monkeypatch.setenv("SKILLBOOK_CACHE", str(cache / "blocked"))
    with pytest.raises(InputError, match=r"cannot write to .*blocked.*set SKILLBOOK_CACHE"):
        registry.fetch("good.csv")


def test_a_missing_file_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLBOOK_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"run `python -m helpers fetch techwolf_test_annotations\.csv`"):
        registry.find("techwolf_test_annotations.csv")
    with pytest.raises(InputError, match="no remote file 'nothing'; choose from"):
        registry.fetch("nothing")


def test_a_relative_download_folder_does_not_depend_on_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLBOOK_CACHE", "some/data")
    before = registry.download_dir()
    monkeypatch.chdir(tmp_path)
    assert registry.download_dir() == before
    assert before.is_absolute()


def test_every_file_is_pinned():
    for name, file in registry.FILES.items():
        assert len(file.sha256) == 64, name
        assert len(file.commit) == 40, name
        assert file.licence, name
        assert file.citation, name
        assert " " not in file.url, name
    for table in registry.HUB_TABLES.values():
        assert len(table.commit) == 40


HUB_FILE = "synthetic-esco-skill-sentences.parquet"


@pytest.fixture
def hub():
    """A server that speaks as much of the Hugging Face hub's protocol as a download needs."""
    content = b"sentence,skill\nYou bake bread.,bake bread\n"

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            headers, body, code = {}, b"{}", 404
            if "/tree/" in self.path:
                entry = {"type": "file", "oid": "a" * 40, "size": len(content), "path": "train.csv"}
                body, code = json.dumps([entry]).encode(), 200
                headers = {"Content-Type": "application/json"}
            elif "/resolve/" in self.path:
                revision = self.path.split("/resolve/")[1].split("/")[0]
                body, code = content, 200
                headers = {"ETag": '"' + hashlib.sha1(content).hexdigest() + '"', "X-Repo-Commit": revision}
            self.send_response(code)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_GET = do_HEAD = answer

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_table_of_the_hub_is_pinned_and_its_hash_recorded_on_first_download(tmp_path, hub, monkeypatch):
    command = [sys.executable, "-m", "helpers", "fetch", HUB_FILE]
    variables = {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "hf"), "SKILLBOOK_CACHE": str(tmp_path / "data")}
    for expected in ("downloaded", "complete"):
        done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[0].endswith(expected)
    monkeypatch.setenv("SKILLBOOK_CACHE", variables["SKILLBOOK_CACHE"])
    path = registry.find(HUB_FILE)
    assert pd.read_parquet(path).to_numpy().tolist() == [["You bake bread.", "bake bread"]]
    record = json.loads(path.with_name(f"{HUB_FILE}.json").read_text())
    assert record["revision"] == registry.HUB_TABLES[HUB_FILE].commit
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="wrong checksum"):
        registry.find(HUB_FILE)
