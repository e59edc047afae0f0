"""The stored figures of chapter 05 follow from the stored measurements, and its recipe was chosen without the tests."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.data.benchmarks import load_benchmark
from helpers.evaluation import evaluate
from helpers.extraction.ranking import read_run
from helpers.profiles import PROFILES
from helpers.taxonomy import load_taxonomy

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from measure_05 import PARTS, choose, differences, per_sentence, read_records, regimes  # noqa: E402


@pytest.fixture(params=["sample", "full"])
def stored(request):
    folder = ROOT / "results" / request.param / "05"
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return PROFILES[request.param], summary, read_records(folder)


def test_every_row_follows_from_its_runs(stored):
    _, summary, records = stored
    baseline = per_sentence(records["zero-shot"], "label, 0")
    for row in summary["rows"]:
        key = f"{row['names']}, {row['share']:g}"
        seeds = [record for record in records[row["regime"]] if key in record["scores"]]
        assert row["n_seeds"] == len(seeds) > 0
        for name, values in per_sentence(seeds, key).items():
            means = [100 * np.mean(record[f"rp5_of_{PARTS}"][key][name]) / PARTS for record in seeds]
            np.testing.assert_allclose(row[f"{name}-test rp@5"], [np.mean(means), min(means), max(means)], atol=0.011)
            assert row["difference"][name][0] == pytest.approx(100 * (values - baseline[name]).mean(), abs=0.011)
        assert row["difference"] == differences(per_sentence(seeds, key), baseline)


def test_the_choice_saw_no_test_split_and_no_leak(stored):
    profile, summary, records = stored
    for seeds in records.values():
        for record in seeds:
            for scores in record["scores"].values():
                for split in [split for split in scores if split.endswith("-test")]:
                    scores[split] = [None, None]  # whatever they were
    plan = regimes(profile)
    assert choose(records, plan) == summary["chosen"]
    assert not plan[summary["chosen"]["regime"]].leaks


def test_all_regimes_of_the_sample_have_equal_numbers_of_steps():
    records = read_records(ROOT / "results" / "sample" / "05")
    steps = {record["losses"][-1][0] for name, seeds in records.items() if name != "zero-shot" for record in seeds}
    assert steps == {60}


def test_the_run_files_have_the_rows_figures():
    folder, taxonomy = ROOT / "results" / "sample" / "05", load_taxonomy("sample")
    records = read_records(folder)
    files = sorted((folder / "runs").glob("*.csv.gz"))
    assert len(files) >= 2
    for path in files:
        facts = json.loads(path.with_name(path.name.replace(".csv.gz", ".json")).read_text(encoding="utf-8"))
        benchmark = load_benchmark(facts["benchmark"], "test", taxonomy)
        found = evaluate(read_run(path, benchmark), benchmark).mean
        first = records[facts["regime"]][0]["scores"][f"{facts['names']}, {facts['share']:g}"]
        stored = first[f"{facts['benchmark']}-test"]
        assert [100 * found["mrr"], 100 * found["rp@5"]] == pytest.approx(stored, abs=0.2)


def test_the_shipped_skillbert_has_the_stored_neighbours():
    from measure_07 import neighbours, opaque_names

    from helpers.competency.embeddings import SkillBert
    from helpers.competency.features import label_table
    from helpers.data.requisitions import load_competency_groups

    folder, taxonomy = ROOT / "results" / "sample" / "07", load_taxonomy("sample")
    stored = json.loads((folder / "sample.json").read_text(encoding="utf-8"))["groupings"]["sample"]["shares"]
    embed = SkillBert(folder / "skillbert").embed
    labels = label_table(load_competency_groups("sample", taxonomy), taxonomy.labels)
    same = dict.fromkeys(("pretrained", "Word2Vec", "SkillBERT"), embed)
    found = neighbours(same, labels, opaque_names(taxonomy, taxonomy.labels))["shares"]
    for part in ("all", "opaque", "transparent"):
        assert found[part]["skills"] == stored[part]["skills"]
        assert found[part]["SkillBERT"] == pytest.approx(stored[part]["SkillBERT"], abs=0.3)


@pytest.mark.parametrize("folder", sorted((ROOT / "results").glob("*/08/*")), ids=lambda path: path.name)
def test_the_tables_of_chapter_08_agree_with_themselves(folder):
    table = json.loads((folder / "table-3.json").read_text(encoding="utf-8"))
    for name, row in table["rows"].items():
        for precision, recall, f1 in zip(row["precision"], row["recall"], row["F1"], strict=True):
            assert f1 == pytest.approx(2 * precision * recall / max(precision + recall, 1e-9), abs=0.02), name
        middle, low, high = row["F1_of_class_1"]
        assert low <= middle <= high
        assert middle == pytest.approx(row["F1"][1], abs=0.02)
    for pair, found in table["differences"].items():
        first, second = pair.split(" minus ")
        gained = table["rows"][first]["per_skill"][0] - table["rows"][second]["per_skill"][0]
        assert found["per_skill"][0] == pytest.approx(gained, abs=0.02)
    assert table["rows"]["always no"]["recall"] == [100, 0]
    splits = json.loads((folder / "splits.json").read_text(encoding="utf-8"))["rows"]
    assert splits["SkillBERT, by skill, clean"]["F1"] == table["rows"]["XGBoost + SkillBERT"]["F1"]  # the same fit
