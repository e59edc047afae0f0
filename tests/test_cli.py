"""The command line as a reader runs it, with its exit codes and one-line errors."""

import io
import json
import os
import subprocess
import sys

import pytest
from llm_server import LlmServer
from tiny import tiny_encoder

from helpers.cli import main
from helpers.data.corpora import split_sentences


def run_apart(*arguments, stdin=None, **variables):
    """In a process of its own, which takes seconds to import PyTorch."""
    return subprocess.run(
        [sys.executable, "-m", "helpers", *arguments],
        capture_output=True,
        text=isinstance(stdin, str) or stdin is None,
        input=stdin,
        env=os.environ | variables,
        check=False,
    )


def run(*arguments, stdin="", **variables):
    """The same in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    code = 0
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["helpers", *arguments])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
    stdout, stderr = (stream.buffer.getvalue().decode() for stream in (flushed(out), flushed(err)))
    return subprocess.CompletedProcess(arguments, code, stdout, stderr)


def flushed(stream):
    stream.flush()
    return stream


def evaluate(*arguments, **variables):
    done = run("evaluate", *arguments, "--json", **variables)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_evaluate_prints_one_json_object():
    report = evaluate("--benchmark", "sample-tech", "--method", "lexical", "--profile", "sample")
    assert list(report)[:12] == [
        "benchmark",
        "split",
        "method",
        "profile",
        "n_sentences",
        "n_pairs",
        "n_labels",
        "mrr",
        "rp@1",
        "rp@5",
        "rp@10",
        "map",
    ]
    assert (report["benchmark"], report["split"], report["n_labels"]) == ("sample-tech", "test", 500)
    for name, (low, high) in report["intervals_95"].items():
        assert low < report[name] < high
    assert "precision" not in report


def test_a_process_of_its_own_prints_the_same_and_nothing_on_stderr():
    arguments = ("evaluate", "--benchmark", "sample-tech", "--method", "zero-shot", "--json")
    apart = run_apart(*arguments)
    assert (apart.returncode, apart.stderr) == (0, "")
    assert apart.stdout == run(*arguments).stdout
    wrong = run_apart("evaluate", "--benchmark", "tec")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("error: no benchmark 'tec'")


def test_literal_adds_precision_and_recall():
    report = evaluate("--benchmark", "sample-general", "--method", "literal", "--split", "validation")
    assert 0 < report["recall"] < report["precision"] <= 100
    low, high = report["precision_interval_95"]
    assert low <= report["precision"] <= high


def test_a_saved_run_scores_the_same_as_the_method(tmp_path):
    path = str(tmp_path / "run.csv.gz")
    first = evaluate("--benchmark", "sample-tech", "--method", "lexical", "--save-run", path)
    again = evaluate("--benchmark", "sample-tech", "--run", path)
    assert again == first
    wrong = run("evaluate", "--benchmark", "sample-general", "--run", path)
    assert wrong.returncode == 1
    assert "is it another benchmark's run?" in wrong.stderr


def test_the_table_is_for_people():
    done = run("evaluate", "--benchmark", "sample-tech", "--method", "literal", "--split", "validation")
    assert done.returncode == 0
    assert any(line.startswith("rp@5 ") and "[" in line for line in done.stdout.splitlines())


def test_all_methods_are_compared_with_the_figures_of_evaluate_one_by_one(tmp_path):
    out = tmp_path / "all"
    done = run("evaluate", "--all", "--out", str(out))
    assert done.returncode == 0, done.stderr
    found = json.loads((out / "comparison.json").read_text())
    assert len(found["reports"]) == 8
    for report in found["reports"]:  # read from the run files; the same from the beginning:
        assert report == evaluate("--benchmark", report["benchmark"], "--method", report["method"])
    assert {len(pairs) for pairs in found["differences_rp@5"].values()} == {6}
    page = (out / "comparison.html").read_text()
    assert page.count("<h2>") == 2
    assert f"{found['reports'][0]['rp@5']:.1f} [" in page


def test_a_comparison_goes_on_where_it_stopped_and_takes_anybodys_run_in(tmp_path):
    (tmp_path / "runs").mkdir()
    theirs = str(tmp_path / "runs" / "sample-tech-validation-<b>theirs.csv.gz")
    evaluate("--benchmark", "sample-tech", "--split", "validation", "--method", "lexical", "--save-run", theirs)
    done = run("evaluate", "--all", "--split", "validation", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "sample-tech     <b>theirs" in done.stdout
    assert "<b>theirs" not in (tmp_path / "comparison.html").read_text()
    found = json.loads((tmp_path / "comparison.json").read_text())
    by_name = {(r["benchmark"], r["method"]): r["rp@5"] for r in found["reports"]}
    assert by_name["sample-tech", "<b>theirs"] == by_name["sample-tech", "lexical"]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert run("evaluate", "--all", "--split", "validation", "--out", str(tmp_path)).stdout == done.stdout
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}


def test_a_comparison_does_not_take_one_models_run_for_anothers(tmp_path):
    (tmp_path / "runs").mkdir()
    path = str(tmp_path / "runs" / "sample-tech-validation-bi-encoder.csv.gz")
    evaluate("--benchmark", "sample-tech", "--split", "validation", "--method", "lexical", "--save-run", path)
    done = run("evaluate", "--all", "--split", "validation", "--out", str(tmp_path), "--model", "mine")
    assert done.returncode == 1
    assert "is the run of another model than mine" in done.stderr


def test_a_comparison_of_nothing_says_what_was_left_out(tmp_path):
    done = run("evaluate", "--all", "--out", str(tmp_path), "--split", "train")
    assert done.returncode == 1
    assert done.stdout.count("left out: benchmark sample-") == 2
    assert "no benchmark of profile sample with a split train is there" in done.stderr


def test_extract_names_skills_only_where_a_sentence_asks_for_one():
    text = "We offer free coffee and a gym. You bake bread in a stone oven."
    done = run("extract", text, "--json")
    assert done.returncode == 0, done.stderr
    coffee, bread = json.loads(done.stdout)
    assert coffee["skills"] == []
    assert bread["skills"][0]["label"] == "bake bread"
    assert 1 <= len(bread["skills"]) <= 5
    everything = json.loads(run("extract", text, "--json", "--all").stdout)
    assert [len(entry["skills"]) for entry in everything] == [5, 5]


def test_extract_with_all_ranks_each_sentence():
    text = "You bake bread in a stone oven. Then run payroll!"
    done = run("extract", text, "--all", "--top", "2", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [entry["sentence"] for entry in answer] == ["You bake bread in a stone oven.", "Then run payroll!"]
    assert [len(entry["skills"]) for entry in answer] == [2, 2]
    assert answer[0]["skills"][0]["label"] == "bake bread"
    assert set(answer[0]["skills"][0]) == {"label", "id", "score"}


def test_extract_reads_standard_input_and_literal_may_find_nothing():
    done = run("extract", "-", "--all", "--method", "literal", "--json", stdin="We are a family.\n• bake bread\n")
    answer = json.loads(done.stdout)
    assert [[skill["label"] for skill in entry["skills"]] for entry in answer] == [[], ["bake bread"]]


def test_doctor_finds_a_good_installation_in_order(tmp_path):
    done = run_apart("doctor", SKILLBOOK_CACHE=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "weights verified" in done.stdout
    assert "not there: esco-v1.1.0-en.zip" in done.stdout
    assert "ready for the sample profile" in done.stdout


def test_doctor_names_what_is_broken(tmp_path):
    (tmp_path / "skillbook").write_text("")
    done = run_apart("doctor", SKILLBOOK_COMPUTED=str(tmp_path / "skillbook" / "computed"))
    assert done.returncode == 1
    assert "!!  cache" in done.stdout
    assert "set SKILLBOOK_COMPUTED to another folder" in done.stdout
    assert done.stderr.startswith("error: 1 problem(s)")


def test_doctor_does_not_take_an_empty_file_for_a_whole_one(tmp_path):
    (tmp_path / "green_train.json").write_text("")
    done = run_apart("doctor", SKILLBOOK_CACHE=str(tmp_path))
    assert done.returncode == 1
    assert "green_train.json has a wrong checksum" in done.stdout


def test_output_is_utf8_wherever_it_goes():
    done = run_apart("extract", "Python → “data”", "--all", "--method", "literal", PYTHONIOENCODING="cp1252")
    assert done.returncode == 0
    bom = run_apart("extract", "-", "--all", "--method", "literal", "--json", stdin="\ufeffbake bread".encode())
    assert json.loads(bom.stdout)[0]["sentence"] == "bake bread"


EVALUATE = ("evaluate", "--benchmark", "sample-tech")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "--benchmark", "tec"), "no benchmark 'tec'; choose one of: sample-tech"),
        ((*EVALUATE, "--method", "magic"), "no method 'magic'; choose one of: lexical, literal, zero-shot"),
        ((*EVALUATE, "--profile", "huge"), "no profile 'huge'"),
        ((*EVALUATE, "--profile", "full"), "benchmark sample-tech belongs to --profile sample"),
        ((*EVALUATE, "--split", "train"), "has no split 'train'"),
        ((*EVALUATE, "--method", "lexical", "--encoder", "x"), "it goes with zero-shot and classifier"),
        ((*EVALUATE, "--method", "bi-encoder"), "method bi-encoder needs --model FOLDER"),
        ((*EVALUATE, "--method", "zero-shot", "--model", "x"), "it goes with bi-encoder"),
        ((*EVALUATE, "--names", "all"), "no names 'all'; choose one of: label, max, mix"),
        (("train", "--data", "no-such-kind", "--out", "x"), "no training data 'no-such-kind'"),
        ((*EVALUATE, "--save-run", "run.txt"), "a run file's name ends in .csv.gz"),
        ((*EVALUATE, "--run", "nowhere.csv.gz"), "nowhere.csv.gz: no such file"),
        (("evaluate", "--benchmark", "techwolf"), "run `python -m helpers fetch esco-v1.1.0-en.zip`"),
        (("extract", " ", "--method", "lexical"), "no text to look at"),
        (("evaluate",), "name a --benchmark, or compare everything with --all --out FOLDER"),
        (("evaluate", "--all"), "--all goes with --out FOLDER"),
        (("evaluate", "--all", "--out", "x", "--C", "0"), "--all goes with --out FOLDER"),
        ((*EVALUATE, "--all", "--out", "x"), "--all goes with --out FOLDER"),
        ((*EVALUATE, "--out", "x"), "name a --benchmark, or compare everything"),
        (("fetch", "nothing.csv"), "no remote file 'nothing.csv'"),
    ],
)
def test_what_the_reader_got_wrong_is_one_line_and_exit_code_1(tmp_path, arguments, message):
    done = run(*arguments, SKILLBOOK_CACHE=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize(("option", "name"), [("--encoder", "no-such/encoder"), ("--model", "no-such-folder")])
def test_an_encoder_that_cannot_be_had_is_one_line(option, name):
    done = run_apart(*EVALUATE, option, name, HF_HUB_OFFLINE="1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: cannot load encoder '{name}'")
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("arguments", [("nothing",), ("extract", "x", "--top", "0"), ("extract",)])
def test_wrong_usage_is_exit_code_2(arguments):
    assert run(*arguments).returncode == 2


def test_text_that_is_not_utf8_is_refused():
    done = run_apart("extract", "-", "--method", "lexical", stdin="caf\xe9".encode("latin-1"))
    assert done.returncode == 1
    assert b"standard input is not UTF-8" in done.stderr


def test_an_unwritable_place_for_a_run_leaves_nothing(tmp_path):
    (tmp_path / "blocked").write_text("")
    target = tmp_path / "blocked" / "run.csv.gz"
    done = run("evaluate", "--benchmark", "sample-tech", "--method", "lexical", "--save-run", str(target))
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["blocked"]


def test_sentences_are_split_at_lines_and_at_full_stops_before_capitals():
    assert split_sentences("• Bake, e.g. rolls.\n- Clean up! Then go.\n\n") == [
        "Bake, e.g. rolls.",
        "Clean up!",
        "Then go.",
    ]


def test_a_classifier_reports_what_it_was_never_trained_for():
    report = evaluate("--benchmark", "sample-tech", "--method", "classifier", "--negatives", "siblings", "--C", "10")
    assert report["n_trained"] < report["n_labels"]
    assert 0 < report["gold_untrained"] < report["n_pairs"]
    assert report["rank_untrained"] > report["n_trained"], "never trained means ranked last"
    assert report["rp@5_trained"] > report["rp@5"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "lexical", "--C", "1"], "--C does not go with method lexical; it goes with classifier"),
        (["--method", "classifier", "--negatives", "cousins"], "uniform, siblings, levenshtein, embedding, all"),
        (["--method", "classifier", "--negatives", "uniform", "--hard-fraction", "0.1"], "leave --hard-fraction out"),
        (["--method", "classifier", "--hard-fraction", "5"], "from 0 to 1"),
        (["--method", "classifier", "--C", "0"], "above 0"),
    ],
)
def test_training_options_that_make_no_sense_are_one_line(arguments, message):
    done = run("evaluate", "--benchmark", "sample-tech", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert message in done.stderr


def test_an_encoder_is_trained_scored_and_used(tmp_path):
    tiny_encoder(tmp_path)
    out = tmp_path / "trained"
    asked = ("train", "--data", "descriptions", "--data", "altlabels", "--augment", "--out", str(out), "--validate")
    done = run(*asked, "--encoder", str(tmp_path / "encoder"))
    assert done.returncode == 0, done.stderr
    assert "pairs of 500 skills" in done.stdout
    assert "  loss " in done.stdout
    assert "  validation RP@5 " in done.stdout
    again = run(*asked, "--encoder", str(tmp_path / "encoder"))
    assert again.stdout == done.stdout, "a training that is there is read, not repeated"
    report = evaluate(
        "--benchmark", "sample-tech", "--model", str(out), "--names", "mix", "--save-run", str(tmp_path / "r.csv.gz")
    )
    assert report["method"] == "bi-encoder"
    facts = json.loads((tmp_path / "r.json").read_text())
    assert (facts["names"], facts["encoder"]) == ("mix", str(out))
    found = json.loads(run("extract", "You bake bread.", "--all", "--model", str(out), "--top", "3", "--json").stdout)
    assert len(found[0]["skills"]) == 3


def test_generate_asks_a_server_and_stores_the_replies(tmp_path):
    store = tmp_path / "replies.jsonl"
    with LlmServer() as server:
        where = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-test"}
        arguments = ["generate", "--out", str(store), "--skills", "bake bread", "--skills", "lay bricks"]
        done = run(*arguments, **where)
        assert (done.returncode, done.stderr) == (0, "")
        assert "replies         2" in done.stdout
        assert {json.loads(line)["skill"] for line in store.read_text().splitlines()} == {"bake bread", "lay bricks"}
        again = run(*arguments, **where)
        assert "already there   2" in again.stdout
        assert sum(server.asked.values()) == 2


def test_generate_estimates_before_it_spends(tmp_path):
    done = run("generate", "--out", str(tmp_path / "x"), "--dry-run", "--price-in", "0.5", "--price-out", "2")
    assert done.returncode == 0
    assert "requests 500" in done.stdout
    assert "cost" in done.stdout
    assert not (tmp_path / "x").exists()


def test_generate_with_an_unknown_skill_is_one_line(tmp_path):
    done = run("generate", "--out", str(tmp_path / "x"), "--skills", "juggle fire")
    assert (done.returncode, done.stdout) == (1, "")
    assert "'juggle fire' is not in the taxonomy sample" in done.stderr
