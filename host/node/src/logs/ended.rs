//! The record of a call that has ended: noted while the caller waits, so it is put into words by whoever reads or writes it.

use std::fmt;
use std::time::{Duration, SystemTime};

use http::{Method, Request};
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use spillway_runtime::InvocationId;
use spillway_types::api::LogRecord;
use spillway_types::{Bill, FunctionId, NodeName, Outcome};

/// What a call was: method, path, and the node that ran it if it was another.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct What {
    method: Method,
    /// Without the query, which may have what is nobody's business. A copy: the request's own would keep the whole buffer of the
    /// connection until the record is written.
    path: Box<str>,
    pub(crate) on: Option<NodeName>,
}

impl What {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        Self { method: request.method().clone(), path: request.uri().path().into(), on: None }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        match &self.on {
            Some(node) => write!(f, " (on {node})"),
            None => Ok(()),
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) time: SystemTime,
    pub(crate) revision: u64,
    pub(crate) invocation: InvocationId,
    pub(crate) outcome: Outcome,
    /// HTTP status; 0 if there was none.
    pub(crate) status: u16,
    pub(crate) took: Duration,
    pub(crate) bill: Bill,
    pub(crate) what: What,
    /// What is to be said beside the outcome; mostly nothing.
    pub(crate) cause: String,
}

impl Ended {
    /// Whether function or node have failed.
    pub(crate) fn is_error(&self) -> bool {
        self.level() == "error"
    }

    fn level(&self) -> &'static str {
        match self.outcome {
            Outcome::Answered => "info",
            Outcome::Cancelled | Outcome::Refused => "warn",
            _ => "error",
        }
    }

    /// As followers get it.
    pub(super) fn record(&self, function: &FunctionId) -> LogRecord {
        LogRecord {
            time: humantime::format_rfc3339_millis(self.time).to_string(),
            level: self.level().to_owned(),
            function: function.to_string(),
            revision: self.revision,
            invocation: Some(self.invocation.to_string()),
            outcome: Some(self.outcome),
            status: (self.status != 0).then_some(self.status),
            seconds: Some(self.took.as_secs_f64()),
            bill: Some(self.bill),
            message: Message(self).to_string(),
        }
    }

    /// As [`record`](Self::record), written without being made first.
    pub(super) fn line<'a>(&'a self, function: &'a FunctionId) -> Line<'a> {
        Line { ended: self, function }
    }
}

struct Message<'a>(&'a Ended);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ended { what, cause, .. } = self.0;
        if cause.is_empty() { what.fmt(f) } else { write!(f, "{what}: {cause}") }
    }
}

pub(super) struct Line<'a> {
    ended: &'a Ended,
    function: &'a FunctionId,
}

/// Text that is written as it is made.
struct Text<T>(T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { ended, function } = self;
        let mut fields = serializer.serialize_struct("LogRecord", 10)?;
        fields.serialize_field("time", &Text(humantime::format_rfc3339_millis(ended.time)))?;
        fields.serialize_field("level", ended.level())?;
        fields.serialize_field("function", &Text(function))?;
        fields.serialize_field("revision", &ended.revision)?;
        fields.serialize_field("invocation", &Text(ended.invocation))?;
        fields.serialize_field("outcome", &ended.outcome)?;
        if ended.status != 0 {
            fields.serialize_field("status", &ended.status)?;
        }
        fields.serialize_field("seconds", &ended.took.as_secs_f64())?;
        fields.serialize_field("bill", &ended.bill)?;
        fields.serialize_field("message", &Text(Message(ended)))?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_followers_get() {
        let function: FunctionId = "shop/cart".parse().unwrap();
        let request = Request::put("/cart/7?token=secret").body(()).unwrap();
        let plain = Ended {
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_000_000_123),
            revision: 3,
            invocation: InvocationId::random(),
            outcome: Outcome::Answered,
            status: 200,
            took: Duration::from_micros(463),
            bill: Bill { cpu_seconds: 0.25, request_bytes: 7, ..Bill::default() },
            what: What::of(&request),
            cause: String::new(),
        };
        let on = What { on: Some("cloud".parse().unwrap()), ..plain.what.clone() };
        let failed =
            Ended { outcome: Outcome::Trap, status: 0, cause: "a \"trap\"\n".to_owned(), what: on, ..plain.clone() };
        for (ended, message) in [(plain, "PUT /cart/7"), (failed, "PUT /cart/7 (on cloud): a \"trap\"\n")] {
            let (line, record) = (serde_json::to_string(&ended.line(&function)).unwrap(), ended.record(&function));
            assert_eq!(line, serde_json::to_string(&record).unwrap());
            assert_eq!(record.message, message);
        }
    }
}
