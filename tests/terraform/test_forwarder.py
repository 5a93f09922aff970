"""The forwarder of uploads, against a server in place of RabbitMQ's management API. broker.sh has the real one."""

from __future__ import annotations

import base64
import contextlib
import http.server
import io
import json
import subprocess
import sys
import tempfile
import threading
import unittest
import zipfile
from pathlib import Path
from typing import ClassVar

SOURCE = Path(__file__).parents[2] / "infra/terraform/modules/uploads/forwarder"
sys.path.insert(0, str(SOURCE))

import forwarder  # noqa: E402


class Management(http.server.BaseHTTPRequestHandler):
    """Answers with the next of `answers`, and keeps the requests."""

    answers: ClassVar[list[tuple[int, bytes]]] = []
    requests: ClassVar[list[tuple[str, str, dict[str, object]]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.requests.append((self.path, self.headers["authorization"], body))
        status, answer = self.answers.pop(0)
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_arguments: object) -> None:
        pass


ROUTED = (200, b'{"routed":true}')


class Forwarder(unittest.TestCase):
    def setUp(self) -> None:
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Management)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        Management.requests = []
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def forward(self, answers: list[tuple[int, bytes]], *bodies: str) -> list[str]:
        """Returns the messages that failed; their identifiers are their numbers."""
        Management.answers = list(answers)
        broker = forwarder.Broker(self.url, "/", "scriptorium.uploads", "uploads", "pä:ss")
        messages = [{"messageId": str(number), "body": body} for number, body in enumerate(bodies)]
        with contextlib.redirect_stdout(io.StringIO()) as log:
            answer = forwarder.forward(broker, messages)
        self.log = json.loads(log.getvalue())
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def test_a_notification_is_published_as_it_is(self) -> None:
        body = '{"Records":[{"s3":{"object":{"key":"a+b%C3%BC.wav"}}}]}'
        self.assertEqual(self.forward([ROUTED], body), [])
        path, authorization, message = Management.requests[0]
        self.assertEqual(path, "/api/exchanges/%2F/scriptorium.uploads/publish")
        self.assertEqual(base64.b64decode(authorization.removeprefix("Basic ")).decode(), "uploads:pä:ss")
        self.assertEqual(message["payload"], body)
        self.assertEqual(message["payload_encoding"], "string")
        self.assertEqual(message["properties"]["delivery_mode"], 2)

    def test_what_was_not_published_comes_again(self) -> None:
        self.assertEqual(self.forward([ROUTED, (503, b"")], "a", "b", "c"), ["1", "2"])
        self.assertEqual(len(Management.requests), 2, "what stops one stops all")
        self.assertIn("503", self.log["error"])

    def test_a_message_that_reached_no_queue_is_not_lost(self) -> None:
        self.assertEqual(self.forward([(200, b'{"routed":false}')], "a"), ["0"])
        self.assertIn("start the bridge", self.log["error"])

    def test_no_answer_is_a_failure(self) -> None:
        self.assertEqual(self.forward([(200, b"<html>a proxy</html>")], "a"), ["0"])
        self.server.shutdown()
        self.server.server_close()
        self.assertEqual(self.forward([], "a", "b"), ["0", "1"])

    def test_neither_user_nor_password_is_logged(self) -> None:
        self.forward([(401, b"")], "a")
        self.assertNotIn("pä:ss", json.dumps(self.log, ensure_ascii=False))

    def test_the_same_source_gives_the_same_archive(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "forwarder"
            copy.mkdir()
            for name in ("build.sh", "forwarder.py"):
                (copy / name).write_bytes((SOURCE / name).read_bytes())
            archives = []
            for _ in range(2):
                subprocess.run(["bash", copy / "build.sh"], check=True)
                archives.append((Path(folder) / "forwarder.zip").read_bytes())
                (copy / "forwarder.py").touch()
            self.assertEqual(*archives)
            names = zipfile.ZipFile(Path(folder) / "forwarder.zip").namelist()
            self.assertEqual(names, ["forwarder.py"])


if __name__ == "__main__":
    unittest.main()
