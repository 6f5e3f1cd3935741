//! The server as the service under a client.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::http::{Request, Response, StatusCode};
use kube::client::Body;

use super::Fate;
use super::asked::Asked;
use super::state::{Reply, State, failure};

pub(super) struct Server {
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(super) fn new(state: Arc<Mutex<State>>) -> Self {
        Self { state }
    }
}

impl tower::Service<Request<Body>> for Server {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let state = Arc::clone(&self.state);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let bytes = body.collect_bytes().await.unwrap_or_default();
            let Some(asked) = Asked::new(&head, &bytes) else {
                return Ok(response(failure(404, "NotFound", &format!("no such path: {}", head.uri))));
            };
            match answer(&state, &asked) {
                Some(reply) => Ok(response(reply)),
                None => pending().await,
            }
        })
    }
}

/// `None`: no answer ever comes.
fn answer(state: &Mutex<State>, asked: &Asked) -> Option<Reply> {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let fate = state.fate(asked);
    let refused = |status| {
        let reason = if status == 403 { "Forbidden" } else { "InternalError" };
        Some(failure(status, reason, "fault of the fake"))
    };
    match fate {
        Fate::Passes => Some(state.answer(asked)),
        Fate::Fails(status) => refused(status),
        Fate::FailsAfter(status) => {
            state.answer(asked);
            refused(status)
        }
        Fate::Hangs => None,
        Fate::HangsAfter => {
            state.answer(asked);
            None
        }
    }
}

fn response((status, body): Reply) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string().into_bytes()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}
