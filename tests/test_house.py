"""The shape of the package: small, every arrow pointing down, everything public explained."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "helpers"
# A module may import those of a lower floor, and of its own.
FLOORS = {
    "files": 0,
    "profiles": 1,
    "registry": 1,
    "encoders": 2,
    "taxonomy": 2,
    "data": 3,
    "extraction": 4,
    "competency": 4,
    "evaluation": 5,
    "plots": 5,
    "scaling": 5,
    "comparison": 6,
    "cli": 7,
    "__main__": 8,
}


def modules():
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__init__.py"]


def floor(path):
    return FLOORS[path.relative_to(PACKAGE).parts[0].removesuffix(".py")]


def test_the_package_is_small():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    print(f"helpers: {len(lines)} files, {sum(lines.values())} lines")
    assert sum(lines.values()) <= 4300  # 3,500 were planned, and not reached
    assert max(lines.values()) <= 400


def test_nothing_imports_upwards():
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("helpers."):
                imported = node.module.split(".")[1]
                assert FLOORS[imported] <= floor(path), f"{path.name} imports {node.module}"


def test_extraction_and_competency_do_not_know_each_other():
    for wing, other in (("extraction", "competency"), ("competency", "extraction")):
        for path in (PACKAGE / wing).rglob("*.py"):
            assert f"helpers.{other}" not in path.read_text(encoding="utf-8"), path


def test_only_profiles_and_data_know_which_profile_runs():
    for path in modules():
        if path.name != "profiles.py" and "data" not in path.relative_to(PACKAGE).parts:
            assert "profile ==" not in path.read_text(encoding="utf-8"), path
            assert "profile.name ==" not in path.read_text(encoding="utf-8"), path


def test_nothing_is_unpickled():
    for path in modules():
        text = path.read_text(encoding="utf-8")
        for dangerous in ("import pickle", "joblib.load", "torch.load", "allow_pickle=True", "read_pickle"):
            assert dangerous not in text, f"{path.name}: {dangerous}"
        assert not re.search(r"(?<![.\w])eval\(", text), path.name  # not literal_eval( or .eval(


def test_every_module_and_public_function_says_what_it_is_for():
    for path in modules():
        if path.name == "__main__.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_pins_are_in_the_constraints_and_floors_in_the_package():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = {
        line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    extras = [need for needs in project["optional-dependencies"].values() for need in needs]
    for need in project["dependencies"] + extras:
        name = need.split(">")[0].split("=")[0].lower()
        assert name in pinned or name.replace("-", "_") in pinned, f"{name} has no pin"
    assert all(">=" in need and "==" not in need for need in project["dependencies"])
