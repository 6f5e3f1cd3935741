//! Objects, as the steps leave them.

use uuid::Uuid;

use super::{Fault, OnError, OnFault, Ready, Transformation, convert, mask};
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
    /// It has a value that could not be converted, or a script ended at it, and it is left out.
    Skipped,
}

/// An object of which a step could not make what it should, and that was not to be left out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unconverted {
    /// A value that cannot be converted.
    #[error(
        "transformation {at}: `{property}` of object {id} cannot be {to}: convert it with `onError: DropProperty` or \
         `SkipObject`, or leave such objects out with `where`"
    )]
    Value {
        /// The number of the step, from 1.
        at: usize,
        /// The object.
        id: Uuid,
        /// The property.
        property: String,
        /// What it should have become.
        to: String,
    },
    /// A script that ended.
    #[error(
        "transformation {at}: the script ended at object {id}: {fault}. Change the script so that it takes such objects, or \
         leave them out with `onError: SkipObject` or `where`"
    )]
    Script {
        /// The number of the step, from 1.
        at: usize,
        /// The object.
        id: Uuid,
        /// Why.
        fault: Fault,
    },
}

impl Transformation {
    /// Carries selection and steps out on one object, of this tenant where the collection has tenants.
    pub fn apply(&self, mut object: Object, tenant: Option<&str>) -> Result<Made, Unconverted> {
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
            if let Some(left_out) = step.apply(&mut object, tenant, &mut dropped)? {
                return Ok(left_out);
            }
        }
        if let Some((from, to, references)) = &self.leads {
            references.lead(&mut object, from, to);
        }
        Ok(Made::Object { object, dropped })
    }
}

impl Ready {
    /// Carries it out; answers what became of an object that is not to be written.
    fn apply(&self, object: &mut Object, tenant: Option<&str>, dropped: &mut u64) -> Result<Option<Made>, Unconverted> {
        match self {
            Self::Rename { from, to } => {
                if let Some(value) = object.properties.remove(from) {
                    object.properties.insert(to.clone(), value);
                }
            }
            Self::Convert { property, to, on_error, at } => {
                let Some(value) = object.properties.get_mut(property) else { return Ok(None) };
                match (convert::converted(value, *to), on_error) {
                    (Some(converted), _) => *value = converted,
                    (None, OnError::DropProperty) => {
                        object.properties.remove(property);
                        *dropped += 1;
                    }
                    (None, OnError::SkipObject) => return Ok(Some(Made::Skipped)),
                    (None, OnError::Fail) => {
                        let (property, to) = (property.clone(), to.to_string());
                        return Err(Unconverted::Value { at: *at, id: object.id, property, to });
                    }
                }
            }
            Self::Drop { property } => drop(object.properties.remove(property)),
            Self::Set { property, value } if value.is_null() => drop(object.properties.remove(property)),
            Self::Set { property, value } => drop(object.properties.insert(property.clone(), value.clone())),
            Self::Mask { property, how } => {
                if let Some(value) = object.properties.remove(property) {
                    let masked = mask::masked(&value, how);
                    object.properties.extend(masked.map(|masked| (property.clone(), masked)));
                }
            }
            Self::Script { script, on_error, at } => match (script.run(object, tenant), on_error) {
                (Ok(true), _) => {}
                (Ok(false), _) => return Ok(Some(Made::Unselected)),
                (Err(_), OnFault::SkipObject) => return Ok(Some(Made::Skipped)),
                (Err(fault), OnFault::Fail) => return Err(Unconverted::Script { at: *at, id: object.id, fault }),
            },
            Self::Where { filter } if !filter.holds(object, None) => return Ok(Some(Made::Unselected)),
            Self::Where { .. } => {}
        }
        Ok(None)
    }
}
