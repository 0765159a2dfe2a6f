//! The documentation, held against the command line and the files that it speaks of.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use spillway_tests::{spillway, workspace};

use crate::markdown::Page;

/// A program and what its `--help` says of each subcommand.
struct Program {
    /// How it is called in the pages.
    words: &'static [&'static str],
    /// By subcommand; the whole program's under the empty name.
    helps: BTreeMap<String, String>,
}

impl Program {
    fn ask(words: &'static [&'static str], path: PathBuf) -> Self {
        assert!(path.is_file(), "{} is missing; run `cargo xtask test`, which builds it", path.display());
        let help = |args: &[&str]| {
            let output = Command::new(&path).args(args).output().expect("the program can be run");
            assert!(output.status.success(), "{} {args:?}: {output:?}", path.display());
            String::from_utf8(output.stdout).expect("help is text")
        };
        let whole = help(&["--help"]);
        let commands =
            whole.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        // A name stands two columns in; what is said of it may go on in further lines.
        let names =
            commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()));
        let mut helps: BTreeMap<String, String> =
            names.filter(|name| *name != "help").map(|name| (name.to_owned(), help(&[name, "--help"]))).collect();
        assert!(!helps.is_empty(), "no commands in {whole}");
        helps.insert(String::new(), whole);
        Self { words, helps }
    }

    /// What follows the program's name, if this is a call of it.
    fn arguments<'a>(&self, words: &'a [String]) -> Option<&'a [String]> {
        let (name, arguments) = words.split_at_checked(self.words.len())?;
        (name == self.words).then_some(arguments)
    }

    /// What is wrong with a call of this program, if it is one.
    fn check(&self, words: &[String]) -> Option<String> {
        let arguments = self.arguments(words)?;
        let is_placeholder = |word: &String| word.chars().all(|c| c.is_ascii_uppercase());
        let name =
            arguments.iter().find(|word| self.helps.contains_key(*word) || *word == "help" || is_placeholder(word));
        let Some(name) =
            name.map(String::as_str).or_else(|| arguments.iter().all(|w| w.starts_with('-')).then_some(""))
        else {
            return Some(format!("`{}` has no such subcommand", self.words.join(" ")));
        };
        let help = self.helps.get(name)?;
        // What follows `--` goes to somebody else.
        let flags = arguments.iter().take_while(|word| *word != "--").filter(|word| is_flag(word));
        let unknown = flags.map(|flag| flag.split_once('=').map_or(flag.as_str(), |(flag, _)| flag)).find(|flag| {
            let mut known = help.split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '`' | '(' | ')'));
            !known.any(|word| word == *flag)
        });
        unknown.map(|flag| format!("`{} {name}` has no `{flag}`", self.words.join(" ")))
    }
}

/// `-` alone is standard input, and `-1` a number.
fn is_flag(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c == '-' || c.is_ascii_alphabetic()))
}

/// The simple commands of a line of shell, each as its words without assignments before it.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut word, mut quote) = (vec![Vec::new()], None::<String>, None);
    for c in line.chars().chain([';']) {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ' | '|' | ';' | '&' | '(' | ')') => {
                let last = commands.last_mut().expect("there is one from the start");
                last.extend(word.take());
                if c != ' ' {
                    commands.push(Vec::new());
                }
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    commands.last_mut().expect("there is one from the start").extend(word);
    let is_assignment = |word: &String| {
        word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c == '_' || c.is_ascii_uppercase()))
    };
    commands.into_iter().map(|words| words.into_iter().skip_while(is_assignment).collect()).collect()
}

#[test]
fn every_command_in_the_docs_exists_with_its_options() {
    let programs = [
        Program::ask(&["spillway"], spillway()),
        Program::ask(&["cargo", "xtask"], spillway().with_file_name("xtask")),
    ];
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for page in Page::all() {
        let blocks = page.blocks();
        let of_blocks = blocks.iter().flat_map(|block| block.commands()).map(|command| (command.line, command.text));
        // In the text, too: between backticks.
        let in_code = |(line, text): (usize, &str)| {
            text.split('`').skip(1).step_by(2).map(|code| (line, code.to_owned())).collect::<Vec<_>>()
        };
        for (line, text) in of_blocks.chain(page.prose().flat_map(in_code)) {
            for words in simple_commands(&text) {
                checked += programs.iter().filter_map(|program| program.arguments(&words)).count();
                let problems = programs.iter().filter_map(|program| program.check(&words));
                wrong.extend(problems.map(|problem| format!("{}: {problem}: {text}", page.at(line))));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 0, "the docs have no command at all");
}

#[test]
fn every_link_in_the_docs_leads_to_a_file_and_a_heading_that_are_there() {
    let mut wrong = Vec::new();
    for page in Page::all() {
        for (line, link) in page.links() {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = page.target(&link);
            let is_there = workspace().join(&path).exists();
            // A heading's name is GitHub's, a line's number (`#L7`) would not stay true.
            if !is_there || anchor.is_some_and(|anchor| !Page::read(path).anchors().contains(&anchor)) {
                wrong.push(format!("{}: {link}", page.at(line)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The tests that a text names, as `file::name`.
fn named_tests(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('`').skip(1).step_by(2).filter_map(|code| code.rsplit_once("::"))
}

#[test]
fn every_promise_of_the_threat_model_names_a_test_that_is_there() {
    let page = Page::read("docs/security.md");
    let (mut wrong, mut promises) = (Vec::new(), 0);
    let rows = page.prose().skip_while(|(_, text)| *text != "## What holds");
    for (line, text) in rows.take_while(|(_, text)| *text != "## Harden a node") {
        if !text.starts_with("| ") || text.starts_with("| promise") || text.starts_with("| ---") {
            continue;
        }
        promises += 1;
        let (_, tests) = text.trim_end_matches(" |").rsplit_once(" | ").expect("two columns");
        if named_tests(tests).next().is_none() {
            wrong.push(format!("{}: no test shows it", page.at(line)));
        }
        for (file, name) in named_tests(tests) {
            let path = if file.ends_with(".rs") { file.to_owned() } else { format!("tests/integration/{file}.rs") };
            let source = std::fs::read_to_string(workspace().join(path)).unwrap_or_default();
            if !source.contains(&format!("fn {name}(")) {
                wrong.push(format!("{}: there is no test {file}::{name}", page.at(line)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(promises > 0, "the page promises nothing");
}

#[test]
fn a_line_of_shell_is_taken_apart() {
    let words = |line: &str| simple_commands(line).into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>();
    assert_eq!(words("A=1 spillway up --api 'x; y' # why"), [vec!["spillway", "up", "--api", "x; y"]]);
    assert_eq!(words("cat x | spillway ls && b"), [vec!["cat", "x"], vec!["spillway", "ls"], vec!["b"]]);
}
