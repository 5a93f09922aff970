"""The services of `tests/services/start.sh`, for benchmarks: its variables must be set."""

import hashlib
import hmac
import http.client
import os
import threading
import time
import urllib.parse


class Services:
    def __init__(self):
        self.endpoint = os.environ["SCRIPTORIUM_TEST_S3_ENDPOINT"]
        self.key = os.environ["SCRIPTORIUM_TEST_S3_ACCESS_KEY"]
        self.secret = os.environ["SCRIPTORIUM_TEST_S3_SECRET_KEY"]
        self.broker = os.environ["SCRIPTORIUM_TEST_AMQP_URL"]
        self.connections = threading.local()

    def environment(self, prefix, home, models):
        """Returns the environment of a scriptorium process whose queues have this prefix."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "SCRIPTORIUM__MODELS__DIRECTORY": str(models),
            "SCRIPTORIUM__QUEUE__URL": self.broker,
            "SCRIPTORIUM__QUEUE__PREFIX": prefix,
            "SCRIPTORIUM__STORE__S3__ENDPOINT": self.endpoint,
            "SCRIPTORIUM__STORE__S3__FORCE_PATH_STYLE": "true",
            "SCRIPTORIUM__STORE__S3__ACCESS_KEY": self.key,
            "SCRIPTORIUM__STORE__S3__SECRET_KEY": self.secret,
        }

    def s3(self, method, path, body=b""):
        """Sends a request to the S3 server, signed with version 4 of AWS's signatures."""
        address = urllib.parse.urlsplit(self.endpoint).netloc
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{now[:8]}/us-east-1/s3/aws4_request"
        digest = hashlib.sha256(body).hexdigest()
        headers = {"host": address, "x-amz-content-sha256": digest, "x-amz-date": now}
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        request = f"{method}\n/{path}\n\n{lines}\n{names}\n{digest}"
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = f"AWS4{self.secret}".encode()
        for part in [*scope.split("/"), to_sign]:
            key = hmac.digest(key, part.encode(), "sha256")
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={names}, "
            f"Signature={key.hex()}"
        )
        if not hasattr(self.connections, "open"):
            self.connections.open = http.client.HTTPConnection(address)
        self.connections.open.request(method, f"/{path}", body, headers)
        answer = self.connections.open.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status}: {content!r}")
        return content
