//! What kind of key stands in a certificate or a key file, read from its DER.
//!
//! Libraries say whether they can use a key; these few lines say which key it is when they cannot.

use std::fmt;

/// A kind of key, as far as its encoding tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with a modulus of this many bits; 0 if it is not known.
    Rsa(usize),
    /// A kind with a name, such as `P-384`.
    Named(&'static str),
    /// A kind that is not known here.
    Unknown,
}

impl KeyKind {
    /// The elliptic curve that browsers and issuers use most.
    pub const P256: Self = Self::Named("P-256");
    /// The key of `EdDSA` signatures.
    pub const ED25519: Self = Self::Named("Ed25519");
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(0) => f.write_str("an RSA key"),
            Self::Rsa(bits) => write!(f, "an RSA key of {bits} bits"),
            Self::Named(name) => write!(f, "a key of {name}"),
            Self::Unknown => f.write_str("a key of a kind that is not known here"),
        }
    }
}

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// The contents of object identifiers, and what they stand for. An elliptic key has two: that of
/// its family, which says nothing yet, and that of its curve.
const OBJECTS: [(&[u8], &str); 14] = [
    (b"\x2a\x86\x48\xce\x3d\x03\x01\x07", "P-256"),
    (b"\x2b\x81\x04\x00\x22", "P-384"),
    (b"\x2b\x81\x04\x00\x23", "P-521"),
    (b"\x2b\x81\x04\x00\x21", "P-224"),
    (b"\x2b\x81\x04\x00\x0a", "secp256k1"),
    (b"\x2b\x24\x03\x03\x02\x08\x01\x01\x07", "brainpoolP256r1"),
    (b"\x2b\x24\x03\x03\x02\x08\x01\x01\x0b", "brainpoolP384r1"),
    (b"\x2b\x65\x70", "Ed25519"),
    (b"\x2b\x65\x71", "Ed448"),
    (b"\x2b\x65\x6e", "X25519"),
    (b"\x2b\x65\x6f", "X448"),
    (b"\x2a\x86\x48\xce\x38\x04\x01", "DSA"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a", "RSA-PSS"),
    (b"\x2a\x81\x1c\xcf\x55\x01\x82\x2d", "SM2"),
];
const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const ELLIPTIC: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";

/// The first element of `der`: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // More than four bytes of length are no file that anybody has.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The content of the first element if it has this tag, and what follows it.
fn expect(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(found, ..)| *found == tag).map(|(_, content, rest)| (content, rest))
}

/// The public key of a certificate: its whole `SubjectPublicKeyInfo`.
#[must_use]
pub fn public_key_of_certificate(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = expect(certificate, SEQUENCE)?;
    let (mut fields, _) = expect(certificate, SEQUENCE)?;
    // The version, which the oldest certificates do not have, comes in brackets of its own.
    if let Some((0xa0, _, rest)) = element(fields) {
        fields = rest;
    }
    // Serial number, algorithm, issuer, validity, subject.
    for _ in 0..5 {
        fields = element(fields)?.2;
    }
    let rest = element(fields)?.2;
    fields.get(..fields.len() - rest.len())
}

/// What a `SubjectPublicKeyInfo` holds: the kind of the key, and the key itself as its algorithm
/// writes it.
#[must_use]
pub fn public_key(info: &[u8]) -> Option<(KeyKind, &[u8])> {
    let (info, _) = expect(info, SEQUENCE)?;
    let (algorithm, rest) = expect(info, SEQUENCE)?;
    let (bits, _) = expect(rest, BITS)?;
    // The first byte counts the bits of the last one that do not belong to it.
    let key = bits.strip_prefix(&[0])?;
    let kind = match kind_of_algorithm(algorithm)? {
        KeyKind::Rsa(_) => KeyKind::Rsa(rsa_bits(key).unwrap_or(0)),
        kind => kind,
    };
    Some((kind, key))
}

/// The bits of the modulus of a public RSA key (PKCS#1).
#[must_use]
pub fn rsa_bits(key: &[u8]) -> Option<usize> {
    let (modulus, _) = expect(expect(key, SEQUENCE)?.0, INTEGER)?;
    Some(bits_of(modulus))
}

/// The bits of a number that is written with its highest byte first.
fn bits_of(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let unused = number.get(zeros).map_or(0, |byte| byte.leading_zeros());
    (number.len() - zeros) * 8 - unused as usize
}

/// The kind of a private key that stands in a file of PKCS#8.
#[must_use]
pub fn private_key(pkcs8: &[u8]) -> Option<KeyKind> {
    let (_, rest) = expect(expect(pkcs8, SEQUENCE)?.0, INTEGER)?;
    let (algorithm, rest) = expect(rest, SEQUENCE)?;
    match kind_of_algorithm(algorithm)? {
        KeyKind::Rsa(_) => rsa_private_key(expect(rest, OCTETS)?.0),
        kind => Some(kind),
    }
}

/// The size of a private RSA key that stands in a file of its own kind (PKCS#1).
#[must_use]
pub fn rsa_private_key(pkcs1: &[u8]) -> Option<KeyKind> {
    let (_version, rest) = expect(expect(pkcs1, SEQUENCE)?.0, INTEGER)?;
    Some(KeyKind::Rsa(bits_of(expect(rest, INTEGER)?.0)))
}

/// The curve of a private key that stands in a file of its own kind (SEC 1).
#[must_use]
pub fn elliptic_private_key(sec1: &[u8]) -> Option<KeyKind> {
    let (_, mut rest) = expect(expect(sec1, SEQUENCE)?.0, INTEGER)?;
    loop {
        let (tag, content, following) = element(rest)?;
        if tag == 0xa0 {
            return Some(named(expect(content, OBJECT)?.0));
        }
        rest = following;
    }
}

fn kind_of_algorithm(algorithm: &[u8]) -> Option<KeyKind> {
    let (object, parameters) = expect(algorithm, OBJECT)?;
    Some(match object {
        RSA => KeyKind::Rsa(0),
        // A curve that is spelt out has no name, and no library takes it.
        ELLIPTIC => expect(parameters, OBJECT).map_or(KeyKind::Unknown, |(curve, _)| named(curve)),
        other => named(other),
    })
}

fn named(object: &[u8]) -> KeyKind {
    let known = OBJECTS.iter().find(|(content, _)| *content == object);
    known.map_or(KeyKind::Unknown, |(_, name)| KeyKind::Named(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn generated(algorithm: &'static rcgen::SignatureAlgorithm) -> rcgen::KeyPair {
        rcgen::KeyPair::generate_for(algorithm).unwrap()
    }

    #[test]
    fn kinds_of_keys_are_read_from_certificates_and_key_files() {
        for (algorithm, kind) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, KeyKind::P256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, KeyKind::Named("P-384")),
            (&rcgen::PKCS_ED25519, KeyKind::ED25519),
        ] {
            let key = generated(algorithm);
            let parameters = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
            let certificate = parameters.self_signed(&key).unwrap();
            let info = public_key_of_certificate(certificate.der()).unwrap();
            let (read, content) = public_key(info).unwrap();
            assert_eq!((&read, content), (&kind, key.public_key_raw()));
            assert_eq!(private_key(&key.serialize_der()), Some(kind));
        }
    }

    #[test]
    fn private_rsa_keys_tell_their_size() {
        // Version 0, a modulus of twelve bits.
        let pkcs1 = b"\x30\x07\x02\x01\x00\x02\x02\x0f\xff";
        assert_eq!(rsa_private_key(pkcs1), Some(KeyKind::Rsa(12)));
        let algorithm = [&[SEQUENCE, 11, OBJECT, 9], RSA].concat();
        let key = [&[OCTETS, 9], &pkcs1[..]].concat();
        let pkcs8 = [&[SEQUENCE, 27, INTEGER, 1, 0], &algorithm[..], &key[..]].concat();
        assert_eq!(private_key(&pkcs8), Some(KeyKind::Rsa(12)));
    }

    #[test]
    fn bits_are_counted_from_the_first_that_is_set() {
        assert_eq!([bits_of(&[]), bits_of(&[0, 0]), bits_of(&[0, 0x80, 0])], [0, 0, 16]);
        assert_eq!(bits_of(&[1, 0]), 9);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = public_key_of_certificate(&bytes).and_then(public_key);
            let _ = (public_key(&bytes), private_key(&bytes), elliptic_private_key(&bytes));
            let _ = (rsa_bits(&bytes), rsa_private_key(&bytes));
        }
    }
}
