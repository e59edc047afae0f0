"""Prompts as the paper has them, replies parsed, and a client that loses nothing it has paid for."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_server import KEY, LlmServer

from helpers.extraction.generation import (
    Request,
    estimate,
    generate,
    is_refusal,
    messages_for,
    parse_reply,
    read_batch,
    read_store,
    requests_for,
    sentences_of,
    write_batch,
)
from helpers.files import InputError
from helpers.taxonomy import load_taxonomy


def asks(*skills, version="v2"):
    return [Request(s, f"id:{s}", version, messages_for(s, f"All about {s}.", 2, version), 2) for s in skills]


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("SKILLBOOK_LLM", raising=False)


@pytest.fixture
def server(monkeypatch):
    with LlmServer() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


def run(*arguments, **settings):
    return asyncio.run(generate(*arguments, **settings))


# The prompts of Appendix B


def test_the_first_prompt_is_a_request_after_two_demonstrations():
    chat = messages_for("Erlang", "not used", 10, "v1")
    assert [message["role"] for message in chat] == ["user", "assistant", "user", "assistant", "user"]
    assert chat[0]["content"] == "Write two sentences from job ads that require the skill Java."
    assert chat[-1]["content"] == "Write 10 sentences from job ads that require the skill Erlang."
    assert "not used" not in json.dumps(chat)


def test_the_second_prompt_adds_a_system_message_and_definitions():
    chat = messages_for("Erlang", "A language for telephones.", 10, "v2")
    assert [message["role"] for message in chat] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert "hypothetical job ads" in chat[0]["content"]
    assert chat[-1]["content"] == "Number of sentences: 10\nSkill: Erlang\nDefinition: A language for telephones."
    assert chat[1]["content"].startswith("Number of sentences: 2\nSkill: Java\nDefinition: ")


def test_both_prompts_show_the_same_answers():
    assert [m["content"] for m in messages_for("x", "", 2, "v1")][1::2] == [
        m["content"] for m in messages_for("x", "", 2, "v2")
    ][2::2]


def test_an_unknown_prompt_names_the_known_ones():
    with pytest.raises(InputError, match="v1, v2"):
        messages_for("x", "", version="v3")


def test_every_skill_gets_a_request_and_its_hash_depends_on_what_is_asked():
    taxonomy = load_taxonomy("sample")
    requests = requests_for(taxonomy)
    assert [request.skill for request in requests] == list(taxonomy.labels)
    assert len({request.messages_sha256 for request in requests}) == len(taxonomy)
    assert requests_for(taxonomy, [3])[0] == requests[3]
    assert requests_for(taxonomy, [3], n_sentences=5)[0].messages_sha256 != requests[3].messages_sha256


def test_the_estimate_multiplies_tokens_with_prices():
    requests = asks("bake bread", "lay bricks")
    numbers = estimate(requests, 1.0, 2.0)
    assert numbers["requests"] == 2
    assert numbers["tokens_out"] == 100
    assert numbers["cost"] == pytest.approx((numbers["tokens_in"] + 2 * 100) / 1e6)


def test_the_estimate_knows_how_many_sentences_each_request_asks_for():
    taxonomy = load_taxonomy("sample")
    three, seven = requests_for(taxonomy, [0, 1], n_sentences=3), requests_for(taxonomy, [2], n_sentences=7)
    assert estimate(three + seven)["tokens_out"] == (2 * 3 + 7) * 25
    assert estimate(three, price_out=1e6)["cost"] == 2 * 3 * 25


# Parsing


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("**Here are 2 sentences:**\n\n1. Bake bread.\n2. Knead.", ["Bake bread.", "Knead."]),
        ("You bake.\n---\nYou knead.", ["You bake.", "---", "You knead."][::2]),
        ("We need Java.\n3.5 years of Java needed.", ["We need Java.", "3.5 years of Java needed."]),
        ("1. Java developer:\n   - Write code.", ["Write code."]),
        ("* **Baker:** You bake.", ["Baker: You bake."]),
        ("- bake bread\n- knead dough", ["bake bread", "knead dough"]),
        ("1. Bake bread.\n2) Knead dough.\n(3) Prove it.", ["Bake bread.", "Knead dough.", "Prove it."]),
        ("Sure! Here they are:\n\n* **Bake bread**\n\n• Knead\n\nHope this helps!", ["Bake bread", "Knead"]),
        ("```\n- Bake bread\n```", ["Bake bread"]),
        ('- "Bake bread."\n- “Knead dough.”', ["Bake bread.", "Knead dough."]),
        ("- Bake bread\n- Bake bread\n-\n- ---", ["Bake bread"]),
        ("Bake bread for us.\nKnead dough for us.", ["Bake bread for us.", "Knead dough for us."]),
        ("- We cannot wait to meet you!", ["We cannot wait to meet you!"]),
        ("- 5 years of baking", ["5 years of baking"]),
        ("", []),
        ("I'm sorry, but there is not enough information about this skill.", []),
        ("It is highly unlikely that job ads ask for this.", []),
        ("I’m not familiar with ResDiary. Could you tell me more?", []),
    ],
)
def test_replies_are_parsed(reply, expected):
    assert parse_reply(reply) == expected


REFUSALS = [
    "I'm sorry, I cannot write sentences about this skill.",
    "I am sorry, but there is not enough information.",
    "I do not have information about ResDiary.",
    "I don’t have enough context to write job ads for GP.",
    "I couldn't find any job ads that require Snoezelen.",
    "As an AI language model, I cannot browse job ads.",
    "Unfortunately, I am not aware of such a skill.",
    "My apologies, this one is new to me.",
    "I apologize, but apostille is not a skill.",
    "I have no information about IDDSI.",
    "The term GP is unclear.",
    "Apostille is not a skill that employers ask for.",
    "Please provide more context.",
    "It is unlikely that job ads mention Snoezelen.",
]
# What a job ad may well say. None is a refusal, whatever its words.
TRICKY = [
    "For more information contact our HR team.",
    "We can't wait to meet you!",
    "You clarify unclear terms in contracts with the client.",
    "As an AI engineer, you bring language models into production.",
    "You provide customers with more information about our products.",
    "We cannot offer this post to applicants without a licence.",
    "You are able to work alone and not afraid of heights.",
    "You check reports for insufficient or ambiguous details.",
    "I can't wait to welcome you in my bakery.",
    "Unfortunately parking is not possible on site.",
    "You apologise to guests when an order is late and put it right.",
    "You look after people who are unable to move themselves.",
    "Don't apply without a portfolio.",
]


@pytest.mark.parametrize("form", ["{}", "- {}", "1. {}", '"{}"', '- "{}"', "```\n{}\n```", "{}\n\nWhat does it mean?"])
@pytest.mark.parametrize("text", REFUSALS[:10])
def test_a_model_that_speaks_of_itself_refuses_in_any_form(text, form):
    assert is_refusal(form.format(text))
    assert parse_reply(form.format(text)) == []


@pytest.mark.parametrize("text", REFUSALS)
def test_a_plain_line_about_what_was_asked_is_a_refusal(text):
    assert parse_reply(text) == []
    assert parse_reply(text + "\nIt may stand for several things.") == []


@pytest.mark.parametrize("text", TRICKY)
def test_a_sentence_of_an_ad_is_no_refusal(text):
    assert parse_reply(text) == [text]
    assert parse_reply("- " + text) == [text]


@given(st.permutations(TRICKY), st.integers(1, len(TRICKY)))
def test_no_plain_list_of_sentences_of_an_ad_is_a_refusal(sentences, n):
    assert parse_reply("\n".join(sentences[:n])) == sentences[:n]


@given(st.sampled_from(REFUSALS), st.lists(st.sampled_from(TRICKY), min_size=2, unique=True))
def test_a_list_of_three_or_more_is_never_a_refusal(text, others):
    assert len(parse_reply("\n".join(f"- {line}" for line in [text, *others]))) == 1 + len(others)


def test_a_list_is_no_refusal_even_if_it_says_sorry():
    assert not is_refusal("I'm sorry for the wait:\n- bake bread")
    assert is_refusal("   \n")


@given(
    st.lists(st.text(st.characters(categories=["L"]), min_size=3, max_size=30), min_size=1, max_size=12, unique=True)
)
def test_any_bulleted_list_comes_back(sentences):
    for bullet in ("- ", "* ", "• ", "–"):
        assert parse_reply("\n".join(bullet + sentence for sentence in sentences)) == sentences


@given(st.text(max_size=300))
def test_parsing_takes_any_text(reply):
    found = parse_reply(reply)
    assert len(set(found)) == len(found)
    assert all("\n" not in sentence and sentence.strip() for sentence in found)
    assert is_refusal(reply) == (not found), "a reply either has sentences or counts as refused"


# The store


def test_replies_are_stored_with_their_keys_and_without_the_key(server, tmp_path):
    counts = run(asks("bake bread", "lay bricks"), tmp_path / "s.jsonl", model="tiny")
    assert counts == {"already there": 0, "replies": 2, "refused": 0, "not asked": 0}
    rows = read_store(tmp_path / "s.jsonl")
    assert [set(row) for row in rows] == [
        {"prompt_version", "model", "skill", "skill_id", "messages_sha256", "reply", "usage", "created"}
    ] * 2
    row = next(row for row in rows if row["skill"] == "bake bread")
    assert (row["skill_id"], row["model"], row["prompt_version"]) == ("id:bake bread", "tiny", "v2")
    assert row["usage"] == {"prompt_tokens": 100, "completion_tokens": 50}
    assert sentences_of(rows)["bake bread"] == ["somebody to bake bread", "you bake bread"]
    assert KEY not in (tmp_path / "s.jsonl").read_text()


def test_what_is_there_is_not_asked_again(server, tmp_path):
    run(asks("a", "b"), tmp_path / "s.jsonl")
    counts = run(asks("a", "b", "c"), tmp_path / "s.jsonl")
    assert (counts["already there"], counts["replies"]) == (2, 1)
    assert server.asked == {"a": 1, "b": 1, "c": 1}
    run(asks("a"), tmp_path / "s.jsonl", model="another")
    run(asks("a", version="v1"), tmp_path / "s.jsonl")
    assert server.asked["a"] == 3, "another model or prompt is another question"


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_torn_last_line_is_cut_off_and_asked_again(server, tmp_path, cut):
    store = tmp_path / "s.jsonl"
    run(asks("a", "b"), store, concurrency=1)
    store.write_bytes(store.read_bytes()[:-cut])
    assert [row["skill"] for row in read_store(store)] in (["a"], ["a", "b"])
    run(asks("a", "b"), store)
    assert sorted(row["skill"] for row in read_store(store)) == ["a", "b"]
    assert store.read_bytes().endswith(b"\n")


def test_damage_in_the_middle_names_its_line(tmp_path):
    store = tmp_path / "s.jsonl"
    store.write_text('{"a": 1}\n{"b": 2}\n')
    with pytest.raises(InputError, match="line 1: not a stored reply"):
        read_store(store)


def test_a_store_that_is_not_there_is_empty(tmp_path):
    assert read_store(tmp_path / "none.jsonl") == []


# A server that misbehaves


@pytest.mark.parametrize("mishap", [[429], [500, 503], ["drop"], ["drop", 429]])
def test_passing_trouble_is_waited_out(server, tmp_path, mishap):
    server.plan["a"] = list(mishap)
    begun = time.monotonic()
    counts = run(asks("a"), tmp_path / "s.jsonl")
    assert counts["replies"] == 1
    assert server.asked["a"] == len(mishap) + 1
    if 429 in mishap:
        assert time.monotonic() - begun >= 1, "Retry-After was one second"


@pytest.mark.parametrize("mishap", [500, "hang", "drop", "malformed", "html", "no choices", 400])
def test_lasting_trouble_is_counted_and_the_others_go_on(server, tmp_path, mishap, capfd):
    server.plan["a"] = [mishap] * 5
    counts = run(asks("a", "b"), tmp_path / "s.jsonl", max_retries=1, timeout=0.5)
    assert counts["replies"] == 1
    assert sum(n for kind, n in counts.items() if kind.startswith("failed: ")) == 1
    assert [row["skill"] for row in read_store(tmp_path / "s.jsonl")] == ["b"]
    assert KEY not in str(counts) + "".join(capfd.readouterr())
    server.plan.clear()
    assert run(asks("a", "b"), tmp_path / "s.jsonl")["replies"] == 1, "what failed is asked again"


def test_refusals_and_empty_replies_are_kept_and_counted(server, tmp_path):
    server.plan |= {"a": ["refuse"], "b": ["empty"]}
    counts = run(asks("a", "b", "c"), tmp_path / "s.jsonl")
    assert (counts["replies"], counts["refused"]) == (3, 2)
    assert sentences_of(read_store(tmp_path / "s.jsonl"))["a"] == []
    assert run(asks("a", "b", "c"), tmp_path / "s.jsonl")["already there"] == 3, "they were paid for"


def test_a_wrong_key_is_one_clear_line_that_does_not_show_it(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with pytest.raises(InputError, match="OPENAI_API_KEY") as error:
        run(asks("a", "b", "c"), tmp_path / "s.jsonl")
    assert "wrong" not in str(error.value).replace(str(tmp_path), "")


def test_an_unknown_model_is_one_clear_line(server, tmp_path):
    server.plan["a"] = [404]
    with pytest.raises(InputError, match="SKILLBOOK_LLM"):
        run(asks("a"), tmp_path / "s.jsonl")


@pytest.mark.parametrize("url", ["localhost:9999/v1", "ftp://me:secret@example.org", "http:///v1", "api.openai.com"])
def test_a_url_that_is_none_is_one_clear_line_that_does_not_show_it(monkeypatch, tmp_path, url):
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(InputError, match="OPENAI_BASE_URL must begin with http:// or https://") as error:
        run(asks("a"), tmp_path / "s.jsonl")
    assert url not in str(error.value)
    assert not (tmp_path / "s.jsonl").exists()


def test_an_empty_url_is_as_good_as_none(server, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    monkeypatch.setattr("helpers.extraction.generation.OPENAI_URL", server.url)  # instead of the real one
    assert run(asks("a"), tmp_path / "s.jsonl", max_retries=0)["replies"] == 1
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(InputError, match="no endpoint"):
        run([], tmp_path / "s.jsonl")


def test_one_forbidden_prompt_does_not_stop_the_others(server, tmp_path):
    server.plan["a"] = [403]
    counts = run(asks("a", "b", "c"), tmp_path / "s.jsonl")
    assert (counts["replies"], counts["failed: PermissionDeniedError"]) == (2, 1)


@pytest.mark.parametrize("status", [400, 403])
def test_a_run_where_nothing_works_any_more_stops_early_and_says_what_is_safe(server, tmp_path, status):
    skills = [str(i) for i in range(60)]
    server.plan |= {skill: [status] for skill in skills[3:]}
    with pytest.raises(InputError, match=r"20 requests in a row failed.* 3 replies are safe in .*same command goes on"):
        run(asks(*skills), tmp_path / "s.jsonl", concurrency=4)
    assert sum(server.asked.values()) < 40  # 3 replies, 20 failures in a row, a few before the last reply and in flight
    server.plan.clear()
    counts = run(asks(*skills), tmp_path / "s.jsonl")
    assert (counts["already there"], counts["replies"]) == (3, 57)


def test_many_failures_with_replies_between_do_not_stop_a_run(server, tmp_path):
    skills = [str(i) for i in range(60)]
    server.plan |= {skill: [400] for skill in skills[::2]}
    counts = run(asks(*skills), tmp_path / "s.jsonl", concurrency=4)
    assert (counts["replies"], counts["failed: BadRequestError"]) == (30, 30)


def test_an_outage_that_hits_all_that_is_in_flight_once_does_not_stop_a_run(monkeypatch, tmp_path):
    skills = [str(i) for i in range(60)]
    with LlmServer({skill: [400] for skill in skills[:25]}, latency=0.1) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        counts = run(asks(*skills), tmp_path / "s.jsonl", concurrency=25)
    assert (counts["replies"], counts["failed: BadRequestError"]) == (35, 25)


def test_an_account_without_money_stops_the_run_at_once(server, tmp_path):
    skills = [str(i) for i in range(60)]
    server.plan |= {skill: ["quota"] * 2 for skill in skills[3:]}
    with pytest.raises(InputError, match=r"insufficient_quota.* 3 replies are safe in .*same command goes on") as error:
        run(asks(*skills), tmp_path / "s.jsonl", concurrency=4, max_retries=0)
    assert KEY not in str(error.value)
    assert sum(server.asked.values()) <= 3 + 1 + 3


def test_what_stopped_a_run_is_said_even_if_something_still_hangs(server, tmp_path):
    server.plan |= {"a": ["hang"] * 9, "b": [404]}
    with pytest.raises(InputError, match="SKILLBOOK_LLM"):
        run(asks("a", "b"), tmp_path / "s.jsonl", timeout=0.4)


def test_a_folder_is_no_store(server, tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        run(asks("a"), tmp_path)
    assert not server.asked


def test_without_an_endpoint_nothing_is_tried(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(InputError, match="OPENAI_API_KEY, or OPENAI_BASE_URL"):
        run(asks("a"), tmp_path / "s.jsonl")


# Limits


@pytest.mark.parametrize("usage", [{}, {"total_tokens": 150}, {"prompt_tokens": None, "completion_tokens": None}, None])
def test_a_server_that_does_not_count_tokens_loses_nothing(server, tmp_path, usage):
    server.usage = usage
    counts = run(asks("a", "b"), tmp_path / "s.jsonl", budget=9.0, prices=(1, 1))
    assert counts["replies"] == 2
    assert [row["usage"] for row in read_store(tmp_path / "s.jsonl")] == [None, None]


def test_what_is_in_flight_when_one_request_is_refused_is_still_stored(monkeypatch, tmp_path):
    with LlmServer({"0": [404]}, latency=0.3) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        with pytest.raises(InputError):
            run(asks(*map(str, range(30))), tmp_path / "s.jsonl", concurrency=6)
        assert len(read_store(tmp_path / "s.jsonl")) == sum(server.asked.values()) - 1 >= 5


def test_the_same_question_twice_is_asked_once(server, tmp_path):
    assert run(asks("a", "a", "a"), tmp_path / "s.jsonl")["replies"] == 1
    assert server.asked["a"] == 1


@pytest.mark.parametrize("limit", [{"max_requests": -1}, {"budget": float("nan"), "prices": (1, 1)}])
def test_limits_that_are_no_limits_are_refused(server, tmp_path, limit):
    with pytest.raises(InputError):
        run(asks("a"), tmp_path / "s.jsonl", **limit)
    assert not server.asked


def test_no_more_requests_than_allowed(server, tmp_path):
    counts = run(asks(*"abcde"), tmp_path / "s.jsonl", max_requests=2)
    assert (counts["replies"], counts["not asked"]) == (2, 3)


@pytest.mark.parametrize(("tokens", "expected"), [(50, 5), (500, 1), (5, 8)])
def test_the_budget_is_kept_and_used(server, tmp_path, tokens, expected):
    # 100 tokens in at 1,000 and `tokens` out at 2,000 a million: a reply costs 0.2, 1.1 or 0.11.
    server.tokens_out = tokens
    budget = 1.15
    counts = run(asks(*"abcdefgh"), tmp_path / "s.jsonl", budget=budget, prices=(1000, 2000), concurrency=4)
    spent = sum(
        (row["usage"]["prompt_tokens"] * 1000 + row["usage"]["completion_tokens"] * 2000) / 1e6
        for row in read_store(tmp_path / "s.jsonl")
    )
    assert spent <= budget
    assert counts["replies"] >= min(expected, 2)
    assert counts["replies"] + counts["not asked"] == 8


def test_the_first_guess_of_a_cost_knows_how_many_sentences_are_asked_for(server, tmp_path):
    taxonomy = load_taxonomy("sample")  # 25 tokens a sentence: 0.05 for two, 0.25 for ten
    for n_sentences, replies in ((10, 0), (2, 1)):
        requests = requests_for(taxonomy, [0], n_sentences=n_sentences)
        assert run(requests, tmp_path / "s.jsonl", budget=0.1, prices=(0, 1000))["replies"] == replies


def test_a_run_that_has_reached_its_budget_ends_whatever_the_replies_cost(server, tmp_path):
    tick = itertools.count(1)
    server.latency, server.tokens_out = 0.02, lambda: 40 + 7 * (next(tick) ** 2 % 13) + 3 * next(tick)
    for number, price in enumerate((300.1, 77.7)):  # sums of such prices leave a remainder when taken apart again
        asked = generate(
            asks(*map(str, range(60))),
            tmp_path / f"{number}.jsonl",
            concurrency=6,
            budget=price * 0.003,
            prices=(price / 3, price),
            timeout=2,
        )
        counts = asyncio.run(asyncio.wait_for(asked, 20))
        assert counts["replies"] > 5
        assert counts["not asked"] == 60 - counts["replies"]


def test_a_budget_without_prices_is_refused(server, tmp_path):
    with pytest.raises(InputError, match="prices"):
        run(asks("a"), tmp_path / "s.jsonl", budget=1.0)


def test_concurrency_is_bounded(monkeypatch, tmp_path):
    with LlmServer(latency=0.05) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        run(asks(*map(str, range(24))), tmp_path / "s.jsonl", concurrency=6)
        assert 2 <= server.most_in_flight <= 6


# Interrupted


SCRIPT = """
import asyncio, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what was started in the background ignores it
sys.path.insert(0, {tests!r})
from test_generation import asks
from helpers.extraction.generation import generate
asyncio.run(generate(asks(*map(str, range(40))), {store!r}, concurrency=4))
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_run_loses_nothing_and_repeats_at_most_what_was_in_flight(tmp_path, monkeypatch, how):
    store = tmp_path / "s.jsonl"
    with LlmServer(latency=0.1) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        script = SCRIPT.format(tests=os.path.dirname(__file__), store=str(store))
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
        while len(read_store(store)) < 8:
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.02)
        process.send_signal(how)
        process.wait(30)
        before = len(read_store(store))
        assert 8 <= before < 40
        run(asks(*map(str, range(40))), store)
        rows = read_store(store)
        assert sorted(int(row["skill"]) for row in rows) == list(range(40))
        assert sum(server.asked.values()) <= 40 + (4 if how == signal.SIGKILL else 0)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_two_processes_do_not_write_to_one_store_and_a_killed_one_leaves_it_free(tmp_path, monkeypatch):
    store = tmp_path / "s.jsonl"
    with LlmServer(latency=0.2) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        script = SCRIPT.format(tests=os.path.dirname(__file__), store=str(store))
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
        while len(read_store(store)) < 4:
            assert process.poll() is None, "the run ended too early"
            time.sleep(0.02)
        with pytest.raises(InputError, match=r"another run is writing to .*s\.jsonl"):
            run(asks("mine"), store)
        (tmp_path / "results.jsonl").write_text(result_line(asks("mine")[0]) + "\n")
        with pytest.raises(InputError, match="another run is writing to"):
            read_batch(tmp_path / "results.jsonl", asks("mine"), store)
        assert process.poll() is None, "the other run should still be there"
        assert server.asked["mine"] == 0
        assert run(asks("mine"), tmp_path / "another.jsonl")["replies"] == 1
        process.kill()
        process.wait(30)
        assert run(asks("mine"), store)["replies"] == 1
        assert len({row["skill"] for row in read_store(store)}) == len(read_store(store))


def test_two_runs_in_one_process_do_not_pay_twice_either(server, tmp_path):
    async def both():
        runs = (generate(asks("a", "b"), tmp_path / "s.jsonl") for _ in range(2))
        return await asyncio.gather(*runs, return_exceptions=True)

    first, second = asyncio.run(both())
    assert first["replies"] == 2
    assert isinstance(second, InputError)
    assert server.asked == {"a": 1, "b": 1}


# The Batch API


def result_line(request, model="tiny-2026-01-01", content="- bake bread", **more):
    body = {"model": model, "choices": [{"message": {"content": content}}], "usage": {"prompt_tokens": 3}}
    return json.dumps({"custom_id": request.messages_sha256, "response": {"body": body}, "error": None} | more)


def test_a_batch_file_holds_one_request_a_line(tmp_path):
    requests = asks("bake bread", "lay bricks")
    write_batch(requests, tmp_path / "batch.jsonl", model="tiny")
    lines = [json.loads(line) for line in (tmp_path / "batch.jsonl").read_text().splitlines()]
    assert [line["custom_id"] for line in lines] == [request.messages_sha256 for request in requests]
    assert lines[0]["url"] == "/v1/chat/completions"
    assert lines[0]["body"] == {"model": "tiny", "messages": list(requests[0].messages)}


def test_the_results_of_a_batch_go_into_the_same_store(server, tmp_path):
    store, results = tmp_path / "s.jsonl", tmp_path / "results.jsonl"
    a, b, c = asks("a", "b", "c")
    lines = [result_line(a), result_line(b, error={"code": "x"}), result_line(asks("stranger")[0]), result_line(a)]
    results.write_text("\n".join(lines[:3]) + "\n")
    counts = read_batch(results, [a, b, c], store, model="tiny")
    assert (counts["replies"], counts["failed: error in the batch"], counts["failed: unknown id"]) == (1, 1, 1)
    assert read_batch(results, [a, b, c], store, model="tiny")["already there"] == 1
    assert run([a, b, c], store, model="tiny")["already there"] == 1
    assert {row["skill"] for row in read_store(store)} == {"a", "b", "c"}


def test_a_file_that_is_no_batch_result_names_the_line(tmp_path):
    (tmp_path / "r.jsonl").write_text('{"no": "id"}\n')
    with pytest.raises(InputError, match="line 1"):
        read_batch(tmp_path / "r.jsonl", asks("a"), tmp_path / "s.jsonl")
