//! The climb: memory at rest on every plateau.

use super::costs::{Costs, Stretch};
use crate::probe::kernel;
use crate::result::{Better, Figure, MemoryPlateau, Plan};
use crate::run::{Ended, Run};
use crate::stats::regression::memory;
use crate::swarm::{Count, Whom};
use std::io;
use std::time::Duration;

/// How long a plateau rests before it is measured: queued work is done, and the
/// kernel has given back what it can.
const REST: Duration = Duration::from_secs(1);

/// Opens all connections by plateaus, until they have `arrived`; none counts as the first.
pub(super) fn climb(
    run: &mut Run,
    plan: &mut Plan,
    costs: &mut Costs,
    steps: u32,
    arrived: Count,
) -> io::Result<Ended> {
    let crowd = run.swarm.spec().crowd;
    let mut ended = run.pass("at rest", REST)?;
    plan.plateaus.push(plateau(run)?);
    for step in 1..=steps {
        if ended != Ended::Done {
            break;
        }
        let target =
            u32::try_from(u64::from(crowd) * u64::from(step) / u64::from(steps)).unwrap_or(crowd);
        let stretch = Stretch::begin(run)?;
        run.swarm.grow(Whom::Crowd, target, run.common().connect_rate)?;
        ended = run.wait_for("climbing", u64::from(target), None, |totals| totals[arrived])?;
        costs.connects(run, &stretch)?;
        if ended == Ended::Done {
            ended = run.pass("at rest", REST)?;
            plan.plateaus.push(plateau(run)?);
        }
    }
    match memory(&plan.plateaus) {
        Ok(slopes) => {
            plan.memory = Some(slopes);
            let each = [("memory.user", slopes.user), ("memory.slab", slopes.slab)];
            for (name, slope) in each {
                run.result.figures.push(Figure {
                    name: format!("{name}_bytes_per_connection"),
                    unit: "bytes".to_owned(),
                    better: Better::Lower,
                    samples: vec![slope.per_connection],
                    valid: true,
                });
            }
        }
        Err(why) => run.result.notes.push(format!("memory per connection: {why}")),
    }
    Ok(ended)
}

fn plateau(run: &Run) -> io::Result<MemoryPlateau> {
    let kernel = kernel::sample()?;
    Ok(MemoryPlateau {
        connections: run.totals()[Count::Open],
        user_bytes: run.server_memory()?.unwrap_or(0),
        slab_bytes: kernel.slab_bytes,
        socket_bytes: kernel.socket_bytes,
    })
}
