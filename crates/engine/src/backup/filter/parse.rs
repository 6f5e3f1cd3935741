//! Words into an expression.

use super::lex::{Kind, Word, error, words};
use super::{FilterError, Literal, MOST_DEPTH, Name, Node, Operator, Test, Value};

/// Words of the language, which are names only between back-ticks.
pub(super) const RESERVED: [&str; 10] = ["and", "or", "not", "in", "is", "null", "like", "contains", "true", "false"];

pub(super) fn expression(text: &str) -> Result<Node, FilterError> {
    let mut parser = Parser { words: words(text)?, at: 0, depth: 0 };
    let node = parser.any()?;
    match parser.peek() {
        Kind::End => Ok(node),
        _ => Err(parser.unexpected("`and`, `or` or the end")),
    }
}

struct Parser {
    words: Vec<Word>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn word(&self) -> &Word {
        // The last word is the end, and nothing goes beyond it.
        &self.words[self.at.min(self.words.len() - 1)]
    }

    fn peek(&self) -> &Kind {
        &self.word().kind
    }

    fn column(&self) -> usize {
        self.word().column
    }

    fn unexpected(&self, wanted: &str) -> FilterError {
        let found = match self.peek() {
            Kind::Name(text) | Kind::Quoted(text) => format!("`{text}`"),
            Kind::Text(text) => format!("'{text}'"),
            Kind::Number(text) => text.clone(),
            Kind::Sign(sign) => format!("`{sign}`"),
            Kind::End => "the end".to_owned(),
        };
        error(self.column(), format!("{wanted} should stand here, not {found}"))
    }

    fn is_next(&self, wanted: &str) -> bool {
        match self.peek() {
            Kind::Name(text) => text.eq_ignore_ascii_case(wanted),
            Kind::Sign(sign) => *sign == wanted,
            Kind::Quoted(_) | Kind::Text(_) | Kind::Number(_) | Kind::End => false,
        }
    }

    fn take(&mut self, wanted: &str) -> bool {
        let is_next = self.is_next(wanted);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, wanted: &str) -> Result<(), FilterError> {
        if self.take(wanted) { Ok(()) } else { Err(self.unexpected(&format!("`{wanted}`"))) }
    }

    fn any(&mut self) -> Result<Node, FilterError> {
        let mut nodes = vec![self.all()?];
        while self.take("or") {
            nodes.push(self.all()?);
        }
        Ok(joined(nodes, Node::Or))
    }

    fn all(&mut self) -> Result<Node, FilterError> {
        let mut nodes = vec![self.one()?];
        while self.take("and") {
            nodes.push(self.one()?);
        }
        Ok(joined(nodes, Node::And))
    }

    fn one(&mut self) -> Result<Node, FilterError> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(error(self.column(), format!("deeper than {MOST_DEPTH} parentheses")));
        }
        let node = if self.take("not") {
            negated(self.one()?)
        } else if self.take("(") {
            let node = self.any()?;
            self.expect(")")?;
            node
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn test(&mut self) -> Result<Node, FilterError> {
        let column = self.column();
        let text = match self.peek() {
            Kind::Name(text) if !RESERVED.iter().any(|word| text.eq_ignore_ascii_case(word)) => text.clone(),
            Kind::Quoted(text) => text.clone(),
            _ => return Err(self.unexpected("a property, `not` or `(`")),
        };
        self.at += 1;
        let name = Name { text, column };
        if self.take("is") {
            let is_not = self.take("not");
            self.expect("null")?;
            return Ok(turned(Node::Test(name, Test::Null), is_not));
        }
        let is_not = self.take("not");
        if self.take("in") {
            return Ok(turned(Node::Test(name, Test::In(self.list()?)), is_not));
        }
        if self.take("like") {
            return Ok(turned(Node::Test(name, Test::Like(self.literal()?)), is_not));
        }
        if self.take("contains") {
            return Ok(turned(Node::Test(name, Test::Compare(Operator::Equal, self.literal()?)), is_not));
        }
        if is_not {
            return Err(self.unexpected("`in`, `like` or `contains`"));
        }
        let Kind::Sign(sign) = self.peek() else { return Ok(Node::Test(name, Test::Truth)) };
        let (operator, is_not) = match *sign {
            "=" | "==" => (Operator::Equal, false),
            "!=" | "<>" => (Operator::Equal, true),
            "<" => (Operator::Less, false),
            "<=" => (Operator::LessOrEqual, false),
            ">" => (Operator::More, false),
            ">=" => (Operator::MoreOrEqual, false),
            _ => return Ok(Node::Test(name, Test::Truth)),
        };
        self.at += 1;
        Ok(turned(Node::Test(name, Test::Compare(operator, self.literal()?)), is_not))
    }

    fn list(&mut self) -> Result<Vec<Literal>, FilterError> {
        self.expect("(")?;
        let mut list = vec![self.literal()?];
        while self.take(",") {
            list.push(self.literal()?);
        }
        self.expect(")")?;
        Ok(list)
    }

    fn literal(&mut self) -> Result<Literal, FilterError> {
        let column = self.column();
        let value = match self.peek() {
            Kind::Text(text) => Value::Text(text.clone()),
            Kind::Number(text) => number(text).ok_or_else(|| error(column, format!("{text} is no number")))?,
            Kind::Name(text) if text.eq_ignore_ascii_case("true") => Value::Truth(true),
            Kind::Name(text) if text.eq_ignore_ascii_case("false") => Value::Truth(false),
            _ => return Err(self.unexpected("a number, `true`, `false` or a text between ' and '")),
        };
        self.at += 1;
        Ok(Literal { value, column })
    }
}

fn number(text: &str) -> Option<Value> {
    if let Ok(number) = text.parse() {
        return Some(Value::Int(number));
    }
    text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Number)
}

/// One of them stands for itself; a node of the same kind gives its own.
fn joined(nodes: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
    let mut flat = Vec::with_capacity(nodes.len());
    let is_and = matches!(join(Vec::new()), Node::And(_));
    for node in nodes {
        match node {
            Node::And(inner) if is_and => flat.extend(inner),
            Node::Or(inner) if !is_and => flat.extend(inner),
            node => flat.push(node),
        }
    }
    match (flat.len(), flat.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            flat.extend(last);
            join(flat)
        }
    }
}

fn turned(node: Node, is_not: bool) -> Node {
    if is_not { negated(node) } else { node }
}

/// Twice is not at all.
fn negated(node: Node) -> Node {
    match node {
        Node::Not(inner) => *inner,
        node @ (Node::And(_) | Node::Or(_) | Node::Test(..)) => Node::Not(Box::new(node)),
    }
}
