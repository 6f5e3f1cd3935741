//! Files that leave their place on a volume, without ever taking another one's.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

use elysia_engine::ports::{PortError, PutAway};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::files::{failed, inside, refused, version};
use super::work::{ProcessedWork, VolumeWork};

/// Names that are tried for one file: as often as the same name may come and go before somebody tidies up.
const NAMES: usize = 10_000;

/// How long a file has to rest before it goes: a copy that is under way writes more often.
const QUIET_SECONDS: u64 = 10;

/// Whether this file was put away earlier: it is not read, whatever the pattern says.
pub(super) fn is_put_away(volume: &VolumeWork, name: &str) -> bool {
    match &volume.processed {
        None => false,
        Some(ProcessedWork::Rename { suffix }) => name.ends_with(suffix.as_str()),
        Some(ProcessedWork::Move { path }) => Path::new(name).starts_with(path),
    }
}

/// Where a file may go; `None` where it stays: it is a link, it is not there, or it was changed only just.
pub(super) fn destination(volume: &VolumeWork, name: &str, now: SystemTime) -> Result<Option<String>, PortError> {
    let Some(processed) = &volume.processed else { return Ok(None) };
    let mount = Path::new(&volume.mount_path);
    let Some(found) = look(&mount.join(name))? else { return Ok(None) };
    if !found.is_file() || !is_quiet(&found, now) {
        return Ok(None);
    }
    for number in 0..NAMES {
        let to = named(volume, processed, name, number);
        if look(&mount.join(&to))?.is_none() {
            return Ok(Some(to));
        }
    }
    Err(refused(format!("{name}: {NAMES} processed files have its name; tidy up")))
}

/// Whether nobody seems to be writing to it. Who writes on to a file that has gone writes where nobody reads.
fn is_quiet(found: &Metadata, now: SystemTime) -> bool {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let changed = u64::try_from(found.ctime()).unwrap_or_default();
    now.saturating_sub(changed) > QUIET_SECONDS
}

fn named(volume: &VolumeWork, processed: &ProcessedWork, name: &str, number: usize) -> String {
    let count = if number == 0 { String::new() } else { format!(".{number}") };
    match processed {
        ProcessedWork::Rename { suffix } => format!("{name}{count}{suffix}"),
        ProcessedWork::Move { path } => {
            let below = Path::new(name).strip_prefix(&volume.path).ok().and_then(Path::to_str);
            let below = below.filter(|below| !below.is_empty()).unwrap_or(name);
            format!("{path}/{below}{count}")
        }
    }
}

/// Puts a file away that has this version, or finds that it was put away. Nothing is ever written over.
pub(super) fn put_away(volume: &VolumeWork, name: &str, counted: &str, to: &str) -> Result<PutAway, PortError> {
    let mount = Path::new(&volume.mount_path);
    let (from, to) = (mount.join(name), mount.join(to));
    match (look(&from)?, look(&to)?) {
        // An earlier worker did it, wholly or but for the last step.
        (None, Some(there)) if is_of(&there, counted) => return Ok(PutAway::Done),
        (Some(here), Some(there)) if is_of(&there, counted) && !is_same(&here, &there) => return Ok(PutAway::Done),
        (Some(here), Some(there)) if is_same(&here, &there) => {
            fs::remove_file(&from).map_err(|error| failed("remove", &from, &error))?;
            return Ok(PutAway::Done);
        }
        // It was written to in the very moment, and the worker died before it could take it back.
        (None, Some(there)) if there.ino().to_string() == inode(counted) => {
            rename(&to, &from).map_err(|error| failed("rename back", &to, &error))?;
            return Ok(PutAway::Changed);
        }
        (None, _) => return Ok(PutAway::Changed),
        (Some(_), Some(_)) => return Ok(PutAway::Occupied),
        (Some(here), None) if version(&here) != counted => return Ok(PutAway::Changed),
        (Some(_), None) => {}
    }
    make_folder(mount, &to)?;
    match rename(&from, &to) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(PutAway::Occupied),
        Err(error) => return Err(failed("rename", &from, &error)),
    }
    if look(&to)?.is_some_and(|there| is_of(&there, counted)) {
        sync(&from)?;
        sync(&to)?;
        return Ok(PutAway::Done);
    }
    // Somebody wrote to it in the very moment: back to where it is read.
    rename(&to, &from).map_err(|error| failed("rename back", &to, &error))?;
    Ok(PutAway::Changed)
}

fn make_folder(mount: &Path, to: &Path) -> Result<(), PortError> {
    let Some(folder) = to.parent() else { return Ok(()) };
    // A link in it may lead elsewhere.
    let Some(there) = folder.ancestors().find(|ancestor| ancestor.exists()) else { return Ok(()) };
    let below = there.strip_prefix(mount).map_err(|_| refused(format!("{} is not on the volume", folder.display())))?;
    inside(mount, below)?;
    fs::create_dir_all(folder).map_err(|error| failed("make", folder, &error))
}

/// Renames, unless something is there. Where the file system cannot do that at once, as over NFS, by a second name: a
/// worker that dies between the two steps leaves both, and the next one takes the first away.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        renamed => Ok(renamed?),
    }
}

/// The file itself, not what a link leads to; `None` where there is none.
fn look(path: &Path) -> Result<Option<Metadata>, PortError> {
    match path.symlink_metadata() {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", path, &error)),
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Whether this is the file that had the version: renaming changes the time of its last change, and nothing else of it.
fn is_of(found: &Metadata, counted: &str) -> bool {
    counted.split(' ').next() == Some(found.len().to_string().as_str()) && found.ino().to_string() == inode(counted)
}

/// Which file had the version.
fn inode(counted: &str) -> &str {
    counted.rsplit(' ').next().unwrap_or_default()
}

fn sync(path: &Path) -> Result<(), PortError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| failed("write", folder, &error))
}

#[cfg(test)]
mod tests;
