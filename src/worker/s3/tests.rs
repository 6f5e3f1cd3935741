use elysia_engine::checkpoint::{Checkpoint, Digest};
use elysia_engine::feed::{Feed, FeedError};
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use tokio::io::AsyncReadExt as _;

use super::*;

fn work(prefix: &str, pattern: &str) -> S3Work {
    S3Work {
        bucket: "feeds".to_owned(),
        prefix: prefix.to_owned(),
        pattern: pattern.to_owned(),
        endpoint: Some("http://s3:7070".to_owned()),
        region: None,
        anonymous: false,
        authorities: None,
        is_followed: false,
    }
}

async fn put(store: &InMemory, key: &str, bytes: impl Into<Bytes>) {
    store.put(&Path::from(key), bytes.into().into()).await.unwrap();
}

fn source(store: &Arc<InMemory>, prefix: &str, pattern: &str) -> S3Source {
    S3Source::over(store.clone(), work(prefix, pattern))
}

async fn read(source: &S3Source, name: &str) -> io::Result<Vec<u8>> {
    let files = source.list().await.unwrap();
    let file = files.iter().find(|file| file.name == name).unwrap();
    let mut bytes = Vec::new();
    source.open(file).await.unwrap().read_to_end(&mut bytes).await?;
    Ok(bytes)
}

#[tokio::test]
async fn keys_are_found_by_their_pattern_below_the_prefix_and_in_order() {
    let store = Arc::new(InMemory::new());
    for key in ["w/b.jsonl", "w/a.jsonl", "w/c.txt", "w/sub/d.jsonl", "wiki.jsonl", "x/e.jsonl"] {
        put(&store, key, key).await;
    }
    put(&store, "w/empty.jsonl", "").await;
    let names = async |prefix, pattern| {
        let files = source(&store, prefix, pattern).list().await.map_err(|error| error.message)?;
        Ok::<_, String>(files.into_iter().map(|file| file.name).collect::<Vec<_>>())
    };
    assert_eq!(names("w", "*.jsonl").await.unwrap(), ["w/a.jsonl", "w/b.jsonl"]);
    assert_eq!(names("w", "**/*.jsonl").await.unwrap(), ["w/a.jsonl", "w/b.jsonl", "w/sub/d.jsonl"]);
    assert_eq!(names("", "*.jsonl").await.unwrap(), ["wiki.jsonl"]);
    assert_eq!(names("", "w/*.txt").await.unwrap(), ["w/c.txt"]);
    assert_eq!(names("w", "*.gz").await.unwrap_err(), "no object matches *.gz below feeds/w");
    assert!(names("w", "[").await.unwrap_err().starts_with("pattern [: "));
}

#[tokio::test]
async fn an_object_of_many_parts_comes_whole() {
    let store = Arc::new(InMemory::new());
    let size = usize::try_from(2 * PART_BYTES).unwrap() + 7;
    let bytes: Vec<u8> = (0..size).map(|index| u8::try_from(index % 251).unwrap()).collect();
    put(&store, "a.jsonl", bytes.clone()).await;
    let source = source(&store, "", "*");
    assert!(read(&source, "a.jsonl").await.unwrap() == bytes);
    let file = &source.list().await.unwrap()[0];
    let mut rest = Vec::new();
    source.open_at(file, PART_BYTES + 3).await.unwrap().unwrap().read_to_end(&mut rest).await.unwrap();
    assert!(rest == bytes[usize::try_from(PART_BYTES).unwrap() + 3..]);
}

#[tokio::test]
async fn bytes_of_two_versions_are_never_joined() {
    let store = Arc::new(InMemory::new());
    let size = usize::try_from(4 * PART_BYTES).unwrap();
    put(&store, "a.jsonl", vec![b'a'; size]).await;
    let source = source(&store, "", "*");
    let file = source.list().await.unwrap().remove(0);
    let mut reader = source.open(&file).await.unwrap();
    let mut first = [0; 1];
    reader.read_exact(&mut first).await.unwrap();
    put(&store, "a.jsonl", vec![b'b'; size]).await;
    let mut rest = Vec::new();
    let error = reader.read_to_end(&mut rest).await.unwrap_err();
    assert!(error.to_string().contains("a.jsonl was replaced while it was read"), "{error}");
    assert!(rest.iter().all(|byte| *byte == b'a'));
    // The next worker sees the other version, and that nothing of the old one is left.
    assert_ne!(source.list().await.unwrap()[0].version, file.version);
}

#[tokio::test]
async fn an_object_that_was_replaced_behind_the_reading_is_noticed_at_the_end() {
    let store = Arc::new(InMemory::new());
    put(&store, "a.jsonl", "{}\n").await;
    put(&store, "b.jsonl", "{}\n").await;
    let source = source(&store, "", "*");
    let mut feed = Feed::resume(&source, &Checkpoint::default(), None).await.unwrap();
    assert_eq!(&*feed.next().await.unwrap().unwrap().file, "a.jsonl");
    assert_eq!(&*feed.next().await.unwrap().unwrap().file, "b.jsonl");
    put(&store, "a.jsonl", "[]\n").await;
    let error = feed.next().await.unwrap_err();
    assert!(matches!(&error, FeedError::FileReplaced { file } if file == "a.jsonl"), "{error}");
}

#[tokio::test]
async fn the_offset_is_reached_by_a_request_while_the_object_is_the_same() {
    let store = Arc::new(InMemory::new());
    put(&store, "a.jsonl", "{\"a\":1}\n{\"b\":2}\n").await;
    let source = source(&store, "", "*");
    let mut feed = Feed::resume(&source, &Checkpoint::default(), None).await.unwrap();
    feed.next().await.unwrap().unwrap();
    let checkpoint = feed.mark().checkpoint();
    let position = checkpoint.current.clone().unwrap();
    assert_eq!((position.offset, position.sha256), (8, Digest::of(b"{\"a\":1}\n")));
    assert!(position.midstate.is_some());
    let mut feed = Feed::resume(&source, &checkpoint, None).await.unwrap();
    let line = feed.next().await.unwrap().unwrap();
    assert_eq!((line.line.offset, line.line.number), (8, 2));
    assert_eq!(feed.mark().checkpoint().current.unwrap().sha256, Digest::of(b"{\"a\":1}\n{\"b\":2}\n"));
    // It grew: another version, the same beginning.
    put(&store, "a.jsonl", "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n").await;
    let mut feed = Feed::resume(&source, &checkpoint, None).await.unwrap();
    feed.next().await.unwrap().unwrap();
    assert_eq!(feed.next().await.unwrap().unwrap().line.number, 3);
    put(&store, "a.jsonl", "{\"A\":1}\n{\"b\":2}\n").await;
    let error = Feed::resume(&source, &checkpoint, None).await.err().unwrap();
    assert!(matches!(error, FeedError::FileRewritten { offset: 8, .. }), "{error}");
}

fn answered(body: &str) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: body.to_owned().into() }
}

/// Answers as versitygw 1.8.0 gives them, and Amazon documents them.
#[test]
fn what_is_wrong_is_said_with_the_next_step() {
    let error = |code: &str, more: &str| format!("<Error><Code>{code}</Code><Message>M</Message>{more}</Error>");
    for (code, more, words, retryable) in [
        ("NoSuchBucket", "", "there is no such bucket; create it", false),
        ("AccessDenied", "", "let this key list the bucket (s3:ListBucket)", false),
        ("InvalidAccessKeyId", "", "correct accessKeyId in the Secret", false),
        ("SignatureDoesNotMatch", "<StringToSign>S</StringToSign>", "correct secretAccessKey", false),
        ("ExpiredToken", "", "renew sessionToken", false),
        ("RequestTimeTooSkewed", "", "set both by NTP", true),
        ("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>", "is in region eu-west-1, not us-east-1", false),
        ("PermanentRedirect", "", "not in region us-east-1; set region", false),
        ("SlowDown", "", "asks to slow down", true),
        ("XAdminUserNotFound", "", "answered XAdminUserNotFound: M", true),
    ] {
        let failure = explain(&answered(&error(code, more)), &work("w", "*"), None);
        assert!(failure.message.contains(words), "{code}: {}", failure.message);
        assert!(failure.message.starts_with("bucket feeds/w at http://s3:7070: "), "{}", failure.message);
        assert_eq!(failure.retryable, retryable, "{code}");
        assert!(!failure.message.contains("StringToSign"));
    }
    let anonymous = S3Work { anonymous: true, ..work("w", "*") };
    let failure = explain(&answered(&error("AccessDenied", "")), &anonymous, Some("w/a.jsonl"));
    assert!(failure.message.starts_with("bucket feeds/w/a.jsonl at"), "{}", failure.message);
    assert!(failure.message.ends_with("or set credentialsSecretRef"), "{}", failure.message);
}

#[test]
fn a_certificate_that_is_not_trusted_is_said_with_the_next_step() {
    for (why, words) in [
        ("UnknownIssuer", "name its authority's certificate in caSecretRef in the spec"),
        ("Other(OtherError(CaUsedAsEndEntity))", "(CA:FALSE, with its name)"),
        (
            "certificate not valid for name \"minio\"; certificate is only valid for [\"a\"]",
            "with the host of the endpoint",
        ),
        ("certificate expired: verification time 2 (UNIX)", "has ended; renew it"),
        ("BadSignature", "is not accepted: BadSignature"),
    ] {
        let failure =
            explain(&answered(&format!("client error: invalid peer certificate: {why}")), &work("w", "*"), None);
        assert!(failure.message.contains(words), "{why}: {}", failure.message);
        assert!(!failure.retryable, "{why}: nobody mends that by waiting");
    }
}

/// A server that is not there: asked for real, since the words are the client's.
#[tokio::test]
async fn a_server_that_is_gone_is_a_matter_of_the_network() {
    let work = S3Work { endpoint: Some("http://127.0.0.1:1/".to_owned()), ..work("", "*") };
    let key = S3Key { id: "id".to_owned(), secret: "hush".to_owned().into(), token: None };
    let source = S3Source::build(work, Some(key), 0).unwrap();
    let failure = source.list().await.unwrap_err();
    assert_eq!((failure.category, failure.retryable), (Category::Network, true), "{}", failure.message);
    assert!(failure.message.contains("the server cannot be asked: "), "{}", failure.message);
    assert!(!failure.message.contains("hush"), "{}", failure.message);
}
