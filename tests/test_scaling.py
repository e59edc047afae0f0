"""Two workers give what one process gives, whatever happens to them; nothing is missing, nothing double."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from distributed import Client
from tasks import deadly, other_match, slow_match, wrong
from tiny import tiny_encoder

from helpers import scaling
from helpers.data.corpora import load_corpus
from helpers.encoders import MINILM
from helpers.extraction.classifiers import train_classifiers
from helpers.extraction.negatives import Sampler, positives_of
from helpers.files import InputError
from helpers.scaling import apply_to_parts, match, rank

ROOT = Path(__file__).resolve().parent.parent
MATCH = partial(match, taxonomy="sample")


@pytest.fixture(scope="module")
def client():
    quiet = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    with Client(n_workers=2, threads_per_worker=1, **quiet) as found:
        yield found


def write_parts(folder, sentences, size):
    folder.mkdir(parents=True)
    for start in range(0, len(sentences), size):
        texts = sentences[start : start + size]
        table = pd.DataFrame({"id": range(start, start + len(texts)), "sentence": texts})
        table.to_parquet(folder / f"part-{start // size:03d}.parquet")
    return folder


@pytest.fixture(scope="module")
def sentences():
    return list(load_corpus("sample").sentences)


@pytest.fixture
def parts(tmp_path, sentences):
    return write_parts(tmp_path / "parts", sentences[:1000], 100)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_workers_give_the_bytes_of_one_process(parts, tmp_path, sentences, client):
    told = apply_to_parts(MATCH, parts, tmp_path / "one")
    assert told["made"].all()
    assert told["sentences"].tolist() == [100] * 10
    pd.testing.assert_frame_equal(apply_to_parts(MATCH, parts, tmp_path / "two", client), told)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    whole = pd.read_parquet(tmp_path / "two")
    assert whole["id"].tolist() == list(range(1000))
    expected = match(sentences[:1000], "sample")["skills"]
    assert [list(row) for row in whole["skills"]] == [list(row) for row in expected]
    assert sum(map(len, expected)) > 100


def test_the_automaton_is_built_once_in_each_worker(parts, tmp_path, client):
    client.run(lambda: scaling._matcher.cache_clear())
    apply_to_parts(MATCH, parts, tmp_path / "out", client)
    counts = client.run(lambda: tuple(scaling._matcher.cache_info())[:2]).values()
    assert sum(hits + misses for hits, misses in counts) == 10  # hits and misses: a part each
    assert all(misses == min(1, hits + misses) for hits, misses in counts)


def test_a_worker_that_only_matches_loads_no_model(client):
    assert not any(client.run(lambda: "torch" in sys.modules).values())


def test_a_part_that_was_done_is_not_done_again(parts, tmp_path, client):
    out = tmp_path / "out"
    assert apply_to_parts(MATCH, parts, out, client)["made"].all()
    dates = [path.stat().st_mtime_ns for path in sorted(out.iterdir())]
    assert not apply_to_parts(MATCH, parts, out, client)["made"].any()
    assert [path.stat().st_mtime_ns for path in sorted(out.iterdir())] == dates
    (out / "part-003.parquet").unlink()
    (out / "part-005.parquet").write_bytes((out / "part-005.parquet").read_bytes()[:500])  # torn
    (out / "part-006.parquet").write_bytes((parts / "part-006.parquet").read_bytes())  # somebody else's
    pd.DataFrame({"id": [700], "sentence": ["You use SQL."]}).to_parquet(parts / "part-007.parquet")
    again = apply_to_parts(MATCH, parts, out, client)
    assert again.loc[again["made"], "part"].tolist() == [f"part-00{n}.parquet" for n in (3, 5, 6, 7)]
    other = partial(other_match, taxonomy="sample")  # another task does not take over what the first has left
    assert apply_to_parts(other, parts, out, client)["made"].all()
    assert "words" in pd.read_parquet(out).columns


def test_a_retrained_encoder_is_another_task(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_text("1")
    task = partial(rank, taxonomy="sample", encoder=str(model))
    before = scaling._made_by(task)
    assert scaling._made_by(task) == before
    (model / "weights").write_text("2")
    assert scaling._made_by(task) != before


def test_rankings_agree_to_a_millionth_with_the_same_top_ten(tmp_path, sentences, client):
    few = sentences[2000:2060]
    task = partial(rank, taxonomy="sample", encoder=MINILM)
    one, two = (write_parts(tmp_path / f"parts-{size}", few, size) for size in (60, 20))
    apply_to_parts(task, one, tmp_path / "one")
    apply_to_parts(task, two, tmp_path / "two", client)
    a, b = pd.read_parquet(tmp_path / "one"), pd.read_parquet(tmp_path / "two")
    np.testing.assert_array_equal(np.stack(a["skills"]), np.stack(b["skills"]))
    np.testing.assert_allclose(np.stack(a["scores"]), np.stack(b["scores"]), rtol=0, atol=1e-6)
    assert np.stack(a["skills"]).shape == (60, 10)


def test_classifiers_through_dask_are_the_plain_ones(client):
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((200, 8)).astype(np.float32)
    sampler = Sampler(positives_of([rng.integers(300, size=3) for _ in range(200)], 300), {}, 0.0, seed=0)
    plain = train_classifiers(embeddings, sampler)
    with joblib.parallel_config("dask"):
        through = train_classifiers(embeddings, sampler, n_jobs=2)
    assert any(client.run(lambda: "helpers.extraction.classifiers" in sys.modules).values())  # it was done there
    for name in ("skills", "weights", "bias"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(through, name))


def test_a_worker_killed_in_mid_run_loses_nothing_and_doubles_nothing(parts, tmp_path, client):
    calls = tmp_path / "calls"
    calls.mkdir()
    victims = []

    def kill():
        while not victims:
            begun = sorted(calls.iterdir(), key=lambda path: path.name.split("-")[1])
            if len(begun) > 3:  # it is at work on a part
                victims.append(int(begun[-1].name.split("-")[0]))
                os.kill(victims[0], signal.SIGKILL)
            time.sleep(0.02)

    assassin = threading.Thread(target=kill)
    assassin.start()
    told = apply_to_parts(partial(slow_match, calls=str(calls)), parts, tmp_path / "out", client)
    assassin.join()
    assert victims[0] not in client.run(os.getpid).values()
    assert told["sentences"].sum() == 1000
    assert len(list(calls.iterdir())) > 10  # the part that it had was begun twice
    assert pd.read_parquet(tmp_path / "out")["id"].tolist() == list(range(1000))
    apply_to_parts(MATCH, parts, tmp_path / "calm")
    for name in contents(tmp_path / "calm"):
        killed, calm = (pd.read_parquet(tmp_path / folder / name) for folder in ("out", "calm"))
        pd.testing.assert_frame_equal(killed, calm)


def test_torchrun_trains_what_one_process_trains(tmp_path):
    tiny_encoder(tmp_path, dropout=0.0)
    (tmp_path / "run.py").write_text(TRAIN, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]
    for name, how in (("one", []), ("two", launch)):
        command = [sys.executable, *how, "run.py", name]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (json.loads((tmp_path / name / "training.json").read_text()) for name in ("one", "two"))
    assert one["facts"] == two["facts"]
    losses = [[entry["loss"] for entry in told["history"]] for told in (one, two)]
    assert len(losses[0]) == 6
    np.testing.assert_allclose(*losses, rtol=0, atol=1e-5)
    assert not (tmp_path / "two.partial").exists()


TRAIN = """
import sys
import torch
from helpers.encoders import load_encoder
from helpers.extraction.contrastive import Training, pairs_from, train

names = ["bake bread", "lay bricks", "drive a bus", "repair cars", "teach children", "plan lessons"]
pairs = pairs_from((f"you {name} in the night", skill) for skill, name in enumerate(names))
training = Training(augment=False, steps=6, batch_size=6, learning_rate=1e-2)
train(load_encoder("encoder", "cpu"), pairs, names, out=sys.argv[1], training=training)
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()  # a thread of it that outlives Python would abort the process
"""


BAD = {
    "nothing": "no .parquet file",
    "no column": "a.parquet: no column 'sentence'",
    "no text": "a.parquet, row 2: .* is no text",
    "not parquet": "a.parquet: not a Parquet file",
    "same": "a.parquet is no output of these parts; name another folder",
    "strange": "b.parquet is no output of these parts; name another folder",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_clear_line(kind, tmp_path):
    parts, out = tmp_path / "parts", tmp_path / "out"
    parts.mkdir()
    out.mkdir()
    table = {"no column": {"text": ["a"]}, "no text": {"sentence": ["a", None]}}.get(kind, {"sentence": ["a"]})
    if kind != "nothing":
        pd.DataFrame(table).to_parquet(parts / "a.parquet")
    if kind == "not parquet":
        (parts / "a.parquet").write_bytes(b"sentence\na\n")
    if kind == "strange":
        pd.DataFrame(table).to_parquet(out / "b.parquet")
    before = contents(tmp_path / "parts"), contents(out)
    with pytest.raises(InputError, match=BAD[kind]) as told:
        apply_to_parts(MATCH, parts, parts if kind == "same" else out)
    assert "\n" not in str(told.value)
    assert (contents(tmp_path / "parts"), contents(out)) == before


def test_what_a_task_complains_about_comes_back_as_it_was(parts, tmp_path, client):
    with pytest.raises(InputError, match="what a task complains about"):
        apply_to_parts(wrong, parts, tmp_path / "out", client)


def test_a_part_that_kills_every_worker_is_said(tmp_path, sentences, client):
    parts = write_parts(tmp_path / "parts", sentences[:5], 5)
    with pytest.raises(InputError, match="make parts smaller"):
        apply_to_parts(deadly, parts, tmp_path / "out", client)
    assert not list((tmp_path / "out").glob("*"))
