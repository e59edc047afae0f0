"""Embeddings of skills (paper 3, section 2.2.1): Word2Vec and SkillBERT, learnt from requisitions alone.

An embedding is a function of n texts that gives a float32 array (n, dimension). A pretrained one is
`functools.partial(helpers.encoders.encode, encoder)`.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import snowballstemmer
import torch
from tokenizers import BertWordPieceTokenizer, Tokenizer
from transformers import BertConfig, BertForMaskedLM
from transformers.utils import logging

from helpers.data.requisitions import MOST
from helpers.encoders import computed_dir
from helpers.files import InputError, atomic_write, require_writable, sha256_texts

Embedding = Callable[[Sequence[str]], np.ndarray]
# Short on purpose: longer lists hold "system", "it" and "fire", which are what a skill is about.
STOP_WORDS = {"a", "an", "and", "as", "at", "by", "for", "from", "in", "into", "of", "on", "or", "the", "to", "with"}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(5)
TRAINED_BY = 1  # raise it when `_train` or what it calls changes: models of older code are then not read any more
LENGTH = 128  # tokens of a requisition, as in the paper; what follows is cut off


@dataclass(frozen=True)
class BertTraining:
    """Size and training of a SkillBERT. The paper has 12 layers of 768, and a learning rate of 0.01.

    BERT masks single tokens, as the paper did; with `whole_skills` all tokens of a skill are masked together, so that
    none gives another away. `bf16` is mixed precision on a processor, which pays where the hardware has it.
    """

    layers: int = 2
    hidden: int = 128
    vocabulary: int = 4000
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 1e-3
    whole_skills: bool = False
    bf16: bool = False
    seed: int = 0


def stemmed(skill: str) -> str:
    """The skill as Word2Vec knows it: in lower case, without stop words, every word stemmed.

    >>> stemmed("Managing the Teams")
    'manag team'
    """
    words = skill.casefold().split()
    return " ".join(snowballstemmer.stemmer("english").stemWords([w for w in words if w not in STOP_WORDS] or words))


def word2vec(requisitions: Sequence[Sequence[str]], dimension: int = 30, epochs: int = 5, seed: int = 0) -> Embedding:
    """Train Word2Vec (gensim's CBOW, one worker): a word is a whole skill, `stemmed`; its context, the requisition.

    A text that is no such skill (unseen, or a group's name) gets the mean over those it shares a stemmed word with;
    zeros if there are none.
    """
    from gensim.models import Word2Vec

    jobs = [[stemmed(skill) for skill in job] for job in requisitions]
    if not any(map(any, jobs)):
        raise InputError("no requisition with a skill to learn an embedding from")
    model = Word2Vec(jobs, vector_size=dimension, window=MOST, min_count=1, workers=1, epochs=epochs, seed=seed)
    vector = dict(zip(model.wv.index_to_key, model.wv.vectors, strict=True))

    def embed(texts: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(texts), dimension), dtype=np.float32)
        for row, text in enumerate(map(stemmed, texts)):
            like = [text] if text in vector else [skill for skill in vector if {*skill.split()} & {*text.split()}]
            found[row] = np.mean([vector[skill] for skill in like], axis=0) if like else 0
        return found

    return embed


class SkillBert:
    """A SkillBERT in the folder where `train_skillbert` left it; `history` is its loss as {"step", "loss"} entries."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        logging.disable_progress_bar()  # "Loading weights" would stand in a notebook's output
        self.model = BertForMaskedLM.from_pretrained(folder, use_safetensors=True).float().eval()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.history = json.loads((folder / "history.json").read_text(encoding="utf-8"))

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Each text alone: the mean of the last hidden layer over its tokens; zeros if it has none."""
        vectors = np.zeros((len(texts), self.model.config.hidden_size), dtype=np.float32)
        for start in range(0, len(texts), 256):
            ids = _padded([[tokens] for tokens in _tokens(self.tokenizer, texts[start : start + 256])])
            own = ((ids > MASK) | (ids == UNK)).unsqueeze(2)
            hidden = self.model.bert(ids, attention_mask=ids != PAD).last_hidden_state
            vectors[start : start + 256] = (hidden * own).sum(1) / own.sum(1).clamp(min=1)
        return vectors

    @torch.inference_mode()
    def fill_mask(self, job: Sequence[str], candidates: Sequence[str], k: int = 5) -> list[tuple[str, float]]:
        """The k candidates that go best with a job's skills, each with the mean log probability of its tokens.

        A candidate of m tokens is read off m masks that stand beside the skills. So a mean is over few tokens or many,
        and m itself is a hint: scores of candidates with as many tokens are comparable, others only roughly.
        """
        found, tokens = [], _tokens(self.tokenizer, candidates)
        for m in sorted({*map(len, tokens)} - {0}):
            ids = _padded([[[MASK] * m, *_tokens(self.tokenizer, job)]])
            scores = self.model(ids).logits[0, 1 : m + 1].log_softmax(dim=1)
            asked = [i for i, own in enumerate(tokens) if len(own) == m]
            found += [(candidates[i], scores[range(m), tokens[i]].mean().item()) for i in asked]
        return sorted(found, key=lambda pair: -pair[1])[:k]


def train_skillbert(
    requisitions: Sequence[Sequence[str]], training: BertTraining = BertTraining(), cache: str | Path | None = None
) -> SkillBert:
    """Train a WordPiece tokenizer and a BERT masked-language model from scratch, the skills shuffled in every epoch.

    `cache` is a folder of trained models (in half precision), by default in the computed files: the same call reads its
    model there, or goes on where it was interrupted. Raises InputError for requisitions without a skill.
    """
    jobs = [job for job in ([text for text in job if text.strip()] for job in requisitions) if job]
    if not jobs:
        raise InputError("no requisition with a skill to learn an embedding from")
    made_by = [] if TRAINED_BY == 1 else [f"code {TRAINED_BY}"]  # the first code stands in no model's name
    key = sha256_texts([repr(training), str(torch.cuda.is_available()), *made_by, *map(json.dumps, jobs)])[:16]
    folder = Path(cache or computed_dir() / "skillbert") / key
    if not folder.exists():
        partial = folder.with_name(f"{key}.partial")
        require_writable(partial, "SKILLBOOK_COMPUTED")
        _train(jobs, training, partial)
        os.replace(partial / "model", folder)
        shutil.rmtree(partial)
    return SkillBert(folder)


def _train(jobs: list[list[str]], training: BertTraining, folder: Path) -> None:
    """Leave model, tokenizer and history in `folder/model`, and on the way checkpoints in `folder`."""
    import transformers
    from transformers.trainer_utils import get_last_checkpoint

    skills = sorted({skill for job in jobs for skill in job})
    tokenizer = _train_tokenizer([skill for job in jobs for skill in job], training.vocabulary)
    ids_of = dict(zip(skills, _tokens(tokenizer, skills), strict=True))
    n_tokens, cuda = tokenizer.get_vocab_size(), torch.cuda.is_available()

    def batch(rows: list[int]) -> dict[str, torch.Tensor]:
        """Jobs, masked. Chance comes from which jobs meet, so that a resumed run sees what it would have seen."""
        rng = np.random.default_rng([training.seed, *rows])
        ids = _padded([[ids_of[skill] for skill in rng.permutation(jobs[row])] for row in rows])
        # Chances are a token's, or a skill's, which [SEP] ends. 15% are asked for, and at least one of each job.
        one = (ids == SEP).cumsum(dim=1) if training.whole_skills else torch.arange(ids.shape[1]).expand(ids.shape)
        draws, fate = (torch.from_numpy(rng.random(ids.shape)).gather(1, one) for _ in range(2))
        draws += ids <= MASK
        asked = ((draws < 0.15) | (draws == draws.amin(dim=1, keepdim=True))) & (ids > MASK)
        labels = ids.masked_fill(~asked, -100)
        # As in BERT: 80% of these are masked, 10% are replaced by any token, 10% stay.
        other = torch.from_numpy(rng.integers(MASK + 1, n_tokens, ids.shape))
        ids = torch.where(asked & (fate < 0.1), other, ids).masked_fill(asked & (fate >= 0.2), MASK)
        return {"input_ids": ids, "attention_mask": (ids != PAD).long(), "labels": labels}

    transformers.set_seed(training.seed)
    heads = max(1, training.hidden // 64)
    config = BertConfig(
        vocab_size=n_tokens, hidden_size=training.hidden, num_hidden_layers=training.layers,
        num_attention_heads=heads, intermediate_size=4 * training.hidden, max_position_embeddings=LENGTH,
    )  # fmt: skip
    model = BertForMaskedLM(config)
    order = _by_length([sum(len(ids_of[skill]) for skill in job) for job in jobs], training)
    steps = -(-len(order) // training.batch_size)
    arguments = transformers.TrainingArguments(
        str(folder), num_train_epochs=1, per_device_train_batch_size=training.batch_size,
        learning_rate=training.learning_rate, weight_decay=0.01, warmup_steps=steps // 10, seed=training.seed,
        use_cpu=not cuda, fp16=cuda and not training.bf16, bf16=training.bf16, dataloader_pin_memory=cuda,
        remove_unused_columns=False, save_steps=max(1, steps // 10), save_total_limit=1,
        logging_steps=max(1, steps // 60), report_to="none", disable_tqdm=bool(os.environ.get("TQDM_DISABLE")),
    )  # fmt: skip

    class InOrder(transformers.Trainer):
        def _get_train_sampler(self, *_: object) -> torch.utils.data.Sampler:
            return torch.utils.data.SequentialSampler(order)

    trainer = InOrder(model, arguments, data_collator=batch, train_dataset=order)
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(folder))
    history = [{"step": told["step"], "loss": told["loss"]} for told in trainer.state.log_history if "loss" in told]
    with atomic_write(folder / "model" / "history.json") as file:
        json.dump(history, file)
    tokenizer.save(str(folder / "model" / "tokenizer.json"))
    model.half().save_pretrained(folder / "model")


def _by_length(lengths: Sequence[int], training: BertTraining) -> list[int]:
    """The jobs in training order, epoch after epoch: shuffled, but of like length within a batch, to pad little."""
    rng, size, order = np.random.default_rng(training.seed), training.batch_size, []
    for _ in range(training.epochs):
        for some in np.array_split(rng.permutation(len(lengths)), -(-len(lengths) // (50 * size))):
            ordered = some[np.argsort(np.asarray(lengths)[some], kind="stable")]
            batches = np.split(ordered, range(size, len(ordered), size))
            order += [int(job) for i in rng.permutation(len(batches)) for job in batches[i]]
    return order


def _train_tokenizer(texts: list[str], size: int) -> BertWordPieceTokenizer:
    """WordPiece, the same each time: the trainer numbers what goes on a word ("##e") at random unless it is given."""
    trained = BertWordPieceTokenizer()
    letters = sorted(set().union(*map(trained.normalize, set(texts))))
    special = [*SPECIAL, *(f"##{letter}" for letter in letters if letter.strip())]
    trained.train_from_iterator(texts, size, special_tokens=special, show_progress=False)
    return BertWordPieceTokenizer(trained.get_vocab())


def _tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    return [found.ids for found in tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def _padded(jobs: Sequence[Sequence[Sequence[int]]]) -> torch.Tensor:
    """Jobs of skills of tokens to a tensor (n_jobs, length): [CLS] first, [SEP] after every skill."""
    rows = [[CLS, *(token for skill in job for token in (*skill, SEP))][:LENGTH] for job in jobs]
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=PAD)
