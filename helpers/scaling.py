"""Beyond one process: the same functions, passed along to the parts of a corpus, on one worker or many (chapter 10).

A part is a Parquet file with a column `sentence`, small enough to be held in memory, in a folder that every worker
sees. `distributed` hands parts to workers, and again to others when a worker dies.
"""

import contextlib
import copy
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from helpers.extraction.matching import LiteralMatcher, reliable_names
from helpers.extraction.ranking import Ranker, package_versions
from helpers.files import InputError, atomic_write, reason, require_columns, sha256_file, sha256_texts
from helpers.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from distributed import Client

Task = Callable[[list[str]], pd.DataFrame]  # gives a row for each sentence


def apply_to_parts(task: Task, parts: str | Path, out: str | Path, client: "Client | None" = None) -> pd.DataFrame:
    """Apply a task to every `*.parquet` of the folder `parts`; the rows go to a file of the same name in `out`.

    A task is a `functools.partial` of a function with names as arguments: `partial(match, taxonomy="sample")`. Each
    output keeps the part's other columns, appears whole or not at all, and says what made it: code, arguments, files
    that they name, versions, the part. Where that is the same it is left alone, so a call that was interrupted goes
    on where it stopped. Without a `client` the same code runs in this process.

    Returns "part", "sentences" and "made" (False: it was there) for each part. Raises InputError for parts that cannot
    be read, for other Parquet files in `out`, and for a part that takes its workers down.
    """
    parts, out = Path(parts).resolve(), Path(out).resolve()
    files = sorted(parts.glob("*.parquet"))
    if not files:
        raise InputError(f"{parts}: no .parquet file in it; write the sentences there, in one file or more")
    strange = sorted({path.name for path in out.glob("*.parquet")} - {path.name for path in files})
    if parts == out or strange:
        raise InputError(f"{out}: {(strange or [files[0].name])[0]} is no output of these parts; name another folder")
    done = _results(functools.partial(_one_part, task, _made_by(task), out), files, client)
    rows = sorted(tqdm(done, total=len(files), desc="parts", delay=2, leave=False))
    return pd.DataFrame(rows, columns=["part", "sentences", "made"])


def match(sentences: Sequence[str], taxonomy: str) -> pd.DataFrame:
    """A task: the "skills" that each sentence names, sorted taxonomy indices (see `LiteralMatcher.labels`)."""
    return pd.DataFrame({"skills": _matcher(taxonomy).labels(sentences)})


def rank(sentences: Sequence[str], taxonomy: str, encoder: str, k: int = 10) -> pd.DataFrame:
    """A task: the k nearest "skills" of each sentence, best first, and their "scores" (see `BiEncoder`)."""
    import torch  # here and below: a worker that only matches needs neither the seconds nor the memory

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a sum in another order has other last digits, and workers share the cores
    try:
        ranking = _bi_encoder(taxonomy, encoder).rank(sentences, k)
    finally:
        torch.set_num_threads(threads)
    return pd.DataFrame({"skills": list(ranking.indices), "scores": list(ranking.scores)})


@functools.cache  # once in each worker's process, as the next one
def _matcher(taxonomy: str) -> LiteralMatcher:
    return LiteralMatcher(reliable_names(load_taxonomy(taxonomy)))


@functools.cache
def _bi_encoder(taxonomy: str, encoder: str) -> Ranker:
    from helpers.encoders import load_encoder
    from helpers.extraction.contrastive import BiEncoder

    ranker = BiEncoder(load_encoder(encoder), load_taxonomy(taxonomy))
    ranker.encoder = copy.copy(ranker.encoder)
    ranker.encoder.skillbook_id = None  # embeddings of millions of sentences are not for the cache
    return ranker


def _made_by(task: Task) -> str:
    function, args, named = task, (), {}
    if isinstance(task, functools.partial):
        function, args, named = task.func, task.args, task.keywords
    paths = [Path(value) for value in (*args, *named.values()) if isinstance(value, str)]
    files = [file for path in paths for file in (path, *sorted(path.rglob("*"))) if file.is_file()]
    code = joblib.func_inspect.get_func_code(function)[0]
    return json.dumps([code, args, named, package_versions(), [sha256_file(file) for file in files]])


def _results(one: Callable[[Path], tuple], files: Sequence[Path], client: "Client | None") -> Iterator[tuple]:
    if client is None:
        yield from map(one, files)
        return
    from distributed import KilledWorker, as_completed

    futures = client.map(one, files, pure=False)
    try:
        yield from (future.result() for future in as_completed(futures))
    except KilledWorker:
        raise InputError("a part took several workers down, for want of memory perhaps: make parts smaller") from None
    finally:
        client.cancel(futures)


def _one_part(task: Task, made_by: str, out: Path, part: Path) -> tuple[str, int, bool]:
    """Make a part's output unless it is there. If two workers ever make the same, they write the same bytes."""
    key, target = sha256_texts([made_by, sha256_file(part)]), out / part.name
    with contextlib.suppress(OSError, ValueError, LookupError):  # not there, or torn
        there = pq.read_metadata(target)
        if dict(there.metadata or {})[b"made"] == key.encode():
            return part.name, there.num_rows, False
    try:
        table = pd.read_parquet(part)
    except (OSError, ValueError) as error:
        raise InputError(f"{part}: not a Parquet file ({reason(error)})") from None
    require_columns(table, ("sentence",), str(part))
    for row, text in enumerate(table["sentence"], start=1):
        if not isinstance(text, str):
            raise InputError(f"{part}, row {row}: {text!r} is no text")
    found = task(table["sentence"].tolist()).set_axis(table.index)
    whole = pa.Table.from_pandas(pd.concat([table.drop(columns="sentence"), found], axis=1), preserve_index=False)
    with atomic_write(target, "wb") as file:
        pq.write_table(whole.replace_schema_metadata({"made": key}), file)
    return part.name, len(found), True
