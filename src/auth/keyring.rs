//! The keys of the API, known by their hashes.

use crate::config::ApiKey;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// All keys of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyring(Vec<ApiKey>);

impl Keyring {
    /// Takes entries that were validated; anything else opens nothing.
    #[must_use]
    pub fn new(entries: &[String]) -> Self {
        Self(entries.iter().filter_map(|entry| ApiKey::parse(entry).ok()).collect())
    }

    /// A single key.
    pub(super) fn of(entry: ApiKey) -> Self {
        Self(vec![entry])
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entry of this key; `None` if it is none of them. It is compared with all of them,
    /// and every comparison takes the same time, whatever they have in common.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<&ApiKey> {
        let hash: [u8; 32] = Sha256::digest(key).into();
        let mut found = None;
        for known in &self.0 {
            if bool::from(known.hash.ct_eq(&hash)) {
                found = Some(known);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::new_key;
    use super::*;
    use crate::auth::Access;
    use crate::config::{Scope, Scopes};
    use crate::metrics::Denied;

    #[test]
    fn a_key_opens_what_it_is_for() {
        let (reader, line) = new_key("reader", Scopes::parse("read").unwrap()).unwrap();
        let (sender, other) = new_key("sender", Scopes::parse("send").unwrap()).unwrap();
        let keys = Keyring::new(&[line.to_string(), other.to_string()]);
        let access = Access { keys, ..Access::default() };
        let admit = |key: &str, scope| access.admit(Some(key.as_bytes()), scope);
        assert_eq!(admit(&reader, Scope::Read), Ok(()));
        assert_eq!(admit(&reader, Scope::Send), Err(Denied::Scope));
        assert_eq!(admit(&sender, Scope::Send), Ok(()));
        assert_eq!(admit(&sender, Scope::Admin), Err(Denied::Scope));
        assert_eq!(admit(&format!("{sender}0"), Scope::Send), Err(Denied::Unknown));
        assert_eq!(admit("", Scope::Send), Err(Denied::Unknown));
        assert_eq!(access.admit(None, Scope::Read), Err(Denied::Missing));
        assert!(reader.starts_with("mg_") && reader.len() == 67 && reader != sender);
        assert!(!line.to_string().contains(&reader[3..]), "the line holds no key");
    }

    #[test]
    fn without_keys_only_an_operator_needs_one() {
        let access = Access::default();
        assert_eq!(access.admit(None, Scope::Send), Ok(()));
        assert_eq!(access.admit(Some(b"x"), Scope::Metrics), Ok(()));
        assert_eq!(access.admit(None, Scope::Admin), Err(Denied::Missing));
        assert_eq!(access.admit(Some(b"x"), Scope::Admin), Err(Denied::Unknown));
    }

    #[test]
    fn the_key_of_the_start_is_good_as_long_as_there_are_no_others() {
        let mut access = Access::default();
        let key = access.make_start_key().unwrap().expect("there is no key yet");
        let key = key.reveal().as_bytes();
        assert_eq!(access.admit(Some(key), Scope::Admin), Ok(()));
        assert_eq!(access.admit(None, Scope::Admin), Err(Denied::Missing));
        assert!(!format!("{access:?}").contains(std::str::from_utf8(&key[3..]).unwrap()));
        let (_, line) = new_key("other", Scopes::parse("admin").unwrap()).unwrap();
        access.keys = Keyring::new(&[line.to_string()]);
        assert_eq!(access.admit(Some(key), Scope::Admin), Err(Denied::Unknown));
        assert!(access.make_start_key().unwrap().is_none());
    }
}
