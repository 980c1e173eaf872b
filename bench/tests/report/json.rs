//! The file: what is written is read again, fits its schema, and nothing else is taken for it.

use crate::example;
use millgate_bench::report::{json, schema};
use millgate_bench::result::RunResult;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    for run in [example::everything(), example::nothing()] {
        json::write(&run, &path).unwrap();
        assert_eq!(json::read(&path), Ok(run));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no unfinished file is left");
}

#[test]
fn every_example_fits_the_schema() {
    let schema: Value = serde_json::from_str(&fs::read_to_string(schema_file()).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for run in [example::everything(), example::nothing(), example::held(), example::echoed()] {
        let value = value_of(&run);
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
}

#[test]
fn the_schema_refuses_what_is_no_result() {
    let schema: Value = serde_json::from_str(&schema::text()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let broken: [fn(&mut Value); 4] = [
        |run| run["connections"]["lost"] = Value::from("none"),
        |run| run["unknown"] = Value::from(1),
        |run| run["loads"][0]["verdict"] = Value::from("fine"),
        |run| drop(run.as_object_mut().unwrap().remove("machine")),
    ];
    for breaks in broken {
        let mut value = value_of(&example::everything());
        assert!(validator.is_valid(&value));
        breaks(&mut value);
        assert!(!validator.is_valid(&value));
        assert!(json::from_text(&value.to_string()).is_err());
    }
}

#[test]
fn the_schema_file_is_that_of_the_types() {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(schema_file(), schema::text()).unwrap();
    }
    let kept = fs::read_to_string(schema_file()).unwrap_or_default();
    assert!(
        kept == schema::text(),
        "renew it: UPDATE=1 cargo test -p millgate-bench --test report the_schema_file"
    );
}

#[test]
fn other_files_are_refused_in_one_line() {
    let mut old = value_of(&example::nothing());
    old["format"] = Value::from("millgate-bench/0");
    let refused = [
        (old.to_string(), "this version reads \"millgate-bench/1\""),
        (String::new(), "not a result of this tool"),
        ("{\"format\": 1}".to_owned(), "not a result of this tool"),
        (
            "{\"format\": \"millgate-bench/1\"}".to_owned(),
            "not a result of this version: missing field",
        ),
    ];
    for (text, expected) in refused {
        let error = json::from_text(&text).unwrap_err();
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    }
    let error = json::read(Path::new("/nowhere/run.json")).unwrap_err();
    assert!(error.starts_with("/nowhere/run.json: "), "{error}");
}

fn value_of(run: &RunResult) -> Value {
    serde_json::from_str(&json::to_text(run).unwrap()).unwrap()
}

fn schema_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/result.schema.json")
}
