//! Steps of a transformation, from the words of a resource to those of the engine.

use elysia_api::restore::{self as api, TransformStep};
use elysia_core::backup::bounded;
use elysia_engine::backup::filter::{Expression, FilterError};
use elysia_engine::backup::transform::{
    How, OnError, OnFault, Problem, Salt, Select, Step, Transformation, check_script, scripts_fit, told,
};
use serde_json::Value;

/// What is made of objects; the error says which part of this field cannot be understood. Salts are left open.
pub(crate) fn steps(field: &str, transform: &[TransformStep]) -> Result<Vec<Step>, String> {
    let made = transform.iter().enumerate();
    let made: Vec<Step> =
        made.map(|(at, one)| step(one).map_err(|error| format!("{field}[{at}].{error}"))).collect::<Result<_, _>>()?;
    scripts_fit(&made).map_err(|problem| format!("{field}: {problem}"))?;
    Ok(made)
}

/// Everything about these steps that does not fit a class.
pub(crate) fn unfit(field: &str, class: &Value, transform: &[TransformStep]) -> Vec<String> {
    if transform.is_empty() {
        return Vec::new();
    }
    match steps(field, transform) {
        Err(why) => vec![why],
        Ok(steps) => match Transformation::of(class, &Select::default(), &steps) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(Problem::to_string).collect(),
        },
    }
}

/// A filter; the error says where it cannot be understood.
pub(crate) fn expression(field: &str, text: &str) -> Result<Expression, String> {
    bounded(field, text)?.parse().map_err(|error: FilterError| format!("{field}: {error}"))
}

fn step(step: &TransformStep) -> Result<Step, String> {
    let TransformStep { rename, convert, drop, set, mask, script, keep } = step;
    let made = [
        rename.clone().map(|api::Rename { from, to }| Ok(Step::Rename { from, to })),
        convert.as_ref().map(convert_step),
        drop.clone().map(|api::Drop { property }| Ok(Step::Drop { property })),
        set.clone().map(|api::Set { property, value }| Ok(Step::Set { property, value: value.unwrap_or(Value::Null) })),
        mask.as_ref().map(mask_step),
        script.as_ref().map(script_step),
        keep.as_ref().map(|api::Where { filter }| Ok(Step::Where { filter: expression("where.filter", filter)? })),
    ];
    let mut made = made.into_iter().flatten();
    match (made.next(), made.next()) {
        (Some(only), None) => only,
        // The definition says so as well, unless it is older.
        _ => Err("exactly one of rename, convert, drop, set, mask, script and where must be set".to_owned()),
    }
}

fn convert_step(convert: &api::Convert) -> Result<Step, String> {
    let api::Convert { property, to, on_error } = convert;
    let wanted = serde_json::from_value(Value::from(to.as_str()));
    Ok(Step::Convert {
        property: property.clone(),
        to: wanted.map_err(|_| {
            format!("convert.to: {to:?} is no type; text, int, number, boolean, date and uuid are, and each with []")
        })?,
        on_error: match on_error.unwrap_or_default() {
            api::OnError::Fail => OnError::Fail,
            api::OnError::DropProperty => OnError::DropProperty,
            api::OnError::SkipObject => OnError::SkipObject,
        },
    })
}

fn mask_step(mask: &api::Mask) -> Result<Step, String> {
    let api::Mask { property, how } = mask;
    let how = match how {
        api::How { hash: Some(_), redact: None, keep_last: None } => How::Hash { salt: Salt(String::new()) },
        api::How { hash: None, redact: Some(_), keep_last: None } => How::Redact {},
        api::How { hash: None, redact: None, keep_last: Some(api::KeepLast { characters }) } => {
            let kept = usize::try_from(*characters);
            How::KeepLast {
                characters: kept
                    .map_err(|_| format!("mask.how.keepLast.characters: {characters} is less than none"))?,
            }
        }
        _ => return Err("mask.how: exactly one of hash, redact and keepLast must be set".to_owned()),
    };
    Ok(Step::Mask { property: property.clone(), how })
}

/// Also looked through here, where a person still sees it at once: what its class is nobody knows yet.
fn script_step(script: &api::Script) -> Result<Step, String> {
    let api::Script { source, on_error, leaves_out } = script;
    check_script(source).map_err(|faults| format!("script.source: {}", told(&faults)))?;
    Ok(Step::Script {
        source: source.clone(),
        on_error: match on_error.unwrap_or_default() {
            api::OnFault::Fail => OnFault::Fail,
            api::OnFault::SkipObject => OnFault::SkipObject,
        },
        leaves_out: leaves_out.unwrap_or(false),
    })
}
