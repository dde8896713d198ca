"""Chat models: what is sent, and every way in which an endpoint fails, in words."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from mocoop.errors import UserError
from mocoop.template_making.asking import SYSTEM, Wish, ask_for_templates, question, some_names
from mocoop.template_making.calls import calls_from, candidates_of, check_any
from mocoop.template_making.candidates import Judged
from mocoop.template_making.chat import ChatModel, shown_address
from mocoop.template_making.factors import FACTORS
from tests.support.chat_server import TEMPLATES, Behaviour, factor_in, running_chat

KEY = "sk-very-secret-0123456789"


@pytest.fixture(scope="module")
def server():
    with running_chat() as found:
        yield found


@pytest.fixture
def chat(server, monkeypatch):
    """A model behind the stand-in server, the server, and the waits that were asked for."""
    kind, url = server
    kind.script.clear()
    kind.asked.clear()
    monkeypatch.setenv("MOCOOP_CHAT_KEY", f"{KEY}\n")  # as in many files with a key
    waits: list[float] = []
    return ChatModel("stand-in", url, 20, waits.append), kind, waits


def test_an_answer_is_streamed(chat):
    model, server, _ = chat
    server.script += [Behaviour("ein Foto, 写真 …"), Behaviour("whole", streams=False)]
    reply = model.ask("system", "prompt", 7)
    assert (reply.text, reply.ended) == ("ein Foto, 写真 …", "stop")
    assert reply.settings == {"temperature": 0.8, "seed": 7}
    assert model.ask("system", "prompt", 7).text == "whole"
    sent = server.asked[0]
    assert sent["stream"]
    assert sent["model"] == "stand-in"
    assert [m["content"] for m in sent["messages"]] == ["system", "prompt"]
    assert sent["authorization"] == f"Bearer {KEY}"


def test_a_refusal_is_an_answer(chat):
    model, server, _ = chat
    server.script.append(
        Behaviour("I cannot help with that.", refusal=True, ended="content_filter")
    )
    reply = model.ask("s", "p", 1)
    assert (reply.text, reply.ended) == ("I cannot help with that.", "content_filter")


def test_busy_endpoints_are_asked_again(chat):
    model, server, waits = chat
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    server.script += [
        Behaviour(status=429, headers={"Retry-After": "2.5"}),
        Behaviour(status=503),
        Behaviour(status=429, headers={"Retry-After": later}),
        Behaviour("at last"),
    ]
    assert model.ask("s", "p", 1).text == "at last"
    assert waits[:2] == [2.5, 2.0]
    assert 20 < waits[2] <= 30
    for odd, seconds in (("Wed, 21 Oct 2026 07:28:00 -0000", 0.0), (f"Wed, 1 Oct {10**20}", 1.0)):
        waits.clear()
        server.script += [
            Behaviour(status=429, headers={"Retry-After": odd}), Behaviour("at last"),
        ]  # fmt: skip
        assert model.ask("s", "p", 1).text == "at last"
        assert waits == [seconds]
    server.script.append(Behaviour(status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(UserError, match="asks to wait for 3600 seconds"):
        model.ask("s", "p", 1)
    server.script += [Behaviour("slow down", status=429)] * 4
    with pytest.raises(UserError, match=r"refuses more requests \(429\): .*slow down"):
        model.ask("s", "p", 1)
    spent = json.dumps({"error": {"message": "no money", "code": "insufficient_quota"}})
    server.script.append(Behaviour(status=429, body=spent))
    waits.clear()
    with pytest.raises(UserError, match="no money"):
        model.ask("s", "p", 1)
    assert not waits


def test_settings_that_an_endpoint_refuses_are_left_out(chat):
    model, server, _ = chat
    server.script += [Behaviour("Unsupported value: 'temperature'", status=400), Behaviour("fine")]
    assert model.ask("s", "p", 3).settings == {"seed": 3}
    assert "temperature" not in server.asked[1]
    server.script.append(Behaviour("prompt too long", status=400))
    with pytest.raises(UserError, match=r"refuses the request \(400\): .*prompt too long"):
        model.ask("s", "p", 3)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (Behaviour(f"Incorrect key: {KEY}", status=401), r"not let you in with this key \(401\)"),
        (Behaviour("no such model", status=404), "has no model 'stand-in'"),
        (Behaviour(f"bad {KEY} here", status=418), r"\(418\): .*bad \[key\] here"),
        (Behaviour(body="<html>hello</html>", kind="text/html"), "not in the protocol of OpenAI"),
        (Behaviour(body="data: nonsense\n\n", kind="text/event-stream"), "not in the protocol"),
        (
            Behaviour(
                body='data: {"error": {"message": "out of memory"}}\n\n', kind="text/event-stream"
            ),
            "stopped with an error: .*out of memory",
        ),
        (Behaviour("some text", breaks=True), "broke off during an answer"),
    ],
)  # fmt: skip
def test_failures_are_sentences(behaviour, words, chat):
    model, server, _ = chat
    server.script += [behaviour, behaviour]
    with pytest.raises(UserError, match=words) as caught:
        model.ask("s", "p", 1)
    assert KEY not in str(caught.value)


def test_slow_answers(server, monkeypatch):
    """Neither silence nor a trickle holds a command for longer than it was allowed."""
    kind, url = server
    kind.script[:] = [Behaviour("abc", wait=0.6), Behaviour("abcdef", wait=0.15)]
    model = ChatModel("stand-in", url, 0.3)
    for _ in range(2):
        start = time.monotonic()
        with pytest.raises(UserError, match=r"took longer than 0.3 seconds"):
            model.ask("s", "p", 1)
        assert time.monotonic() - start < 2


def test_no_endpoint(monkeypatch):
    monkeypatch.delenv("MOCOOP_CHAT_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "")
    model = ChatModel("stand-in", "http://user:pass@127.0.0.1:9/v1?key=1")
    with pytest.raises(UserError, match=r"No chat model answers at http://127.0.0.1:9/v1\."):
        model.ask("s", "p", 1)
    assert shown_address("https://me:secret@host:8/v1/?api-key=x") == "https://host:8/v1"


def keep_all(candidates):
    return [Judged(one.template, one.factor) for one in candidates]


def test_every_call_is_kept(chat):
    model, _server, _ = chat
    names = [f"class {number}" for number in range(30)]
    seen: list[tuple[int, int]] = []
    calls = ask_for_templates(
        model, Wish("cups at home", samples=2, seed=5), names, keep_all, lambda *n: seen.append(n)
    )
    assert [call.factor for call in calls] == [f.key for f in FACTORS for _ in range(2)]
    assert [call.settings["seed"] for call in calls[:2]] == [5, 6]
    assert seen[-1] == (14, 14)
    assert {call.round for call in calls} == {1}
    first = calls[0]
    assert (first.system, first.model, first.url) == (SYSTEM, "stand-in", model.url)
    assert datetime.fromisoformat(first.date).tzinfo is not None
    assert "cups at home" in first.prompt
    assert sum(name in first.prompt.replace(",", " ,").split("\n")[1] for name in names) >= 10
    assert TEMPLATES["medium"][0] in calls[2].prompt  # what is there already
    assert {c.template for c in candidates_of(calls)} == {
        t for ts in TEMPLATES.values() for t in ts
    }
    stored = json.loads(json.dumps([call.to_dict() for call in calls]))
    assert calls_from(stored, "f") == calls
    assert KEY not in json.dumps(stored)
    del stored[1]["answer"]
    with pytest.raises(UserError, match="f: expected every call with factor, round, model"):
        calls_from(stored, "f")
    with pytest.raises(UserError, match="has no answers of a model to replay"):
        calls_from([], "f")


def test_factors_without_a_template_are_asked_again(chat):
    model, _server, _ = chat

    def judge(candidates):
        return [
            Judged(c.template, c.factor, "refused" if c.factor == "number" else "")
            for c in candidates
        ]

    calls = ask_for_templates(model, Wish(samples=1), ["cat", "dog"], judge)
    assert [call.factor for call in calls[7:]] == ["number", "number"]
    assert [call.round for call in calls[7:]] == [2, 3]
    assert len({call.settings["seed"] for call in calls[6:]}) == 3


def test_a_model_that_offers_nothing_is_asked_one_round(chat):
    model, server, _ = chat
    server.script += [Behaviour("I am sorry, I cannot do that.")] * 7
    calls = ask_for_templates(model, Wish(samples=1), ["cat", "dog"], keep_all)
    assert len(calls) == 7
    with pytest.raises(UserError, match=r"7 answers have no template in them.*I am sorry"):
        check_any(calls, candidates_of(calls))


def test_the_question():
    text = question(FACTORS[0], Wish("pets"), ["siamese_cat"], ["a {}."])
    assert factor_in(text) == "medium"
    assert "siamese cat" in text
    assert text.endswith("do not repeat them: a {}.")
    assert some_names("abcdefghijklmno", 3) == some_names("abcdefghijklmno", 3)
    assert len(some_names("abcdefghijklmno", 3)) == 10
