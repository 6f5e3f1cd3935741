//! The CEL rules of the kinds, checked without an API server.
//!
//! kube's own `validate_cel` makes the schema anew and compiles it at every call, which was a fifth of the time of a round;
//! here each kind is compiled once.

use std::sync::LazyLock;

use kube::CustomResourceExt;
use kube::core::cel::{CompiledSchema, ValidationErrors, Validator, compile_schema};
use serde::Serialize;

use crate::{CollectionBackup, CollectionRestore, ElysiaCollection, IndexSource, WeaviateCluster};

/// A kind with CEL rules.
pub trait Rules: Serialize + CustomResourceExt {
    /// The rules of its schema, ready to be asked.
    fn rules() -> &'static CompiledSchema;

    /// What the API server would refuse when the object is created: every rule that does not hold.
    ///
    /// # Errors
    ///
    /// The rules that do not hold, each with the path of the field and its message.
    fn check_rules(&self) -> Result<(), ValidationErrors> {
        // A kind is plain data, so it always has a JSON form; where it had none no rule could be asked of it.
        let object = serde_json::to_value(self).unwrap_or_default();
        Validator::new().validate_compiled(Self::rules(), &object, None)
    }
}

fn compiled<K: CustomResourceExt>() -> CompiledSchema {
    let definition = K::crd();
    let schema = definition.spec.versions.first().and_then(|version| version.schema.as_ref());
    compile_schema(
        &serde_json::to_value(schema.and_then(|schema| schema.open_api_v3_schema.as_ref())).unwrap_or_default(),
    )
}

macro_rules! rules {
    ($($kind:ty),*) => {
        $(impl Rules for $kind {
            fn rules() -> &'static CompiledSchema {
                static COMPILED: LazyLock<CompiledSchema> = LazyLock::new(compiled::<$kind>);
                &COMPILED
            }
        })*
    };
}

rules!(WeaviateCluster, ElysiaCollection, IndexSource, CollectionBackup, CollectionRestore);

#[cfg(test)]
mod tests {
    use kube::core::cel::CompiledSchema;

    use super::{CollectionBackup, CollectionRestore, ElysiaCollection, IndexSource, Rules, WeaviateCluster};

    /// Rules that compile and rules that do not, in the whole tree.
    fn count(schema: &CompiledSchema) -> (usize, usize) {
        let nested = [&schema.all_of, &schema.one_of, &schema.any_of].into_iter().flatten();
        let single = schema.items.iter().chain(&schema.additional_properties).map(|boxed| &**boxed);
        let (broken, good): (Vec<_>, Vec<_>) = schema.validations.iter().partition(|rule| rule.is_err());
        nested
            .chain(schema.properties.values())
            .chain(single)
            .map(count)
            .fold((good.len(), broken.len()), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    #[test]
    fn every_kind_has_rules_and_all_compile() {
        for rules in [
            WeaviateCluster::rules(),
            ElysiaCollection::rules(),
            IndexSource::rules(),
            CollectionBackup::rules(),
            CollectionRestore::rules(),
        ] {
            let (good, broken) = count(rules);
            assert!(good > 0);
            assert_eq!(broken, 0);
        }
    }
}
