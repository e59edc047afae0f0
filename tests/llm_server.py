"""A small server that speaks OpenAI's chat API over real HTTP and misbehaves on demand."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-secret-0123456789"


class LlmServer(ThreadingHTTPServer):
    """Answers each skill with two sentences; `plan[skill]` lists what happens first: a status, or a named mishap."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, plan: dict | None = None, latency: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.plan = {skill: list(steps) for skill, steps in (plan or {}).items()}
        self.latency = latency
        self.asked: Counter = Counter()
        self.tokens_out: int | Callable[[], int] = 50
        self.usage: dict | str | None = "counted"
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """What OPENAI_BASE_URL must be."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def __enter__(self) -> LlmServer:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body waits 40 ms for the client to confirm the headers
    server: LlmServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        skill = body["messages"][-1]["content"]
        skill = (
            skill.split("Skill: ")[-1].split("\n")[0] if "Skill: " in skill else skill.split("skill ")[-1].rstrip(".")
        )
        server = self.server
        with server.lock:
            server.asked[skill] += 1
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
            step = server.plan[skill].pop(0) if server.plan.get(skill) else "answer"
        try:
            time.sleep(server.latency)
            self.act(step, skill, body)
        finally:
            with server.lock:
                server.in_flight -= 1

    def act(self, step: int | str, skill: str, body: dict) -> None:
        if self.headers.get("Authorization") == "Bearer wrong":
            self.send(401, {"error": {"message": "Incorrect API key provided: wrong", "code": "invalid_api_key"}})
        elif step == "drop":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif step == "hang":
            time.sleep(2)
            self.close_connection = True
        elif step == "malformed":
            self.send(200, b'{"choices": [')
        elif step == "html":
            self.send(200, b"<html>captive portal</html>", kind="text/html")
        elif step == "no choices":
            self.send(200, {"id": "x", "object": "chat.completion", "choices": []})
        elif step == "quota":
            self.send(429, {"error": {"message": f"no money for {KEY}", "code": "insufficient_quota"}})
        elif isinstance(step, int):
            retry = {"Retry-After": "1"} if step == 429 else {}
            self.send(step, {"error": {"message": f"status {step} for key {KEY}"}}, **retry)
        else:
            texts = {
                "answer": f"- somebody to {skill}\n- you {skill}",
                "refuse": "I'm sorry, not enough context.",
                "empty": "",
            }
            message = {"role": "assistant", "content": texts[step]}
            out = self.server.tokens_out
            out = out() if callable(out) else out
            usage = {"prompt_tokens": 100, "completion_tokens": out, "total_tokens": 100 + out}
            self.send(
                200,
                {
                    "id": "x",
                    "object": "chat.completion",
                    "created": 0,
                    "model": body["model"],
                    "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                    "usage": usage if self.server.usage == "counted" else self.server.usage,
                },
            )

    def send(self, status: int, body: dict | bytes, kind: str = "application/json", **headers: str) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(raw)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Quiet."""
