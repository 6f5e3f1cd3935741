//! `kubectl elysia index validate FILE`: every problem with its place, before a feed is made of the file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use clap::builder::NonEmptyStringValueParser;
use elysia_engine::category::Category;
use elysia_engine::compression::ReadError;
use elysia_engine::rejection::DeadLetter;
use elysia_engine::validation::{Validation, validate};
use serde::Serialize;
use tokio::fs::File;

use super::super::printer::{ADVICE, BAD, DOUBTFUL, GOOD, Printer, paint, plain};
use super::super::{Exit, Output, columns, encode};

/// Standard input, as a file's name.
const STDIN: &str = "-";

/// Problems that are shown of each file when nobody says how many.
const PROBLEMS: usize = 100;

/// The most that may be asked for: about 5 MB of them are held.
const MOST_PROBLEMS: u64 = 10_000;

/// Arguments of `index validate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Plain, gzip and zstd are told apart by content. The format: docs/format.md\n\
    Exit codes: 0 every line is valid, 1 a line or an archive is not, 2 a file could not be read, 64 wrong usage")]
pub(super) struct ValidateArgs {
    /// Files; `-` is standard input
    #[arg(required = true, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    files: Vec<String>,
    /// How many problems to show of each file; all are counted
    #[arg(long, value_name = "NUMBER", default_value_t = PROBLEMS as u64)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=MOST_PROBLEMS))]
    limit: u64,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Findings {
    /// Whether every line of every file is valid; absent where a file could not be read and nothing else is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid: Option<bool>,
    files: Vec<FileFindings>,
}

/// What was found in one file.
#[derive(Debug, Serialize)]
struct FileFindings {
    file: String,
    /// Absent when it could not be read at all.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    content: Option<Content>,
    /// The file is damaged, or an archive that is not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<String>,
    /// Why the file could not be read, or not to its end: what is behind is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

/// What a file holds, as far as it could be read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    compression: &'static str,
    bytes: u64,
    lines: u64,
    operations: BTreeMap<&'static str, u64>,
    rejected: u64,
    errors: BTreeMap<&'static str, u64>,
    problems: Vec<DeadLetter>,
    /// Problems beyond those that are listed.
    problems_omitted: u64,
}

pub(super) async fn run(args: &ValidateArgs, printer: Printer) -> io::Result<Exit> {
    let limit = usize::try_from(args.limit).unwrap_or(PROBLEMS);
    let mut files = Vec::new();
    for file in &args.files {
        files.push(look(file, limit).await);
    }
    let findings = Findings::of(files);
    let text = match args.output {
        Output::Table => findings.render(),
        output => encode(&findings, output)?,
    };
    printer.data(&text)?;
    for file in &findings.files {
        for problem in file.damaged.iter().chain(&file.unreadable) {
            printer.complain(&format!("{}: {problem}", file.file));
        }
    }
    Ok(findings.exit())
}

async fn look(file: &str, limit: usize) -> FileFindings {
    let found = if file == STDIN {
        validate(tokio::io::stdin(), file, limit).await
    } else {
        match File::open(file).await {
            Ok(reader) => validate(reader, file, limit).await,
            Err(error) => Err(ReadError::Failed(error)),
        }
    };
    match found {
        Ok(validation) => FileFindings::of(file, validation),
        Err(error) => {
            FileFindings { file: file.to_owned(), content: None, damaged: None, unreadable: None }.broken(&error)
        }
    }
}

impl FileFindings {
    fn of(file: &str, validation: Validation) -> Self {
        let Validation { compression, bytes, lines, operations, rejected, errors, problems, broken } = validation;
        let operations = [
            ("add", operations.add),
            ("modify", operations.modify),
            ("delete", operations.delete),
            ("rename", operations.rename),
        ];
        let seen = |category: Category| (category.as_str(), errors.of(category));
        let content = Content {
            compression: compression.as_str(),
            bytes,
            lines,
            operations: operations.into(),
            rejected,
            errors: Category::ALL.into_iter().map(seen).filter(|(_, count)| *count > 0).collect(),
            problems_omitted: rejected - problems.len() as u64,
            problems,
        };
        let findings = Self { file: file.to_owned(), content: Some(content), damaged: None, unreadable: None };
        match broken {
            Some(error) => findings.broken(&error),
            None => findings,
        }
    }

    fn broken(self, error: &ReadError) -> Self {
        match error {
            ReadError::Failed(_) => Self { unreadable: Some(error.to_string()), ..self },
            ReadError::Damaged { .. } | ReadError::Cut { .. } | ReadError::Unsupported(_) => {
                Self { damaged: Some(error.to_string()), ..self }
            }
        }
    }

    fn is_at_fault(&self) -> bool {
        self.damaged.is_some() || self.content.as_ref().is_some_and(|content| content.rejected > 0)
    }
}

impl Findings {
    fn of(files: Vec<FileFindings>) -> Self {
        let is_unknown = files.iter().any(|file| file.unreadable.is_some());
        let valid =
            if files.iter().any(FileFindings::is_at_fault) { Some(false) } else { (!is_unknown).then_some(true) };
        Self { valid, files }
    }

    fn exit(&self) -> Exit {
        match self.valid {
            Some(true) => Exit::Healthy,
            Some(false) => Exit::Fault,
            None => Exit::Unknown,
        }
    }

    fn render(&self) -> String {
        let row = |file: &FileFindings| {
            let Some(content) = &file.content else {
                return std::iter::once(file.file.clone()).chain(vec![columns::UNKNOWN.to_owned(); 8]).collect();
            };
            let Content { compression, lines, operations, rejected, .. } = content;
            let operation = |word| operations.get(word).copied().unwrap_or_default().to_string();
            let state = match (file.is_at_fault(), &file.unreadable) {
                (true, _) => "fault",
                (false, Some(_)) => "unknown",
                (false, None) => "valid",
            };
            vec![
                file.file.clone(),
                state.to_owned(),
                (*compression).to_owned(),
                lines.to_string(),
                operation("add"),
                operation("modify"),
                operation("delete"),
                operation("rename"),
                rejected.to_string(),
            ]
        };
        let head = ["FILE", "STATE", "STORED", "LINES", "ADD", "MODIFY", "DELETE", "RENAME", "REJECTED"];
        let mut text = columns::render(&head, &self.files.iter().map(row).collect::<Vec<_>>());
        text += &self.problems();
        text += &self.summary();
        text + self.verdict().as_str()
    }

    fn contents(&self) -> impl Iterator<Item = (&str, &Content)> {
        self.files.iter().filter_map(|file| Some((file.file.as_str(), file.content.as_ref()?)))
    }

    /// Each problem as compilers and editors have it: `file:line: category: reason`.
    fn problems(&self) -> String {
        let mut text = String::new();
        for (file, content) in self.contents() {
            for DeadLetter { line, category, reason, .. } in &content.problems {
                let lead = if text.is_empty() { "\n" } else { "" };
                let word = paint(BAD, category.as_str());
                let _ = writeln!(text, "{lead}{}:{line}: {word}: {}", plain(file), plain(reason));
            }
            if content.problems_omitted > 0 {
                let _ = writeln!(text, "{}: {} more are not shown; see --limit", plain(file), content.problems_omitted);
            }
        }
        text
    }

    fn summary(&self) -> String {
        let mut errors: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, content) in self.contents() {
            for (category, count) in &content.errors {
                *errors.entry(category).or_default() += count;
            }
        }
        if errors.is_empty() {
            return String::new();
        }
        let rows = errors.iter().map(|(category, count)| vec![(*category).to_owned(), count.to_string()]);
        format!("\n{}", columns::render(&["CATEGORY", "LINES"], &rows.collect::<Vec<_>>()))
    }

    fn verdict(&self) -> String {
        let lines: u64 = self.contents().map(|(_, content)| content.lines).sum();
        let rejected: u64 = self.contents().map(|(_, content)| content.rejected).sum();
        match self.valid {
            Some(true) if lines == 0 => format!("\n{}: there is not one line in it\n", paint(DOUBTFUL, "valid")),
            Some(true) => format!("\n{}: all {lines} lines\n", paint(GOOD, "valid")),
            Some(false) if rejected > 0 => format!(
                "\n{}: a run would reject {rejected} of {lines} lines and index the others\n{}: the format, to the letter: \
                 docs/format.md\n",
                paint(BAD, "fault"),
                paint(ADVICE, "hint"),
            ),
            Some(false) => format!("\n{}: a run would stop where an archive breaks off\n", paint(BAD, "fault")),
            None => format!("\n{}: not everything could be read\n", paint(DOUBTFUL, "unknown")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const GOOD_LINE: &str = "{\"repo\":\"r\",\"op\":\"delete\",\"path\":\"p\"}\n";

    /// Looks at files of these contents, which stand without their folder in what is printed.
    async fn findings(files: &[(&str, &[u8])], limit: usize) -> Findings {
        let folder = tempfile::TempDir::new().unwrap();
        let mut found = Vec::new();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            let mut file = look(path.to_str().unwrap(), limit).await;
            (*name).clone_into(&mut file.file);
            for problem in file.content.iter_mut().flat_map(|content| &mut content.problems) {
                (*name).clone_into(&mut problem.file);
            }
            found.push(file);
        }
        Findings::of(found)
    }

    fn uncoloured(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_with_file_and_line() {
        let bad = format!("{GOOD_LINE}nonsense\n\n{GOOD_LINE}{{\"repo\":\"r\"}}\n\u{0}\nx\n");
        let found = findings(&[("good.jsonl", GOOD_LINE.as_bytes()), ("bad.jsonl", bad.as_bytes())], 3).await;
        assert_eq!(found.exit(), Exit::Fault);
        insta::assert_snapshot!(uncoloured(&found.render()), @r"
        FILE         STATE   STORED   LINES   ADD   MODIFY   DELETE   RENAME   REJECTED
        good.jsonl   valid   plain    1       0     0        1        0        0
        bad.jsonl    fault   plain    6       0     0        2        0        4

        bad.jsonl:2: validation: column 2: expected ident: a line is one JSON object
        bad.jsonl:5: validation: field `path` is missing
        bad.jsonl:6: encoding: byte 0 of the line is NUL: the file is damaged, or no UTF-8 text; write it anew
        bad.jsonl: 1 more are not shown; see --limit

        CATEGORY     LINES
        encoding     1
        validation   3

        fault: a run would reject 4 of 7 lines and index the others
        hint: the format, to the letter: docs/format.md
        ");
        insta::assert_snapshot!(encode(&findings(&[("bad.jsonl", b"{}\n")], 1).await, Output::Yaml).unwrap(), @r"
        valid: false
        files:
        - file: bad.jsonl
          compression: plain
          bytes: 3
          lines: 1
          operations:
            add: 0
            delete: 0
            modify: 0
            rename: 0
          rejected: 1
          errors:
            validation: 1
          problems:
          - file: bad.jsonl
            line: 1
            offset: 0
            length: 3
            category: validation
            reason: field `repo` is missing
          problemsOmitted: 0
        ");
    }

    #[tokio::test]
    async fn the_exit_code_tells_valid_from_fault_from_unknown() {
        let cut: &[u8] = b"\x1F\x8B\x08\x00\x00\x00\x00\x00\x00\x03\xAB\xAE\xE5";
        let good = ("good.jsonl", GOOD_LINE.as_bytes());
        for (files, exit, verdict) in [
            (vec![good], Exit::Healthy, "valid: all 1 lines"),
            (vec![("empty.jsonl", &b""[..])], Exit::Healthy, "valid: there is not one line in it"),
            (vec![good, ("cut.gz", cut)], Exit::Fault, "fault: a run would stop where an archive breaks off"),
            (vec![("bad.jsonl", b"{}"), good], Exit::Fault, "fault: a run would reject 1 of 2 lines"),
            (vec![("a.xz", b"\xFD7zXZ\0")], Exit::Fault, "fault: a run would stop"),
        ] {
            let found = findings(&files, 9).await;
            assert_eq!(found.exit(), exit, "{verdict}");
            assert!(uncoloured(&found.render()).contains(verdict), "{}", found.render());
        }
        let absent = Findings::of(vec![look("/nowhere/feed.jsonl", 9).await]);
        assert_eq!(absent.exit(), Exit::Unknown);
        assert!(absent.files[0].unreadable.as_ref().unwrap().contains("No such file"));
        assert!(uncoloured(&absent.render()).ends_with("unknown: not everything could be read\n"));
        let bad = findings(&[("bad.jsonl", b"{}")], 9).await.files;
        let both = Findings::of(bad.into_iter().chain(absent.files).collect());
        assert_eq!(both.exit(), Exit::Fault, "a definite fault outweighs what is unknown");
    }
}
