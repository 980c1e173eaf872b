//! What all micro benches have in common.

/// Makes the `main` of a micro bench out of functions that take a `Criterion`.
macro_rules! bench {
    ($($target:path),+) => {
        criterion::criterion_group! {
            name = benches;
            config = criterion::Criterion::default()
                .warm_up_time(std::time::Duration::from_secs(1))
                .measurement_time(std::time::Duration::from_secs(3));
            targets = $($target),+
        }
        criterion::criterion_main!(benches);
    };
}
