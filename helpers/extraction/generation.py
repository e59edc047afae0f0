"""Training sentences from a language model (paper 2, sections 2.1 and 2.2, Appendices A and B).

One request a skill: a prompt, a reply, a line in a store of JSON lines that is appended as replies come. What has been
paid for is never lost, and a run that was interrupted goes on where it stopped. Replies are data: parsed, never run.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from helpers.files import InputError, atomic_write
from helpers.taxonomy import Taxonomy

# A small model that is served today; SKILLBOOK_LLM names another. The paper's gpt-3.5-turbo-0301 is retired.
DEFAULT_MODEL = "gpt-5-mini"
PROMPTS = ("v1", "v2")
TOKENS_PER_SENTENCE = 25  # of a reply, for the estimate before any usage is known

_JAVA = "- experience with Java development, preferably web-based\n- looking for a Java programmer this summer"
_PROJECTS = (
    "- successful project managers are able to manage multiple tasks and deadlines simultaneously\n"
    "- being able to effectively manage projects can give you valuable experience and skills"
)
_SYSTEM = "Respond with sentences from hypothetical job ads that require a certain skill, as asked by the user."
# The paper gives its demonstrations' definitions only in part; these two are ours.
_JAVA_DEFINITION = (
    "Writing, compiling, testing and maintaining programs in Java, and the principles behind the language."
)
_PROJECTS_DEFINITION = "Planning work with a goal and an end: time, people, money, and what to do when things change."


@dataclass(frozen=True)
class Request:
    """One question to the model: the chat messages that ask for sentences of one skill."""

    skill: str
    skill_id: str
    prompt_version: str
    messages: tuple[dict[str, str], ...]

    @property
    def messages_sha256(self) -> str:
        """Hash of the messages: with model and prompt version, what a reply in the store answers."""
        return hashlib.sha256(json.dumps(self.messages, ensure_ascii=False).encode()).hexdigest()


def messages_for(skill: str, definition: str, n_sentences: int = 10, version: str = "v2") -> tuple[dict[str, str], ...]:
    """The chat of Appendix B: two demonstrations, then the request. "v1" has no definition and no system message."""
    if version not in PROMPTS:
        raise InputError(f"no prompt {version!r}; choose one of: {', '.join(PROMPTS)}")

    def ask(n: str, name: str, meaning: str) -> str:
        if version == "v1":
            return f"Write {n} sentences from job ads that require the skill {name}."
        return f"Number of sentences: {'2' if n == 'two' else n}\nSkill: {name}\nDefinition: {meaning}"

    turns = [
        ("user", ask("two", "Java", _JAVA_DEFINITION)),
        ("assistant", _JAVA),
        ("user", ask("two", "project management", _PROJECTS_DEFINITION)),
        ("assistant", _PROJECTS),
        ("user", ask(str(n_sentences), skill, definition)),
    ]
    if version == "v2":
        turns.insert(0, ("system", _SYSTEM))
    return tuple({"role": role, "content": content} for role, content in turns)


def requests_for(
    taxonomy: Taxonomy, skills: Iterable[int] | None = None, version: str = "v2", n_sentences: int = 10
) -> list[Request]:
    """One request for each skill (taxonomy indices; all of them by default)."""
    return [
        Request(
            taxonomy.labels[i],
            taxonomy.ids[i],
            version,
            messages_for(taxonomy.labels[i], taxonomy.descriptions[i], n_sentences, version),
        )
        for i in (range(len(taxonomy)) if skills is None else skills)
    ]


def estimate(requests: Sequence[Request], n_sentences: int, price_in: float, price_out: float) -> dict[str, float]:
    """Requests, tokens in and out, and cost, before anything is spent. Prices are for a million tokens.

    Four characters count as one token, a usual rule of thumb for English.
    """
    tokens_in = sum(len(message["content"]) // 4 + 4 for request in requests for message in request.messages)
    tokens_out = len(requests) * n_sentences * TOKENS_PER_SENTENCE
    cost = (tokens_in * price_in + tokens_out * price_out) / 1e6
    return {"requests": len(requests), "tokens_in": tokens_in, "tokens_out": tokens_out, "cost": cost}


def parse_reply(reply: str) -> list[str]:
    """The sentences of a reply, in order, each once: without bullets, numbers and quotes; [] for a refusal.

    If any line has a bullet or a number, only such lines count: what stands around them is preamble. Otherwise every
    line is a sentence, unless the reply reads as a refusal.

    >>> parse_reply('Sure! Here are two:\\n1. "Bake bread."\\n2. Knead dough')
    ['Bake bread.', 'Knead dough']
    """
    lines = [line.strip() for line in reply.splitlines()]
    lines = [line for line in lines if line and not line.startswith("```")]
    listed = [match[1] for line in lines if (match := _LISTED.match(line))]
    if not listed:
        if is_refusal(reply):
            return []
        listed = lines
    listed = [line for line in listed if not line.strip("*_ ").endswith(":")]  # headings
    cleaned = (line.replace("**", "").strip().strip("\"“”'*_").strip() for line in listed)
    return list(dict.fromkeys(line for line in cleaned if re.search(r"\w", line)))


_LISTED = re.compile(r"^(?:[-•–—]|\*(?!\*)|\(?\d{1,3}[.):](?!\d))\s*(.*\w.*)$")
_REFUSAL = re.compile(
    r"\b(?:sorry|apologi[sz]e|unable|cannot|(?:can|could|do|did|am)n't|can't|as an ai|unclear|unlikely|clarify"
    r"|insufficient|not (?:sure|certain|aware|familiar|able|enough|sufficient|possible)"
    r"|more (?:context|information|details))\b",
    re.IGNORECASE,
)


def is_refusal(reply: str) -> bool:
    """Whether a reply holds no list and says why there is none (or says nothing at all)."""
    lines = [line.strip() for line in reply.splitlines() if line.strip()]
    return not any(map(_LISTED.match, lines)) and (not lines or bool(_REFUSAL.search(reply.replace("’", "'"))))


def read_store(path: str | Path) -> list[dict]:
    """The replies of a store, [] if there is none yet.

    A last line that was cut off in the middle is left out. Raises InputError, with the line, for any other damage.
    """
    path = Path(path)
    rows = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or not {"prompt_version", "model", "skill", "messages_sha256", "reply"} <= set(
                row
            ):
                raise ValueError
        except ValueError:
            if not line.endswith(b"\n"):
                break
            raise InputError(f"{path}, line {number}: not a stored reply; mend or remove the line") from None
        rows.append(row)
    return rows


def sentences_of(rows: Iterable[dict]) -> dict[str, list[str]]:
    """Parsed sentences for each skill's label, over all its replies; skills without any are there, with []."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["skill"], []).extend(parse_reply(row["reply"]))
    return {skill: list(dict.fromkeys(sentences)) for skill, sentences in found.items()}


async def generate(
    requests: Sequence[Request],
    store: str | Path,
    model: str | None = None,
    concurrency: int = 8,
    max_requests: int | None = None,
    budget: float | None = None,
    prices: tuple[float, float] = (0.0, 0.0),
    max_retries: int = 5,
    timeout: float = 60.0,
) -> Counter:
    """Ask for what the store does not hold yet, and append each reply as it comes.

    In a notebook `await generate(...)`; elsewhere `asyncio.run(generate(...))`. The endpoint is OPENAI_BASE_URL, or
    OpenAI's; the key OPENAI_API_KEY, which never reaches the store or a message.

    Parameters
    ----------
    concurrency : requests in flight
    max_requests, budget : stop after so many requests, or before another reply as dear as the dearest so far would pass
        the budget. The first reply is waited for alone. What a server bills for requests that fail is not known here
    prices : of a million tokens in and out, in the budget's currency
    max_retries, timeout : of the client, which waits as long as a server asks it to

    Returns
    -------
    Counter with "replies", "already there", "refused", "not asked" and "failed: ..." by kind.

    Raises
    ------
    InputError : no key, a key or model that the server refuses, or a budget without prices.
    """
    import openai
    from tqdm import tqdm

    if budget is not None and not (any(prices) and min(prices) >= 0 and 0 <= budget < float("inf")):
        raise InputError("a budget is a number, and needs prices: what a million tokens in and out cost")
    if max_requests is not None and max_requests < 1:
        raise InputError(f"at most {max_requests} requests: give 1 or more")
    if not os.environ.get("OPENAI_API_KEY") and not os.environ.get("OPENAI_BASE_URL"):
        raise InputError("no endpoint: set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own")
    model = model or os.environ.get("SKILLBOOK_LLM") or DEFAULT_MODEL
    store = Path(store)
    done = {(row["prompt_version"], row["model"], row["messages_sha256"]) for row in read_store(store)}
    distinct = {(r.prompt_version, model, r.messages_sha256): r for r in requests}
    todo = [request for key, request in distinct.items() if key not in done]
    counts = Counter({"already there": len(distinct) - len(todo)})
    _mend(store)
    key = os.environ.get("OPENAI_API_KEY", "").strip() or "none"
    if not (key.isascii() and key.isprintable()):
        raise InputError("OPENAI_API_KEY holds characters that no key has; set it again")
    waiting = iter(todo[:max_requests])
    spent = reserved = 0.0
    dearest = estimate(todo[:1], 10, *prices)["cost"]  # of a reply so far; at first a guess

    async def ask(client: openai.AsyncOpenAI, request: Request, file: BinaryIO) -> None:
        nonlocal spent, dearest
        try:
            answer = await client.chat.completions.create(model=model, messages=list(request.messages))
            reply, usage = answer.choices[0].message.content or "", answer.usage
            if not isinstance(reply, str):
                raise TypeError
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            what = "model" if isinstance(error, openai.NotFoundError) else "key"
            raise InputError(
                f"the server refused the {what} (HTTP {error.status_code}): check SKILLBOOK_LLM, OPENAI_API_KEY "
                "and OPENAI_BASE_URL"
            ) from None
        except (openai.OpenAIError, ValueError, AttributeError, TypeError, IndexError) as error:
            counts[f"failed: {type(error).__name__}"] += 1  # its text may hold anything, so it is not shown
            return
        names = ("prompt_tokens", "completion_tokens")
        used = {name: n for name in names if isinstance(n := getattr(usage, name, None), int)}
        file.write(_line(request, model, reply, used or None))  # before anything else can fail
        file.flush()
        counts["replies"] += 1
        counts["refused"] += is_refusal(reply)
        cost = (
            sum(used[name] * price for name, price in zip(names, prices, strict=True)) / 1e6
            if len(used) == 2
            else dearest
        )
        spent, dearest = spent + cost, max(dearest, cost)

    async def work(client: openai.AsyncOpenAI, file: BinaryIO, bar: tqdm) -> None:
        nonlocal reserved
        while (request := next(waiting, None)) is not None:
            while budget is not None and spent + reserved + dearest > budget:
                if not reserved:
                    return
                await asyncio.sleep(0.01)  # what is in flight may turn out cheaper
            held = dearest
            reserved += held
            try:
                await ask(client, request, file)
            finally:
                reserved -= held
                bar.update()

    client = openai.AsyncOpenAI(api_key=key, max_retries=max_retries, timeout=timeout)
    with open(store, "ab") as file, tqdm(total=len(todo[:max_requests]), desc="replies", delay=2, leave=False) as bar:
        if budget is not None and todo and dearest <= budget:
            await ask(client, next(waiting), file)  # alone: it tells what a reply costs
        workers = [asyncio.ensure_future(work(client, file, bar)) for _ in range(max(1, concurrency))]
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            waiting = iter(())  # nothing new; what is in flight is paid for, and still comes in
            await asyncio.wait(workers, timeout=timeout)
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await client.close()
        for worker in workers:
            worker.result()  # raises what a worker raised
    failed = sum(count for kind, count in counts.items() if kind.startswith("failed"))
    counts["not asked"] = len(todo) - counts["replies"] - failed
    return counts


def write_batch(requests: Sequence[Request], path: str | Path, model: str | None = None) -> None:
    """A request file for OpenAI's Batch API: half the price, an answer within a day, at most 50,000 lines a file."""
    if len(requests) > 50_000:
        raise InputError(f"{len(requests):,} requests: a batch file holds 50,000; write several")
    model = model or os.environ.get("SKILLBOOK_LLM") or DEFAULT_MODEL
    with atomic_write(path) as file:
        for request in requests:
            body = {"model": model, "messages": request.messages}
            line = {"custom_id": request.messages_sha256, "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def read_batch(path: str | Path, requests: Sequence[Request], store: str | Path, model: str | None = None) -> Counter:
    """Take the result file of a batch into the store; what is there already is left alone. Counts as `generate`.

    `model` is the one that `write_batch` named: the server's answer may carry a dated name of it.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path}: no such file; download the batch's result file")
    model = model or os.environ.get("SKILLBOOK_LLM") or DEFAULT_MODEL
    asked = {request.messages_sha256: request for request in requests}
    done = {row["messages_sha256"] for row in read_store(store) if row["model"] == model}
    _mend(Path(store))
    counts: Counter = Counter()
    with open(store, "ab") as file:
        for number, line in enumerate(_lines(Path(path)), start=1):
            try:
                row = json.loads(line)
                request = asked.get(row["custom_id"])
                body = (row.get("response") or {}).get("body") or {}
                if request is None or row.get("error") or "choices" not in body:
                    counts["failed: unknown id" if request is None else "failed: error in the batch"] += 1
                    continue
                reply = body["choices"][0]["message"]["content"] or ""
            except (ValueError, KeyError, TypeError, IndexError, AttributeError):
                raise InputError(f"{path}, line {number}: not a line of a batch's result file") from None
            if request.messages_sha256 in done:
                counts["already there"] += 1
                continue
            done.add(request.messages_sha256)
            usage = body.get("usage") or {}
            used = {name: usage[name] for name in ("prompt_tokens", "completion_tokens") if name in usage}
            file.write(_line(request, model, reply, used or None))
            counts["replies"] += 1
            counts["refused"] += is_refusal(reply)
    return counts


def _line(request: Request, model: str, reply: str, usage: dict | None) -> bytes:
    row = {
        "prompt_version": request.prompt_version,
        "model": model,
        "skill": request.skill,
        "skill_id": request.skill_id,
        "messages_sha256": request.messages_sha256,
        "reply": reply,
        "usage": usage,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _lines(path: Path) -> Iterator[bytes]:
    if path.exists():
        with open(path, "rb") as file:
            yield from file


def _mend(path: Path) -> None:
    """Give the last line its end if it is whole, or cut it off, so that the next one begins on a line of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole, torn = 0, b""
    for line in _lines(path):
        torn = b"" if line.endswith(b"\n") else line
        whole += len(line) - len(torn)
    if not torn:
        return
    try:
        json.loads(torn)
    except ValueError:
        os.truncate(path, whole)
    else:
        with open(path, "ab") as file:
            file.write(b"\n")
