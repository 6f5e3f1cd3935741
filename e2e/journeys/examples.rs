//! Every example is accepted by the API server as it stands.

use std::fs;
use std::path::Path;

use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind, ResourceExt as _};

use crate::support::Stage;

#[tokio::test]
async fn every_example_is_accepted() {
    let stage = Stage::set("examples").await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        for document in fs::read_to_string(&path).unwrap().split("\n---") {
            let Ok(Some(object)) = serde_yaml::from_str::<Option<DynamicObject>>(document) else {
                panic!("{} holds something that is no object", path.display());
            };
            let types = object.types.clone().unwrap();
            let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&types).unwrap());
            let api =
                kube::api::Api::<DynamicObject>::namespaced_with(stage.client.clone(), &stage.namespace, &resource);
            let parameters = PatchParams { dry_run: true, ..PatchParams::apply("journey") }.validation_strict();
            if let Err(error) = api.patch(&object.name_any(), &parameters, &Patch::Apply(&object)).await {
                panic!("{}: {} {}: {error}", path.display(), types.kind, object.name_any());
            }
            count += 1;
        }
    }
    assert!(count >= 7, "only {count} objects were found");
    stage.strike().await;
}
