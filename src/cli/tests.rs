//! What the command line understands.

use std::collections::BTreeMap;

use clap::{CommandFactory as _, Parser as _};

use super::version::{self, Versions};
use super::{Cli, Exit, Output, encode, exit_of_parser};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

fn help(line: &str) -> String {
    parse(line).unwrap_err().render().to_string()
}

#[test]
fn the_command_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn help_reads_like_kubectl() {
    insta::assert_snapshot!("help", help("kubectl-elysia --help"));
    insta::assert_snapshot!("help_health", help("kubectl-elysia health --help"));
    insta::assert_snapshot!("help_version", help("kubectl-elysia version --help"));
    insta::assert_snapshot!("help_completion", help("kubectl-elysia completion --help"));
}

#[test]
fn wrong_usage_cannot_be_taken_for_unknown() {
    for line in [
        "kubectl-elysia",
        "kubectl-elysia heal",
        "kubectl-elysia health a b",
        "kubectl-elysia health -o xml",
        "kubectl-elysia health --interval 5s",
        "kubectl-elysia health --watch --interval 0s",
        "kubectl-elysia completion tcsh",
        "kubectl-elysia index",
        "kubectl-elysia index validate",
        "kubectl-elysia index validate feed.jsonl --limit 10001",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(exit_of_parser(&error).code(), 64, "{line}");
    }
    assert_eq!(exit_of_parser(&parse("kubectl-elysia --version").unwrap_err()), Exit::Healthy);
}

#[test]
fn options_stand_where_people_write_them() {
    for line in [
        "kubectl-elysia health",
        "kubectl-elysia health wiki -v -o json",
        "kubectl-elysia -n search health wiki",
        "kubectl-elysia health wiki -n search --context here --kubeconfig /k",
        "kubectl-elysia -n search health -A",
        "kubectl-elysia health -A -w --interval 5s --color never",
        "kubectl-elysia version -o yaml --operator-namespace operators",
        "kubectl-elysia completion zsh",
        "kubectl-elysia index validate feed.jsonl - -o json --limit 0",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
}

#[test]
fn completion_names_the_commands() {
    let mut script = Vec::new();
    clap_complete::generate(clap_complete::Shell::Bash, &mut Cli::command(), "kubectl-elysia", &mut script);
    let script = String::from_utf8(script).unwrap();
    for word in ["kubectl-elysia", "health", "--operator-namespace"] {
        assert!(script.contains(word), "{word}");
    }
}

#[test]
fn versions_name_what_could_not_be_had() {
    let kinds: BTreeMap<_, _> =
        ["ElysiaCollection", "WeaviateCluster"].map(|kind| (kind.to_owned(), vec!["v1alpha1".to_owned()])).into();
    let unversioned = |mut versions: Versions| {
        "0.0.0".clone_into(&mut versions.client);
        versions
    };
    let known = unversioned(Versions::of(Ok("0.1.0".to_owned()), Ok(kinds)));
    assert!(known.unknown.is_empty());
    insta::assert_snapshot!("version_table", version::render(&known));
    insta::assert_snapshot!("version_json", encode(&known, Output::Json).unwrap());

    let dead = || "the API server did not answer within 5s".to_owned();
    let unknown = unversioned(Versions::of(Err(dead()), Err(dead())));
    insta::assert_snapshot!("version_unknown", encode(&unknown, Output::Yaml).unwrap());
    insta::assert_snapshot!("version_unknown_table", version::render(&unknown));
}
