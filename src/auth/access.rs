//! All that decides who gets in, made of the configuration as a whole.

use super::{AuthError, Keyring, Verifier, new_key};
use crate::config::{ApiKey, Auth, Origins, Scope, Scopes, Secret};
use crate::metrics::Denied;
use std::sync::Arc;

/// The keys, tokens and origins of one moment; it is replaced as a whole.
#[derive(Debug, Default)]
pub struct Access {
    /// Who may use the API.
    pub keys: Keyring,
    /// The key that a node without any makes at its start; it opens what only an operator may, as
    /// long as there are no others.
    pub start: Keyring,
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
        let (keys, start) = (Keyring::new(&auth.keys), Keyring::default());
        Ok(Self { keys, start, origins, tokens })
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
        let scopes = self.find(key).ok_or(Denied::Unknown)?.scopes;
        if scopes.allow(scope) { Ok(()) } else { Err(Denied::Scope) }
    }

    /// The entry of a key that opens something at this moment.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<&ApiKey> {
        if self.keys.is_empty() { self.start.find(key) } else { self.keys.find(key) }
    }

    /// Makes a key for an operator of a node that has none, and remembers its hash; `None` where
    /// there are keys.
    ///
    /// # Errors
    /// When the kernel has no random numbers.
    pub fn make_start_key(&mut self) -> Result<Option<Secret>, AuthError> {
        if !self.keys.is_empty() {
            return Ok(None);
        }
        let Some(scopes) = Scopes::parse("admin") else { return Ok(None) };
        let (key, entry) = new_key(START_KEY_NAME, scopes)?;
        self.start = Keyring::of(entry);
        Ok(Some(Secret::from(key.as_str())))
    }
}

/// What audit lines call the key of the start.
const START_KEY_NAME: &str = "of this start";
