//! Objects, as the steps leave them.

use uuid::Uuid;

use super::{OnError, Ready, Transformation, convert, mask};
use crate::object::Object;

/// What became of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Made {
    /// It is to be written so.
    Object {
        /// As the steps left it.
        object: Object,
        /// Properties that could not be converted, and were dropped.
        dropped: u64,
    },
    /// It is not one of those that are meant.
    Unselected,
    /// It has a value that could not be converted, and is left out.
    Skipped,
}

/// A value that cannot be converted, and was not to be left out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "transformation {at}: `{property}` of object {id} cannot be {to}: convert it with `onError: DropProperty` or \
     `SkipObject`, or leave such objects out with `where`"
)]
pub struct Unconverted {
    /// The number of the step, from 1.
    pub at: usize,
    /// The object.
    pub id: Uuid,
    /// The property.
    pub property: String,
    /// What it should have become.
    pub to: String,
}

impl Transformation {
    /// Carries selection and steps out on one object.
    pub fn apply(&self, mut object: Object) -> Result<Made, Unconverted> {
        let is_meant = self.ids.as_ref().is_none_or(|ids| ids.contains(&object.id))
            && self.filter.as_ref().is_none_or(|filter| filter.holds(&object, None));
        if !is_meant {
            return Ok(Made::Unselected);
        }
        if let Some(properties) = &self.properties {
            object.properties.retain(|name, _| properties.contains(name));
        }
        let mut dropped = 0;
        for step in &self.steps {
            match step {
                Ready::Rename { from, to } => {
                    if let Some(value) = object.properties.remove(from) {
                        object.properties.insert(to.clone(), value);
                    }
                }
                Ready::Convert { property, to, on_error, at } => {
                    let Some(value) = object.properties.get_mut(property) else { continue };
                    match (convert::converted(value, *to), on_error) {
                        (Some(converted), _) => *value = converted,
                        (None, OnError::DropProperty) => {
                            object.properties.remove(property);
                            dropped += 1;
                        }
                        (None, OnError::SkipObject) => return Ok(Made::Skipped),
                        (None, OnError::Fail) => {
                            let (property, to) = (property.clone(), to.to_string());
                            return Err(Unconverted { at: *at, id: object.id, property, to });
                        }
                    }
                }
                Ready::Drop { property } => drop(object.properties.remove(property)),
                Ready::Set { property, value } if value.is_null() => drop(object.properties.remove(property)),
                Ready::Set { property, value } => drop(object.properties.insert(property.clone(), value.clone())),
                Ready::Mask { property, how } => {
                    if let Some(value) = object.properties.remove(property) {
                        let masked = mask::masked(&value, how);
                        object.properties.extend(masked.map(|masked| (property.clone(), masked)));
                    }
                }
                Ready::Where { filter } if !filter.holds(&object, None) => return Ok(Made::Unselected),
                Ready::Where { .. } => {}
            }
        }
        if let Some((from, to, references)) = &self.leads {
            references.lead(&mut object, from, to);
        }
        Ok(Made::Object { object, dropped })
    }
}
