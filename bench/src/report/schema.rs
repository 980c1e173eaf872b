//! The schema of the result file, made from the types themselves.

use crate::result::RunResult;

/// JSON Schema (2020-12) of a result file, as `bench/schema/result.schema.json` holds it.
///
/// A test compares them; `UPDATE=1 cargo test -p millgate-bench --test report`
/// writes the file anew after a change of the types.
#[must_use]
pub fn text() -> String {
    let schema = schemars::schema_for!(RunResult);
    format!("{:#}\n", schema.as_value())
}
