//! A gRPC server on loopback that answers as a test says. It knows no messages: a test writes down those that it needs, so
//! that a wrong number of a field is not wrong on both sides.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::RecvStream;
use h2::server::{self, SendResponse};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A message is behind a byte that says whether it is compressed, and its length in four.
const PREFIX: usize = 5;

/// One call that was made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    /// `/package.Service/Method`.
    pub path: String,
    /// The message.
    pub message: Bytes,
}

/// What a call is answered: a message, or the code of a status (<https://grpc.io/docs/guides/status-codes>) and its words.
pub type Answer = Result<Vec<u8>, (u8, &'static str)>;

type Calls = Arc<Mutex<Vec<Call>>>;

/// The server. Dropping it closes its address and every connection.
#[derive(Debug)]
pub struct GrpcServer {
    address: SocketAddr,
    calls: Calls,
    task: JoinHandle<()>,
}

impl GrpcServer {
    /// Listens on a free port, and answers every call.
    pub async fn start(answer: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, calls) = (listener.local_addr()?, Calls::default());
        let known = Arc::clone(&calls);
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, answer.clone(), known.clone()));
            }
        });
        Ok(Self { address, calls, task })
    }

    /// `http://127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every call so far, in the order in which they were read.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for GrpcServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection. A client that goes away is no failure.
async fn serve(stream: TcpStream, answer: Arc<impl Fn(&Call) -> Answer + Send + Sync + 'static>, calls: Calls) {
    let Ok(mut connection) = server::handshake(stream).await else { return };
    let mut answered = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (answer, calls) = (answer.clone(), calls.clone());
        answered.spawn(async move {
            let call = read(request).await?;
            calls.lock().unwrap_or_else(PoisonError::into_inner).push(call.clone());
            reply(respond, answer(&call))
        });
    }
}

async fn read(request: Request<RecvStream>) -> Result<Call, h2::Error> {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(Call { path, message: bytes.split_off(PREFIX.min(bytes.len())).freeze() })
}

fn reply(mut respond: SendResponse<Bytes>, answer: Answer) -> Result<(), h2::Error> {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let mut stream = respond.send_response(response, false)?;
    let mut trailers = HeaderMap::new();
    match answer {
        Ok(message) => {
            let mut framed = BytesMut::new();
            framed.put_u8(0);
            framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
            framed.put_slice(&message);
            stream.send_data(framed.freeze(), false)?;
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
        }
        Err((code, words)) => {
            trailers.insert("grpc-status", u16::from(code).into());
            trailers.insert("grpc-message", HeaderValue::from_static(words));
        }
    }
    stream.send_trailers(trailers)
}
