"""Build the site with Jupyter Book: warnings are errors, and a failed build leaves no site behind.

    python scripts/build_site.py stored      from the outputs stored in notebooks/, running nothing
    python scripts/build_site.py executed    from the copies that `notebooks.py run` has just executed

Jupyter Book reads one folder, so pages and notebooks are brought together in _build/stage first; only what has
changed is copied, and Sphinx rebuilds only that.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys

from notebooks import EXECUTED, ROOT, notebooks_of_toc

BUILD = ROOT / "_build"
STAGE = BUILD / "stage"
INDEX = BUILD / "html" / "index.html"


def stage(executed: bool) -> None:
    """Bring _config.yml, book/ and the notebooks together, copying only what differs."""
    wanted = {ROOT / "_config.yml": STAGE / "_config.yml"}
    for path in (ROOT / "book").rglob("*"):
        if path.is_file():
            wanted[path] = STAGE / path.relative_to(ROOT)
    for path in notebooks_of_toc():
        wanted[EXECUTED / path.name if executed else path] = STAGE / path.relative_to(ROOT)
    for path in list(STAGE.rglob("*")):
        if path.is_file() and path not in wanted.values():
            path.unlink()
    for source, target in wanted.items():
        if not target.exists() or not filecmp.cmp(source, target, shallow=False):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def build() -> int:
    """Run Jupyter Book; its exit code, or 1 if it wrote no page."""
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(STAGE)]
    command += ["--path-output", str(ROOT)]
    command += ["--toc", str(STAGE / "book" / "_toc.yml"), "-W", "-n", "--keep-going", "--quiet"]
    code = subprocess.run(command, check=False).returncode
    # Sphinx warns only about pages it reads anew: a second build after a failure would pass. Start over instead.
    if code or not INDEX.exists():
        for folder in (BUILD / "html", BUILD / ".doctrees", STAGE):
            shutil.rmtree(folder, ignore_errors=True)
        return code or 1
    # Sphinx copies styles and scripts only when it has a page to write as well.
    if (STAGE / "book" / "_static").exists():
        shutil.copytree(STAGE / "book" / "_static", BUILD / "html" / "_static", dirs_exist_ok=True)
    return 0


def main() -> int:
    if sys.argv[1:] not in (["stored"], ["executed"]):
        print("usage: build_site.py stored|executed", file=sys.stderr)
        return 2
    executed = sys.argv[1] == "executed"
    absent = [path.name for path in notebooks_of_toc() if executed and not (EXECUTED / path.name).exists()]
    if absent:
        print(f"not executed yet: {', '.join(absent)}; run scripts/notebooks.py run first", file=sys.stderr)
        return 1
    stage(executed)
    code = build()
    print("the site could not be built; see the warnings above" if code else f"open {INDEX}")
    return code


if __name__ == "__main__":
    sys.exit(main())
