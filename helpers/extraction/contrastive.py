"""One encoder for sentences and skill names, trained so that a sentence lies near its skill (paper 2, section 2.3).

Training pairs come from `load_pairs`; `train` lays out every batch of the run before it begins, and leaves the rest to
sentence-transformers; `BiEncoder` ranks every skill by cosine. With a stock encoder that is zero-shot.
"""

import copy
import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from sentence_transformers import SentenceTransformer

try:  # where it lies since version 6 of sentence-transformers, and before
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
except ModuleNotFoundError:
    from sentence_transformers.losses import MultipleNegativesRankingLoss

from helpers.data.corpora import SAMPLE_REPLIES, load_corpus, load_labelled
from helpers.encoders import encode, identity, load_encoder
from helpers.extraction import PAIRS
from helpers.extraction.generation import read_store, sentences_of
from helpers.extraction.matching import LiteralMatcher, reliable_names
from helpers.extraction.ranking import Ranker, Ranking, rank_in_blocks
from helpers.files import InputError, atomic_write, sha256_texts
from helpers.profiles import Profile
from helpers.taxonomy import Taxonomy

NAMES = ("label", "max", "mix")
SCALE = 20.0  # of the cosines in the loss; paper 2, Appendix C, as the rest of `Training`


@dataclass(frozen=True, eq=False)
class Pairs:
    """n training pairs: a text, and the skill it speaks of as a taxonomy index; `skills` is an int array (n,)."""

    texts: tuple[str, ...]
    skills: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def __add__(self, other: "Pairs") -> "Pairs":
        return Pairs(self.texts + other.texts, np.concatenate([self.skills, other.skills]))


@dataclass(frozen=True)
class Training:
    """The settings of a run; the defaults are Appendix C's.

    `steps` stops after so many batches, epoch after epoch if need be, instead of after `epochs`. On a GPU mixed
    precision is fp16; on a processor it is asked for with `bf16`, which pays where the hardware has it (AVX512-BF16).
    """

    augment: bool = True
    epochs: int = 1
    steps: int | None = None
    batch_size: int = 64
    learning_rate: float = 2e-5
    warmup: float = 0.05
    bf16: bool = False
    seed: int = 0


def pairs_from(named: Iterable[tuple[str, int]]) -> Pairs:
    """Pairs from (text, skill) tuples; empty texts and repeated pairs are left out."""
    kept = list(dict.fromkeys((text.strip(), int(skill)) for text, skill in named if text.strip()))
    texts, skills = zip(*kept, strict=True) if kept else ((), ())
    return Pairs(texts, np.array(skills, dtype=np.int64))


def load_pairs(kind: str, taxonomy: Taxonomy, profile: Profile) -> Pairs:
    """Training pairs of one kind; several are joined with +.

    "descriptions" and "altlabels" come from the taxonomy, "sentences" from a language model (the profile's), "distant"
    from literal matches in the profile's corpus (paper 1), and "skillskape" from SkillSkape, whose skills are the
    benchmarks' own: a result with it says so. A path names a reader's own store of replies (`generation`).
    """
    source = profile.sentences if kind == "sentences" else kind
    source = str(SAMPLE_REPLIES) if source == "sample" else source
    if kind == "descriptions":
        named = zip(taxonomy.descriptions, range(len(taxonomy)), strict=True)
    elif kind == "altlabels":
        named = ((name, skill) for skill, names in enumerate(taxonomy.alt_labels) for name in names)
    elif kind == "distant":
        sentences = load_corpus(profile.corpus).sentences
        found = LiteralMatcher(reliable_names(taxonomy)).labels(sentences)
        named = ((text, skill) for text, skills in zip(sentences, found, strict=True) for skill in skills)
    elif source in ("synthetic", "skillskape"):
        index_of = taxonomy.index_of
        named = ((text, index_of[label]) for text, label in load_labelled(source) if label in index_of)
    elif source.endswith(".jsonl"):
        found = sentences_of(row for row in read_store(source) if row["prompt_version"] == "v2")
        if not found:
            raise InputError(f"{source}: no reply to prompt v2")
        if unknown := found.keys() - taxonomy.index_of.keys():
            raise InputError(f"{source}: skill {min(unknown)!r} is not in the taxonomy {taxonomy.name}")
        named = ((text, taxonomy.index_of[label]) for label, texts in found.items() for text in texts)
    else:
        raise InputError(f"no training data {kind!r}; choose one of {', '.join(PAIRS)}, or a .jsonl store of replies")
    return pairs_from(named)


def batches(skills: np.ndarray, training: Training) -> Iterator[tuple[int, np.ndarray]]:
    """The batches of a run as (epoch, indices of pairs): full ones, no two pairs of a skill in any.

    Each epoch is shuffled anew by (seed, epoch). What does not fill a batch waits for the next epoch, and is left
    out after the last one: of a skill with more pairs than there are batches, that is the rest.
    """
    size = min(training.batch_size, len(np.unique(skills)))
    if size < 2:
        raise InputError("contrastive training needs pairs of at least two skills")
    epoch, done, waiting = 0, 0, np.zeros(0, dtype=np.int64)
    while done < training.steps if training.steps else epoch < training.epochs:
        rng = np.random.default_rng([training.seed, epoch])
        waiting = np.concatenate([waiting, rng.permutation(len(skills))])
        while len(waiting) >= size and (not training.steps or done < training.steps):
            for front in (waiting[: 4 * size], waiting):  # all that waits, if there are many repeats in front
                first = np.sort(np.unique(skills[front], return_index=True)[1])[:size]
                if len(first) == size:
                    break
            else:
                break
            yield epoch, waiting[first]
            done += 1
            waiting = np.delete(waiting, first)
        epoch += 1


def augmented(pairs: Pairs, batch: np.ndarray, rng: np.random.Generator) -> list[str]:
    """Each text with another one in front or behind, half and half, whose skill is not in the batch (section 2.3)."""
    others = _outside(rng, len(pairs), len(batch), lambda drawn: np.isin(pairs.skills[drawn], pairs.skills[batch]))
    texts = []
    for own, other, in_front in zip(batch, others, rng.random(len(batch)) < 0.5, strict=True):
        order = (own,) if other < 0 else (other, own) if in_front else (own, other)
        texts.append(" ".join(pairs.texts[i] for i in order))
    return texts


def _outside(rng: np.random.Generator, n: int, size: int, forbidden: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`size` draws from range(n) that are not forbidden; -1 where none was found (there may be none)."""
    drawn = rng.integers(n, size=size)
    for _ in range(100):
        wrong = forbidden(drawn)
        if not wrong.any():
            return drawn
        drawn[wrong] = rng.integers(n, size=wrong.sum())
    return np.where(forbidden(drawn), -1, drawn)


def layout(
    pairs: Pairs, labels: Sequence[str], training: Training, related: Sequence[np.ndarray] | None = None
) -> tuple[dict[str, list[str]], int]:
    """Every row of the run in order, and the batch size: columns "sentence" (the query), "skill" (its label).

    With `related` (see `negatives.related_skills`) also "negative": the label of a related skill that is no label of
    the batch; of any other skill where there is none. A pure function of its arguments, so that a run that was
    interrupted sees the same rows again.
    """
    rows: dict[str, list[str]] = {"sentence": [], "skill": []} | ({"negative": []} if related is not None else {})
    size = 0
    for number, (epoch, batch) in enumerate(batches(pairs.skills, training)):
        rng = np.random.default_rng([training.seed, epoch, number])
        size, own = len(batch), pairs.skills[batch]
        rows["sentence"] += augmented(pairs, batch, rng) if training.augment else [pairs.texts[i] for i in batch]
        rows["skill"] += [labels[skill] for skill in own]
        if related is not None:
            anywhere = _outside(rng, len(labels), size, lambda drawn, own=own: np.isin(drawn, own))
            for skill, other in zip(own, anywhere, strict=True):
                hard = np.setdiff1d(related[skill], own)
                rows["negative"].append(labels[rng.choice(hard) if len(hard) else other])
    return rows, size


def train(
    encoder: SentenceTransformer,
    pairs: Pairs,
    labels: Sequence[str],
    out: str | Path | None = None,
    training: Training = Training(),
    related: Sequence[np.ndarray] | None = None,
    validate: Callable[[SentenceTransformer], float] | None = None,
) -> tuple[SentenceTransformer, list[dict]]:
    """Train a copy of the encoder with multiple negatives ranking loss (section 2.3, Appendix C).

    `labels` are the skills' preferred labels in taxonomy order; with `related` skills of each skill, every pair gets
    a hard negative as well (papers 1 and 2 joined). The encoder is kept in the folder `out`, if one is given; until
    the end `<out>.partial` holds what an interrupted run goes on from. If the same training is there it is read.
    `validate` is called with the encoder after every tenth of the run.

    Under `torchrun` each batch is shared out among the processes, and in-batch negatives come from all of it, so that
    the run is the one of a single process up to the draws of dropout; the first process alone writes. As with all of
    PyTorch's process groups, the script should end with `torch.distributed.destroy_process_group()`.

    Returns the trained encoder and the history: {"step", "loss"} and {"step", "validation"} entries in order.
    Raises InputError for too few skills, or when `out` holds something else.
    """
    rows, size = layout(pairs, labels, training, related)
    if not size:
        raise InputError("not one full batch: give more pairs, or a smaller batch size")
    facts = dataclasses.asdict(training) | {
        "steps": len(rows["skill"]) // size,
        "encoder": identity(encoder),
        "rows_sha256": sha256_texts([text for column in rows.values() for text in column]),
        "device": encoder.device.type,
    }
    if out is None:
        with tempfile.TemporaryDirectory() as folder:
            return _run(encoder, rows, size, facts, Path(folder), validate, keep=False)
    out = Path(out)
    partial = out.with_name(out.name + ".partial")
    processes = PartialState(cpu=encoder.device.type == "cpu")
    with processes.main_process_first():
        for folder in (out, partial):
            if folder.exists() and _told(folder)["facts"] != facts:
                raise InputError(f"{folder} holds something else than this training; remove it or name another folder")
        if not (done := out.exists()):
            _tell(partial, facts, [])
    if not done:
        trained, history = _run(encoder, rows, size, facts, partial, validate, keep=True)
        if processes.is_main_process:
            trained.save(str(partial / "model"), create_model_card=False)
            _tell(partial / "model", facts, history)
            os.replace(partial / "model", out)
            shutil.rmtree(partial)
        processes.wait_for_everyone()
    return load_encoder(str(out), encoder.device.type), _told(out)["history"]


def _tell(folder: Path, facts: dict, history: list[dict]) -> None:
    with atomic_write(folder / "training.json") as file:
        json.dump({"facts": facts, "history": history}, file, indent=1)


def _told(folder: Path) -> dict:
    path = folder / "training.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"facts": None}


def _run(
    encoder: SentenceTransformer,
    rows: dict[str, list[str]],
    size: int,
    facts: dict,
    folder: Path,
    validate: Callable[[SentenceTransformer], float] | None,
    keep: bool,
) -> tuple[SentenceTransformer, list[dict]]:
    import transformers
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from transformers.trainer_utils import get_last_checkpoint

    steps = facts["steps"]
    model = copy.deepcopy(encoder)  # the one that came in may be in use, and its embeddings are cached
    model.model_card_data.widget = [{}]  # no model card is written; looking for examples for it would draw a bar
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,  # the rows hold all epochs, one after the other
        per_device_train_batch_size=size,
        accelerator_config={"split_batches": True},  # a batch is a batch, however many processes share it
        batch_sampler=_in_order,
        learning_rate=facts["learning_rate"],
        weight_decay=0.01,  # what sentence-transformers' own training had when the paper was written
        warmup_steps=round(facts["warmup"] * steps),
        fp16=model.device.type == "cuda" and not facts["bf16"],
        bf16=facts["bf16"],
        use_cpu=model.device.type == "cpu",
        seed=facts["seed"],
        logging_steps=max(1, steps // 60),
        save_strategy="steps" if keep else "no",
        save_steps=max(1, -(-steps // 10)),
        save_total_limit=1,
        report_to="none",
        disable_tqdm=bool(os.environ.get("TQDM_DISABLE")),
        dataloader_pin_memory=model.device.type == "cuda",
    )

    class Validation(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **_) -> None:  # noqa: ANN001  (as the base class has them)
            if validate is not None and (state.global_step % max(1, steps // 10) == 0 or state.global_step == steps):
                model.eval()
                state.log_history.append({"step": state.global_step, "validation": validate(model)})
                model.train()

    whole = ByLength(model) if model.device.type == "cpu" else model
    loss = MultipleNegativesRankingLoss(whole, scale=SCALE, gather_across_devices=arguments.world_size > 1)
    data = Dataset.from_dict(rows)
    trainer = SentenceTransformerTrainer(model, arguments, data, loss=loss, callbacks=[Validation()])
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)))
    told = [entry for entry in trainer.state.log_history if "loss" in entry or "validation" in entry]
    return model.eval(), [{k: entry[k] for k in ("step", "loss", "validation") if k in entry} for entry in told]


def _in_order(dataset, batch_size: int, drop_last: bool, **_) -> torch.utils.data.BatchSampler:  # noqa: ANN001
    return torch.utils.data.BatchSampler(torch.utils.data.SequentialSampler(dataset), batch_size, drop_last)


class ByLength(torch.nn.Module):
    """An encoder that runs a batch in parts of like length: the same embeddings, with less time spent on padding."""

    def __init__(self, model: SentenceTransformer, parts: int = 8) -> None:
        super().__init__()
        self.model, self.parts = model, parts

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Token features (n, length) in, {"sentence_embedding": (n, dimension)} out."""
        lengths = features["attention_mask"].sum(dim=1)
        parts = lengths.argsort().chunk(self.parts)
        tokens = {name: value for name, value in features.items() if getattr(value, "ndim", 0) == 2}
        embeddings = [
            self.model({name: value[part, : lengths[part].max()] for name, value in tokens.items()}) for part in parts
        ]
        whole = torch.cat([part["sentence_embedding"] for part in embeddings])
        return {"sentence_embedding": whole[torch.cat(parts).argsort()]}


class BiEncoder(Ranker):
    """Rank skills by the cosine between the embeddings of the sentence and of the skill's names.

    `names`: "label" (the preferred label, as in the paper), "max" (the best of all names), or "mix" (the mean of both).
    """

    def __init__(self, encoder: SentenceTransformer, taxonomy: Taxonomy, names: str = "label") -> None:
        if names not in NAMES:
            raise InputError(f"no names {names!r}; choose one of: {', '.join(NAMES)}")
        self.encoder, self.names = encoder, names
        self.label_embeddings = encode(encoder, taxonomy.labels)  # (n_labels, dimension), unit length
        if names != "label":
            every = [(label, *others) for label, others in zip(taxonomy.labels, taxonomy.alt_labels, strict=True)]
            self.first = np.cumsum([0, *map(len, every)])[:-1]
            self.name_embeddings = encode(encoder, [name for group in every for name in group])

    def rank(self, sentences: Sequence[str], k: int) -> Ranking:
        """The k best skills of each sentence; see `Ranker`. All are encoded first, for blocks would pad more."""
        return rank_in_blocks(self._score, encode(self.encoder, sentences), k)

    def _score(self, queries: np.ndarray) -> np.ndarray:
        if self.names == "label":
            return queries @ self.label_embeddings.T
        best = np.maximum.reduceat(queries @ self.name_embeddings.T, self.first, axis=1)
        return best if self.names == "max" else (best + queries @ self.label_embeddings.T) / 2
