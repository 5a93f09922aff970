"""Receives webhooks and verifies them with the library of Standard Webhooks."""

import argparse
import base64
import http.server
import json
import secrets
import subprocess
import sys
import threading

from standardwebhooks import Webhook, WebhookVerificationError


def secret():
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers 204 to a webhook that the library accepts, else 400."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            event = Webhook(self.server.secret).verify(body, dict(self.headers.items()))
            self.server.events.append(event)
            self.send_response(204)
        except WebhookVerificationError as error:
            self.server.errors.append(str(error))
            self.send_response(400)
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sender", required=True)
    sender = parser.parse_args().sender
    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    server.secret, server.events, server.errors = secret(), [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/hook?a=b"

    def send(signed_with, body):
        command = [sender, url, signed_with, body]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    bodies = ["{}", '{"text": "é ✓ \\" . "}', json.dumps({"n": list(range(5000))})]
    for body in bodies:
        answer = send(server.secret, body)
        assert "Delivered" in answer, (answer, server.errors)
    # While one secret replaces another, each of them verifies.
    for both in [f"{secret()} {server.secret}", f"{server.secret} {secret()}"]:
        assert "Delivered" in send(both, "{}"), server.errors
    assert server.events == [json.loads(body) for body in [*bodies, "{}", "{}"]]
    answer = send(secret(), "{}")
    assert "Refused" in answer and "400" in answer, answer
    assert len(server.errors) == 1, server.errors
    print(f"{len(server.events)} webhooks verified, 1 with another secret refused")


if __name__ == "__main__":
    sys.exit(main())
