//! Notifications of uploads, as S3 services send them: the record format of Amazon S3, which Ceph's gateway
//! and MinIO send as well (docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html,
//! docs.ceph.com/en/latest/radosgw/s3-notification-compatibility).

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Limit in bytes for a notification. A larger one is refused without being parsed.
pub const MAX_NOTIFICATION_BYTES: usize = 1 << 20;

/// An object that was created, as a notification says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub bucket: String,
    pub key: String,
    /// In bytes, if the notification has it.
    pub size: Option<u64>,
    pub created_at: OffsetDateTime,
}

/// Reason why bytes are not a notification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a notification of S3: {0}")]
pub struct InvalidNotification(String);

#[derive(Deserialize)]
struct Notification {
    #[serde(rename = "Records")]
    records: Option<Vec<Record>>,
    /// The message that Amazon S3 sends when notifications are set up.
    #[serde(rename = "Event")]
    event: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(default)]
    event_source: String,
    event_name: String,
    event_time: String,
    s3: S3,
}

#[derive(Deserialize)]
struct S3 {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
    size: Option<u64>,
}

impl Upload {
    /// Parses a notification: the objects that it says were created. Other events are left out.
    ///
    /// # Errors
    ///
    /// [`InvalidNotification`], with the reason.
    pub fn from_notification(body: &[u8]) -> Result<Vec<Self>, InvalidNotification> {
        let invalid = |reason: String| Err(InvalidNotification(reason));
        if body.len() > MAX_NOTIFICATION_BYTES {
            return invalid(format!("{} bytes, the limit is {MAX_NOTIFICATION_BYTES}", body.len()));
        }
        let notification: Notification = match serde_json::from_slice(body) {
            Ok(notification) => notification,
            Err(error) => return invalid(error.to_string()),
        };
        match (notification.records, notification.event) {
            (Some(records), _) => {
                let created = records.into_iter().filter(Record::is_creation);
                created.map(Self::from_record).collect()
            }
            (None, Some(event)) if event == "s3:TestEvent" => Ok(Vec::new()),
            _ => invalid("there are no `Records`".to_owned()),
        }
    }

    fn from_record(record: Record) -> Result<Self, InvalidNotification> {
        let created_at = OffsetDateTime::parse(&record.event_time, &Rfc3339).map_err(|error| {
            InvalidNotification(format!("eventTime `{}`: {error}", record.event_time))
        })?;
        let key = record.key()?;
        let (bucket, size) = (record.s3.bucket.name, record.s3.object.size);
        Ok(Self { bucket, key, size, created_at })
    }
}

impl Record {
    fn is_creation(&self) -> bool {
        // MinIO and older versions of Ceph write the prefix.
        let name = self.event_name.strip_prefix("s3:").unwrap_or(&self.event_name);
        name.starts_with("ObjectCreated:")
    }

    /// Returns the key of the object. Ceph sends it as it is, the others as a form encodes it.
    fn key(&self) -> Result<String, InvalidNotification> {
        let key = &self.s3.object.key;
        if self.event_source == "ceph:s3" {
            return Ok(key.clone());
        }
        let spaces = key.replace('+', " ");
        let decoded = percent_decode_str(&spaces).decode_utf8().map(Cow::into_owned);
        decoded.map_err(|error| InvalidNotification(format!("key `{key}`: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From the documentation of Amazon S3.
    const AMAZON: &str = r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3",
        "awsRegion":"us-west-2","eventTime":"1970-01-01T00:00:00.000Z",
        "eventName":"ObjectCreated:Put","userIdentity":{"principalId":"AIDAJDPLRKLG7UEXAMPLE"},
        "requestParameters":{"sourceIPAddress":"172.16.0.1"},
        "responseElements":{"x-amz-request-id":"C3D13FE58DE4C810"},
        "s3":{"s3SchemaVersion":"1.0","configurationId":"testConfigRule",
        "bucket":{"name":"amzn-s3-demo-bucket","ownerIdentity":{"principalId":"A3NL1KOZZKExample"},
        "arn":"arn:aws:s3:::amzn-s3-demo-bucket"},
        "object":{"key":"Happy+Face%21.jpg","size":1024,"eTag":"d41d8cd98f00b204e9800998ecf8427e",
        "versionId":"096fKKXTRTtl3on89fVO.nfljtsv6qko","sequencer":"0055AED6DCD90281E5"}}}]}"#;

    fn record(source: &str, name: &str, key: &str) -> Vec<u8> {
        let record = serde_json::json!({
            "eventSource": source, "eventName": name, "eventTime": "2026-11-26T04:25:21.000Z",
            "s3": { "bucket": { "name": "b" }, "object": { "key": key } }
        });
        serde_json::to_vec(&serde_json::json!({ "Records": [record] })).unwrap()
    }

    fn keys(body: &[u8]) -> Vec<String> {
        let uploads = Upload::from_notification(body).unwrap();
        uploads.into_iter().map(|upload| upload.key).collect()
    }

    #[test]
    fn a_notification_of_amazon_is_read() {
        let uploads = Upload::from_notification(AMAZON.as_bytes()).unwrap();
        let expected = Upload {
            bucket: "amzn-s3-demo-bucket".to_owned(),
            key: "Happy Face!.jpg".to_owned(),
            size: Some(1024),
            created_at: OffsetDateTime::UNIX_EPOCH,
        };
        assert_eq!(uploads, [expected]);
    }

    #[test]
    fn keys_are_decoded_as_each_service_encodes_them() {
        let created = "ObjectCreated:Put";
        assert_eq!(keys(&record("minio:s3", "s3:ObjectCreated:Put", "a%2Fb+c.wav")), ["a/b c.wav"]);
        assert_eq!(keys(&record("ceph:s3", created, "a%2Fb+c.wav")), ["a%2Fb+c.wav"]);
        assert_eq!(keys(&record("aws:s3", created, "%C3%A9%2B.wav")), ["é+.wav"]);
        let broken = Upload::from_notification(&record("aws:s3", created, "%FF.wav"));
        assert!(broken.unwrap_err().to_string().contains("%FF.wav"));
    }

    #[test]
    fn only_objects_that_were_created_count() {
        for other in
            ["ObjectRemoved:Delete", "s3:ObjectRestore:Post", "ReducedRedundancyLostObject"]
        {
            assert_eq!(keys(&record("aws:s3", other, "a")), [""; 0], "{other}");
        }
        let multipart = "ObjectCreated:CompleteMultipartUpload";
        assert_eq!(keys(&record("aws:s3", multipart, "a")), ["a"]);
        let test = br#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}"#;
        assert_eq!(keys(test), [""; 0]);
    }

    #[test]
    fn what_is_no_notification_is_refused() {
        let long = vec![b' '; MAX_NOTIFICATION_BYTES + 1];
        for body in [&b""[..], b"[]", b"{}", b"\xff", br#"{"Records":[{}]}"#, &long] {
            assert!(Upload::from_notification(body).is_err());
        }
        let late = AMAZON.replace("1970-01-01T00:00:00.000Z", "yesterday");
        let error = Upload::from_notification(late.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("eventTime `yesterday`"), "{error}");
    }

    proptest! {
        #[test]
        fn any_key_survives(key in "\\PC{1,60}") {
            let encoded: String = key
                .bytes()
                .map(|byte| match byte {
                    b' ' => "+".to_owned(),
                    byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
                    byte => format!("%{byte:02X}"),
                })
                .collect();
            prop_assert_eq!(keys(&record("aws:s3", "ObjectCreated:Put", &encoded)), [key]);
        }

        #[test]
        fn any_bytes_are_an_answer(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Upload::from_notification(&body);
        }
    }
}
