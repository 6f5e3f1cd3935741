//! What every command that asks servers or changes something needs: the way, the namespace, a person to ask.

use std::io;
use std::time::{Duration, Instant};

use elysia_core::health::Unread;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;

use super::client::Reader;
use super::forward::{self, OpenedCluster};
use super::printer::{ADVICE, Printer, paint, plain};
use super::{Exit, Target};

/// Between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(300);

/// Why a command ends before it is done.
#[derive(Debug)]
pub(super) enum Stop {
    /// With these words: what is wrong, and the next command.
    Said {
        /// The exit code.
        exit: Exit,
        /// What is wrong, and where.
        message: String,
        /// The next command; empty when there is none.
        next: String,
    },
    /// The output could not be written.
    Output(io::Error),
}

impl Stop {
    /// A definite no.
    pub(super) fn refused(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Said { exit: Exit::Fault, message: message.into(), next: next.into() }
    }

    /// Something could not be had.
    pub(super) fn unknown(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Said { exit: Exit::Unknown, message: message.into(), next: next.into() }
    }

    /// The command line lacks something.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::Said { exit: Exit::Usage, message: message.into(), next: String::new() }
    }
}

impl From<Unread> for Stop {
    fn from(unread: Unread) -> Self {
        Self::unknown(unread.message, unread.next)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Says why it ended, and gives the exit code.
pub(super) fn end(done: Result<Exit, Stop>, printer: Printer) -> io::Result<Exit> {
    match done {
        Ok(exit) => Ok(exit),
        Err(Stop::Output(error)) => Err(error),
        Err(Stop::Said { exit, message, next }) => {
            printer.complain(&message);
            if !next.is_empty() {
                printer.note(&format!("{}: {}\n", paint(ADVICE, "hint"), plain(&next)));
            }
            Ok(exit)
        }
    }
}

/// Reads one answer of the person; `None` when nobody answers.
type Listen = Box<dyn Fn() -> io::Result<Option<String>> + Send + Sync>;

/// One run of one command.
pub(super) struct Session {
    pub(super) reader: Reader,
    pub(super) namespace: String,
    pub(super) printer: Printer,
    listen: Listen,
}

impl Session {
    pub(super) fn new(reader: Reader, target: &Target, printer: Printer) -> Result<Self, Stop> {
        if target.all_namespaces {
            return Err(Stop::usage("this command is about one cluster: name its namespace with -n instead of -A"));
        }
        let namespace = target.namespace.clone().unwrap_or_else(|| reader.default_namespace.clone());
        Ok(Self { reader, namespace, printer, listen: Box::new(read_line) })
    }

    /// A session in which the person answers this.
    #[cfg(test)]
    pub(super) fn answering(reader: Reader, namespace: &str, answer: Option<&str>) -> Self {
        let answer = answer.map(str::to_owned);
        let listen: Listen = Box::new(move || Ok(answer.clone()));
        Self { reader, namespace: namespace.to_owned(), printer: Printer::new(super::Color::Never), listen }
    }

    /// Opens the cluster that is meant.
    pub(super) async fn open(&self, cluster: Option<&str>) -> Result<OpenedCluster, Stop> {
        if let Some(cluster) = cluster {
            return Ok(forward::open(&self.reader, &self.namespace, cluster).await?);
        }
        let only = forward::choose(&self.reader, &self.namespace, None).await?;
        Ok(forward::open_object(&self.reader, only).await?)
    }

    /// Namespaced API of a kind.
    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.reader.client.clone(), &self.namespace)
    }

    /// Asks for a text to be typed, exactly. Anything else is a no, and so is silence.
    pub(super) fn demand(&self, question: &str, expected: &str) -> Result<(), Stop> {
        self.printer.note(question);
        answered((self.listen)()?, expected)
    }

    /// Who the API server takes the user for; `None` when it does not say.
    pub(super) async fn user(&self) -> Option<String> {
        let api: Api<SelfSubjectReview> = Api::all(self.reader.client.clone());
        let asked = self.reader.within(api.create(&PostParams::default(), &SelfSubjectReview::default())).await;
        asked.ok()?.ok()?.status?.user_info?.username
    }

    /// Whether the user has a verb on collections in this namespace; an unknown answer is no.
    pub(super) async fn may(&self, verb: &str) -> bool {
        let attributes = ResourceAttributes {
            group: Some(elysia_api::GROUP.to_owned()),
            resource: Some("elysiacollections".to_owned()),
            namespace: Some(self.namespace.clone()),
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let api: Api<SelfSubjectAccessReview> = Api::all(self.reader.client.clone());
        let parameters = PostParams::default();
        let asked = self.reader.within(api.create(&parameters, &review)).await;
        asked.is_ok_and(|asked| asked.is_ok_and(|review| review.status.is_some_and(|status| status.allowed)))
    }

    /// Looks until there is something to see, or the time is over.
    pub(super) async fn wait<T>(
        &self,
        what: &str,
        next: &str,
        limit: Duration,
        mut look: impl AsyncFnMut() -> Result<Option<T>, Stop>,
    ) -> Result<T, Stop> {
        let begun = Instant::now();
        loop {
            if let Some(seen) = look().await? {
                return Ok(seen);
            }
            if begun.elapsed() >= limit {
                return Err(Stop::unknown(format!("waited {}s in vain for {what}", limit.as_secs()), next));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// As [`Session::demand`], of somebody who asks no Kubernetes.
pub(super) fn demand(printer: Printer, question: &str, expected: &str) -> Result<(), Stop> {
    printer.note(question);
    answered(read_line()?, expected)
}

fn answered(typed: Option<String>, expected: &str) -> Result<(), Stop> {
    let no = |message: String| Stop::refused(format!("{message}; nothing was changed"), "");
    match typed {
        Some(typed) if typed.trim() == expected => Ok(()),
        Some(_) => Err(no(format!("that is not {expected}"))),
        None => Err(no("nobody answered: type it, pass it on stdin, or use --yes".to_owned())),
    }
}

fn read_line() -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line)?;
    Ok((read > 0).then_some(line))
}
