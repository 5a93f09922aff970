use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::{
    Error, Kind,
    text::{causes, printable},
};

/// What the SDK said about one request, as a failed operation.
pub(super) fn from_sdk<E>(
    operation: &'static str,
    uri: &str,
    error: &SdkError<E, HttpResponse>,
) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let (kind, message) = match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let (code, said) = (answer.err().code(), answer.err().message());
            answered(status, code, said)
        }
        // An answer, but not S3's: a proxy's page of HTML, for example.
        SdkError::ResponseError(answer) => {
            let (kind, _) = classify(answer.raw().status().as_u16(), None);
            (kind, format!("an answer that is not S3's: {}", causes(error)))
        }
        SdkError::TimeoutError(_) => (Kind::Unavailable, "no answer in time".into()),
        SdkError::DispatchFailure(failure) => match credentials_error(error) {
            Some(missing) => (credentials_kind(missing), no_credentials(missing)),
            None if failure.is_io() || failure.is_timeout() => {
                (Kind::Unavailable, format!("not reached: {}", causes(error)))
            }
            None => (Kind::Other, causes(error)),
        },
        SdkError::ConstructionFailure(_) => (Kind::Invalid, causes(error)),
        _ => (Kind::Other, causes(error)),
    };
    Error::new(kind, operation, uri, message)
}

/// The kind of a refusal, and a sentence on it that says what the server said.
fn answered(status: u16, code: Option<&str>, said: Option<&str>) -> (Kind, String) {
    let (kind, meaning) = classify(status, code);
    let mut message = meaning.to_owned();
    match (code, said) {
        (Some(code), Some(said)) if !said.is_empty() => {
            message.push_str(&format!(" ({status} {}: {})", printable(code), printable(said)));
        }
        (Some(code), _) => message.push_str(&format!(" ({status} {})", printable(code))),
        (None, _) => message.push_str(&format!(" (status {status})")),
    }
    (kind, message)
}

/// By S3's error codes; where there is none, as in the answer to HEAD, by the status.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
fn classify(status: u16, code: Option<&str>) -> (Kind, &'static str) {
    match code.unwrap_or_default() {
        "NoSuchBucket" => (Kind::NotFound, "there is no such bucket"),
        "NoSuchKey" | "NotFound" => (Kind::NotFound, "there is no such object"),
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            (Kind::Denied, "the credentials have expired: renew them")
        }
        "InvalidAccessKeyId" | "InvalidToken" | "InvalidClientTokenId" => {
            (Kind::Denied, "the store does not know these credentials")
        }
        "SignatureDoesNotMatch" => (Kind::Denied, "the secret key is not the right one"),
        "RequestTimeTooSkewed" => (Kind::Denied, "this machine's clock is wrong"),
        "QuotaExceeded" | "XMinioStorageFull" | "XAmzQuotaExceeded" => {
            (Kind::Full, "the store is full")
        }
        "EntityTooLarge" => (Kind::TooLarge, "too large for the store"),
        "KeyTooLongError"
        | "InvalidBucketName"
        | "InvalidURI"
        | "InvalidObjectName"
        | "XMinioInvalidObjectName"
        | "MetadataTooLarge" => (Kind::Invalid, "the store cannot hold this"),
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => {
            (Kind::Invalid, "the bucket is in another region, or at another endpoint")
        }
        "ConditionalRequestConflict" | "OperationAborted" => {
            (Kind::Unavailable, "another write of the same object is under way")
        }
        "SlowDown" | "RequestTimeout" | "InternalError" | "ServiceUnavailable" | "ServerBusy" => {
            (Kind::Unavailable, "the store is overloaded or failing")
        }
        _ => match status {
            404 => (Kind::NotFound, "there is no such object or bucket"),
            401 | 403 => {
                (Kind::Denied, "access is denied: see to the credentials and their rights")
            }
            412 => (Kind::Precondition, "another object stands there"),
            413 => (Kind::TooLarge, "too large for the store"),
            507 => (Kind::Full, "the store is full"),
            301 | 307 | 308 => (Kind::Invalid, "the bucket is in another region: set s3.region"),
            408 | 409 | 425 | 429 => (Kind::Unavailable, "the store asks to try again"),
            501 => (Kind::Other, "the store cannot do this"),
            500..=599 => (Kind::Unavailable, "the store is overloaded or failing"),
            _ => (Kind::Other, "the store refused"),
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

fn credentials_kind(error: &CredentialsError) -> Kind {
    match error {
        // The service that gives them out may be back soon.
        CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_) => {
            Kind::Unavailable
        }
        CredentialsError::InvalidConfiguration(_) => Kind::Invalid,
        _ => Kind::Denied,
    }
}

fn no_credentials(error: &CredentialsError) -> String {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            "no credentials: set s3.access_key and s3.secret_key, AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY, or an AWS profile or role"
                .into()
        }
        _ => format!("no credentials: {}", causes(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_kind_that_says_what_to_do() {
        for (status, code, kind) in [
            (404, Some("NoSuchKey"), Kind::NotFound),
            (404, Some("NoSuchBucket"), Kind::NotFound),
            (404, None, Kind::NotFound),
            (403, Some("AccessDenied"), Kind::Denied),
            (403, None, Kind::Denied),
            (400, Some("ExpiredToken"), Kind::Denied),
            (403, Some("SignatureDoesNotMatch"), Kind::Denied),
            (412, Some("PreconditionFailed"), Kind::Precondition),
            (409, Some("ConditionalRequestConflict"), Kind::Unavailable),
            (503, Some("SlowDown"), Kind::Unavailable),
            (500, Some("InternalError"), Kind::Unavailable),
            (400, Some("RequestTimeout"), Kind::Unavailable),
            (429, None, Kind::Unavailable),
            (502, None, Kind::Unavailable),
            (501, Some("NotImplemented"), Kind::Other),
            (400, Some("EntityTooLarge"), Kind::TooLarge),
            (413, None, Kind::TooLarge),
            (403, Some("QuotaExceeded"), Kind::Full),
            (507, None, Kind::Full),
            (400, Some("KeyTooLongError"), Kind::Invalid),
            (301, Some("PermanentRedirect"), Kind::Invalid),
            (400, Some("Whatever"), Kind::Other),
        ] {
            assert_eq!(classify(status, code).0, kind, "{status} {code:?}");
        }
    }

    #[test]
    fn the_message_holds_the_meaning_and_the_servers_words() {
        let (kind, message) = answered(400, Some("ExpiredToken"), Some("It\nexpired."));
        assert_eq!(kind, Kind::Denied);
        let expected = "the credentials have expired: renew them (400 ExpiredToken: It\\nexpired.)";
        assert_eq!(message, expected);
        assert_eq!(answered(502, None, None).1, "the store is overloaded or failing (status 502)");
    }
}
