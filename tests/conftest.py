"""What all tests share: an empty cache of computed things, quiet progress bars, the built site."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
os.environ["TQDM_DISABLE"] = "1"
os.environ.setdefault("SKILLBOOK_PROFILE", "sample")
for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):  # no test asks a language model that somebody pays for
    os.environ.pop(name, None)


def pytest_configure(config: pytest.Config) -> None:
    """Start from an empty cache, shared by the workers of one run and by the kernels they start."""
    if not hasattr(config, "workerinput"):
        import tempfile

        config.skillbook_cache = tempfile.TemporaryDirectory(prefix="skillbook-test-cache-")
        os.environ["SKILLBOOK_COMPUTED"] = config.skillbook_cache.name


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "skillbook_cache"):
        config.skillbook_cache.cleanup()


@pytest.fixture(scope="session")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site; built from the stored outputs if it is missing or older than its sources."""
    folder = ROOT / "_build" / "html"
    sources = [
        ROOT / "_config.yml",
        ROOT / "scripts" / "build_site.py",
        *(ROOT / "book").rglob("*"),
        *(ROOT / "notebooks").glob("*.ipynb"),
    ]
    index = folder / "index.html"
    (ROOT / "_build").mkdir(exist_ok=True)
    with FileLock(ROOT / "_build" / ".site.lock"):  # the workers of one run share the site
        if not index.exists() or index.stat().st_mtime < max(path.stat().st_mtime for path in sources):
            command = [sys.executable, "scripts/build_site.py", "stored"]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            os.utime(index)
    return folder
