//! What is called: `sniff` on files and, now and then, `ocr` on a picture, all of them from the tests.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use spillway_tests::workspace;

/// After how many calls the mix begins anew. Odd, so that both edge nodes get pictures in turn.
pub(crate) const ROUND: usize = 301;
/// Small pictures, which take about as long as each other: more than a hundred times as long as a file, all the same.
const PICTURES: [&str; 3] = ["bilevel.png", "palette.png", "gray.png"];
/// `sniff` looks at the ends of a file: all files take as long, and large ones only fill the way to the cloud.
const FILE_MAX: u64 = 16 << 10;

/// A function of the mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Sniff,
    Ocr,
}

impl Function {
    pub(crate) const ALL: [Self; 2] = [Self::Sniff, Self::Ocr];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sniff => "sniff",
            Self::Ocr => "ocr",
        }
    }

    /// How long its callers wait.
    pub(crate) fn patience(self) -> Duration {
        match self {
            Self::Sniff => Duration::from_secs(2),
            Self::Ocr => Duration::from_secs(8),
        }
    }
}

/// The bodies.
pub(crate) struct Mix {
    files: Vec<Bytes>,
    pictures: Vec<Bytes>,
}

impl Mix {
    /// Reads them.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let data = workspace().join("tests/data");
        let folder = data.join("sniff/files");
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            if (1..=FILE_MAX).contains(&entry.metadata()?.len()) {
                files.push(entry.path());
            }
        }
        ensure!(!files.is_empty(), "{} has no files for `sniff`", folder.display());
        // The same order on each machine.
        files.sort();
        let pictures = PICTURES.map(|name| data.join("ocr/pictures").join(name));
        Ok(Self {
            files: files.iter().map(|path| read(path)).collect::<anyhow::Result<_>>()?,
            pictures: pictures.iter().map(|path| read(path)).collect::<anyhow::Result<_>>()?,
        })
    }

    /// The call with this number.
    pub(crate) fn call(&self, number: usize) -> (Function, Bytes) {
        if number % ROUND == ROUND / 2 {
            return (Function::Ocr, self.body(Function::Ocr, number / ROUND));
        }
        (Function::Sniff, self.body(Function::Sniff, number))
    }

    /// A body for a function; they come again and again.
    pub(crate) fn body(&self, function: Function, number: usize) -> Bytes {
        let bodies = match function {
            Function::Sniff => &self.files,
            Function::Ocr => &self.pictures,
        };
        bodies[number % bodies.len()].clone()
    }
}

fn read(path: &Path) -> anyhow::Result<Bytes> {
    Ok(std::fs::read(path).with_context(|| path.display().to_string())?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_has_one_picture_and_both_edge_nodes_get_some() {
        let mix = Mix::read().expect("the repository has its data");
        let pictures: Vec<usize> = (0..4 * ROUND).filter(|number| mix.call(*number).0 == Function::Ocr).collect();
        assert_eq!(pictures.len(), 4);
        assert!(pictures.iter().any(|number| number % 2 == 0) && pictures.iter().any(|number| number % 2 == 1));
    }
}
