//! What is wrong with a script, as far as that is seen before it is run.

use std::collections::BTreeSet;

use rhai::{AST, ASTNode, BinaryExpr, Expr, Position, Scope, Stmt};

use super::language::{ID, LANGUAGE, OBJECT, TENANT, is_function, with_stack};
use super::values::Types;
use super::{Fault, LARGEST_SOURCE};

/// What is told of one script at most: whoever wrote it mends the first ones first.
const MOST_FAULTS: usize = 10;

/// Reads a script, and looks for what it calls and names that is not there; `types` are those of the object's properties, if
/// they are known.
pub(super) fn compile(source: &str, types: Option<&Types>) -> Result<AST, Vec<Fault>> {
    if source.len() > LARGEST_SOURCE {
        let what = format!("it has {} bytes, and at most {LARGEST_SOURCE} are taken", source.len());
        return Err(vec![Fault { place: None, what }]);
    }
    let mut scope = Scope::new();
    scope.push(OBJECT, ()).push(ID, ()).push(TENANT, ());
    let ast = with_stack(|| LANGUAGE.compile_with_scope(&scope, source)).map_err(|error| {
        let place = place(error.position());
        vec![Fault { place, what: error.err_type().to_string() }]
    })?;
    let mut faults = missing_functions(&ast);
    faults.extend(renamed(&ast));
    faults.extend(out_of_sight(&ast));
    if let Some(types) = types {
        faults.extend(missing_properties(&ast, types));
    }
    faults.sort_by_key(|fault| fault.place);
    faults.dedup();
    faults.truncate(MOST_FAULTS);
    if faults.is_empty() { Ok(ast) } else { Err(faults) }
}

/// Line and column, from 1.
pub(super) fn place(position: Position) -> Option<(usize, usize)> {
    Some((position.line()?, position.position().unwrap_or(1)))
}

fn missing_functions(ast: &AST) -> Vec<Fault> {
    let own: BTreeSet<&str> = ast.iter_functions().map(|function| function.name).collect();
    let mut faults = Vec::new();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        let (call, position) = match path.last() {
            Some(
                ASTNode::Expr(Expr::FnCall(call, position) | Expr::MethodCall(call, position))
                | ASTNode::Stmt(Stmt::FnCall(call, position)),
            ) => (call, *position),
            _ => return true,
        };
        let name = call.name.as_str();
        let is_word = name.starts_with(|first: char| first.is_alphabetic() || first == '_');
        if is_word && call.op_token.is_none() && !own.contains(name) && !is_function(name, call.args.len()) {
            let what = if is_function(name, 0) {
                format!("`{name}` takes no function here: it sorts by the values themselves")
            } else {
                format!("there is no function `{name}` in scripts")
            };
            faults.push(Fault { place: place(position), what });
        }
        true
    });
    faults
}

/// With another meaning of `object` a script could not be looked through, and id and tenant are what they are.
fn renamed(ast: &AST) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut look = |path: &[ASTNode<'_>]| {
        let (name, position) = match path.last() {
            Some(ASTNode::Stmt(Stmt::Var(variable, ..))) => (variable.0.name.as_str(), variable.0.pos),
            Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => match &assignment.1.lhs {
                Expr::Variable(variable, _, position) if matches!(variable.1.as_str(), ID | TENANT) => {
                    (variable.1.as_str(), *position)
                }
                _ => return true,
            },
            _ => return true,
        };
        if matches!(name, OBJECT | ID | TENANT) {
            let what = format!("`{name}` is there already and stays what it is: use another name");
            faults.push(Fault { place: place(position), what });
        }
        true
    };
    for statement in ast.statements() {
        statement.walk(&mut Vec::new(), &mut look);
    }
    faults
}

/// What functions name of the main part: they see their arguments alone.
fn out_of_sight(ast: &AST) -> Vec<Fault> {
    let mut main = 0_usize;
    for statement in ast.statements() {
        statement.walk(&mut Vec::new(), &mut |_: &[ASTNode<'_>]| {
            main += 1;
            true
        });
    }
    let mut faults = Vec::new();
    let mut at = 0;
    // The main part comes first, then the functions.
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        at += 1;
        if at > main
            && let Some(ASTNode::Expr(Expr::Variable(variable, None, position))) = path.last()
            && variable.0.is_none()
        {
            let what = format!("a function sees its arguments alone: give it `{}` as one", variable.1);
            faults.push(Fault { place: place(*position), what });
        }
        true
    });
    faults
}

/// Properties that the main part names and the class does not have. In a function `object` is whatever it is given.
fn missing_properties(ast: &AST, types: &Types) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut look = |path: &[ASTNode<'_>]| {
        if let Some((name, position)) = path.last().and_then(named)
            && let Some(why) = types.why_not(name)
        {
            faults.push(Fault { place: place(position), what: why });
        }
        true
    };
    for statement in ast.statements() {
        statement.walk(&mut Vec::new(), &mut look);
    }
    faults
}

/// The property of the object that an expression names, as `object.title` and `object["title"]`.
fn named<'a>(node: &ASTNode<'a>) -> Option<(&'a str, Position)> {
    let ASTNode::Expr(expression) = *node else { return None };
    let (Expr::Dot(both, ..) | Expr::Index(both, ..)) = expression else { return None };
    let BinaryExpr { lhs, rhs } = &**both;
    let Expr::Variable(variable, ..) = lhs else { return None };
    if variable.1.as_str() != OBJECT {
        return None;
    }
    first(rhs)
}

/// What comes first in the rest of a chain.
fn first(rest: &Expr) -> Option<(&str, Position)> {
    match rest {
        Expr::Property(property, position) => Some((property.2.as_str(), *position)),
        Expr::StringConstant(text, position) => Some((text.as_str(), *position)),
        Expr::Dot(both, ..) | Expr::Index(both, ..) => first(&both.lhs),
        _ => None,
    }
}
