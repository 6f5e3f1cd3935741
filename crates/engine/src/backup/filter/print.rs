//! An expression as text: the same for every way to write it.

use std::fmt::{self, Write as _};

use super::parse::RESERVED;
use super::{Literal, Node, Operator, Test, Value};

pub(super) fn node(out: &mut fmt::Formatter<'_>, node: &Node) -> fmt::Result {
    match node {
        Node::And(nodes) => joined(out, nodes, " and "),
        Node::Or(nodes) => joined(out, nodes, " or "),
        Node::Not(inner) => match &**inner {
            Node::Test(name, test) => not(out, &name.text, test),
            inner @ (Node::And(_) | Node::Or(_) | Node::Not(_)) => {
                out.write_str("not ")?;
                enclosed(out, inner)
            }
        },
        Node::Test(name, test) => {
            self::name(out, &name.text)?;
            match test {
                Test::Truth => Ok(()),
                Test::Null => out.write_str(" is null"),
                Test::Compare(operator, literal) => compare(out, sign(*operator), literal),
                Test::In(list) => self::list(out, " in ", list),
                Test::Like(literal) => compare(out, "like", literal),
            }
        }
    }
}

fn not(out: &mut fmt::Formatter<'_>, name: &str, test: &Test) -> fmt::Result {
    // Of less and more there is no one sign for the contrary: what is absent is neither.
    if matches!(test, Test::Truth) || matches!(test, Test::Compare(operator, _) if *operator != Operator::Equal) {
        out.write_str("not ")?;
    }
    self::name(out, name)?;
    match test {
        Test::Truth => Ok(()),
        Test::Null => out.write_str(" is not null"),
        Test::Compare(Operator::Equal, literal) => compare(out, "!=", literal),
        Test::Compare(operator, literal) => compare(out, sign(*operator), literal),
        Test::In(list) => self::list(out, " not in ", list),
        Test::Like(literal) => compare(out, "not like", literal),
    }
}

fn joined(out: &mut fmt::Formatter<'_>, nodes: &[Node], between: &str) -> fmt::Result {
    for (at, inner) in nodes.iter().enumerate() {
        if at > 0 {
            out.write_str(between)?;
        }
        enclosed(out, inner)?;
    }
    Ok(())
}

fn enclosed(out: &mut fmt::Formatter<'_>, inner: &Node) -> fmt::Result {
    if matches!(inner, Node::And(_) | Node::Or(_)) {
        out.write_char('(')?;
        node(out, inner)?;
        out.write_char(')')
    } else {
        node(out, inner)
    }
}

fn name(out: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut letters = text.chars();
    let is_plain = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if is_plain && !RESERVED.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        out.write_str(text)
    } else {
        write!(out, "`{}`", text.replace('`', "``"))
    }
}

fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::Equal => "=",
        Operator::Less => "<",
        Operator::LessOrEqual => "<=",
        Operator::More => ">",
        Operator::MoreOrEqual => ">=",
    }
}

fn compare(out: &mut fmt::Formatter<'_>, sign: &str, with: &Literal) -> fmt::Result {
    write!(out, " {sign} ")?;
    literal(out, with)
}

fn list(out: &mut fmt::Formatter<'_>, word: &str, list: &[Literal]) -> fmt::Result {
    write!(out, "{word}(")?;
    for (at, item) in list.iter().enumerate() {
        if at > 0 {
            out.write_str(", ")?;
        }
        literal(out, item)?;
    }
    out.write_char(')')
}

fn literal(out: &mut fmt::Formatter<'_>, literal: &Literal) -> fmt::Result {
    match &literal.value {
        Value::Text(text) => write!(out, "'{}'", text.replace('\'', "''")),
        Value::Int(number) => write!(out, "{number}"),
        // Always with a point or an exponent, so that it is read as the same again.
        Value::Number(number) => write!(out, "{number:?}"),
        Value::Truth(truth) => write!(out, "{truth}"),
    }
}
