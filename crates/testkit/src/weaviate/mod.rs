//! A fake Weaviate cluster on loopback: several addresses, one state. Its rules are few and its answers have the shape
//! of those that a 1.38.2 gave (`crates/weaviate/fixtures`). Time does not pass in it: [`FakeWeaviate::advance`] does.

mod answers;
mod backups;
mod references;
mod routes;
mod schema;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use schema::{Answer, SchemaServer, VERSIONS};
pub use state::Fault;
use state::State;

/// The cluster. Dropping it closes every address.
#[derive(Debug)]
pub struct FakeWeaviate {
    state: Arc<Mutex<State>>,
    servers: Mutex<BTreeMap<String, Server>>,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    task: Option<JoinHandle<()>>,
    /// Keeps the address of a node that does not listen: the fake of another test must not be given it.
    place: Option<TcpSocket>,
}

impl FakeWeaviate {
    /// A healthy cluster of these nodes, auto-schema and replica movement on, without classes.
    pub async fn start(nodes: &[&str]) -> std::io::Result<Self> {
        let state = Arc::new(Mutex::new(State::new(nodes)));
        let mut servers = BTreeMap::new();
        for node in nodes {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            let address = listener.local_addr()?;
            let task = Some(serve(listener, node, &state));
            servers.insert((*node).to_owned(), Server { address, task, place: None });
        }
        Ok(Self { state, servers: Mutex::new(servers) })
    }

    /// `http://127.0.0.1:port` of one node.
    ///
    /// # Panics
    /// When there is no such node: a mistake of the test.
    pub fn address(&self, node: &str) -> String {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let server = servers.get(node).unwrap_or_else(|| panic!("no fake node {node}"));
        format!("http://{}", server.address)
    }

    /// What a node answers to a request, as if it had come over the network: status and body. `None` while nobody listens at
    /// its address, and when the request is none.
    pub fn ask(&self, node: &str, method: &str, target: &str, body: &[u8]) -> Option<(u16, String)> {
        let listens = |server: &Server| server.task.is_some();
        if !self.servers.lock().unwrap_or_else(PoisonError::into_inner).get(node).is_some_and(listens) {
            return None;
        }
        let (method, uri) = (method.parse().ok()?, target.parse().ok()?);
        let (status, body) = routes::reply(&mut self.lock(), node, &method, &uri, body);
        Some((status, body.map(|body| body.to_string()).unwrap_or_default()))
    }

    /// Nobody listens at this node's address any more. Its neighbours still list it until it is [`Fault::Missing`].
    pub async fn close(&self, node: &str) {
        let task =
            self.servers.lock().unwrap_or_else(PoisonError::into_inner).get_mut(node).and_then(|it| it.task.take());
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
        if let Some(server) = self.servers.lock().unwrap_or_else(PoisonError::into_inner).get_mut(node) {
            server.place = hold(server.address).ok();
        }
    }

    /// Listens again, at the same address.
    pub async fn open(&self, node: &str) -> std::io::Result<()> {
        self.close(node).await;
        let address = self.servers.lock().unwrap_or_else(PoisonError::into_inner).get(node).map(|it| it.address);
        let Some(address) = address else {
            return Err(std::io::ErrorKind::NotFound.into());
        };
        let listener = TcpListener::bind(address).await?;
        let task = serve(listener, node, &self.state);
        if let Some(server) = self.servers.lock().unwrap_or_else(PoisonError::into_inner).get_mut(node) {
            server.task = Some(task);
            server.place = None;
        }
        Ok(())
    }

    /// Switches a fault of one node on, or off with `None`.
    pub fn fault(&self, node: &str, fault: Option<Fault>) {
        let mut state = self.lock();
        match fault {
            Some(fault) => drop(state.faults.insert(node.to_owned(), fault)),
            None => drop(state.faults.remove(node)),
        }
    }

    /// Requests that were answered by a [`Fault::Status`] so far.
    pub fn refused(&self) -> usize {
        self.lock().refused
    }

    /// Whether unknown classes are made by the first object.
    pub fn auto_schema(&self, on: bool) {
        self.lock().auto_schema = on;
    }

    /// Whether `/v1/replication` answers anything but 501.
    pub fn replica_movement(&self, on: bool) {
        self.lock().replica_movement = on;
    }

    /// The module that no server knows: a class with this vectorizer is refused for good. `None`: each is known.
    pub fn without_module(&self, module: Option<&str>) {
        self.lock().missing_module = module.map(str::to_owned);
    }

    /// A setting that a PUT does not change although it is answered by 200, as 1.38 does with the index type of a named
    /// vector.
    pub fn keep(&self, setting: &str) {
        self.lock().kept.insert(setting.to_owned());
    }

    /// Whether the servers can back up into buckets themselves.
    pub fn backup_module(&self, on: bool) {
        self.lock().backups.has_module = on;
    }

    /// Whether the servers silently ignore where they are told to write a backup, as old ones do.
    pub fn deaf_to_places(&self, on: bool) {
        self.lock().backups.is_deaf = on;
    }

    /// Whether a backup that is cancelled goes on all the same, as one whose coordinator has died.
    pub fn hang_backups(&self, on: bool) {
        self.lock().backups.hangs = on;
    }

    /// Puts a backup of the servers there, past every rule: its address is `s3://bucket/path/id`.
    pub fn seed_backup(&self, address: &str, status: &str) {
        self.lock().backups.seed(address, status);
    }

    /// How the backup of the servers ends that is under way. Answers whether there is one.
    pub fn end_backup(&self, status: &str, error: &str) -> bool {
        self.lock().backups.end(status, error, false).is_some()
    }

    /// How the restore ends that is under way; with `SUCCESS` its classes are there. Answers whether there is one.
    pub fn end_restore(&self, status: &str, error: &str) -> bool {
        let mut state = self.lock();
        let Some(classes) = state.backups.end(status, error, true) else { return false };
        for class in classes.iter().filter(|_| status == "SUCCESS") {
            state.seed(&serde_json::json!({"class": class}));
        }
        true
    }

    /// Makes a class past every rule.
    pub fn seed_class(&self, class: &Value) {
        self.lock().seed(class);
    }

    /// Changes a class by another hand, past every rule and past the transcript.
    pub fn edit_class(&self, name: &str, change: impl FnOnce(&mut Value)) {
        if let Some(class) = self.lock().classes.get_mut(name) {
            change(&mut class.body);
        }
    }

    /// Places a shard, or a tenant, past every rule.
    pub fn seed_shard(&self, class: &str, shard: &str, replicas: &[&str]) {
        self.lock().place(class, shard, replicas.iter().map(|node| (*node).to_owned()));
    }

    /// Puts objects into one replica, past replication.
    pub fn seed_objects(&self, class: &str, shard: &str, node: &str, ids: impl IntoIterator<Item = Uuid>) {
        if let Some(replica) = self.lock().replica_mut(class, shard, node) {
            replica.ids.extend(ids);
        }
    }

    /// Gives an object of one replica other properties than elsewhere, past replication.
    pub fn seed_properties(&self, class: &str, shard: &str, node: &str, id: Uuid, properties: &Value) {
        if let Some(replica) = self.lock().replica_mut(class, shard, node) {
            replica.ids.insert(id);
            replica.properties.insert(id, properties.clone());
        }
    }

    /// Takes an object out of one replica, past replication.
    pub fn lose_object(&self, class: &str, shard: &str, node: &str, id: Uuid) {
        if let Some(replica) = self.lock().replica_mut(class, shard, node) {
            replica.ids.remove(&id);
        }
    }

    /// The disk of this node is full: copies to it fail as they do on a real server.
    pub fn full(&self, node: &str, full: bool) {
        let mut state = self.lock();
        if full {
            state.full.insert(node.to_owned());
        } else {
            state.full.remove(node);
        }
    }

    /// The replication engine of this node hangs: it takes up no copies, and deletes none that it is asked to delete, until
    /// it is restarted (1.38.2, after another node was killed in the middle of copies).
    pub fn hang(&self, node: &str) {
        self.lock().hung.insert(node.to_owned());
    }

    /// Copies from this node come back with this error for ever, as they do from a 1.38.2 that was killed in the middle of
    /// copies; `None`: no more.
    pub fn spoil(&self, source: &str, error: Option<&str>) {
        let mut state = self.lock();
        match error {
            Some(error) => drop(state.spoilt.insert(source.to_owned(), error.to_owned())),
            None => drop(state.spoilt.remove(source)),
        }
    }

    /// Somebody asks for this operation to be deleted.
    pub fn delete_operation(&self, id: Uuid) {
        answers::cancel(&mut self.lock(), &id.to_string(), true);
    }

    /// The operations that are there: `shard:source→target:STATE`, with `!` when one is to be deleted.
    pub fn operations(&self) -> Vec<String> {
        let state = self.lock();
        let shown = state.operations.iter().map(|operation| {
            let state::Operation { shard, source, target, state, dropping, .. } = operation;
            format!("{shard}:{source}→{target}:{state}{}", if *dropping { "!" } else { "" })
        });
        shown.collect()
    }

    /// An operation of somebody, past every rule; its id.
    pub fn seed_operation(&self, class: &str, copy: [&str; 3], kind: &'static str, phase: &'static str) -> Uuid {
        let [shard, source, target] = copy.map(str::to_owned);
        self.lock().seed_operation(class, (shard, source, target), kind, phase)
    }

    /// Takes every object out of one replica: its disk was replaced.
    pub fn wipe(&self, class: &str, node: &str) {
        for replicas in self.lock().classes.get_mut(class).into_iter().flat_map(|class| class.shards.values_mut()) {
            if let Some(replica) = replicas.get_mut(node) {
                replica.ids.clear();
            }
        }
    }

    /// Ids that each replica of each shard of a class holds.
    pub fn holds(&self, class: &str) -> BTreeMap<String, BTreeMap<String, usize>> {
        let state = self.lock();
        let shards = state.classes.get(class).into_iter().flat_map(|class| &class.shards);
        let replicas = |replicas: &BTreeMap<String, state::Replica>| {
            replicas.iter().map(|(node, replica)| (node.clone(), replica.ids.len())).collect()
        };
        shards.map(|(shard, all)| (shard.clone(), replicas(all))).collect()
    }

    /// What a tenant's activity is now.
    pub fn tenant(&self, class: &str, tenant: &str) -> Option<String> {
        self.lock().classes.get(class)?.tenants.get(tenant).cloned()
    }

    /// A restart: the node forgets which of its shards were frozen (lab 12), and its replication engine no longer hangs.
    pub fn restart(&self, node: &str) {
        let mut state = self.lock();
        state.thaw(node);
        state.hung.remove(node);
    }

    /// Moves every unfinished copy by one state. `INTEGRATING` stays while a node is missing (lab 0.4), and whose target
    /// nobody is stays `REGISTERED` for ever.
    pub fn advance(&self) {
        self.lock().advance();
    }

    /// A second name of a class; it stays when the class goes.
    pub fn seed_alias(&self, alias: &str, class: &str) {
        self.lock().aliases.insert(alias.to_owned(), class.to_owned());
    }

    /// Makes one class hold what another one holds, shard by shard and replica by replica, as a copy leaves it.
    pub fn copy_objects(&self, from: &str, into: &str) {
        let mut state = self.lock();
        let Some(shards) = state.classes.get(from).map(|class| class.shards.clone()) else { return };
        let Some(class) = state.classes.get_mut(into) else { return };
        for (shard, replicas) in shards {
            for (node, replica) in replicas {
                let target = class.shards.get_mut(&shard).and_then(|replicas| replicas.get_mut(&node));
                if let Some(target) = target {
                    (target.ids, target.properties) = (replica.ids, replica.properties);
                }
            }
        }
    }

    /// Ids that any replica of a class holds.
    pub fn ids(&self, class: &str) -> BTreeSet<Uuid> {
        let state = self.lock();
        let shards = state.classes.get(class).into_iter().flat_map(|class| class.shards.values());
        shards.flat_map(BTreeMap::values).flat_map(|replica| replica.ids.iter().copied()).collect()
    }

    /// Where an alias leads.
    pub fn alias(&self, alias: &str) -> Option<String> {
        self.lock().aliases.get(alias).cloned()
    }

    /// Sets how active a tenant is, and makes it if there is none.
    pub fn seed_tenant(&self, class: &str, tenant: &str, status: &str) {
        let body = serde_json::json!([{ "name": tenant, "activityStatus": status }]);
        let mut state = self.lock();
        answers::set_tenants(&mut state, class, &body, true);
        answers::set_tenants(&mut state, class, &body, false);
    }

    /// The tenants of a class and how active they are.
    pub fn tenants(&self, class: &str) -> BTreeMap<String, String> {
        self.lock().classes.get(class).map(|class| class.tenants.clone()).unwrap_or_default()
    }

    /// Makes one replica read-only, as a full disk does.
    pub fn seed_read_only(&self, class: &str, shard: &str, node: &str) {
        if let Some(replica) = self.lock().replica_mut(class, shard, node) {
            replica.read_only = true;
        }
    }

    /// Makes one replica writable, as a restart does.
    pub fn seed_writable(&self, class: &str, shard: &str, node: &str) {
        if let Some(replica) = self.lock().replica_mut(class, shard, node) {
            replica.read_only = false;
        }
    }

    /// Removes a class by another hand, past the transcript.
    pub fn remove_class(&self, name: &str) {
        self.lock().classes.remove(name);
    }

    /// Whether one replica is read-only.
    pub fn is_read_only(&self, class: &str, shard: &str, node: &str) -> bool {
        self.lock().replica_mut(class, shard, node).is_some_and(|replica| replica.read_only)
    }

    /// A class as it is now.
    pub fn class(&self, name: &str) -> Option<Value> {
        self.lock().classes.get(name).map(|class| class.body.clone())
    }

    /// The writes that were asked for, in order: `POST /v1/schema at w-0`.
    pub fn transcript(&self) -> Vec<String> {
        self.lock().transcript.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FakeWeaviate {
    fn drop(&mut self) {
        let servers = self.servers.get_mut().unwrap_or_else(PoisonError::into_inner);
        servers.values().filter_map(|server| server.task.as_ref()).for_each(JoinHandle::abort);
    }
}

/// Takes an address without listening at it: whoever connects is refused.
fn hold(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn serve(listener: TcpListener, node: &str, state: &Arc<Mutex<State>>) -> JoinHandle<()> {
    let (node, state) = (node.to_owned(), Arc::clone(state));
    let router = Router::new().fallback(move |request| routes::answer(node.clone(), Arc::clone(&state), request));
    tokio::spawn(async move {
        // It ends only by being aborted.
        let _ = axum::serve(listener, router).await;
    })
}
