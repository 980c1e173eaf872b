//! Who calls: a node of the cluster by the token that all nodes share, somebody else by a key of the API.

use super::credentials::Credentials;
use super::doorman::Doorman;
use super::incoming;
use crate::auth::{Access, bearer};
use crate::config::{Scope, Scopes};
use crate::link::Current;
use crate::metrics::{Denied, Metrics};
use std::sync::Arc;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Lets calls in that carry the token or a key, before anything of their content is read.
#[derive(Clone)]
pub(super) struct Guard {
    /// What `authorization` has to say now; without a token everybody comes in.
    security: Arc<Credentials>,
    /// The keys that do as well; `None` for what nodes alone may call.
    access: Option<Arc<Current<Access>>>,
    doorman: Arc<Doorman>,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A node of the cluster, or somebody whom this node takes for one.
    Node,
    /// Somebody with a key.
    Key(Scopes),
}

impl Guard {
    /// For what nodes alone may call.
    pub(super) fn of_nodes(security: Arc<Credentials>, doorman: Arc<Doorman>) -> Self {
        Self { security, access: None, doorman }
    }

    /// For what callers with a key may call too.
    pub(super) fn and_of_keys(self, access: Arc<Current<Access>>) -> Self {
        Self { access: Some(access), ..self }
    }

    fn caller(&self, request: &Request<()>) -> Option<Caller> {
        let security = self.security.get();
        if !security.asks_for_token() {
            return Some(Caller::Node);
        }
        let value = |name: &str| request.metadata().get(name).map(|value| value.as_bytes());
        let authorization = value("authorization");
        let shown = authorization.and_then(bearer);
        if shown.is_some_and(|token| security.is_token(token)) {
            return Some(Caller::Node);
        }
        let key = value("x-api-key").or(shown)?;
        self.access.as_ref()?.get().keys.find(key).map(|key| Caller::Key(key.scopes))
    }
}

impl Interceptor for Guard {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(caller) = self.caller(&request) {
            if let Some(connection) = incoming::Caller::of(&request) {
                connection.let_in(self.doorman.now());
            }
            request.extensions_mut().insert(caller);
            return Ok(request);
        }
        self.doorman
            .refuse_call(incoming::Caller::of(&request).and_then(incoming::Caller::address));
        let message = match self.access {
            Some(_) => "the token of this cluster, or a key of the API, is missing or wrong",
            None => "the token of this cluster is missing or wrong",
        };
        Err(Status::unauthenticated(message))
    }
}

/// Whether who calls may do this: nodes may do all, others what their key is for.
///
/// # Errors
/// `PERMISSION_DENIED`, counted.
pub(super) fn admit<T>(
    request: &Request<T>,
    scope: Scope,
    metrics: &Metrics,
) -> Result<(), Status> {
    match request.extensions().get::<Caller>() {
        Some(Caller::Node) => Ok(()),
        Some(Caller::Key(scopes)) if scopes.allow(scope) => Ok(()),
        _ => {
            metrics.shared.count_denied(Denied::Scope);
            Err(Status::permission_denied("the key is not for this"))
        }
    }
}
