"""What GitHub reads: workflows that run what is there with the least rights, issue forms of the right shape."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").iterdir() if path.name != "config.yml")
PLACES = ["Colab CPU", "Colab GPU", "local CPU", "local GPU"]
MAKE = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
# All that any job may do beside reading the repository, by workflow and job.
RIGHTS = {
    ("pages", "book"): {"pages": "read"},
    ("pages", "deploy"): {"pages": "write", "id-token": "write"},
    ("release", "publish"): {"contents": "write"},
}


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request):
    return request.param.stem, load(request.param)


@pytest.fixture(params=FORMS, ids=lambda path: path.stem)
def form(request):
    return load(request.param)


def steps(workflow):
    return [(name, step) for name, job in workflow["jobs"].items() for step in job.get("steps", ())]


def test_every_command_is_a_target_or_a_script_of_this_repository(workflow):
    for _, step in steps(workflow[1]):
        first, *lines = step.get("run", "make help").splitlines()
        if lines:  # so that nothing goes on after a failure, in the middle of a pipe or with an empty variable
            assert first == "set -euo pipefail", first
        for line in lines or [first]:
            program, *arguments = line.strip(" ()").split()
            if program == "make":
                assert set(arguments) <= set(MAKE), line
            elif program == "bash":
                assert (ROOT / arguments[0]).exists(), line
                assert "\nset -euo pipefail\n" in (ROOT / arguments[0]).read_text(encoding="utf-8")
            else:  # what publishes, and nothing that builds
                assert line.startswith(("(cd release && sha256sum -c", "gh release create")), line


def test_each_job_has_the_least_rights_and_ends(workflow):
    name, content = workflow
    everywhere = content["permissions"]
    assert everywhere in ({}, {"contents": "read"})
    for job_name, job in content["jobs"].items():
        allowed = {"contents": "read"} | RIGHTS.get((name, job_name), {})
        rights = job.get("permissions", everywhere)
        assert rights.items() <= allowed.items(), job_name
        assert "uses" in job or job["timeout-minutes"] <= 90
    for job_name, step in steps(content):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert content["jobs"][job_name].get("permissions", everywhere)["contents"] == "read"


def test_actions_are_githubs_own_at_a_major_version(workflow):
    for _, step in steps(workflow[1]):
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]), step["uses"]
    for job in workflow[1]["jobs"].values():
        needed = [job["needs"]] if "needs" in job else []
        assert set(needed) <= set(workflow[1]["jobs"])
        assert (ROOT / job.get("uses", ".")).exists()


def test_the_tests_run_what_readers_have_and_keep_the_reports_of_a_failure():
    import tomllib

    content = load(GITHUB / "workflows" / "test.yml")
    job = content["jobs"]["test"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for version in job["strategy"]["matrix"]["python"]:
        assert f"Programming Language :: Python :: {version}" in project["classifiers"]
    assert any(step.get("run") == "bash .ci/run" for step in job["steps"])
    kept = next(step for step in job["steps"] if "upload-artifact" in step.get("uses", ""))
    assert kept["if"] == "failure()"
    paths = kept["with"]["path"].split()
    assert {"_build/executed", "_build/html/reports"} < set(paths)
    report = re.search(r"--junitxml=(\S+?)\"", (ROOT / ".ci" / "run").read_text(encoding="utf-8"))[1]
    assert report in paths


def test_nothing_is_published_that_was_not_tested_or_built():
    release, pages = (load(GITHUB / "workflows" / f"{name}.yml") for name in ("release", "pages"))
    assert [release["jobs"][name]["needs"] for name in ("build", "publish")] == ["test", "build"]
    assert pages["jobs"]["deploy"]["needs"] == "book"
    assert pages["concurrency"]["group"] == "pages"
    for content in (release, pages):
        assert content[True]["push"]["tags"] == ["v*"]  # YAML 1.1 reads the key `on` as a truth value
    assert pages[True]["push"]["branches"] == ["main"]


def test_a_form_has_what_githubs_schema_wants(form):
    assert {"name", "description", "body"} <= set(form) <= {"name", "description", "body", "title", "labels"}
    kinds = [item["type"] for item in form["body"]]
    assert set(kinds) <= {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    assert set(kinds) != {"markdown"}
    for item in form["body"]:
        assert set(item) <= {"type", "id", "attributes", "validations"}
        if item["type"] == "markdown":
            assert item["attributes"]["value"]
            continue
        assert item["attributes"]["label"]
        assert re.fullmatch(r"[\w-]+", item["id"])
        assert set(item.get("validations", {})) <= {"required"}
        if item["type"] == "dropdown":
            options = item["attributes"]["options"]
            assert len(set(options)) == len(options) > 0
            assert all(isinstance(option, str) and option != "None" for option in options)
        if item["type"] == "checkboxes":
            assert all(option["label"] for option in item["attributes"]["options"])
    for unique in ("id", "label"):
        values = [item.get("id") if unique == "id" else item["attributes"].get("label") for item in form["body"]]
        values = [value for value in values if value]
        assert len(set(values)) == len(values)


def test_every_form_asks_where_and_so_does_the_checklist(form):
    asked = next(item for item in form["body"] if item["type"] == "dropdown")
    assert asked["attributes"]["options"] == [*PLACES, "the site"]
    assert asked["validations"]["required"] is True
    checklist = (GITHUB / "pull_request_template.md").read_text(encoding="utf-8")
    assert re.findall(r"^- \[ \] ((?:Colab|local) \w+)$", checklist, re.MULTILINE) == PLACES


def test_forms_are_all_there_is_and_their_links_lead_to_pages():
    config = load(GITHUB / "ISSUE_TEMPLATE" / "config.yml")
    assert config["blank_issues_enabled"] is False
    url = load(ROOT / "_config.yml")["repository"]["url"]
    for contact in config["contact_links"]:
        assert set(contact) == {"name", "url", "about"}
        assert (ROOT / contact["url"].removeprefix(f"{url}/blob/main/")).is_file()
    assert len(FORMS) == 3
    assert all(path.suffix == ".yml" for path in FORMS)


def test_hooks_are_local_and_run_what_make_lint_runs():
    hooks = [hook for repo in load(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in load(ROOT / ".pre-commit-config.yaml")["repos"]} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    linted = [
        line.replace("$(BIN)", ".venv/bin")
        for line in re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.M)[1].split("\n\t")
    ]
    for line in linted:
        assert any(line.strip().removesuffix(" .") == hook["entry"] for hook in hooks), line
