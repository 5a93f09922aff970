//! Generates docs/schemas/asyncapi.json from the types, and checks that the file is up to date.
//! `tests/asyncapi/run.sh` has it read by the parser of AsyncAPI.

#![allow(clippy::unwrap_used)]

use std::fs;

use job::{BatchCompleted, BatchSubmitted, Event, Job, JobCancelled, JobDone, JobFailed, Watch};
use queue::{AmqpConfig, Envelope, Lane, Message, Names};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schemas/asyncapi.json");
/// Stands for the value of `queue.prefix` in names.
const PREFIX: &str = "{prefix}";

/// `UPDATE_SCHEMAS=1` rewrites the file.
#[test]
fn the_published_schema_of_messages_matches_the_types() {
    let document = document();
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        fs::write(FILE, serde_json::to_string_pretty(&document).unwrap() + "\n").unwrap();
    }
    let published: Value = serde_json::from_slice(&fs::read(FILE).unwrap()).unwrap();
    let command = "UPDATE_SCHEMAS=1 cargo nextest run --workspace -E 'test(published_schema)'";
    assert!(published == document, "run {command}");
}

/// What is written by hand below names all headers that are published.
#[test]
fn all_headers_of_a_job_are_described() {
    let message = Message { trace: "t".to_owned(), ..Message::new("id", "{}") };
    let envelope = Envelope::of(&AmqpConfig::default(), &message).unwrap();
    let described = job_headers();
    for name in envelope.headers.keys() {
        assert!(described["properties"].get(name).is_some(), "{name}");
    }
    assert_eq!(envelope.properties.content_type, "application/json");
}

fn document() -> Value {
    let settings =
        SchemaSettings::draft07().with(|it| it.definitions_path = "/components/schemas".into());
    let mut schemas = settings.into_generator();
    let messages = messages(&mut schemas);
    let names = Names::of(&AmqpConfig { prefix: PREFIX.to_owned(), ..AmqpConfig::default() });
    let mut channels = Map::new();
    for (lane, name) in &names.jobs {
        let text = format!("New jobs of the lane {lane}.");
        channels.insert(id_of_jobs(*lane), queue_channel(name, &text, "job"));
    }
    let text = "Jobs that were given up, and messages that are not valid jobs.";
    channels.insert("dead".to_owned(), queue_channel(&names.dead, text, "deadLetter"));
    let text = "Requests to tell somebody when a batch is over.";
    channels.insert("watches".to_owned(), queue_channel(&names.watches, text, "watch"));
    channels.insert("events".to_owned(), events_channel(&names.events));
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Scriptorium",
            "version": "1",
            "description": "Messages of a fleet of workers that transcribe recordings: jobs that other programs \
                            publish, and what workers tell of them. docs/jobs.md explains them.",
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "{host}",
                "protocol": "amqp",
                "protocolVersion": "0.9.1",
                "description": "RabbitMQ, 3.10 and later. With TLS, `amqps`.",
                "variables": { "host": { "default": "localhost:5672", "description": "Host and port." } },
            },
        },
        "channels": channels,
        "operations": operations(&names),
        "components": {
            "messages": messages,
            "schemas": schemas.take_definitions(true),
        },
    })
}

fn id_of_jobs(lane: Lane) -> String {
    match lane {
        Lane::Normal => "jobs".to_owned(),
        lane => format!("jobs-{lane}"),
    }
}

fn reference(path: &str) -> Value {
    json!({ "$ref": format!("#/{path}") })
}

fn prefix_parameter() -> Value {
    json!({ "default": "scriptorium", "description": "The setting `queue.prefix` of the workers." })
}

fn queue_channel(name: &str, description: &str, message: &str) -> Value {
    let mut messages = Map::new();
    messages.insert(message.to_owned(), reference(&format!("components/messages/{message}")));
    json!({
        "address": name,
        "description": format!(
            "{description} A quorum queue, which workers declare. Publish to the default exchange, with the name \
             of the queue as the routing key."
        ),
        "parameters": { "prefix": prefix_parameter() },
        "messages": messages,
        "bindings": { "amqp": {
            "is": "queue",
            "queue": { "name": name, "durable": true, "exclusive": false, "autoDelete": false, "vhost": "/" },
            "bindingVersion": "0.3.0",
        } },
    })
}

/// Topics of the events, with the name of the message and its title.
const EVENTS: [(&str, &str, &str); 5] = [
    ("job.done", "jobDone", "A transcript is written"),
    ("job.failed", "jobFailed", "A job is given up"),
    ("job.cancelled", "jobCancelled", "A job of a cancelled batch is dropped"),
    ("batch.submitted", "batchSubmitted", "All jobs of a submission are in the queue"),
    ("batch.completed", "batchCompleted", "All jobs of a batch have ended"),
];

fn events_channel(exchange: &str) -> Value {
    let messages: Map<_, _> = EVENTS
        .iter()
        .map(|(_, name, _)| ((*name).to_owned(), reference(&format!("components/messages/{name}"))))
        .collect();
    json!({
        "address": "{topic}",
        "description": format!(
            "CloudEvents, on the topic exchange `{exchange}`, if `worker.events` is `sent` or `confirmed`. Bind a \
             queue of your own to it; `{PREFIX}` is the setting `queue.prefix` of the workers, by default \
             `scriptorium`."
        ),
        "parameters": { "topic": {
            "enum": EVENTS.iter().map(|(topic, ..)| *topic).collect::<Vec<_>>(),
            "description": "The routing key, which is the event's type after `scriptorium.`.",
        } },
        "messages": messages,
        "bindings": { "amqp": {
            "is": "routingKey",
            "exchange": { "name": exchange, "type": "topic", "durable": true, "autoDelete": false, "vhost": "/" },
            "bindingVersion": "0.3.0",
        } },
    })
}

fn operations(names: &Names) -> Value {
    let mut operations = Map::new();
    // Of publishers.
    let receive = json!({ "amqp": {
        "deliveryMode": 2, "mandatory": true, "ack": true, "bindingVersion": "0.3.0",
    } });
    for (lane, _) in &names.jobs {
        let id = id_of_jobs(*lane);
        operations.insert(
            format!("receive-{id}"),
            json!({
                "action": "receive",
                "channel": reference(&format!("channels/{id}")),
                "summary": format!("Workers take jobs of the lane {lane}."),
                "bindings": receive,
            }),
        );
    }
    operations.insert(
        "receive-watches".to_owned(),
        json!({
            "action": "receive",
            "channel": reference("channels/watches"),
            "summary": "Workers look at a batch until it is over.",
            "bindings": receive,
        }),
    );
    for (id, summary) in [
        ("dead", "Workers, and the broker, put away what cannot be done."),
        ("events", "Workers and `scriptorium submit` tell what became of jobs and batches."),
    ] {
        operations.insert(format!("send-{id}"), json!({
            "action": "send", "channel": reference(&format!("channels/{id}")), "summary": summary,
        }));
    }
    operations.into()
}

fn messages(schemas: &mut SchemaGenerator) -> Value {
    let mut messages = Map::new();
    let job = schemas.subschema_for::<Job>().to_value();
    messages.insert(
        "job".to_owned(),
        json!({
            "name": "job",
            "title": "A recording to transcribe",
            "contentType": "application/json",
            "headers": job_headers(),
            "payload": job,
            "bindings": { "amqp": { "messageType": "job", "bindingVersion": "0.3.0" } },
            "examples": [{ "name": "least", "payload": {
                "version": 1,
                "source": "s3://recordings/calls/0042.wav",
                "output": "s3://transcripts/2026/calls/0042.wav",
            } }],
        }),
    );
    messages.insert(
        "deadLetter".to_owned(),
        json!({
            "name": "deadLetter",
            "title": "A message that was given up",
            "contentType": "application/json",
            "description": "The message as it was published, whatever that was.",
            "headers": dead_letter_headers(),
            "payload": {},
        }),
    );
    messages.insert(
        "watch".to_owned(),
        json!({
            "name": "watch",
            "title": "A batch whose end somebody wants to know",
            "contentType": "application/json",
            "payload": schemas.subschema_for::<Watch>().to_value(),
        }),
    );
    for (topic, name, title) in EVENTS {
        let payload = match topic {
            "job.done" => payload_of::<JobDone>(schemas, topic),
            "job.failed" => payload_of::<JobFailed>(schemas, topic),
            "job.cancelled" => payload_of::<JobCancelled>(schemas, topic),
            "batch.submitted" => payload_of::<BatchSubmitted>(schemas, topic),
            _ => payload_of::<BatchCompleted>(schemas, topic),
        };
        messages.insert(
            name.to_owned(),
            json!({
                "name": format!("scriptorium.{topic}"),
                "title": title,
                "contentType": worker::CONTENT_TYPE,
                "payload": payload,
            }),
        );
    }
    messages.into()
}

fn payload_of<D: JsonSchema>(schemas: &mut SchemaGenerator, topic: &str) -> Value {
    let event = schemas.subschema_for::<Event<D>>().to_value();
    let kind = json!({ "properties": { "type": { "const": format!("scriptorium.{topic}") } } });
    json!({ "allOf": [event, kind] })
}

fn job_headers() -> Value {
    let count = |text: &str| json!({ "type": "integer", "minimum": 0, "description": text });
    json!({
        "type": "object",
        "description": "All may be omitted. Those of workers are for workers.",
        "properties": {
            "lane": {
                "type": "string",
                "enum": Lane::ALL.map(Lane::as_str),
                "description": "That of the queue, which decides.",
            },
            "attempt": count("Transient failures so far."),
            "releases": count("Times that a worker gave the job back without its fault."),
            "crashes": count("Workers that died while they ran this job and nothing else."),
            "generation": count("Earlier submissions of the job."),
            "seen": { "type": "string", "description": "Of workers." },
            "redelivered": { "type": "boolean", "description": "Of workers." },
            "traceparent": {
                "type": "string",
                "description": "The trace that the job belongs to (W3C Trace Context).",
            },
        },
    })
}

fn dead_letter_headers() -> Value {
    let mut headers = job_headers();
    headers["description"] =
        "Those of the job, and the reason. A message that the broker gave up has `x-death` \
                              in its place."
            .into();
    headers["properties"]["code"] = json!({ "type": "string", "description": "A code of docs/jobs.md, such as `source_missing`." });
    headers["properties"]["detail"] =
        json!({ "type": "string", "description": "The reason, for people." });
    headers
}
