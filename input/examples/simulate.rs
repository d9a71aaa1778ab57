//! Runs schedules of the input simulator: `simulate [--seed N | --from N] [--schedules N]`. Stops at the first failing
//! schedule and prints its trace. `--seed` replays one schedule; `--from` sets the first seed.

#[path = "../tests/simulator/mod.rs"]
mod simulator;

use std::process::ExitCode;
use std::time::Instant;

use simulator::schedule;

fn main() -> ExitCode {
    let (mut seed, mut schedules) = (0, 10_000);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let number = arguments.next().and_then(|number| number.parse::<u64>().ok());
        match (argument.as_str(), number) {
            ("--seed", Some(number)) => (seed, schedules) = (number, 1),
            ("--from", Some(number)) => seed = number,
            ("--schedules", Some(number)) => schedules = number,
            _ => {
                eprintln!("usage: simulate [--seed N | --from N] [--schedules N]");
                return ExitCode::from(2);
            }
        }
    }
    let began = Instant::now();
    let mut records = 0;
    for seed in seed..seed + schedules {
        match schedule::run(seed) {
            Ok(stats) => records += stats.records,
            Err(trace) => {
                println!("seed {seed} fails:\n{trace}");
                return ExitCode::FAILURE;
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{schedules} schedules, {records} records, {seconds:.1} s: each record came out exactly once");
    ExitCode::SUCCESS
}
