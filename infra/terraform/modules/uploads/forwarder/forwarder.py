"""Forwards notifications of uploads from SQS to RabbitMQ, as they are.

AWS Lambda calls `handler` with up to ten messages. Each body is published to the exchange $EXCHANGE through RabbitMQ's
management API, which answers after the broker has confirmed the message, and says whether it reached a queue. What
was not published is reported as failed, so SQS delivers it again. A notification that is published twice makes one
job, because the bridge names a job after the recording.
"""

from __future__ import annotations

import base64
import json
import os
import urllib.parse
import urllib.request
from typing import Any

# Seconds for one message; the function has 30.
TIMEOUT = 10

# The bridge binds its queue to all keys.
ROUTING_KEY = "upload"


class NotPublished(Exception):
    """The broker did not take a message."""


class Broker:
    """Publishes to one exchange of a broker, by its management API."""

    def __init__(self, url: str, virtual_host: str, exchange: str, username: str, password: str) -> None:
        names = [urllib.parse.quote(name, safe="") for name in (virtual_host, exchange)]
        self.url = f"{url}/api/exchanges/{names[0]}/{names[1]}/publish"
        self.exchange = exchange
        credentials = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.headers = {"authorization": f"Basic {credentials}", "content-type": "application/json"}

    def publish(self, body: str) -> None:
        message = {
            # Persistent: it outlives a restart of the broker.
            "properties": {"delivery_mode": 2, "content_type": "application/json"},
            "routing_key": ROUTING_KEY,
            "payload": body,
            "payload_encoding": "string",
        }
        request = urllib.request.Request(self.url, json.dumps(message).encode(), self.headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                answer = json.load(response)
        except (OSError, ValueError) as error:
            raise NotPublished(f"{self.url}: {error}") from error
        if answer != {"routed": True}:
            raise NotPublished(f"no queue is bound to {self.exchange}: start the bridge")


def forward(broker: Broker, messages: list[dict[str, Any]]) -> dict[str, list[dict[str, str]]]:
    """Publishes messages until one fails, and returns those that were not published, as Lambda wants them."""
    failed: list[dict[str, Any]] = []
    error = None
    for number, message in enumerate(messages):
        try:
            broker.publish(message["body"])
        except NotPublished as caught:
            # What stops one stops all: the rest is not worth the wait.
            failed, error = messages[number:], str(caught)
            break
    print(json.dumps({"forwarded": len(messages) - len(failed), "failed": len(failed), "error": error}))
    return {"batchItemFailures": [{"itemIdentifier": message["messageId"]} for message in failed]}


def handler(event: dict[str, Any], _context: object) -> dict[str, list[dict[str, str]]]:
    # Lambda's Python has boto3; whoever tests `forward` need not.
    import boto3  # noqa: PLC0415

    # Read each time, so that a new password counts at once.
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["SECRET"])
    user = json.loads(secret["SecretString"])
    broker = Broker(
        os.environ["BROKER_URL"],
        os.environ["VIRTUAL_HOST"],
        os.environ["EXCHANGE"],
        user["username"],
        user["password"],
    )
    return forward(broker, event["Records"])
