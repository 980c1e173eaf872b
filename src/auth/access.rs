//! All that decides who gets in, made of the configuration as a whole.

use super::{AuthError, Keyring, Verifier};
use crate::config::{Auth, Origins, Scope};
use crate::metrics::Denied;
use std::sync::Arc;

/// The keys, tokens and origins of one moment; it is replaced as a whole.
#[derive(Debug, Default)]
pub struct Access {
    /// Who may use the API.
    pub keys: Keyring,
    /// Whose pages may connect and read.
    pub origins: Origins,
    /// Which tokens are good; `None` if a login needs none.
    pub tokens: Option<Arc<Verifier>>,
}

impl Access {
    /// Takes a configuration that was validated, and reads the files that it names.
    ///
    /// # Errors
    /// When a file cannot be read or used.
    pub fn load(auth: &Auth) -> Result<Self, AuthError> {
        let tokens = auth.jwt.as_ref().map(Verifier::load).transpose()?.map(Arc::new);
        let origins = Origins::new(&auth.allowed_origins);
        Ok(Self { keys: Keyring::new(&auth.keys), origins, tokens })
    }

    /// Whether a caller with this key, or none, may do this. Without any keys everybody who
    /// reaches the API may use it, but for what only an operator may.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, key: Option<&[u8]>, scope: Scope) -> Result<(), Denied> {
        if self.keys.is_empty() && scope != Scope::Admin {
            return Ok(());
        }
        let key = key.ok_or(Denied::Missing)?;
        let scopes = self.keys.find(key).ok_or(Denied::Unknown)?.scopes;
        if scopes.allow(scope) { Ok(()) } else { Err(Denied::Scope) }
    }
}
