#!/usr/bin/env python3
"""Submits a recording to Scriptorium, waits for the event of its end, and prints the URI of the transcript.

    pip install -r requirements.txt
    AMQP_URL=amqp://user:password@broker python submit.py s3://recordings/calls/0042.wav s3://transcripts/calls/0042

The workers need `worker.events = "sent"` or "confirmed". docs/jobs.md describes the messages.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import uuid

import pika
from pika.exceptions import NackError, UnroutableError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="URI of the recording")
    parser.add_argument("output", help="URI of the transcript, without extension")
    parser.add_argument("--language", help="language spoken, e.g. en")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds to wait for the transcript")
    arguments = parser.parse_args()
    prefix = os.environ.get("SCRIPTORIUM_PREFIX", "scriptorium")

    job = {"version": 1, "id": str(uuid.uuid4()), "source": arguments.source, "output": arguments.output}
    if arguments.language:
        job["options"] = {"language": arguments.language}

    connection = pika.BlockingConnection(pika.URLParameters(os.environ.get("AMQP_URL", "amqp://localhost")))
    channel = connection.channel()

    # Before the job is published: an event that no queue is bound for is lost.
    events = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(events, exchange=f"{prefix}.events", routing_key="job.*")

    try:
        publish(channel, f"{prefix}.jobs", job)
    except UnroutableError:
        print(f"there is no queue {prefix}.jobs: has a worker been started with this prefix?", file=sys.stderr)
        return 1
    except NackError:
        print("the broker refused the job: try again later", file=sys.stderr)
        return 1

    for method, _, body in channel.consume(events, auto_ack=True, inactivity_timeout=arguments.timeout):
        if method is None:
            print(f"no event within {arguments.timeout:g} s; the job goes on", file=sys.stderr)
            return 1
        event = json.loads(body)
        if event["subject"] == job["id"]:
            return report(event)
    return 1


def publish(channel: pika.adapters.blocking_connection.BlockingChannel, queue: str, job: dict) -> None:
    """Returns when the broker has the job on disk. After any other exception than those below, nobody knows whether
    it has: publish it again, which has no further effect.

    Raises UnroutableError if there is no such queue, NackError if the broker refuses the job.
    """
    channel.confirm_delivery()
    channel.basic_publish(
        exchange="",
        routing_key=queue,
        body=json.dumps(job).encode(),
        properties=pika.BasicProperties(
            content_type="application/json",
            delivery_mode=pika.DeliveryMode.Persistent,
            message_id=job["id"],
        ),
        mandatory=True,
    )


def report(event: dict) -> int:
    """Prints what became of the job; returns the exit status."""
    data = event["data"]
    if event["type"] == "scriptorium.job.done":
        print(data["transcript"])
        return 0
    if event["type"] == "scriptorium.job.failed":
        print(f"{data['code']}: {data['message']}\n{data['remedy']}", file=sys.stderr)
    else:
        print(event["type"], file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
