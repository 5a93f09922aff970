//! Errors of the AWS SDK as errors of the store.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use errors::{Chain, printable};

use crate::{Error, ErrorKind};

/// An error response of the service. The SDK's own error is not kept: it contains the raw response,
/// in which some servers repeat headers of the request.
#[derive(Debug, thiserror::Error)]
#[error(
    "status {status}{}{}",
    code.as_ref().map(|code| format!(" {}", printable(code))).unwrap_or_default(),
    message.as_ref().map(|message| format!(": {}", printable(message))).unwrap_or_default(),
)]
pub(super) struct ErrorResponse {
    pub(super) status: u16,
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
}

/// A response that is not S3's, such as a proxy's HTML page.
#[derive(Debug, thiserror::Error)]
#[error("status {status}{reasons}")]
struct UnreadableResponse {
    status: u16,
    /// The SDK's errors, each after `: `.
    reasons: String,
}

/// Converts an error of the SDK.
pub(super) fn from_sdk<E>(
    operation: &'static str,
    uri: &str,
    error: SdkError<E, HttpResponse>,
) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let (kind, message) = match &error {
        SdkError::ServiceError(response) => {
            let response = ErrorResponse {
                status: response.raw().status().as_u16(),
                code: response.err().code().map(Into::into),
                message: response.err().message().filter(|text| !text.is_empty()).map(Into::into),
            };
            let (kind, message) = classify(response.status, response.code.as_deref());
            return Error::new(kind, operation, uri, message).with_source(response);
        }
        SdkError::ResponseError(response) => {
            let status = response.raw().status().as_u16();
            let reasons = error.source().map_or_else(String::new, |source| {
                format!(": {}", printable(&Chain(source).to_string()))
            });
            return Error::new(
                classify(status, None).0,
                operation,
                uri,
                "the response is not S3's",
            )
            .with_source(UnreadableResponse { status, reasons });
        }
        SdkError::TimeoutError(_) => (ErrorKind::Unavailable, "no response in time"),
        SdkError::DispatchFailure(failure) => match credentials_error(&error) {
            Some(error) => no_credentials(error),
            // The endpoint is not a URL that can be connected to.
            None if failure.is_user() => (ErrorKind::Misconfigured, "the request cannot be sent"),
            // Whatever the HTTP client calls it: the connection was refused, reset, closed before the
            // answer, or not trusted. No answer came, so nothing is known against the request.
            None => (ErrorKind::Unavailable, "the store cannot be reached"),
        },
        SdkError::ConstructionFailure(_) => (ErrorKind::Invalid, "the request is not valid"),
        _ => (ErrorKind::Other, "the request failed"),
    };
    let converted = Error::new(kind, operation, uri, message);
    match error.into_source() {
        Ok(source) => converted.with_source(source),
        Err(error) => converted.with_source(error.to_string()),
    }
}

/// Classifies an error by S3's error code, or by the status if there is no code, as in the response
/// to HEAD. Returns its kind, and its meaning with a remedy where there is one.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
fn classify(status: u16, code: Option<&str>) -> (ErrorKind, &'static str) {
    match code.unwrap_or_default() {
        "NoSuchBucket" => (ErrorKind::NotFound, "there is no such bucket"),
        "NoSuchKey" | "NotFound" => (ErrorKind::NotFound, "there is no such object"),
        "InvalidObjectState" => (
            ErrorKind::Archived,
            "the object is in an archive (such as Glacier): restore it from there first",
        ),
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            (ErrorKind::Misconfigured, "the credentials have expired: renew them")
        }
        "InvalidAccessKeyId" | "InvalidToken" | "InvalidClientTokenId" => {
            (ErrorKind::Misconfigured, "the store does not know these credentials")
        }
        "SignatureDoesNotMatch" => (ErrorKind::Misconfigured, "the secret key is wrong"),
        "RequestTimeTooSkewed" => (ErrorKind::Misconfigured, "this machine's clock is wrong"),
        "QuotaExceeded" | "XMinioStorageFull" | "XAmzQuotaExceeded" => {
            (ErrorKind::Full, "the store is full")
        }
        "EntityTooLarge" => (ErrorKind::TooLarge, "too large for the store"),
        "KeyTooLongError"
        | "InvalidBucketName"
        | "InvalidURI"
        | "InvalidObjectName"
        | "XMinioInvalidObjectName"
        | "MetadataTooLarge" => {
            (ErrorKind::Invalid, "the store does not accept this key, bucket name or metadata")
        }
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => {
            (ErrorKind::Misconfigured, "the bucket is in another region, or at another endpoint")
        }
        "ConditionalRequestConflict" | "OperationAborted" => {
            (ErrorKind::Unavailable, "another write of the same object is in progress")
        }
        "SlowDown" | "RequestTimeout" | "InternalError" | "ServiceUnavailable" | "ServerBusy" => {
            (ErrorKind::Unavailable, "the store is overloaded or failing")
        }
        _ => match status {
            404 => (ErrorKind::NotFound, "there is no such object or bucket"),
            401 | 403 => {
                (ErrorKind::Denied, "access is denied: check the credentials and their permissions")
            }
            412 => (ErrorKind::Precondition, "the object exists already, or was replaced"),
            413 => (ErrorKind::TooLarge, "too large for the store"),
            507 => (ErrorKind::Full, "the store is full"),
            301 | 307 | 308 => {
                (ErrorKind::Misconfigured, "the bucket is in another region: set s3.region")
            }
            408 | 409 | 425 | 429 => (ErrorKind::Unavailable, "the store asks for a retry"),
            501 => (ErrorKind::Other, "the store does not implement this"),
            500..=599 => (ErrorKind::Unavailable, "the store is overloaded or failing"),
            _ => (ErrorKind::Other, "the store refused the request"),
        },
    }
}

fn credentials_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a CredentialsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn no_credentials(error: &CredentialsError) -> (ErrorKind, &'static str) {
    match error {
        // The service that issues them may be available again soon.
        CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_) => {
            (ErrorKind::Unavailable, "no credentials")
        }
        CredentialsError::InvalidConfiguration(_) => (ErrorKind::Misconfigured, "no credentials"),
        CredentialsError::CredentialsNotLoaded(_) => (
            ErrorKind::Misconfigured,
            "no credentials: set s3.access_key and s3.secret_key, AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY, or an AWS profile or role",
        ),
        _ => (ErrorKind::Misconfigured, "no credentials"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_responses_are_classified_by_what_the_caller_can_do() {
        for (status, code, kind) in [
            (404, Some("NoSuchKey"), ErrorKind::NotFound),
            (404, Some("NoSuchBucket"), ErrorKind::NotFound),
            (404, None, ErrorKind::NotFound),
            (403, Some("AccessDenied"), ErrorKind::Denied),
            (403, None, ErrorKind::Denied),
            (403, Some("InvalidObjectState"), ErrorKind::Archived),
            (400, Some("ExpiredToken"), ErrorKind::Misconfigured),
            (403, Some("SignatureDoesNotMatch"), ErrorKind::Misconfigured),
            (403, Some("InvalidAccessKeyId"), ErrorKind::Misconfigured),
            (403, Some("RequestTimeTooSkewed"), ErrorKind::Misconfigured),
            (412, Some("PreconditionFailed"), ErrorKind::Precondition),
            (409, Some("ConditionalRequestConflict"), ErrorKind::Unavailable),
            (503, Some("SlowDown"), ErrorKind::Unavailable),
            (500, Some("InternalError"), ErrorKind::Unavailable),
            (400, Some("RequestTimeout"), ErrorKind::Unavailable),
            (429, None, ErrorKind::Unavailable),
            (502, None, ErrorKind::Unavailable),
            (501, Some("NotImplemented"), ErrorKind::Other),
            (400, Some("EntityTooLarge"), ErrorKind::TooLarge),
            (413, None, ErrorKind::TooLarge),
            (403, Some("QuotaExceeded"), ErrorKind::Full),
            (507, None, ErrorKind::Full),
            (400, Some("KeyTooLongError"), ErrorKind::Invalid),
            (301, Some("PermanentRedirect"), ErrorKind::Misconfigured),
            (307, None, ErrorKind::Misconfigured),
            (400, Some("Whatever"), ErrorKind::Other),
        ] {
            assert_eq!(classify(status, code).0, kind, "{status} {code:?}");
        }
    }

    #[test]
    fn the_message_is_the_meaning_and_the_source_the_response() {
        let response = ErrorResponse {
            status: 400,
            code: Some("ExpiredToken".into()),
            message: Some("It\nexpired.".into()),
        };
        assert_eq!(response.to_string(), "status 400 ExpiredToken: It\\nexpired.");
        let (kind, message) = classify(400, Some("ExpiredToken"));
        assert_eq!(
            (kind, message),
            (ErrorKind::Misconfigured, "the credentials have expired: renew them")
        );
        let response = ErrorResponse { status: 502, code: None, message: None };
        assert_eq!(response.to_string(), "status 502");
        assert_eq!(classify(502, None).1, "the store is overloaded or failing");
    }
}
