"""The client against a real model server: `transformers serve` with a tiny model of random weights, offline."""

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from helpers.extraction.generation import generate, is_refusal, parse_reply, read_store, requests_for
from helpers.taxonomy import load_taxonomy

# What the model has words for, list marks included: so its replies are lists of nonsense.
TEXTS = ["\n- You bake bread for our guests \n- you lay bricks", "\n- Experience with Java and the will to learn"]
CHAT = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}"


def build_model(folder):
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    tokenizer.train_from_iterator(TEXTS, trainers.WordLevelTrainer(special_tokens=["<unk>", "</s>"]))
    names = {"unk_token": "<unk>", "eos_token": "</s>", "pad_token": "</s>"}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=CHAT, **names)
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(wrapped), max_position_embeddings=2048, **shape, **ids))
    model.generation_config.do_sample = True
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """URL, model and log of a running server."""
    folder = tmp_path_factory.mktemp("served")
    model, log = folder / "model", folder / "server.log"
    build_model(model)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model), "--host", "127.0.0.1"]
    command += ["--port", port, "--device", "cpu", "--default-seed", "0"]
    with open(log, "wb") as file:
        server = subprocess.Popen(command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, stdout=file, stderr=file)
    try:
        end = time.monotonic() + 120
        while True:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1", model, log
    finally:
        server.kill()
        server.wait(30)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_real_model_server_is_asked_and_its_replies_are_stored_and_parsed(served, tmp_path, monkeypatch, version):
    url, model, log = served
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("SKILLBOOK_LLM", str(model))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    requests = requests_for(load_taxonomy("sample"), [0, 1, 2], version)
    counts = asyncio.run(generate(requests, tmp_path / "s.jsonl"))
    rows = read_store(tmp_path / "s.jsonl")
    assert counts["replies"] == 3, (counts, log.read_text())
    assert {row["skill"] for row in rows} == {request.skill for request in requests}
    assert all(row["usage"]["prompt_tokens"] > 0 and row["usage"]["completion_tokens"] > 0 for row in rows)
    assert counts["refused"] == sum(is_refusal(row["reply"]) for row in rows)
    found = [sentence for row in rows for sentence in parse_reply(row["reply"])]
    words = set(" ".join(TEXTS).split())
    assert found
    assert all(set(sentence.split()) <= words for sentence in found)
    assert asyncio.run(generate(requests, tmp_path / "s.jsonl"))["already there"] == 3
