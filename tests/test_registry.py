"""Downloads: from a real server on this machine, checked, resumed by trying again, never half there."""

import hashlib
import http.server
import os
import threading
from dataclasses import dataclass

import pytest

from helpers import registry
from helpers.files import InputError

CONTENT = b"sentence,label\nYou bake bread.,bake bread\n"


@dataclass(frozen=True)
class LocalFile:
    """A remote file served by the test's own server."""

    url: str
    sha256: str
    size: int = len(CONTENT)
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
        assert len(table.revision) == 40
