//! Pages of a listing.

use aws_sdk_s3::{
    operation::list_objects_v2::ListObjectsV2Output,
    types::{EncodingType, Object},
};
use percent_encoding::percent_decode_str;

use super::{Operation, modified, unquoted};
use crate::{Error, ErrorKind, ObjectMeta};

impl Operation {
    pub(super) fn listed(&self, page: ListObjectsV2Output) -> Vec<Result<ObjectMeta, Error>> {
        let encoded = page.encoding_type == Some(EncodingType::Url);
        let describe = |object: Object| {
            let key = object.key.unwrap_or_default();
            Ok(ObjectMeta {
                key: if encoded { self.decoded(&key)? } else { key },
                size: self.size(object.size)?,
                etag: object.e_tag.as_deref().map(unquoted).unwrap_or_default(),
                modified: modified(object.last_modified.as_ref()),
                metadata: Default::default(),
            })
        };
        page.contents.unwrap_or_default().into_iter().map(describe).collect()
    }

    /// Decodes a key of a listing. S3 encodes keys like the fields of a form: a space is `+` or
    /// `%20`, a plus is `%2B`.
    fn decoded(&self, key: &str) -> Result<String, Error> {
        let spaced = key.replace('+', " ");
        match percent_decode_str(&spaced).decode_utf8() {
            Ok(key) => Ok(key.into_owned()),
            Err(_) => Err(self.error(ErrorKind::Invalid, format!("key {key} is not UTF-8"))),
        }
    }
}
