//! Logs are rotated in every way while the runs that follow them are killed: each record is read exactly once.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::following::{Following, PATIENCE};
use crate::common::gzip;
use crate::common::runs::{Runs, append, lines, text};
use catena_synthetic::Random;

/// Longer than a possible copy is held back.
const SETTLED: Duration = Duration::from_secs(8);

/// Regressions, found by manual stress tests, that lost or duplicated records: the former content of an inode was
/// forgotten at a restart; identical files that appeared together were both read; a line feed was missing when a name
/// was reused.
#[test]
fn renamed_compressed_and_truncated_logs_are_read_once_despite_kills() {
    let runs = Runs::new();
    let logs = runs.path("logs");
    fs::create_dir(&logs).expect("a folder can be made");
    let (log, folder) = (logs.join("audit.log"), logs.display().to_string());
    let arguments = runs.arguments();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).chain(["--save-every", "20ms", &folder]).collect();
    let mut random = Random::new(4);
    let (mut count, mut rotated, mut done) = (0, 0, [0; 4]);
    let mut more = |at_least: u64, random: &mut Random| {
        let from = count;
        count += (at_least + random.below(40)) as usize;
        text(&lines("a", from..count))
    };
    fs::write(&log, more(30, &mut random)).expect("it is written");
    let mut run = Following::start(&arguments);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(12) {
        let what = random.below(16);
        rotated += usize::from(what < 3);
        let old = logs.join(format!("audit.log.{rotated}"));
        match what {
            0 | 1 => {
                append(&log, more(1, &mut random));
                fs::rename(&log, &old).expect("it is renamed");
                fs::write(&log, more(30, &mut random)).expect("it is written");
                if what == 1 {
                    thread::sleep(Duration::from_millis(random.below(1_500)));
                    let zipped = gzip(&fs::read(&old).expect("it is there"));
                    let (first, second) = zipped.split_at(zipped.len() / 2);
                    let path = logs.join(format!("audit.log.{rotated}.gz"));
                    fs::write(&path, first).expect("it is written");
                    thread::sleep(Duration::from_millis(random.below(300)));
                    append(&path, second);
                    fs::remove_file(&old).expect("it is removed");
                }
            }
            2 => {
                append(&log, more(1, &mut random));
                fs::copy(&log, &old).expect("it is copied");
                fs::write(&log, more(30, &mut random)).expect("it is cut");
            }
            3 => {
                drop(run);
                run = Following::start(&arguments);
            }
            _ => {
                let lines = more(1, &mut random);
                // In two writes: the first may end within a record.
                let (first, second) = lines.split_at(random.below(lines.len() as u64) as usize);
                append(&log, first);
                thread::sleep(Duration::from_millis(random.below(15)));
                append(&log, second);
            }
        }
        if let Some(done) = done.get_mut(what as usize) {
            *done += 1;
        }
        thread::sleep(Duration::from_millis(random.below(60)));
    }
    let began = Instant::now();
    while runs.output().len() < count && began.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(100));
    }
    thread::sleep(SETTLED);
    let told = run.end();
    let mut got = runs.output();
    got.sort();
    let mut expected = lines("a", 0..count);
    expected.sort();
    assert!(got == expected, "{} lines, expected {count}, after {done:?}: {told}", got.len());
    assert!(done.iter().all(|done| *done > 2), "{done:?}");
}
