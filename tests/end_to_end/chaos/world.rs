//! Looks at the store and the broker with their ordinary clients, and at nothing else.

use std::collections::BTreeMap;

use aws_sdk_s3::{Client, primitives::ByteStream};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions},
    types::AMQPValue,
};
use serde_json::Value;

/// The bucket of the test.
pub(super) struct Store {
    pub(super) client: Client,
    pub(super) bucket: String,
}

impl Store {
    pub(super) async fn create(client: Client, bucket: String) -> Self {
        client.create_bucket().bucket(&bucket).send().await.unwrap();
        Self { client, bucket }
    }

    pub(super) async fn put(&self, key: &str, body: Vec<u8>) {
        let put = self.client.put_object().bucket(&self.bucket).key(key);
        put.body(ByteStream::from(body)).send().await.unwrap();
    }

    /// Returns the content of an object; `None` if there is none.
    pub(super) async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let got = self.client.get_object().bucket(&self.bucket).key(key).send().await;
        match got {
            Ok(object) => Some(object.body.collect().await.unwrap().to_vec()),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => {
                None
            }
            Err(error) => panic!("{key}: {error:?}"),
        }
    }

    pub(super) async fn json(&self, key: &str) -> Option<Value> {
        let body = self.get(key).await?;
        Some(serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{key}: {error}")))
    }

    /// Returns all keys that begin with `prefix`.
    pub(super) async fn keys(&self, prefix: &str) -> Vec<String> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let mut pages = list.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let objects = page.unwrap().contents.unwrap_or_default();
            keys.extend(objects.into_iter().filter_map(|object| object.key));
        }
        keys
    }

    /// Returns the keys of uploads in parts that were begun and not completed.
    pub(super) async fn unfinished(&self) -> Vec<String> {
        let listed = self.client.list_multipart_uploads().bucket(&self.bucket).send().await;
        let uploads = listed.unwrap().uploads.unwrap_or_default();
        uploads.into_iter().filter_map(|upload| upload.key).collect()
    }
}

/// A dead letter.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) message_id: String,
    pub(super) body: Vec<u8>,
    pub(super) code: String,
    pub(super) detail: String,
}

/// The queues of the test.
pub(super) struct Queues {
    /// Closed when it is dropped.
    _connection: Connection,
    channel: Channel,
    prefix: String,
}

impl Queues {
    pub(super) async fn connect(url: &str, prefix: &str) -> Self {
        Self::try_connect(url, prefix).await.unwrap()
    }

    /// Returns `None` if the broker does not answer.
    pub(super) async fn try_connect(url: &str, prefix: &str) -> Option<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.ok()?;
        let channel = connection.create_channel().await.ok()?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.ok()?;
        Some(Self { _connection: connection, channel, prefix: prefix.to_owned() })
    }

    fn name(&self, queue: &str) -> String {
        format!("{}.{queue}", self.prefix)
    }

    /// Publishes a message, and waits until the broker has it.
    pub(super) async fn publish(&self, queue: &str, id: &str, body: &[u8]) {
        assert!(self.try_publish(queue, id, body).await, "the broker does not take a message");
    }

    /// Publishes a message. Returns whether the broker has confirmed it; otherwise it may have it.
    pub(super) async fn try_publish(&self, queue: &str, id: &str, body: &[u8]) -> bool {
        let properties =
            BasicProperties::default().with_delivery_mode(2).with_message_id(id.into());
        let (name, options) = (self.name(queue), BasicPublishOptions::default());
        let published =
            self.channel.basic_publish("".into(), name.as_str().into(), options, body, properties);
        match published.await {
            Ok(confirmation) => confirmation.await.is_ok_and(|confirmation| confirmation.is_ack()),
            Err(_) => false,
        }
    }

    /// Removes and returns all dead letters.
    pub(super) async fn dead(&self) -> Vec<Letter> {
        let mut letters = Vec::new();
        let (name, options) = (self.name("dead"), BasicGetOptions { no_ack: true });
        while let Some(got) = self.channel.basic_get(name.as_str().into(), options).await.unwrap() {
            let headers = got.properties.headers().clone().unwrap_or_default();
            let headers: BTreeMap<String, AMQPValue> = headers
                .inner()
                .iter()
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect();
            let text = |name: &str| match headers.get(name) {
                Some(AMQPValue::LongString(text)) => text.to_string(),
                _ => String::new(),
            };
            let id = got.properties.message_id().as_ref().map(ToString::to_string);
            letters.push(Letter {
                message_id: id.unwrap_or_default(),
                body: got.data.clone(),
                code: text("code"),
                detail: text("detail"),
            });
        }
        letters
    }
}
