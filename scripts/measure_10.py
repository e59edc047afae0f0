"""Chapter 10's measurements: one process beside two workers, 2 million sentences in bounded memory, torchrun.

On one machine, with Dask's local cluster. Sentences are drawn with a seed from the profile's corpus. Seconds of one
run stand side by side; it is their ratios that carry over to another machine.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from measuring import write_record

from helpers.data.corpora import load_corpus
from helpers.extraction.ranking import package_versions
from helpers.profiles import Profile
from helpers.scaling import apply_to_parts, match, rank

SIZES = (1_000, 20_000, 200_000)  # sentences to match
ENCODED = (100, 1_000)
ROUNDS = 3  # the best counts; one process and two workers take turns
LARGEST = 2_000_000
COLD_SIZES = (1_000, 500_000, LARGEST)
PART = 20_000
QUIET = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}


def write_parts(folder: Path, sentences: list[str], n: int, size: int = PART, seed: int = 0) -> Path:
    """n sentences drawn from the corpus, in parts of `size`; never more than a part in memory."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number, start in enumerate(range(0, n, size)):
        drawn = rng.integers(len(sentences), size=min(size, n - start))
        table = pd.DataFrame({"id": start + np.arange(len(drawn)), "sentence": [sentences[i] for i in drawn]})
        table.to_parquet(folder / f"part-{number:05d}.parquet")
    return folder


def peak_mb() -> int:
    """The most memory that this process has held, in megabytes; Linux only (`getrusage` would count the parent's)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def timed(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def compared(profile: Profile, folder: Path, client, name: str, task, sizes, parts: int = 10) -> list[dict]:
    """One process beside two workers on each size, in ten parts; both have what they need in memory."""
    sentences = list(load_corpus(profile.corpus).sentences)
    rows = []
    for n in sizes:
        source = write_parts(folder / f"{name}-{n}", sentences, n, -(-n // parts))
        if not rows:  # what is made once in each process is made before the clock runs
            client.run(task, ["first"])
            task(["first"])
        outs = {key: source.with_name(f"{source.name}-{key}") for key in ("one", "two")}
        seconds = {"one": np.inf, "two": np.inf}
        for _ in range(ROUNDS):
            for key, by in (("one", None), ("two", client)):
                shutil.rmtree(outs[key], ignore_errors=True)
                call = functools.partial(apply_to_parts, task, source, outs[key], by)
                seconds[key] = min(seconds[key], timed(call))
        one, two = (pd.read_parquet(outs[key]) for key in ("one", "two"))
        assert one["id"].tolist() == two["id"].tolist() == list(range(n))
        row = {
            "task": name,
            "sentences": n,
            "parts": parts,
            "seconds_one_process": round(seconds["one"], 3),
            "seconds_two_workers": round(seconds["two"], 3),
            "speed_up": round(seconds["one"] / seconds["two"], 2),
            "same_bytes": all(p.read_bytes() == (outs["two"] / p.name).read_bytes() for p in outs["one"].iterdir()),
            "same_skills": all(np.array_equal(a, b) for a, b in zip(one["skills"], two["skills"], strict=True)),
        }  # fmt: skip
        if "scores" in one:
            gaps = np.abs(np.stack(one["scores"]) - np.stack(two["scores"]))
            row["largest_difference"] = float(f"{gaps.max():.1e}")
        rows.append(row)
        print(row, flush=True)
    return rows


def two_million(profile: Profile, folder: Path, client, task) -> dict:
    """Throughput of matching with two workers, and the most memory each process held, at a tenth and at the end."""
    sentences = list(load_corpus(profile.corpus).sentences)
    peaks, seconds = {"0": max(client.run(peak_mb).values())}, {}
    for n in (LARGEST // 10, LARGEST):
        source = write_parts(folder / f"large-{n}", sentences, n)
        out = folder / f"large-{n}-out"
        seconds[n] = timed(lambda out=out, source=source: apply_to_parts(task, source, out, client))
        peaks[f"{n}"] = max(client.run(peak_mb).values())
    found = [pd.read_parquet(path, columns=["id"])["id"].to_numpy() for path in sorted(out.iterdir())]
    return {
        "sentences": LARGEST,
        "parts": len(found),
        "each_once": bool(np.array_equal(np.concatenate(found), np.arange(LARGEST))),
        "seconds": round(seconds[LARGEST], 1),
        "sentences_per_second": round(LARGEST / seconds[LARGEST]),
        "bytes_in": sum(path.stat().st_size for path in source.iterdir()),
        "bytes_out": sum(path.stat().st_size for path in out.iterdir()),
        "peak_mb_of_a_worker": peaks,
    }


TRAIN = """
import json, sys
import torch
from helpers.encoders import load_encoder
from helpers.extraction.contrastive import Training, load_pairs, train
from helpers.profiles import get_profile
from helpers.taxonomy import load_taxonomy

profile = get_profile("sample")
taxonomy = load_taxonomy("sample")
encoder = load_encoder(profile.encoder, "cpu")
for module in encoder.modules():
    if isinstance(module, torch.nn.Dropout):
        module.p = 0.0  # its draws are all that may differ
pairs = load_pairs("sentences", taxonomy, profile)
train(encoder, pairs, taxonomy.labels, out=sys.argv[1], training=Training(steps=8, batch_size=32))
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()  # a thread of it that outlives Python would abort the process
"""


def torchrun(folder: Path) -> dict:
    """The same eight steps by `train` in one process and in two, one thread each: their losses."""
    (folder / "run.py").write_text(TRAIN, encoding="utf-8")
    paths = os.pathsep.join([str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "PYTHONPATH": paths}
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    losses = {}
    for name, how in (("one", []), ("two", launch)):
        command = [sys.executable, "-W", "ignore", *how, "run.py", name]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        history = json.loads((folder / name / "training.json").read_text(encoding="utf-8"))["history"]
        losses[name] = [round(entry["loss"], 6) for entry in history]
    gap = max(abs(a - b) for a, b in zip(losses["one"], losses["two"], strict=True))
    return {"steps": 8, "batch_size": 32, "dropout": 0, "losses": losses, "largest_difference": float(f"{gap:.1e}")}


COLD = """
import functools, logging, sys
from helpers.scaling import apply_to_parts, match

if __name__ == "__main__":
    task = functools.partial(match, taxonomy=sys.argv[1])
    if sys.argv[4] == "1":
        apply_to_parts(task, *sys.argv[2:4])
    else:
        from distributed import Client

        quiet = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
        with Client(n_workers=2, threads_per_worker=1, **quiet) as client:
            apply_to_parts(task, *sys.argv[2:4], client)
"""


def cold(profile: Profile, folder: Path) -> list[dict]:
    """Seconds of a whole program that matches, from its start to its end: its imports, its workers' start, the work."""
    sentences = list(load_corpus(profile.corpus).sentences)
    (folder / "run.py").write_text(COLD, encoding="utf-8")
    paths = os.pathsep.join([str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")])
    rows = []
    for n in COLD_SIZES:
        source = write_parts(folder / f"cold-{n}", sentences, n, -(-n // 10))
        seconds = {"1": np.inf, "2": np.inf}
        for number in range(2):
            for workers in seconds:
                out = folder / f"cold-{n}-{workers}-{number}"
                command = [sys.executable, "run.py", profile.taxonomy, str(source), str(out), workers]
                environment = os.environ | {"PYTHONPATH": paths, "TQDM_DISABLE": "1"}
                run = functools.partial(subprocess.run, command, cwd=folder, env=environment, check=True)
                seconds[workers] = min(seconds[workers], timed(run))
                assert sum(len(pd.read_parquet(path)) for path in out.iterdir()) == n
        rows.append({"sentences": n, "one": round(seconds["1"], 2), "two": round(seconds["2"], 2)})
        print(rows[-1], flush=True)
    return rows


def chapter_10(profile: Profile, folder: Path) -> None:
    """Two records: scaling.json, and cold.json for programs that have nothing in memory yet."""
    if not (folder / "cold.json").exists():
        busy = os.getloadavg()[0]
        with tempfile.TemporaryDirectory() as name:
            rows = cold(profile, Path(name))
        write_record(about(profile, busy) | {"rows": rows}, folder / "cold.json")
    path = folder / "scaling.json"
    if path.exists():
        return
    from distributed import Client

    matching = functools.partial(match, taxonomy=profile.taxonomy)
    ranking = functools.partial(rank, taxonomy=profile.taxonomy, encoder=profile.encoder)
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        with Client(n_workers=2, threads_per_worker=1, **QUIET) as client:
            first_sentence = timed(lambda: client.run(matching, ["first"]))
            large = two_million(profile, temporary, client, matching)  # first: peaks are of a process's whole life
            print(large, flush=True)
            rows = compared(profile, temporary, client, "match", matching, SIZES)
            rows += compared(profile, temporary, client, "rank", ranking, ENCODED)
        trained = torchrun(temporary)
        print(trained, flush=True)
    record = about(profile, busy) | {
        "encoder": profile.encoder,
        "seconds_to_first_sentence": round(first_sentence, 2),
        "rows": rows,
        "two_million": large,
        "torchrun": trained,
    }
    write_record(record, path)


def about(profile: Profile, busy: float) -> dict:
    """Provenance; `busy` is how many processes wanted a core before the measurement began."""
    return {
        "profile": profile.name,
        "device": "cpu",
        "cores": os.cpu_count(),
        "machine": f"{os.cpu_count()} cores, {'busy with other work' if busy > 1 else 'idle otherwise'}",
        "load_before": round(busy, 1),
        "load_after": round(os.getloadavg()[0], 1),
        "corpus": profile.corpus,
        "taxonomy": profile.taxonomy,
        "seed": 0,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": package_versions() | {name: version(name) for name in ("dask", "distributed", "pyarrow")},
    }
