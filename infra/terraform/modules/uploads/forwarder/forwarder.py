"""Forwards notifications of uploads from SQS to RabbitMQ, as they are.

AWS Lambda calls `handler` with up to ten messages. Each body is published to the queue $QUEUE through RabbitMQ's
management API, which answers after the broker has confirmed the message, and says whether it reached a queue. A
message that was not published is reported as failed, so SQS delivers it again. One that was published twice makes
one job, because the bridge names a job after the recording.
"""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

# Seconds for one message. Ten of them fit into the function's own time.
TIMEOUT = 2.5


class NotPublished(Exception):
    """The broker did not take a message."""


class Broker:
    """Publishes to one queue of a broker by its management API."""

    def __init__(self, url: str, virtual_host: str, queue: str, username: str, password: str) -> None:
        host = urllib.parse.quote(virtual_host, safe="")
        # The default exchange routes by the name of the queue.
        self.url = f"{url}/api/exchanges/{host}/amq.default/publish"
        self.queue = queue
        credentials = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.headers = {"authorization": f"Basic {credentials}", "content-type": "application/json"}

    def publish(self, body: str) -> None:
        message = {
            # Persistent: it outlives a restart of the broker.
            "properties": {"delivery_mode": 2, "content_type": "application/json"},
            "routing_key": self.queue,
            "payload": body,
            "payload_encoding": "string",
        }
        request = urllib.request.Request(self.url, json.dumps(message).encode(), self.headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                answer = json.load(response)
        except (OSError, ValueError) as error:
            raise NotPublished(str(error)) from error
        # Nobody has declared the queue: the bridge has never run.
        if answer != {"routed": True}:
            raise NotPublished(f"{self.queue} does not exist: start the bridge")


def forward(broker: Broker, event: dict[str, Any]) -> dict[str, list[dict[str, str]]]:
    """Publishes the messages of an event, and returns those that failed, as Lambda wants them."""
    failed = []
    for record in event["Records"]:
        try:
            broker.publish(record["body"])
        except NotPublished as error:
            print(json.dumps({"level": "error", "message": record["messageId"], "error": str(error)}))
            failed.append({"itemIdentifier": record["messageId"]})
            # What stops one mostly stops all: the others come again soon, and are not worth their timeouts.
            if not isinstance(error.__cause__, urllib.error.HTTPError) and error.__cause__ is not None:
                rest = event["Records"][event["Records"].index(record) + 1 :]
                failed.extend({"itemIdentifier": other["messageId"]} for other in rest)
                break
    count = len(event["Records"])
    print(json.dumps({"level": "info", "forwarded": count - len(failed), "failed": len(failed)}))
    return {"batchItemFailures": failed}


def handler(event: dict[str, Any], _context: object) -> dict[str, list[dict[str, str]]]:
    # Lambda's Python has boto3; whoever tests `forward` need not.
    import boto3  # noqa: PLC0415

    # Read each time, so a new password counts at once; a few requests an hour cost nothing.
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["SECRET"])
    user = json.loads(secret["SecretString"])
    broker = Broker(
        os.environ["BROKER_URL"],
        os.environ["VIRTUAL_HOST"],
        os.environ["QUEUE"],
        user["username"],
        user["password"],
    )
    return forward(broker, event)
