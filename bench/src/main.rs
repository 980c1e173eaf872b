//! Load generator and capacity planner; see its own issue.

fn main() {}
