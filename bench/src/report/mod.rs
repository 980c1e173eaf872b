//! Reports: one result, drawn for a person, a program, a spreadsheet and a browser.

pub mod csv;
pub mod html;
pub mod json;
pub mod plot;
pub mod schema;
pub mod side;
pub mod text;
pub mod words;
