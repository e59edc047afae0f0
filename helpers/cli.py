"""The command line: python -m helpers doctor | fetch | generate | train | evaluate | extract."""

import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from helpers.extraction import METHODS, PAIRS
from helpers.files import InputError, require_writable
from helpers.profiles import get_profile, profile_of_benchmark

# Everything else is imported where it is used: `--help` should not wait for PyTorch.

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

ProfileOption = Annotated[str | None, typer.Option(help="sample or full (default: SKILLBOOK_PROFILE, else sample)")]
MethodOption = Annotated[
    str | None, typer.Option(help=f"one of: {', '.join(METHODS)} (default: zero-shot; with --model bi-encoder)")
]
ModelOption = Annotated[Path | None, typer.Option(help="of bi-encoder: the folder that `train` wrote")]
NamesOption = Annotated[str | None, typer.Option(help="of encoders: label (default), max (best of all names) or mix")]
EncoderOption = Annotated[str | None, typer.Option(help="of zero-shot and classifier: a folder or a model of the hub")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.command()
def doctor() -> None:
    """Say what this installation is, what it can do, and what is missing."""
    import torch

    import helpers
    from helpers import registry
    from helpers.encoders import MINILM, computed_dir, load_encoder
    from helpers.extraction.ranking import package_versions

    problems = 0

    def check(name: str, answer: str, look: Callable[[], object] | None = None) -> None:
        nonlocal problems
        try:
            if look:
                look()
            typer.echo(f"ok  {name:<10} {answer}")
        except InputError as error:
            problems += 1
            typer.echo(f"!!  {name:<10} {error}")

    def ours() -> None:
        if not getattr(helpers, "IS_SKILLBOOK", False):
            raise InputError(f"{helpers.__file__} is another package: pip uninstall helpers, then pip install -e .")

    device = f"CPU, {torch.get_num_threads()} threads (enough for the sample profile)"
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name(0)
    elif torch.backends.mps.is_available():
        device = "Apple GPU (mps)"
    folder, names = registry.download_dir(), [*registry.FILES, *registry.HUB_TABLES]
    missing = [name for name in names if not (folder / name).exists()]
    there = f"{len(names) - len(missing)} of {len(names)} files in {folder} (the full profile needs them)"
    check("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    check("helpers", str(Path(helpers.__file__).parent), ours)
    check("versions", ", ".join(f"{name} {number}" for name, number in package_versions().items()))
    check("device", device)
    check("encoder", f"{MINILM}, weights verified", load_encoder)
    check("cache", str(computed_dir()), lambda: require_writable(computed_dir(), "SKILLBOOK_COMPUTED"))
    check("downloads", there, lambda: [registry.find(name) for name in names if name not in missing])
    if missing:
        typer.echo(f"    not there: {', '.join(missing)}\n    get them with: python -m helpers fetch")
    if problems:
        raise InputError(f"{problems} problem(s) above, marked with !!")
    typer.echo("ready for the sample profile" + ("" if missing else " and the full profile"))


@app.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="files to fetch (default: all)")] = None,
) -> None:
    """Download the real data, checked; what is complete is left alone."""
    from helpers import registry

    if unknown := set(names or ()) - {*registry.FILES, *registry.HUB_TABLES}:
        registry.fetch(unknown.pop())  # says which names there are
    failed = 0
    for name, what in registry.fetch_all(names, progress=True):
        typer.echo(f"{name:<40} {what}")
        failed += what.startswith("FAILED")
    if failed:
        raise InputError(f"{failed} file(s) could not be had; see above")
    typer.echo(f"all files are in {registry.download_dir()}")


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="the store: JSON lines, appended; what it holds is not asked again")],
    prompt: Annotated[str, typer.Option(help="v1 or v2 of paper 2's prompts")] = "v2",
    sentences: Annotated[int, typer.Option(min=1, help="sentences a skill")] = 10,
    skills: Annotated[list[str] | None, typer.Option(help="a skill's label, repeatable (default: all)")] = None,
    profile: ProfileOption = None,
    concurrency: Annotated[int, typer.Option(min=1, help="requests in flight")] = 8,
    max_requests: Annotated[int | None, typer.Option(min=1, help="stop after so many requests")] = None,
    budget: Annotated[float | None, typer.Option(help="stop before it costs more; needs the prices")] = None,
    price_in: Annotated[float, typer.Option(help="what a million tokens cost that are sent")] = 0.0,
    price_out: Annotated[float, typer.Option(help="what a million tokens cost that come back")] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="estimate, and send nothing")] = False,
) -> None:
    """Write training sentences with a language model (OPENAI_API_KEY, OPENAI_BASE_URL, SKILLBOOK_LLM)."""
    import asyncio

    from helpers.extraction import generation
    from helpers.taxonomy import load_taxonomy

    taxonomy = load_taxonomy(get_profile(profile).taxonomy)
    unknown = [label for label in skills or () if label not in taxonomy.index_of]
    if unknown:
        raise InputError(f"skill {unknown[0]!r} is not in the taxonomy {taxonomy.name}")
    chosen = [taxonomy.index_of[label] for label in skills] if skills else None
    requests = generation.requests_for(taxonomy, chosen, prompt, sentences)
    numbers = generation.estimate(requests, price_in=price_in, price_out=price_out)
    typer.echo("about " + ", ".join(f"{name} {value:,.10g}" for name, value in numbers.items()))
    if dry_run:
        return
    limits = {"max_requests": max_requests, "budget": budget, "prices": (price_in, price_out)}
    counts = asyncio.run(generation.generate(requests, out, concurrency=concurrency, **limits))
    for name, count in sorted(counts.items()):
        typer.echo(f"{name:<15} {count}")


@app.command()
def train(
    data: Annotated[list[str], typer.Option(help=f"one of: {', '.join(PAIRS)}; or a store of replies; repeatable")],
    out: Annotated[Path, typer.Option(help="folder for the encoder; the same command goes on where it stopped")],
    profile: ProfileOption = None,
    augment: Annotated[bool, typer.Option("--augment", help="put another sentence in front or behind")] = False,
    encoder: Annotated[str | None, typer.Option(help="encoder to start from: a folder or a model of the hub")] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 1,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    validate: Annotated[bool, typer.Option("--validate", help="score validation splits after each tenth")] = False,
) -> None:
    """Train an encoder on pairs of text and skill (paper 2); then `evaluate --model` and `extract --model`."""
    import numpy as np

    from helpers.data.benchmarks import load_benchmark
    from helpers.encoders import SentenceTransformer, load_encoder
    from helpers.evaluation import evaluate as score
    from helpers.extraction import contrastive
    from helpers.taxonomy import load_taxonomy

    chosen = get_profile(profile)
    taxonomy = load_taxonomy(chosen.taxonomy)
    first, *others = (contrastive.load_pairs(kind, taxonomy, chosen) for kind in data)
    pairs = sum(others, first)
    typer.echo(f"{len(pairs):,} pairs of {len(np.unique(pairs.skills)):,} skills")
    named = chosen.benchmarks[:2] if validate else ()  # techwolf, the third, has a test split only
    splits = [load_benchmark(name, "validation", taxonomy) for name in named]

    def rp5(model: SentenceTransformer) -> float:
        ranker = contrastive.BiEncoder(model, taxonomy)
        return float(np.mean([score(ranker.rank(b.sentences, 5), b).mean["rp@5"] for b in splits]))

    training = contrastive.Training(augment=augment, epochs=epochs, seed=seed)
    stock = load_encoder(encoder or chosen.encoder)
    _, history = contrastive.train(stock, pairs, taxonomy.labels, out, training, validate=rp5 if splits else None)
    for entry in history:
        value = f"loss {entry['loss']:.3f}" if "loss" in entry else f"validation RP@5 {100 * entry['validation']:.1f}"
        typer.echo(f"step {entry['step']:>6,}  {value}")
    typer.echo(f"the encoder is in {out}")


@app.command()
def evaluate(
    benchmark: Annotated[
        str | None, typer.Option(help="tech, house, techwolf, sample-tech or sample-general; not with --all")
    ] = None,
    method: MethodOption = None,
    profile: Annotated[str | None, typer.Option(help="sample or full (default: the benchmark's)")] = None,
    split: Annotated[str, typer.Option(help="validation or test")] = "test",
    encoder: EncoderOption = None,
    model: ModelOption = None,
    names: NamesOption = None,
    negatives: Annotated[
        str | None, typer.Option(help="of classifier: uniform, siblings, levenshtein, embedding or all")
    ] = None,
    hard_fraction: Annotated[float | None, typer.Option(help="of classifier: share of hard negatives, 0 to 1")] = None,
    c: Annotated[float | None, typer.Option("--C", help="of classifier: inverse regularisation")] = None,
    run: Annotated[Path | None, typer.Option(help="score this run file instead of a method")] = None,
    save_run: Annotated[Path | None, typer.Option(help="write the ranking to this run file (.csv.gz)")] = None,
    as_json: JsonOption = False,
    everything: Annotated[
        bool,
        typer.Option("--all", help="every method on every benchmark of the profile, compared in pairs; with --out"),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="of --all: a folder; runs that stand there are read")] = None,
) -> None:
    """Score a method, or anybody's run file, on a benchmark; or compare all methods."""
    from helpers import comparison
    from helpers.data.benchmarks import load_benchmark
    from helpers.extraction.ranking import read_run, require_run_name, write_run
    from helpers.taxonomy import load_taxonomy

    options = {"encoder": encoder, "model": model, "names": names}
    options |= {"negatives": negatives, "hard_fraction": hard_fraction, "c": c}
    if everything:
        others = [benchmark, method, run, save_run, *(value for name, value in options.items() if name != "model")]
        if out is None or any(value is not None for value in others):
            raise InputError("--all goes with --out FOLDER, --profile, --split and --model; nothing else")
        for line in comparison.compare_all(get_profile(profile), out, split, model):
            typer.echo(line)
        return
    if benchmark is None or out is not None:
        raise InputError("name a --benchmark, or compare everything with --all --out FOLDER")
    owner = profile_of_benchmark(benchmark)
    chosen = get_profile(profile) if profile else owner
    if chosen != owner:
        raise InputError(f"benchmark {benchmark} belongs to --profile {owner.name}, not {chosen.name}")
    if save_run is not None:
        require_run_name(save_run)
    queries = load_benchmark(benchmark, split, load_taxonomy(chosen.taxonomy))
    if run is not None:
        answer = read_run(run, queries)
        method = answer.provenance.get("method", str(run))
    else:
        method = method or ("bi-encoder" if model else "zero-shot")
        answer = comparison.answer(method, chosen, queries, **options)
    if save_run is not None:
        write_run(answer, queries, save_run)
    report = comparison.report(method, chosen, answer, queries)
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    for key, value in report.items():
        if not key.endswith("_95"):
            shown = f"{value:.2f}" if isinstance(value, float) else value
            low, high = report["intervals_95"].get(key) or report.get(f"{key}_interval_95") or (None, None)
            typer.echo(f"{key:<15} {shown}" + (f"   [{low:.2f}, {high:.2f}]" if high is not None else ""))


@app.command()
def extract(
    text: Annotated[str, typer.Argument(help="a text, or - to read it from standard input")],
    profile: ProfileOption = None,
    method: MethodOption = None,
    top: Annotated[int, typer.Option(min=1, help="skills a sentence")] = 5,
    encoder: EncoderOption = None,
    model: ModelOption = None,
    names: NamesOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="the whole top of every sentence, whether it asks for a skill or not")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Name the skills of a text, sentence by sentence."""
    from helpers.data.corpora import split_sentences
    from helpers.extraction.methods import make_decision, make_ranker
    from helpers.taxonomy import load_taxonomy

    chosen = get_profile(profile)
    method = method or ("bi-encoder" if model else "zero-shot")
    if text == "-":
        try:
            text = sys.stdin.buffer.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"standard input is not UTF-8 at byte {error.start}; save the text as UTF-8") from None
    # An argument that is not UTF-8 arrives with half characters in it.
    sentences = split_sentences(text.encode("utf-8", "replace").decode())
    if not sentences:
        raise InputError("no text to look at: give a sentence, or - and a text on standard input")
    taxonomy = load_taxonomy(chosen.taxonomy)
    ranker = make_ranker(method, chosen, taxonomy, encoder=encoder, model=model, names=names)
    ranking = ranker.rank(sentences, top)
    # 0 means nothing in common to these two; to a classifier, that it is as likely as not.
    kept = ranking.scores > (0 if method in ("lexical", "literal") else -1e30)
    if not everything:
        kept &= make_decision(ranker, chosen, taxonomy).keep(sentences, ranking)
    answer = []
    for row, sentence in enumerate(sentences):
        named = zip(ranking.indices[row, kept[row]], ranking.scores[row, kept[row]], strict=True)
        skills = [
            {"label": taxonomy.labels[label], "id": taxonomy.ids[label], "score": round(float(score), 4)}
            for label, score in named
        ]
        answer.append({"sentence": sentence, "skills": skills})
    if as_json:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    for entry in answer:
        lines = [f"  {skill['score']:.2f}  {skill['label']}" for skill in entry["skills"]]
        typer.echo("\n".join([entry["sentence"], *(lines or ["  (none)"])]))


def main() -> None:
    """Run a command; what the reader did wrong becomes one line on stderr and exit code 1 (2 for usage)."""
    for stream in (sys.stdout, sys.stderr):  # Windows would encode piped output for its console
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8")
    try:
        app()
    except ModuleNotFoundError as error:
        print(f"error: package {error.name} is missing: pip install -c constraints.txt -e .", file=sys.stderr)
        sys.exit(1)
    except (InputError, FileNotFoundError) as error:
        print("error:", *str(error).split(), file=sys.stderr)
        sys.exit(1)
