//! The files for deployments take secrets from files.

use crate::case::Case;
use millgate::config::{Config, Loaded};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;

const MANIFEST: &str = include_str!("../../config/kubernetes/millgate.yaml");
const DROP_IN: &str = include_str!("../../config/systemd/secrets.conf");

/// What this test reads of an object of Kubernetes.
#[derive(Deserialize)]
struct Object {
    kind: String,
    #[serde(default)]
    data: BTreeMap<String, String>,
    #[serde(default, rename = "stringData")]
    string_data: BTreeMap<String, String>,
}

fn object(kind: &str) -> Object {
    let objects =
        MANIFEST.split("\n---\n").map(|text| serde_saphyr::from_str::<Object>(text).unwrap());
    objects.into_iter().find(|object| object.kind == kind).unwrap()
}

#[test]
fn the_manifest_mounts_its_secrets() {
    let (settings, secrets) = (object("ConfigMap").data, object("Secret").string_data);
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in &secrets {
        fs::write(folder.path().join(name), text).unwrap();
    }
    assert!(MANIFEST.contains("mountPath: /run/secrets/millgate,"));
    let mounted = folder.path().to_str().unwrap();
    let text = settings["millgate.toml"].replace("/run/secrets/millgate", mounted);
    let Loaded { config, warnings, .. } = Case::toml(&text).load().unwrap();
    assert_eq!(warnings, [""; 0]);
    assert_eq!(config.cluster.token.reveal(), secrets["cluster-token"]);
    assert_eq!(config.auth.keys, [secrets["api-keys"].clone()]);
    assert!(!text.contains(&secrets["cluster-token"]));
}

#[test]
fn the_unit_gets_its_secrets_as_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let mut case = Case::default();
    for line in DROP_IN.lines() {
        if let Some(credential) = line.strip_prefix("LoadCredential=") {
            let (name, _) = credential.split_once(':').unwrap();
            let text = if name == "api-keys" {
                format!("a:read:{}", "0".repeat(64))
            } else {
                "secret".into()
            };
            fs::write(folder.path().join(name), text).unwrap();
        }
    }
    for line in DROP_IN.lines() {
        if let Some(variable) = line.strip_prefix("Environment=") {
            let (name, value) = variable.split_once('=').unwrap();
            case = case.env(name, &value.replace("%d", folder.path().to_str().unwrap()));
        }
    }
    let config: Config = case.config();
    assert_eq!(config.cluster.token.reveal(), "secret");
    assert_eq!(config.redis.unwrap().password.reveal(), "secret");
    assert_eq!(config.auth.keys.len(), 1);
}
