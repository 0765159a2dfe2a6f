//! What a caller asks for in header fields, within what the manifest allows.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use spillway_types::{Manifest, Priority, Problem, ProblemType, Residency};

use super::respond::has_own;

/// How long a caller waits: never longer than a call may take by `[limits]`.
pub(super) const DEADLINE: HeaderName = HeaderName::from_static("spillway-deadline-ms");
/// A caller may keep the data of its call nearer than the manifest does.
pub(crate) const RESIDENCY: HeaderName = HeaderName::from_static("spillway-residency");
/// A caller may let others go before its call; never past what the manifest says.
const PRIORITY: HeaderName = HeaderName::from_static("spillway-priority");
/// A caller that sends it gets `Server-Timing`.
const TIMING: HeaderName = HeaderName::from_static("spillway-timing");
/// A caller that sends it is told what the call took and costs; answers have it, too.
pub(super) const BILL: HeaderName = HeaderName::from_static("spillway-bill");

/// What holds for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    /// How long the caller waits.
    pub(super) patience: Duration,
    /// How far its data may travel.
    pub(super) residency: Residency,
    /// Who goes before it where calls wait.
    pub(super) priority: Priority,
    pub(super) wants_timing: bool,
    pub(super) wants_bill: bool,
}

impl Wishes {
    /// Reads them.
    ///
    /// # Errors
    /// Which field is not valid.
    pub(super) fn read(headers: &HeaderMap, manifest: &Manifest) -> Result<Self, Problem> {
        let none = HeaderMap::new();
        let headers = if has_own(headers) { headers } else { &none };
        Ok(Self {
            patience: patience(headers, manifest)?,
            residency: residency(headers, manifest.placement.residency)?,
            priority: priority(headers, manifest.placement.priority)?,
            wants_timing: headers.contains_key(TIMING),
            wants_bill: headers.contains_key(BILL),
        })
    }

    /// Takes the fields away that are for the node and not for the function.
    pub(super) fn strip(headers: &mut HeaderMap) {
        if has_own(headers) {
            headers.remove(TIMING);
            headers.remove(BILL);
        }
    }
}

fn patience(headers: &HeaderMap, manifest: &Manifest) -> Result<Duration, Problem> {
    let most = manifest.limits.deadline;
    let usual = manifest.placement.deadline.map_or(most, |usual| usual.min(most));
    match headers.get(DEADLINE).map(|value| value.to_str().ok()?.parse().ok()) {
        Some(None) => {
            let detail = "spillway-deadline-ms is not a number of milliseconds; write one like 500";
            Err(Problem::new(ProblemType::BadRequest, detail))
        }
        asked => Ok(asked.flatten().map_or(usual, |asked| most.min(Duration::from_millis(asked)))),
    }
}

/// How far the data of a call may travel whose manifest allows `most`.
pub(crate) fn residency(headers: &HeaderMap, most: Residency) -> Result<Residency, Problem> {
    let mut narrowest = most;
    // A field that comes twice was added by somebody on the way: the narrowest counts.
    for value in headers.get_all(RESIDENCY) {
        let asked = value.to_str().map_err(|error| error.to_string()).and_then(str::parse::<Residency>);
        let asked = asked.map_err(|error| {
            Problem::new(ProblemType::BadRequest, format!("spillway-residency is not valid: {error}"))
        })?;
        narrowest = narrowest.min(asked);
    }
    Ok(narrowest)
}

/// The priority of a call whose manifest gives it `most`.
fn priority(headers: &HeaderMap, most: Priority) -> Result<Priority, Problem> {
    let mut least = most;
    // As with residency: of several the one that asks least counts.
    for value in headers.get_all(PRIORITY) {
        let asked = match value.as_bytes() {
            b"low" => Priority::LOW,
            b"normal" => Priority::USUAL,
            b"high" => Priority::HIGH,
            _ => {
                let detail = "spillway-priority is not valid; write one of low, normal, high";
                return Err(Problem::new(ProblemType::BadRequest, detail));
            }
        };
        least = least.min(asked);
    }
    Ok(least)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_caller_narrows_and_never_widens() {
        for (asked, most, holds) in [
            ("site", Residency::Any, Residency::Site),
            ("any", Residency::Site, Residency::Site),
            ("node", Residency::Region, Residency::Node),
        ] {
            assert_eq!(residency(&headers(&[(RESIDENCY, asked)]), most), Ok(holds));
        }
        assert_eq!(residency(&HeaderMap::new(), Residency::Region), Ok(Residency::Region));
        let mut twice = headers(&[(RESIDENCY, "site")]);
        twice.append(RESIDENCY, HeaderValue::from_static("any"));
        assert_eq!(residency(&twice, Residency::Any), Ok(Residency::Site));
    }

    #[test]
    fn a_caller_lowers_its_priority_and_never_raises_it() {
        for (asked, most, holds) in [("low", 5, 2), ("normal", 5, 5), ("high", 5, 5), ("high", 9, 8), ("normal", 1, 1)]
        {
            let fields = headers(&[(PRIORITY, asked)]);
            assert_eq!(priority(&fields, Priority::new(most)), Ok(Priority::new(holds)), "{asked} under {most}");
        }
        assert_eq!(priority(&HeaderMap::new(), Priority::new(7)), Ok(Priority::new(7)));
    }

    #[test]
    fn who_says_nothing_waits_as_long_as_is_usual_and_nobody_longer_than_a_call_may_take() {
        let ms = Duration::from_millis;
        let mut manifest = Manifest::plain("a".parse().unwrap(), Vec::new());
        manifest.limits.deadline = ms(1000);
        let waits = |manifest: &Manifest, asked: Option<&'static str>| {
            let fields: Vec<_> = asked.into_iter().map(|asked| (DEADLINE, asked)).collect();
            patience(&headers(&fields), manifest).unwrap()
        };
        assert_eq!(waits(&manifest, None), ms(1000));
        manifest.placement.deadline = Some(ms(300));
        assert_eq!(waits(&manifest, None), ms(300));
        assert_eq!((waits(&manifest, Some("5")), waits(&manifest, Some("600"))), (ms(5), ms(600)));
        assert_eq!(waits(&manifest, Some("5000")), ms(1000));
        manifest.placement.deadline = Some(ms(3000));
        assert_eq!(waits(&manifest, None), ms(1000));
    }

    #[test]
    fn what_is_no_wish_is_refused_and_not_passed_over() {
        for (name, value) in [
            (RESIDENCY, "here"),
            (RESIDENCY, ""),
            (RESIDENCY, "Site"),
            (DEADLINE, "1s"),
            (PRIORITY, "9"),
            (DEADLINE, ""),
        ] {
            let fields = headers(&[(name.clone(), value)]);
            let manifest = Manifest::plain("a".parse().unwrap(), Vec::new());
            let problem = Wishes::read(&fields, &manifest).unwrap_err();
            assert!(problem.is(ProblemType::BadRequest) && problem.detail.contains(name.as_str()), "{problem:?}");
        }
    }
}
