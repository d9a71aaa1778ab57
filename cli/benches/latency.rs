//! How long it takes from a record in a followed file, or in a pipe, to its finding in the file of findings, at several rates.
//!
//! `cargo bench --package catena-cli --bench latency`. The figures are those of the machine and of what else runs on it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use catena_synthetic::chain;

/// 2026-01-05T10:00:00Z.
const START: u64 = 1_767_607_200;

/// Records per second, and for how long.
const RATES: [u64; 3] = [100, 1_000, 10_000];
const TIME: Duration = Duration::from_secs(6);

/// Records are written this often.
const TICK: Duration = Duration::from_millis(1);

/// How long to wait for the last findings.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() {
    // With --test, it only has to run.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let time = if is_test { Duration::from_millis(500) } else { TIME };
    println!("{:>12} {:>10} {:>9} {:>9} {:>9} {:>9}", "input", "records/s", "findings", "p50 ms", "p99 ms", "max ms");
    for is_pipe in [false, true] {
        for rate in RATES {
            let mut delays = measure(rate, time, is_pipe);
            delays.sort();
            let at = |share: f64| {
                let place = ((delays.len() - 1) as f64 * share) as usize;
                delays[place].as_secs_f64() * 1e3
            };
            let input = if is_pipe { "pipe" } else { "followed file" };
            println!("{input:>12} {rate:>10} {:>9} {:>9.1} {:>9.1} {:>9.1}", delays.len(), at(0.5), at(0.99), at(1.0));
        }
    }
}

/// The delay of each record at a rate.
fn measure(rate: u64, time: Duration, is_pipe: bool) -> Vec<Duration> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (logs, findings) = (folder.path().join("logs"), folder.path().join("findings"));
    fs::create_dir(&logs).expect("a folder can be made");
    let log = logs.join("in.ndjson");
    // A record that is no finding first, so that the run is known to be up.
    fs::write(&log, chain("first", START, 0)[2].clone() + "\n").expect("it is written");
    let (mut run, mut input): (Child, Box<dyn Write + Send>) = if is_pipe {
        let mut run = start(&findings, &[], Stdio::piped());
        let mut input = run.stdin.take().expect("it has an input");
        input.write_all(&fs::read(&log).expect("it is there")).expect("it is taken");
        (run, Box::new(input))
    } else {
        let run = start(&findings, &["--follow", &logs.display().to_string()], Stdio::null());
        (run, Box::new(OpenOptions::new().append(true).open(&log).expect("it opens")))
    };
    let began = Instant::now();
    while fs::metadata(&findings).map_or(0, |metadata| metadata.len()) == 0 {
        assert!(began.elapsed() < PATIENCE, "no finding came");
        thread::sleep(Duration::from_millis(5));
    }
    let count = (rate as f64 * time.as_secs_f64()) as u64;
    let lines: Vec<_> =
        (0..count).map(|at| chain(&format!("u{at}x"), START + at / 100, at + 1)[2].clone() + "\n").collect();
    let writer = thread::spawn(move || {
        let began = Instant::now();
        let mut written = Vec::with_capacity(lines.len());
        while written.len() < lines.len() {
            let due = ((began.elapsed().as_secs_f64() * rate as f64) as usize).min(lines.len());
            if due > written.len() {
                let text = lines[written.len()..due].concat();
                // The clock starts before the write: the delay includes it.
                let now = Instant::now();
                input.write_all(text.as_bytes()).expect("it is taken");
                written.resize(due, now);
            }
            thread::sleep(TICK);
        }
        (written, input)
    });
    let arrived = read_findings(&findings, count as usize, time);
    let (written, input) = writer.join().expect("the writer ends");
    drop(input);
    let _ = run.kill();
    let _ = run.wait();
    let delays = arrived.into_iter().zip(written);
    delays.filter_map(|(arrived, written)| Some(arrived?.saturating_duration_since(written))).collect()
}

fn start(findings: &Path, more: &[&str], input: Stdio) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_catena"));
    command.args(["run", "--mode=findings", "--quiet", "--findings"]).arg(findings).args(more);
    command.stdin(input).stdout(Stdio::null()).spawn().expect("it starts")
}

/// When the finding of each record came.
fn read_findings(path: &Path, count: usize, time: Duration) -> Vec<Option<Instant>> {
    let mut arrived = vec![None; count];
    let mut file = File::open(path).expect("it is there");
    let (mut rest, mut seen) = (String::new(), 0);
    let until = Instant::now() + time + PATIENCE;
    while seen < count && Instant::now() < until {
        let mut text = Vec::new();
        file.read_to_end(&mut text).expect("it can be read");
        let now = Instant::now();
        rest += &String::from_utf8_lossy(&text);
        let end = rest.rfind('\n').map_or(0, |end| end + 1);
        for line in rest[..end].lines() {
            let number = line.split_once(":user/u").and_then(|(_, rest)| rest.split_once('x')?.0.parse::<usize>().ok());
            if let Some(place) = number.and_then(|number| arrived.get_mut(number)).filter(|place| place.is_none()) {
                *place = Some(now);
                seen += 1;
            }
        }
        rest.drain(..end);
        thread::sleep(Duration::from_millis(1));
    }
    arrived
}
