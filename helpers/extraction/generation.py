"""Training sentences from a language model (paper 2, sections 2.1 and 2.2, Appendices A and B).

One request a skill: a prompt, a reply, a line in a store of JSON lines that is appended as replies come. What has been
paid for is never lost, and a run that was interrupted goes on where it stopped. Replies are data: parsed, never run.
"""

import asyncio
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout
from tqdm import tqdm

from helpers.files import InputError, atomic_write
from helpers.taxonomy import Taxonomy

# A small model that is served today; SKILLBOOK_LLM names another. The paper's gpt-3.5-turbo-0301 is retired.
DEFAULT_MODEL = "gpt-5-mini"
OPENAI_URL = "https://api.openai.com/v1"
TOKENS_PER_SENTENCE = 25  # of a reply, for the estimate before any usage is known
MANY_FAILURES = 20  # in a row, or twice the requests in flight if that is more: then nothing works
# The chats of Appendix B. The paper gives its demonstrations' definitions only in part; these two are ours.
_CHATS = json.loads((Path(__file__).parent / "prompts.json").read_text(encoding="utf-8"))
PROMPTS = tuple(_CHATS)


@dataclass(frozen=True)
class Request:
    """One question to the model: the chat messages that ask for sentences of one skill."""

    skill: str
    skill_id: str
    prompt_version: str
    messages: tuple[dict[str, str], ...]
    n_sentences: int = 10

    @property
    def messages_sha256(self) -> str:
        """Hash of the messages: with the model, what a reply in the store answers."""
        return hashlib.sha256(json.dumps(self.messages, ensure_ascii=False).encode()).hexdigest()


def messages_for(skill: str, definition: str, n_sentences: int = 10, version: str = "v2") -> tuple[dict[str, str], ...]:
    """The chat of Appendix B: two demonstrations, then the request. "v1" has no definition and no system message."""
    if version not in PROMPTS:
        raise InputError(f"no prompt {version!r}; choose one of: {', '.join(PROMPTS)}")

    given = {"n": n_sentences, "skill": skill, "definition": definition}
    return tuple({**message, "content": message["content"].format(**given)} for message in _CHATS[version])


def requests_for(
    taxonomy: Taxonomy, skills: Iterable[int] | None = None, version: str = "v2", n_sentences: int = 10
) -> list[Request]:
    """One request for each skill (taxonomy indices; all of them by default)."""
    found = []
    for i in range(len(taxonomy)) if skills is None else skills:
        messages = messages_for(taxonomy.labels[i], taxonomy.descriptions[i], n_sentences, version)
        found.append(Request(taxonomy.labels[i], taxonomy.ids[i], version, messages, n_sentences))
    return found


def estimate(requests: Sequence[Request], price_in: float = 0.0, price_out: float = 0.0) -> dict[str, float]:
    """Requests, tokens (four characters each) and cost before anything is spent; prices are for a million tokens."""
    tokens_in = sum(len(message["content"]) // 4 + 4 for request in requests for message in request.messages)
    tokens_out = sum(request.n_sentences for request in requests) * TOKENS_PER_SENTENCE
    cost = (tokens_in * price_in + tokens_out * price_out) / 1e6
    return {"requests": len(requests), "tokens_in": tokens_in, "tokens_out": tokens_out, "cost": cost}


def parse_reply(reply: str) -> list[str]:
    """The sentences of a reply, in order, each once: without bullets, numbers and quotes; [] for a refusal.

    If any line has a bullet or a number, only such lines count: what stands around them is preamble. Otherwise every
    line is a sentence. A refusal speaks of itself ("I cannot ...") in its first line, or in one or two plain lines of
    what was asked ("this skill is unclear"); a list of three or more is none.

    >>> parse_reply('Sure! Here are two:\\n1. "Bake bread."\\n2. Knead dough')
    ['Bake bread.', 'Knead dough']
    """
    lines = [line.strip() for line in reply.splitlines()]
    lines = [line for line in lines if line and not line.startswith("```")]
    listed = [match[1] for line in lines if (match := _LISTED.match(line))]
    found = [line for line in listed or lines if not line.strip("*_ ").endswith(":")]  # headings
    found = [line.replace("**", "").strip().strip("\"“”'*_").strip() for line in found]
    found = list(dict.fromkeys(line for line in found if re.search(r"\w", line)))
    first = found[0].replace("’", "'") if found else ""
    if not (listed and len(found) > 2) and _OF_ITSELF.search(first):
        return []
    return [] if not listed and len(found) < 3 and _OF_THE_REQUEST.match(first) else found


_LISTED = re.compile(r"^(?:[-•–—]|\*(?!\*)|\(?\d{1,3}[.):](?!\d))\s*(.*\w.*)$")
_OF_ITSELF = re.compile(
    r"(?i)^(?:sorry|(?:my )?apologies)\b|\bI(?:'m|'ve| am| was| have)? (?:\w+ly )?(?:sorry|afraid|apologi[sz]e|no|not"
    r"|un(?:able|sure|aware|familiar)|can(?:not| not|'t)|(?:could|do|did)(?:n't| not))\b(?! (?:wait|only|just))"
)
_OF_THE_REQUEST = re.compile(  # both in one sentence, the first
    r"(?i)^(?=[^.?!]*\b(?:unclear|unlikely|ambiguous|insufficient|clarify|not (?:an?|enough|clear|typically|possible)"
    r"|more (?:context|information|details))\b)[^.?!]*\b(?:job ads?|(?:this|the|an?) (?:\w+ )?(?:skill|term)|context)\b"
)


def is_refusal(reply: str) -> bool:
    """Whether a reply holds no sentences: it says why there are none, or nothing at all."""
    return not parse_reply(reply)


def read_store(path: str | Path) -> list[dict]:
    """The replies of a store, [] if there is none, less a torn last line; InputError names the line of other damage."""
    path = Path(path)
    keys = {"prompt_version", "model", "skill", "messages_sha256", "reply"}
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True) if path.exists() else (), start=1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or not keys <= set(row):
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
    """Ask for what the store does not hold yet, and append each reply as it comes; one run at a time writes to a store.

    In a notebook `await generate(...)`; elsewhere `asyncio.run(generate(...))`. The endpoint is OPENAI_BASE_URL, or
    OpenAI's; the key OPENAI_API_KEY, which never reaches the store or a message. It stops after `max_requests`, or
    before another reply as dear as the dearest so far would pass the `budget`; `prices` are of a million tokens in and
    out, in the budget's currency. What a server bills for requests that fail is not known here.

    Counts "replies", "already there", "refused", "not asked" and "failed: ..." by kind. Raises InputError for no key
    or no URL, a budget without prices, another run on the same store, and for what makes going on pointless: a key or
    model that the server refuses, an empty account, MANY_FAILURES one after the other.
    """
    import openai

    if budget is not None and not (any(prices) and min(prices) >= 0 and 0 <= budget < float("inf")):
        raise InputError("a budget is a number, and needs prices: what a million tokens in and out cost")
    if concurrency < 1 or (max_requests is not None and max_requests < 1):
        raise InputError("the requests in flight and the most requests must be 1 or more")
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    url = os.environ.get("OPENAI_BASE_URL", "").strip() or OPENAI_URL
    if not key and url == OPENAI_URL:
        raise InputError("no endpoint: set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own")
    if not (key.isascii() and key.isprintable()):
        raise InputError("OPENAI_API_KEY holds characters that no key has; set it again")
    if not re.match(r"https?://[^/\s]", url):  # not shown: it may hold a password
        raise InputError("OPENAI_BASE_URL must begin with http:// or https://, as in http://localhost:8000/v1")
    model = model or os.environ.get("SKILLBOOK_LLM") or DEFAULT_MODEL
    counts: Counter = Counter()
    running: set[asyncio.Task] = set()
    asked, spent, failed_in_a_row, trouble = 0, 0.0, 0, ""

    async def ask(request: Request) -> dict[str, int]:
        answer = await client.chat.completions.create(model=model, messages=list(request.messages))
        return _keep(file, request, model, answer.model_dump(warnings=False), counts)

    def affordable() -> bool:
        # The first reply tells what one costs; later, what is in flight may turn out cheaper.
        known = counts["replies"] or not running
        return budget is None or (known and spent + (len(running) + 1) * dearest <= budget)

    with _appending(store) as (rows, file):
        done = {row["messages_sha256"] for row in rows if row["model"] == model}
        distinct = {request.messages_sha256: request for request in requests}
        todo = [request for question, request in distinct.items() if question not in done]
        counts["already there"] = len(distinct) - len(todo)
        most = len(todo[:max_requests])
        dearest = max((estimate([request], *prices)["cost"] for request in todo), default=0.0)  # a guess, at first
        client = openai.AsyncOpenAI(api_key=key or "none", base_url=url, max_retries=max_retries, timeout=timeout)
        with tqdm(total=most, desc="replies", delay=2, leave=False) as bar:
            try:
                while not trouble:
                    while asked < most and len(running) < concurrency and affordable():
                        running.add(asyncio.create_task(ask(todo[asked])))
                        asked += 1
                    if not running:
                        break
                    finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    bar.update(len(finished))
                    for task in finished:
                        if error := task.exception():
                            failed_in_a_row += 1
                            counts[f"failed: {type(error).__name__}"] += 1
                            trouble = trouble or _why_stop(error, failed_in_a_row, max(MANY_FAILURES, 2 * concurrency))
                            continue
                        failed_in_a_row, cost, used = 0, dearest, task.result()
                        if len(used) == 2:  # not every server counts tokens
                            cost = (used["prompt_tokens"] * prices[0] + used["completion_tokens"] * prices[1]) / 1e6
                        spent, dearest = spent + cost, max(dearest, cost)
            finally:
                if running:  # paid for: it still comes in, if it comes in time
                    _, hanging = await asyncio.wait(running, timeout=timeout)
                    for task in hanging:
                        task.cancel()
                    await asyncio.gather(*running, return_exceptions=True)
                await client.close()
    if trouble:
        safe = len(rows) + counts["replies"]
        raise InputError(f"{trouble}; {safe} replies are safe in {store}, and the same command goes on from there")
    counts["not asked"] = len(todo) - asked
    return counts


def _why_stop(error: BaseException, in_a_row: int, many: int) -> str:
    """Why going on is pointless after a request has failed, "" if it is not; raises what is no failure of a request.

    An error's own text may hold anything, the key too: only its kind and its code are looked at.
    """
    import openai

    if not isinstance(error, (openai.OpenAIError, *_NO_ANSWER)):
        raise error
    status = getattr(error, "status_code", None)
    if refused := {401: "key", 404: "model"}.get(status):
        return f"the server refused the {refused} (HTTP {status}): check SKILLBOOK_LLM, OPENAI_API_KEY, OPENAI_BASE_URL"
    if getattr(error, "code", None) == "insufficient_quota":
        return "the account's quota is used up (HTTP 429, insufficient_quota)"
    if in_a_row >= many:
        return f"{in_a_row} requests in a row failed, the last with {type(error).__name__}: check key and server"
    return ""


def write_batch(requests: Sequence[Request], path: str | Path, model: str | None = None) -> None:
    """A request file for OpenAI's Batch API: half the price, an answer within a day, at most 50,000 lines a file."""
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
    model = model or os.environ.get("SKILLBOOK_LLM") or DEFAULT_MODEL
    asked = {request.messages_sha256: request for request in requests}
    counts, lines = Counter(), Path(path).read_bytes().splitlines()
    with _appending(store) as (rows, file):
        done = {row["messages_sha256"] for row in rows if row["model"] == model}
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                request = asked.get(row["custom_id"])
                body = (row.get("response") or {}).get("body") or {}
                if request is None or row.get("error") or "choices" not in body:
                    counts["failed: unknown id" if request is None else "failed: error in the batch"] += 1
                elif request.messages_sha256 in done:
                    counts["already there"] += 1
                else:
                    _keep(file, request, model, body, counts)
                    done.add(request.messages_sha256)
            except _NO_ANSWER:
                raise InputError(f"{path}, line {number}: not a line of a batch's result file") from None
    return counts


_NO_ANSWER = (ValueError, LookupError, TypeError, AttributeError)  # what `_keep` raises for what is no response


def _keep(file: BinaryIO, request: Request, model: str, body: dict, counts: Counter) -> dict[str, int]:
    """Append a response to the store before anything else can fail, count it, and say which tokens it took."""
    usage = body.get("usage") or {}
    used = {name: usage[name] for name in ("prompt_tokens", "completion_tokens") if isinstance(usage.get(name), int)}
    row = {
        "prompt_version": request.prompt_version,
        "model": model,
        "skill": request.skill,
        "skill_id": request.skill_id,
        "messages_sha256": request.messages_sha256,
        "reply": "" + (body["choices"][0]["message"]["content"] or ""),  # TypeError if it is no text
        "usage": used or None,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    file.write((json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "replace"))
    file.flush()
    counts["replies"] += 1
    counts["refused"] += is_refusal(row["reply"])
    return used


@contextmanager
def _appending(store: str | Path) -> Iterator[tuple[list[dict], BinaryIO]]:
    """What a store holds, and the file to append to, for one process at a time; a torn last line is mended."""
    # The lock is the operating system's: it ends with the process, however that ends. Its empty file stays.
    path = Path(store).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise InputError(f"{store} is a folder; name a file for the replies")
    try:
        lock = FileLock(f"{path}.lock").acquire(timeout=0)
    except Timeout:
        raise InputError(f"another run is writing to {store}; the same command goes on when it has ended") from None
    with lock, open(path, "ab") as file:
        rows, content = read_store(path), path.read_bytes()
        if content and not content.endswith(b"\n"):
            if len(rows) > content.count(b"\n"):
                file.write(b"\n")  # the last line is whole, but without its end
            else:
                file.truncate(content.rfind(b"\n") + 1)
        yield rows, file
