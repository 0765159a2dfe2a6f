//! What the errors of the client mean. It has one type for each call; what matters is in the code of the server's API,
//! and where there is none, the server was not heard.

use std::error::Error;

use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, GetStreamErrorKind, PublishError, PublishErrorKind,
};
use async_nats::jetstream::stream::{LastRawMessageError, LastRawMessageErrorKind};
use async_nats::jetstream::{self, ErrorCode};

use crate::blob_store::BlobStoreError;
use crate::control::ControlError;
use crate::fault::Fault;

/// What a call came to when it came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// No answer: nobody is there, or nobody leads.
    Unreachable(String),
    /// No room.
    Full(String),
    /// The subject's last message is another one.
    WrongSequence,
    /// There is no such message.
    NoMessage,
    /// There is no such stream.
    NoStream,
    /// An answer that no retry would better.
    Other(String),
}

impl Failure {
    /// Of any error of the client.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(answer) = error.downcast_ref::<jetstream::Error>() {
                return Self::of_answer(answer);
            }
            cause = error.source();
        }
        Self::Unreachable(chain(error))
    }

    fn of_answer(answer: &jetstream::Error) -> Self {
        let text = answer.to_string();
        match answer.error_code() {
            ErrorCode::STREAM_WRONG_LAST_SEQUENCE | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => {
                Self::WrongSequence
            }
            ErrorCode::NO_MESSAGE_FOUND => Self::NoMessage,
            ErrorCode::STREAM_NOT_FOUND => Self::NoStream,
            ErrorCode::INSUFFICIENT_RESOURCES
            | ErrorCode::STORAGE_RESOURCES_EXCEEDED
            | ErrorCode::MEMORY_RESOURCES_EXCEEDED
            | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
            | ErrorCode::STREAM_MAX_STREAM_BYTES_EXCEEDED => Self::Full(text),
            // One code for all that can happen on the way to the disk.
            ErrorCode::STREAM_STORE_FAILED if text.contains("maximum") || text.contains("no space") => Self::Full(text),
            ErrorCode::CLUSTER_NOT_AVAILABLE
            | ErrorCode::CLUSTER_NOT_LEADER
            | ErrorCode::CLUSTER_NOT_ACTIVE
            | ErrorCode::STREAM_OFFLINE => Self::Unreachable(text),
            _ => Self::Other(text),
        }
    }

    /// For the control store at `store`.
    pub(super) fn control(self, store: &str) -> ControlError {
        let store = store.to_owned();
        match self {
            Self::Full(reason) => ControlError::Full { store, reason },
            Self::Unreachable(reason) => ControlError::Unreachable { store, reason },
            Self::NoStream => ControlError::Unreachable { store, reason: GONE.to_owned() },
            other => Fault::nats(&store, other.text()).into(),
        }
    }

    /// For the blobs at `store`.
    pub(super) fn blobs(self, store: &str) -> BlobStoreError {
        let store = store.to_owned();
        match self {
            Self::Full(reason) => BlobStoreError::Full { store, reason },
            Self::Unreachable(reason) => BlobStoreError::Unreachable { store, reason },
            Self::NoStream => BlobStoreError::Unreachable { store, reason: GONE.to_owned() },
            other => BlobStoreError::Fault(Fault::nats(&store, other.text())),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Unreachable(text) | Self::Full(text) | Self::Other(text) => text,
            Self::WrongSequence => "a message came between, again and again".to_owned(),
            Self::NoMessage => "a message is missing".to_owned(),
            Self::NoStream => GONE.to_owned(),
        }
    }
}

/// The next call makes it anew.
const GONE: &str = "its bucket is gone";

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        match error.kind() {
            PublishErrorKind::WrongLastSequence => Self::WrongSequence,
            PublishErrorKind::StreamNotFound => Self::NoStream,
            PublishErrorKind::MaxPayloadExceeded => {
                Self::Other("the server takes smaller messages than these; raise its max_payload to 1 MiB".to_owned())
            }
            _ => Self::of(&error),
        }
    }
}

impl From<LastRawMessageError> for Failure {
    fn from(error: LastRawMessageError) -> Self {
        match error.kind() {
            LastRawMessageErrorKind::NoMessageFound => Self::NoMessage,
            LastRawMessageErrorKind::JetStream(answer) => Self::of_answer(&answer),
            _ => Self::of(&error),
        }
    }
}

impl From<jetstream::context::GetStreamError> for Failure {
    fn from(error: jetstream::context::GetStreamError) -> Self {
        match error.kind() {
            GetStreamErrorKind::JetStream(answer) => Self::of_answer(&answer),
            _ => Self::of(&error),
        }
    }
}

impl From<CreateStreamError> for Failure {
    fn from(error: CreateStreamError) -> Self {
        match error.kind() {
            CreateStreamErrorKind::JetStream(answer) => Self::of_answer(&answer),
            _ => Self::of(&error),
        }
    }
}

/// An error and its causes in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
