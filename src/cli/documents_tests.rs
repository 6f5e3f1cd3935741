//! Every command of the plug-in that a document shows is one that it understands.

use std::fs;
use std::path::Path;

use clap::Parser as _;

use super::{Cli, Exit, exit_of_parser};

/// What stands in documents for what a person puts there, or leaves out.
const LEFT_OUT: [&str; 4] = ["…", "...", "[", "<"];

/// Commands in blocks of code, each on one line, with the line's number.
fn commands(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut is_code, mut open) = (Vec::<(usize, String)>::new(), false, false);
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            (is_code, open) = (!is_code, false);
            continue;
        }
        let line = line.trim();
        let begins = line.strip_prefix("$ ").unwrap_or(line);
        if open && let Some((_, command)) = found.last_mut() {
            command.push(' ');
            command.push_str(line);
        } else if is_code && begins.starts_with("kubectl elysia ") {
            found.push((number + 1, begins.to_owned()));
        } else {
            continue;
        }
        open = found.last_mut().is_some_and(|(_, command)| {
            let cut = command.strip_suffix('\\').map(|cut| cut.trim_end().to_owned());
            cut.map(|cut| *command = cut).is_some()
        });
    }
    found
}

/// The words of a command up to where a shell does something else; `None` where it is not to be taken by the letter.
fn words(command: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in command.chars() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '|' | '>' | '#' | ';' | '&') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            (Some(_) | None, _) => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    let is_shape = words.iter().any(|word| LEFT_OUT.iter().any(|mark| word.contains(mark)));
    (!is_shape).then_some(words)
}

#[test]
fn every_command_of_the_documents_is_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    files.extend(fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    files.retain(|path| path.extension().is_some_and(|it| it == "md"));
    files.sort();
    let (mut read, mut wrong) = (0, Vec::new());
    for file in files {
        for (line, command) in commands(&fs::read_to_string(&file).unwrap()) {
            let Some(words) = words(&command) else { continue };
            read += 1;
            // `kubectl elysia` is one word to the parser.
            if let Err(error) = Cli::try_parse_from(&words[1..])
                && exit_of_parser(&error) != Exit::Healthy
            {
                let place = file.file_name().unwrap().display().to_string();
                wrong.push(format!("{place}:{line}: {command}\n{error}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(read > 40, "only {read} commands were found");
}

#[test]
fn a_command_ends_where_the_shell_goes_on() {
    let text = "kubectl elysia no\n```sh\nkubectl elysia a \\\n  'b c' | jq\n$ kubectl elysia d  # e\nkubectl elysia … x\n```\n";
    let read: Vec<_> = commands(text).into_iter().map(|(line, command)| (line, words(&command))).collect();
    let some = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    let wanted = [(3, some(&["kubectl", "elysia", "a", "b c"])), (5, some(&["kubectl", "elysia", "d"])), (6, None)];
    assert_eq!(read, wanted);
}
