//! The parts of Markdown pages that tests check.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use spillway_tests::workspace;

/// One page of the documentation.
pub(crate) struct Page {
    /// From the repository's root.
    pub(crate) path: PathBuf,
    text: String,
}

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The word after the fence.
    pub(crate) language: String,
    /// The last line of text before it.
    pub(crate) before: String,
    /// Number of its first line in the page, from 1.
    pub(crate) line: usize,
    /// What is in it.
    pub(crate) lines: Vec<String>,
}

/// A command in a `console` or `sh` block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// Number of its line in the page, from 1.
    pub(crate) line: usize,
    /// The command, continued lines joined.
    pub(crate) text: String,
    /// The lines up to the next `$ `, which are its real output; none in an `sh` block.
    pub(crate) output: Vec<String>,
}

impl Page {
    /// The README and all pages below `docs`.
    pub(crate) fn all() -> Vec<Self> {
        let mut paths = vec![PathBuf::from("README.md")];
        let mut folders = vec![PathBuf::from("docs")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(workspace().join(&folder)).expect("docs is a folder") {
                let path = folder.join(entry.expect("docs can be read").file_name());
                if workspace().join(&path).is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "md") {
                    paths.push(path);
                }
            }
        }
        paths.sort();
        paths.into_iter().map(Self::read).collect()
    }

    /// One page.
    ///
    /// # Panics
    /// If it is not there.
    pub(crate) fn read(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let text = std::fs::read_to_string(workspace().join(&path));
        Self { text: text.unwrap_or_else(|error| panic!("{}: {error}", path.display())), path }
    }

    /// `PATH:LINE`, for messages.
    pub(crate) fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    /// The fenced blocks, in order.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        let mut before = "";
        for (line, text) in (1..).zip(self.text.lines()) {
            match (&mut open, text.trim_start().strip_prefix("```")) {
                (None, Some(language)) => {
                    let (language, before) = (language.trim().to_owned(), before.to_owned());
                    open = Some(Block { language, before, line: line + 1, lines: Vec::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => block.lines.push(text.to_owned()),
                (None, None) if !text.trim().is_empty() => before = text,
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{} has a block without an end", self.path.display());
        blocks
    }

    /// The lines outside fenced blocks, with their numbers, from 1.
    pub(crate) fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut is_fenced = false;
        (1..).zip(self.text.lines()).filter(move |(_, text)| {
            let is_fence = text.trim_start().starts_with("```");
            is_fenced ^= is_fence;
            !is_fenced && !is_fence
        })
    }

    /// What is linked to, with the number of the line.
    pub(crate) fn links(&self) -> Vec<(usize, String)> {
        let links_of = |(line, text): (usize, &str)| -> Vec<(usize, String)> {
            // Every second part lies between backticks.
            let outside_code: String = text.split('`').step_by(2).collect();
            let ends = outside_code.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            ends.map(|(link, _)| (line, link.to_owned())).collect()
        };
        self.prose().flat_map(links_of).collect()
    }

    /// What a link to one of the page's headings may end in, as GitHub names them.
    pub(crate) fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose().filter(|(_, text)| text.starts_with('#'));
        headings.map(|(_, text)| anchor(text.trim_start_matches('#').trim())).collect()
    }

    /// Where a link of this page leads: path from the repository's root, and heading.
    pub(crate) fn target(&self, link: &str) -> (PathBuf, Option<String>) {
        let (path, anchor) =
            link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor.to_owned())));
        let folder = self.path.parent().unwrap_or(Path::new(""));
        (if path.is_empty() { self.path.clone() } else { folder.join(path) }, anchor)
    }
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

impl Block {
    /// The commands of a `console` or `sh` block; none of others.
    pub(crate) fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        let mut continues = false;
        for (line, text) in (self.line..).zip(&self.lines) {
            let start = match self.language.as_str() {
                "console" => text.strip_prefix("$ "),
                "sh" => Some(text.as_str()).filter(|text| !text.trim().is_empty() && !text.starts_with('#')),
                _ => None,
            };
            match (commands.last_mut(), start) {
                (Some(last), _) if continues => last.text.push_str(text.trim()),
                (_, Some(start)) => {
                    commands.push(Command { line, text: start.trim().to_owned(), output: Vec::new() });
                }
                (Some(last), None) if self.language == "console" => last.output.push(text.clone()),
                (_, None) => {}
            }
            let last = commands.last_mut();
            continues = last
                .is_some_and(|last| last.output.is_empty() && last.text.ends_with('\\') && last.text.pop().is_some());
        }
        commands
    }
}

#[test]
fn blocks_commands_links_and_anchors_are_found() {
    let text = "# Say `hi`, twice\nSee [this](a.md#b-c) and `[not](this)`.\n\n```console\n$ one \\\n  two\nout\n\nput\n$ three\n```\n";
    let page = Page { path: "docs/x.md".into(), text: text.to_owned() };
    let blocks = page.blocks();
    assert_eq!((blocks.len(), blocks[0].line), (1, 5));
    assert!(blocks[0].before.starts_with("See "));
    let commands = blocks[0].commands();
    assert_eq!((commands[0].text.as_str(), commands[0].output.join("|")), ("one two", "out||put".to_owned()));
    assert_eq!((commands[1].text.as_str(), commands[1].line), ("three", 10));
    assert_eq!(page.links(), [(2, "a.md#b-c".to_owned())]);
    assert_eq!(page.target("a.md#b-c"), ("docs/a.md".into(), Some("b-c".to_owned())));
    assert_eq!(page.anchors().into_iter().collect::<Vec<_>>(), ["say-hi-twice"]);
}
