//! The Kubernetes objects that a managed cluster consists of.

use std::collections::BTreeMap;

use elysia_api::cluster::{Elysia, Managed};
use elysia_api::names;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
    StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar,
    EnvVarSource, HTTPGetAction, ObjectFieldSelector, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, SeccompProfile, SecretKeySelector, SecurityContext, Service,
    ServicePort, ServiceSpec, Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::own_backups::own_backups;
use super::spec::ClusterSpec;

const GOSSIP_PORT: i32 = 7946;
const DATA_PORT: i32 = 7947;
const RAFT_PORT: i32 = 8300;
const RAFT_RPC_PORT: i32 = 8301;
const METRICS_PORT: i32 = 2112;

/// User that the server runs as. Any but 0; the volume is handed to it by `fsGroup`.
const SERVER_USER: i64 = 1000;

const DATA_PATH: &str = "/var/lib/weaviate";
const RUNTIME_PATH: &str = "/etc/weaviate/runtime";
/// File of the settings that the servers read while running.
pub const RUNTIME_FILE: &str = "overrides.yaml";

/// Time that a server gets to write out what it holds in memory before it is killed. It took 0.3 s when measured
/// (`weaviate-lab` §5), and a server that was killed lost nothing that it had acknowledged (§2). The official chart
/// gives 600 s; but a namespace that is deleted waits half of this time, needed or not.
const TERMINATION_GRACE_SECONDS: i64 = 120;

/// What a managed cluster consists of. The Secret is apart: it is made once, with a random key, and never owned.
#[derive(Clone, Debug, PartialEq)]
pub struct Objects {
    /// Settings that the servers read while running.
    pub runtime_config: ConfigMap,
    /// Address of the cluster, of ready nodes only.
    pub service: Service,
    /// Addresses of the single nodes, ready or not: gossip needs them before a node can be ready.
    pub nodes_service: Service,
    /// The servers.
    pub stateful_set: StatefulSet,
    /// At most one node is evicted at a time.
    pub disruption_budget: PodDisruptionBudget,
}

/// The objects of this cluster, with as many pods as `replicas` says.
pub fn objects(spec: &ClusterSpec, managed: &Managed, replicas: i32, auto_schema: bool) -> Objects {
    Objects {
        runtime_config: runtime_config(spec, auto_schema),
        service: service(spec),
        nodes_service: nodes_service(spec),
        stateful_set: stateful_set(spec, managed, replicas),
        disruption_budget: disruption_budget(spec),
    }
}

/// Labels of everything that belongs to the servers of a cluster.
pub fn labels(cluster: &str, component: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "weaviate"),
        ("app.kubernetes.io/instance", cluster),
        ("app.kubernetes.io/component", component),
        ("app.kubernetes.io/managed-by", names::OPERATOR_MANAGER),
        (names::CLUSTER_LABEL, cluster),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

fn selector(cluster: &str, component: &str) -> BTreeMap<String, String> {
    [("app.kubernetes.io/component", component), (names::CLUSTER_LABEL, cluster)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn metadata(spec: &ClusterSpec, name: String, component: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(spec.namespace.clone()),
        labels: Some(labels(&spec.name, component)),
        ..ObjectMeta::default()
    }
}

fn runtime_config(spec: &ClusterSpec, auto_schema: bool) -> ConfigMap {
    ConfigMap {
        metadata: metadata(spec, names::runtime_config(&spec.name), "server"),
        data: Some(BTreeMap::from([(RUNTIME_FILE.to_owned(), format!("autoschema_enabled: {auto_schema}\n"))])),
        ..ConfigMap::default()
    }
}

fn port(name: &str, port: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port,
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    }
}

fn service(spec: &ClusterSpec) -> Service {
    Service {
        metadata: metadata(spec, spec.name.clone(), "server"),
        spec: Some(ServiceSpec {
            selector: Some(selector(&spec.name, "server")),
            ports: Some(vec![port("http", names::REST_PORT), port("grpc", names::GRPC_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn nodes_service(spec: &ClusterSpec) -> Service {
    Service {
        metadata: metadata(spec, names::nodes_service(&spec.name), "server"),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(selector(&spec.name, "server")),
            ports: Some(vec![
                port("http", names::REST_PORT),
                port("grpc", names::GRPC_PORT),
                port("gossip", GOSSIP_PORT),
                port("data", DATA_PORT),
                port("raft", RAFT_PORT),
                port("raft-rpc", RAFT_RPC_PORT),
                port("metrics", METRICS_PORT),
            ]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn disruption_budget(spec: &ClusterSpec) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(spec, spec.name.clone(), "server"),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(selector(&spec.name, "server")),
                ..LabelSelector::default()
            }),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

fn stateful_set(spec: &ClusterSpec, managed: &Managed, replicas: i32) -> StatefulSet {
    StatefulSet {
        metadata: metadata(spec, spec.name.clone(), "server"),
        spec: Some(StatefulSetSpec {
            replicas: Some(replicas),
            service_name: Some(names::nodes_service(&spec.name)),
            // RAFT needs several voters before any of them is ready; one after another would wait for ever.
            pod_management_policy: Some("Parallel".to_owned()),
            // A pod is never restarted by a change of its template: that would take the last live replica of a shard
            // down without asking, and an upgrade of the operator would restart every server.
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some("Retain".to_owned()),
                when_scaled: Some("Retain".to_owned()),
            }),
            selector: LabelSelector { match_labels: Some(selector(&spec.name, "server")), ..LabelSelector::default() },
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels(&spec.name, "server")), ..ObjectMeta::default() }),
                spec: Some(pod(spec, managed)),
            },
            volume_claim_templates: Some(vec![claim(managed)]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

fn claim(managed: &Managed) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some("data".to_owned()), ..ObjectMeta::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: managed.storage.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(managed.storage.size.clone()))])),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// The image of the servers.
pub fn image(managed: &Managed) -> String {
    managed.image.clone().unwrap_or_else(|| format!("semitechnologies/weaviate:{}", managed.version))
}

fn pod(spec: &ClusterSpec, managed: &Managed) -> PodSpec {
    PodSpec {
        termination_grace_period_seconds: Some(TERMINATION_GRACE_SECONDS),
        automount_service_account_token: Some(false),
        // Variables for every Service of the namespace could collide with the server's own.
        enable_service_links: Some(false),
        security_context: Some(pod_security()),
        containers: vec![server(spec, managed)],
        volumes: Some(vec![
            Volume {
                name: "runtime".to_owned(),
                config_map: Some(ConfigMapVolumeSource {
                    name: names::runtime_config(&spec.name),
                    ..ConfigMapVolumeSource::default()
                }),
                ..Volume::default()
            },
            empty_volume("temporary"),
        ]),
        ..PodSpec::default()
    }
}

fn empty_volume(name: &str) -> Volume {
    Volume { name: name.to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(SERVER_USER),
        run_as_group: Some(SERVER_USER),
        fs_group: Some(SERVER_USER),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
        ..SecurityContext::default()
    }
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("http".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn container_port(name: &str, port: i32) -> ContainerPort {
    ContainerPort { name: Some(name.to_owned()), container_port: port, ..ContainerPort::default() }
}

fn server(spec: &ClusterSpec, managed: &Managed) -> Container {
    let mut environment = environment(spec, managed);
    environment.extend(managed.env.iter().cloned());
    if let Some(bucket) = managed.backup.as_ref().and_then(|backup| backup.s3.as_ref()) {
        own_backups(bucket, &mut environment);
    }
    Container {
        name: "weaviate".to_owned(),
        image: Some(image(managed)),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        args: Some(
            ["--host=0.0.0.0", "--port=8080", "--scheme=http", "--read-timeout=60s", "--write-timeout=60s"]
                .map(str::to_owned)
                .to_vec(),
        ),
        env: Some(environment),
        ports: Some(vec![
            container_port("http", names::REST_PORT),
            container_port("grpc", names::GRPC_PORT),
            container_port("gossip", GOSSIP_PORT),
            container_port("data", DATA_PORT),
            container_port("raft", RAFT_PORT),
            container_port("raft-rpc", RAFT_RPC_PORT),
            container_port("metrics", METRICS_PORT),
        ]),
        resources: managed.resources.clone(),
        security_context: Some(container_security()),
        // A server with much data answers late; it is given an hour before it counts as dead.
        startup_probe: Some(probe("/v1/.well-known/live", 2, 1800)),
        liveness_probe: Some(probe("/v1/.well-known/live", 10, 6)),
        readiness_probe: Some(probe("/v1/.well-known/ready", 2, 2)),
        volume_mounts: Some(vec![mount("data", DATA_PATH), mount("runtime", RUNTIME_PATH), mount("temporary", "/tmp")]),
        ..Container::default()
    }
}

pub(super) fn variable(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.into()), ..EnvVar::default() }
}

/// Number of RAFT voters: as the official chart chooses, and always odd.
fn voters(replicas: i32) -> i32 {
    match replicas {
        ..3 => 1,
        3..10 => 3,
        10.. => 5,
    }
}

fn environment(spec: &ClusterSpec, managed: &Managed) -> Vec<EnvVar> {
    let voters = voters(managed.replicas);
    let raft_join = (0..voters)
        .map(|ordinal| format!("{}:{RAFT_PORT}", names::node(&spec.name, ordinal)))
        .collect::<Vec<_>>()
        .join(",");
    let mut variables = vec![
        EnvVar {
            name: "CLUSTER_HOSTNAME".to_owned(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    field_path: "metadata.name".to_owned(),
                    ..ObjectFieldSelector::default()
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        },
        // The headless Service names every pod, so whoever is there is found; one pod's name would leave the others
        // alone whenever that one is away.
        variable("CLUSTER_JOIN", format!("{}.{}.svc:{GOSSIP_PORT}", names::nodes_service(&spec.name), spec.namespace)),
        variable("CLUSTER_GOSSIP_BIND_PORT", GOSSIP_PORT.to_string()),
        variable("CLUSTER_DATA_BIND_PORT", DATA_PORT.to_string()),
        variable("RAFT_PORT", RAFT_PORT.to_string()),
        variable("RAFT_INTERNAL_RPC_PORT", RAFT_RPC_PORT.to_string()),
        variable("RAFT_JOIN", raft_join),
        variable("RAFT_BOOTSTRAP_EXPECT", voters.to_string()),
        variable("GRPC_PORT", names::GRPC_PORT.to_string()),
        variable("PERSISTENCE_DATA_PATH", DATA_PATH),
        variable("REPLICA_MOVEMENT_ENABLED", "true"),
        variable("REPLICATION_MINIMUM_FACTOR", managed.minimum_replication_factor.to_string()),
        // Not AUTOSCHEMA_ENABLED: the override file says it, so that it changes without a restart.
        variable("RUNTIME_OVERRIDES_ENABLED", "true"),
        variable("RUNTIME_OVERRIDES_PATH", format!("{RUNTIME_PATH}/{RUNTIME_FILE}")),
        variable("RUNTIME_OVERRIDES_LOAD_INTERVAL", "2s"),
        variable("PROMETHEUS_MONITORING_ENABLED", "true"),
        variable("GO_PROFILING_DISABLE", "true"),
        variable("DISABLE_TELEMETRY", "true"),
    ];
    variables.extend(authentication(spec, managed));
    variables
}

fn authentication(spec: &ClusterSpec, managed: &Managed) -> Vec<EnvVar> {
    if managed.auth.anonymous {
        return vec![variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")];
    }
    let (name, key) = match &managed.auth.api_key_secret_ref {
        Some(reference) => (reference.name.clone(), reference.key.clone()),
        None => (names::auth_secret(&spec.name), names::API_KEY.to_owned()),
    };
    vec![
        variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "false"),
        variable("AUTHENTICATION_APIKEY_ENABLED", "true"),
        variable("AUTHENTICATION_APIKEY_USERS", "elysia"),
        secret_variable("AUTHENTICATION_APIKEY_ALLOWED_KEYS", name, key),
    ]
}

pub(super) fn secret_variable(variable: &str, name: String, key: String) -> EnvVar {
    EnvVar {
        name: variable.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector { name, key, ..SecretKeySelector::default() }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

/// The Elysia service and its address. Made when the cluster is Ready for the first time: Elysia without Weaviate
/// starts, says it is healthy and cannot do anything.
pub fn elysia(spec: &ClusterSpec, elysia: &Elysia) -> (Deployment, Service) {
    let name = names::elysia(&spec.name);
    let deployment = Deployment {
        metadata: metadata(spec, name.clone(), "elysia"),
        spec: Some(DeploymentSpec {
            replicas: Some(elysia.replicas),
            selector: LabelSelector { match_labels: Some(selector(&spec.name, "elysia")), ..LabelSelector::default() },
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels(&spec.name, "elysia")), ..ObjectMeta::default() }),
                spec: Some(elysia_pod(spec, elysia)),
            },
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    };
    let service = Service {
        metadata: metadata(spec, name, "elysia"),
        spec: Some(ServiceSpec {
            selector: Some(selector(&spec.name, "elysia")),
            ports: Some(vec![port("http", elysia.port)]),
            // Conversations live in the memory of one pod.
            session_affinity: Some("ClientIP".to_owned()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    };
    (deployment, service)
}

fn elysia_pod(spec: &ClusterSpec, elysia: &Elysia) -> PodSpec {
    let host = format!("{}.{}.svc", spec.name, spec.namespace);
    let mut environment = vec![
        // Elysia compares with exactly "True".
        variable("WEAVIATE_IS_CUSTOM", "True"),
        variable("CUSTOM_HTTP_HOST", host.clone()),
        variable("CUSTOM_HTTP_PORT", names::REST_PORT.to_string()),
        variable("CUSTOM_HTTP_SECURE", "False"),
        variable("CUSTOM_GRPC_HOST", host),
        variable("CUSTOM_GRPC_PORT", names::GRPC_PORT.to_string()),
        variable("CUSTOM_GRPC_SECURE", "False"),
        // Also in custom mode: where Elysia saves its configuration it reads only these.
        variable("WCD_URL", spec.rest()),
    ];
    if let super::spec::Kind::Managed(managed) = &spec.kind
        && !managed.auth.anonymous
    {
        let (name, key) = match &managed.auth.api_key_secret_ref {
            Some(reference) => (reference.name.clone(), reference.key.clone()),
            None => (names::auth_secret(&spec.name), names::API_KEY.to_owned()),
        };
        environment.push(secret_variable("WCD_API_KEY", name, key));
    }
    environment.extend(elysia.env.iter().cloned());
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        containers: vec![Container {
            name: "elysia".to_owned(),
            image: Some(elysia.image.clone()),
            args: Some(
                ["start", "--host", "0.0.0.0", "--port", &elysia.port.to_string(), "--reload", "False"]
                    .map(str::to_owned)
                    .to_vec(),
            ),
            env: Some(environment),
            ports: Some(vec![container_port("http", elysia.port)]),
            resources: elysia.resources.clone(),
            startup_probe: Some(probe("/api/health", 2, 150)),
            liveness_probe: Some(probe("/api/health", 10, 6)),
            readiness_probe: Some(probe("/api/health", 5, 2)),
            ..Container::default()
        }],
        ..PodSpec::default()
    }
}
