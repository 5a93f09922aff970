#!/usr/bin/env bash
# Submits a recording to Scriptorium, waits for the event of its end, and prints the URI of the transcript.
#
#   RABBITMQ=http://user:password@broker:15672 ./submit.sh s3://recordings/calls/0042.wav s3://transcripts/calls/0042
#
# Needs curl and jq, and RabbitMQ's management plugin with an account that has the tag `management`. The broker confirms
# each message, so this is safe, but slow: some messages a second. For more, use a client library, or
# `scriptorium submit --manifest`. amqp-publish (of rabbitmq-c) does not tell whether a message has arrived.
#
# The workers need `worker.events = "sent"` or "confirmed". docs/jobs.md describes the messages.
set -euo pipefail

[[ $# -eq 2 ]] || { echo "usage: $0 SOURCE OUTPUT" >&2; exit 2; }
source_uri=$1 output_uri=$2
rabbitmq=${RABBITMQ:-http://guest:guest@localhost:15672}
vhost=${VHOST:-%2F}
prefix=${SCRIPTORIUM_PREFIX:-scriptorium}
timeout_seconds=${TIMEOUT_SECONDS:-3600}
id=$(cat /proc/sys/kernel/random/uuid)
events=client-$id

# api METHOD PATH [JSON]: calls the management API.
api() {
    curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' \
        --request "$1" "$rabbitmq/api/$2" ${3:+--data "$3"}
}

trap 'api DELETE "queues/$vhost/$events" >/dev/null || true' EXIT

# Before the job is published: an event that no queue is bound for is lost. The broker deletes the queue if this script
# cannot.
api PUT "queues/$vhost/$events" '{"durable": false, "arguments": {"x-expires": 600000}}' >/dev/null
api POST "bindings/$vhost/e/$prefix.events/q/$events" '{"routing_key": "job.*"}' >/dev/null

job=$(jq --null-input --compact-output --arg id "$id" --arg source "$source_uri" --arg output "$output_uri" \
    '{version: 1, id: $id, source: $source, output: $output}')
message=$(jq --null-input --compact-output --arg queue "$prefix.jobs" --arg id "$id" --arg job "$job" '{
    properties: {delivery_mode: 2, content_type: "application/json", message_id: $id},
    routing_key: $queue, payload: $job, payload_encoding: "string"}')
published=$(api POST "exchanges/$vhost/amq.default/publish" "$message")
if [[ $(jq .routed <<<"$published") != true ]]; then
    echo "there is no queue $prefix.jobs: has a worker been started with this prefix?" >&2
    exit 1
fi

while ((SECONDS < timeout_seconds)); do
    messages=$(api POST "queues/$vhost/$events/get" '{"count": 100, "ackmode": "ack_requeue_false", "encoding": "auto"}')
    event=$(jq --compact-output --arg id "$id" '[.[].payload | fromjson | select(.subject == $id)][0] // empty' \
        <<<"$messages")
    case $(jq --raw-output .type <<<"$event") in
    scriptorium.job.done)
        jq --raw-output .data.transcript <<<"$event"
        exit
        ;;
    scriptorium.job.*)
        jq --raw-output '"\(.data.code // .type): \(.data.message // "")\n\(.data.remedy // "")"' <<<"$event" >&2
        exit 1
        ;;
    esac
    sleep 1
done
echo "no event within $timeout_seconds s; the job goes on" >&2
exit 1
