//! Reading one table of a manifest while collecting every error on the way.

use std::cell::RefCell;
use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Diagnostic;

/// Collects errors by their position in the text.
pub(super) struct Reporter<'t> {
    text: &'t str,
    found: RefCell<Vec<Diagnostic>>,
}

impl<'t> Reporter<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, found: RefCell::default() }
    }

    /// Notes an error at a byte position.
    pub(super) fn report(&self, at: usize, message: impl Into<String>) {
        let line = 1 + self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|b| **b == b'\n').count();
        self.found.borrow_mut().push(Diagnostic { line, message: message.into() });
    }

    /// All errors, by line.
    pub(super) fn finish(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|diagnostic| diagnostic.line);
        found
    }
}

/// One table of the manifest: its name for messages, its keys, where it starts.
pub(super) struct Section<'a> {
    name: String,
    table: &'a DeTable<'a>,
    start: usize,
    reporter: &'a Reporter<'a>,
}

impl<'a> Section<'a> {
    /// Wraps a table and reports each key that is not among `known`, with the nearest that is.
    pub(super) fn open(
        name: impl Into<String>,
        table: &'a DeTable<'a>,
        span: Range<usize>,
        known: &[&str],
        reporter: &'a Reporter<'a>,
    ) -> Self {
        let section = Self { name: name.into(), table, start: span.start, reporter };
        for key in table.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                section.report_unknown(key, known);
            }
        }
        section
    }

    fn report_unknown(&self, key: &Spanned<std::borrow::Cow<'_, str>>, known: &[&str]) {
        let name = key.get_ref();
        let place = if self.name.is_empty() { String::new() } else { format!(" in [{}]", self.name) };
        let nearest = known
            .iter()
            .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
            .min()
            .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 3);
        let remedy = match nearest {
            Some((_, candidate)) => format!("did you mean `{candidate}`?"),
            None => format!("known keys are {}", known.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")),
        };
        self.reporter.report(key.span().start, format!("unknown key `{name}`{place}; {remedy}"));
    }

    /// The table's own line, for what is missing from it.
    pub(super) fn report_missing(&self, key: &str, example: &str) {
        let place = if self.name.is_empty() { "the manifest".to_owned() } else { format!("[{}]", self.name) };
        self.reporter.report(self.start, format!("{place} lacks `{key}`; add {example}"));
    }

    /// Whether the key is there, whatever its value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    /// Notes that a value is of another type than `wanted`.
    pub(super) fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let given = value.get_ref().type_str();
        self.reporter.report(value.span().start, format!("`{key}` is of type {given}; write {wanted}"));
    }

    /// A string, if the key is there.
    pub(super) fn string(&self, key: &str, example: &str) -> Option<(&'a str, usize)> {
        let value = self.value(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(key, value, &format!("a string, as in {example}"));
        }
        Some((text?, value.span().start))
    }

    /// A string that `parse` accepts.
    pub(super) fn parsed<T, E: ToString>(
        &self,
        key: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (text, at) = self.string(key, example)?;
        parse(text).map_err(|error| self.reporter.report(at, error.to_string())).ok()
    }

    /// A boolean, if the key is there.
    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        let value = self.value(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type(key, value, "true or false");
        }
        flag
    }

    /// A whole number within `range`, if the key is there.
    pub(super) fn integer(&self, key: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let value = self.value(key)?;
        let Some(number) = value.get_ref().as_integer() else {
            self.wrong_type(key, value, "a whole number");
            return None;
        };
        let parsed = i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok();
        let accepted = parsed.filter(|n| range.contains(n));
        if accepted.is_none() {
            let message = format!(
                "`{key} = {}` is out of range; {} to {} is allowed",
                number.as_str(),
                range.start(),
                range.end()
            );
            self.reporter.report(value.span().start, message);
        }
        accepted
    }

    /// A list of strings with the position of each; empty if the key is not there.
    pub(super) fn strings(&self, key: &str, example: &str) -> Vec<(&'a str, usize)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_type(key, value, &format!("a list of strings, as in {example}"));
            return Vec::new();
        };
        let mut strings = Vec::new();
        for item in items.iter() {
            match item.get_ref().as_str() {
                Some(text) => strings.push((text, item.span().start)),
                None => self.wrong_type(key, item, &format!("a list of strings, as in {example}")),
            }
        }
        strings
    }

    /// A table below this one.
    pub(super) fn table(&self, key: &str, known: &[&str]) -> Option<Section<'a>> {
        let value = self.value(key)?;
        match value.get_ref().as_table() {
            Some(table) => Some(Section::open(self.child_name(key), table, value.span(), known, self.reporter)),
            None => {
                self.wrong_type(key, value, &format!("a table, as in [{}]", self.child_name(key)));
                None
            }
        }
    }

    /// A list of tables (`[[key]]`); empty if the key is not there.
    pub(super) fn tables(&self, key: &str, known: &[&str]) -> Vec<Section<'a>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_type(key, value, &format!("a list of tables, as in [[{key}]]"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items.iter() {
            match item.get_ref().as_table() {
                Some(table) => sections.push(Section::open(key, table, item.span(), known, self.reporter)),
                None => self.wrong_type(key, item, &format!("a table, as in [[{key}]]")),
            }
        }
        sections
    }

    /// A table whose keys are the author's own: names that parse as `K`, each with its value.
    pub(super) fn named_tables<K: FromStr>(&self, key: &str, known: &[&str]) -> Vec<(K, Section<'a>)>
    where
        K::Err: ToString,
    {
        let mut sections = Vec::new();
        for (name, value) in self.entries(key) {
            match (name.get_ref().parse::<K>(), value.get_ref().as_table()) {
                (Ok(id), Some(table)) => {
                    let child = format!("{key}.{}", name.get_ref());
                    sections.push((id, Section::open(child, table, value.span(), known, self.reporter)));
                }
                (Err(error), _) => self.reporter.report(name.span().start, error.to_string()),
                (_, None) => {
                    self.wrong_type(name.get_ref(), value, &format!("a table, as in [{key}.{}]", name.get_ref()))
                }
            }
        }
        sections
    }

    /// A table of strings with keys of the author's own.
    pub(super) fn string_map(&self, key: &str) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for (name, value) in self.entries(key) {
            match value.get_ref().as_str() {
                Some(text) => pairs.push((name.get_ref().to_string(), text.to_owned())),
                None => {
                    self.wrong_type(name.get_ref(), value, "a string; functions parse their configuration themselves")
                }
            }
        }
        pairs
    }

    /// A table with keys of the author's own; empty if the key is not there.
    pub(super) fn entries(&self, key: &str) -> Vec<(&'a Spanned<std::borrow::Cow<'a, str>>, &'a Spanned<DeValue<'a>>)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        match value.get_ref().as_table() {
            Some(table) => table.iter().collect(),
            None => {
                self.wrong_type(key, value, &format!("a table, as in [{}]", self.child_name(key)));
                Vec::new()
            }
        }
    }

    fn child_name(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Notes an error at a position that one of the readers gave.
    pub(super) fn report(&self, at: usize, message: impl Into<String>) {
        self.reporter.report(at, message);
    }

    /// Notes an error at the value of a key.
    pub(super) fn report_at(&self, key: &str, message: impl Into<String>) {
        self.report(self.value(key).map_or(self.start, |value| value.span().start), message);
    }

    /// Where the table starts.
    pub(super) fn start(&self) -> usize {
        self.start
    }
}
