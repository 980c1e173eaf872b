//! What a good token grants.

use crate::id::{AppId, UserId};
use crate::metrics::TokenFault;

/// The word of an issuer: this user, on these apps, up to this time. What is left of a
/// token once it was looked at; the token itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who it is.
    pub user: UserId,
    /// Where.
    pub apps: Box<[AppId]>,
    /// Unix seconds from which on it is void, leeway included.
    pub expires: u64,
}

impl Grant {
    /// Whether it lets `user` log in to `app` now.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn admit(&self, user: &str, app: AppId, now: u64) -> Result<(), TokenFault> {
        if self.expires <= now {
            return Err(TokenFault::Expired);
        }
        if self.user != user {
            return Err(TokenFault::Subject);
        }
        self.admit_app(app)
    }

    /// Whether it is for this app.
    ///
    /// # Errors
    /// [`TokenFault::App`].
    pub fn admit_app(&self, app: AppId) -> Result<(), TokenFault> {
        if self.apps.contains(&app) { Ok(()) } else { Err(TokenFault::App) }
    }
}
