//! The token that all nodes share.

use super::Security;
use super::doorman::Doorman;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Lets calls in that carry the token, before anything of their content is read.
#[derive(Clone)]
pub(super) struct Guard {
    /// What `authorization` has to say; `None` lets everybody in.
    expected: Option<Arc<str>>,
    doorman: Arc<Doorman>,
}

impl Guard {
    pub(super) fn new(security: &Security, doorman: Arc<Doorman>) -> Self {
        Self { expected: security.authorization().map(Arc::from), doorman }
    }

    fn admits(&self, request: &Request<()>) -> bool {
        let Some(expected) = &self.expected else { return true };
        let given = request.metadata().get("authorization");
        given.is_some_and(|given| given.as_bytes().ct_eq(expected.as_bytes()).into())
    }
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        if self.admits(&request) {
            return Ok(request);
        }
        self.doorman.refuse_call(request.remote_addr());
        Err(Status::unauthenticated("the token of this cluster is missing or wrong"))
    }
}
