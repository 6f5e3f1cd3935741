//! The ground's servers as processes: started so that they outlive us, recorded so that they can be ended for certain.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde::{Deserialize, Serialize};

use super::host::{program, tail};
use super::paths::Paths;
use super::progress::wait_for;

/// One process for certain: a number alone may belong to a stranger by now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) pid: i32,
    /// Clock ticks since boot.
    started: u64,
    boot: String,
}

impl Identity {
    /// The process that has this number now.
    pub(crate) fn of(name: &str, pid: i32) -> Result<Self> {
        let stat = read_stat(pid).with_context(|| format!("{name} ended as soon as it was started"))?;
        Ok(Self { name: name.to_owned(), pid, started: stat.started, boot: boot_id() })
    }

    /// Whether this very process still runs.
    pub(crate) fn is_alive(&self) -> bool {
        let same = |stat: Stat| !stat.ended && stat.started == self.started;
        self.boot == boot_id() && read_stat(self.pid).is_some_and(same)
    }
}

/// What `/proc/PID/stat` says that we ask.
#[derive(Debug, PartialEq)]
struct Stat {
    started: u64,
    /// Only its parent has not noticed yet.
    ended: bool,
}

fn read_stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The second field is the program's name in parentheses, and may itself contain spaces and parentheses.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields = text.rsplit_once(") ")?.1.split(' ').collect::<Vec<_>>();
    let ended = matches!(*fields.first()?, "Z" | "X");
    Some(Stat { started: fields.get(19)?.parse().ok()?, ended })
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Whether the process with this number runs, whichever it is.
pub(crate) fn runs(pid: i32) -> bool {
    read_stat(pid).is_some_and(|stat| !stat.ended)
}

/// Ends a process at once, and collects it if it is our own child.
pub(crate) fn kill(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// The servers that this run of ours has started.
pub(crate) struct Servers<'a> {
    paths: &'a Paths,
    started: Mutex<Vec<(Child, Identity)>>,
}

impl<'a> Servers<'a> {
    pub(crate) fn new(paths: &'a Paths) -> Self {
        Self { paths, started: Mutex::default() }
    }

    /// Starts a server in a session of its own, its output in its log, with nothing of our environment: what we were
    /// called with may hold secrets, and the servers outlive us.
    pub(crate) fn start(&self, name: &str, binary: &Path, arguments: &[String]) -> Result<()> {
        let log = self.paths.log(name);
        let output = File::create(&log).with_context(|| format!("failed to write {}", log.display()))?;
        let child = Command::new(program("setsid"))
            .arg(binary)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("failed to start {}", binary.display()))?;
        let pid = i32::try_from(child.id()).context("a process number out of range")?;
        let identity = Identity::of(name, pid)?;
        let record = serde_json::to_vec(&identity)?;
        fs::write(record_of(self.paths, name), record).with_context(|| format!("failed to record {name}"))?;
        self.lock().push((child, identity));
        Ok(())
    }

    /// Fails with the end of its log if any server that was started has ended.
    pub(crate) fn check(&self) -> Result<()> {
        for (child, identity) in self.lock().iter_mut() {
            if let Some(status) = child.try_wait()? {
                let log = self.paths.log(&identity.name);
                bail!("{} ended with {status}; the end of {}:\n{}", identity.name, log.display(), tail(&log, 15));
            }
        }
        Ok(())
    }

    /// Waits for an answer as long as all servers run.
    pub(crate) fn wait_for<T>(
        &self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        wait_for(what, limit, || {
            self.check()?;
            probe()
        })
    }

    /// Ends one server in good order and waits for it.
    pub(crate) fn stop(&self, name: &str) -> Result<()> {
        let position = self.lock().iter().position(|(_, identity)| identity.name == name);
        let Some(position) = position else { return Ok(()) };
        let (mut child, identity) = self.lock().swap_remove(position);
        kill(identity.pid, Signal::TERM);
        wait_for(&format!("{name} to end"), Duration::from_secs(10), || Ok((!identity.is_alive()).then_some(())))?;
        let _ = child.try_wait();
        fs::remove_file(record_of(self.paths, name)).context("failed to remove its record")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Child, Identity)>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn records(paths: &Paths) -> PathBuf {
    paths.state.join("processes")
}

fn record_of(paths: &Paths, name: &str) -> PathBuf {
    records(paths).join(format!("{name}.json"))
}

/// Every process that a ground recorded, alive or not.
pub(crate) fn recorded(paths: &Paths) -> Vec<Identity> {
    let Ok(folder) = fs::read_dir(records(paths)) else { return Vec::new() };
    folder.flatten().filter_map(|entry| serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_move_the_fields() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        let wanted = Some(Stat { started: 4711, ended: false });
        assert_eq!(parse_stat(&format!("12 (a) b (c) {fields}")), wanted);
        assert_eq!(parse_stat("12 (a"), None);
    }

    #[test]
    fn an_ended_child_is_not_alive_although_its_number_is_taken() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of("sleep", i32::try_from(child.id()).unwrap()).unwrap();
        assert!(identity.is_alive());
        child.kill().unwrap();
        wait_for("its end", Duration::from_secs(600), || Ok((!identity.is_alive()).then_some(()))).unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn another_process_under_the_same_number_is_a_stranger() {
        let own = Identity::of("test", i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.is_alive());
        assert!(!Identity { started: own.started + 1, ..own.clone() }.is_alive());
        assert!(!Identity { boot: "another".into(), ..own }.is_alive());
    }
}
