//! What `/metrics` says.

/// One scrape.
#[derive(Debug)]
pub struct Metrics(String);

impl Metrics {
    /// Takes OpenMetrics text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The sum of all samples called `name` that have all of `labels`; `None` where there is no such sample.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let values = self.0.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            (found == name && labels.iter().all(|label| rest.contains(label.as_str()))).then(|| value.parse().ok())?
        });
        values.fold(None, |sum: Option<f64>, value: f64| Some(sum.unwrap_or(0.0) + value))
    }

    /// Invocations of `function` that ended with `outcome`.
    ///
    /// # Panics
    /// If the function has no such counter.
    #[track_caller]
    pub fn requests(&self, function: &str, outcome: &str) -> u64 {
        let sum = self.sum("spillway_requests_total", &[("function", function), ("outcome", outcome)]);
        sum.unwrap_or_else(|| panic!("no count of {outcome} for {function} in:\n{}", self.0)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_name_and_labels_and_added_up() {
        let text = "# HELP a b\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"1\",y=\"3\"} 4\na_total_more 9\nb 0.5\n# EOF\n";
        let metrics = Metrics::new(text.to_owned());
        assert_eq!(metrics.sum("a_total", &[("x", "1")]), Some(7.0));
        assert_eq!(metrics.sum("a_total", &[("y", "3")]), Some(4.0));
        assert_eq!(metrics.sum("b", &[]), Some(0.5));
        assert_eq!(metrics.sum("a_total", &[("x", "2")]), None);
    }
}
