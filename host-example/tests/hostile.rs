//! A guest that traps or returns an invalid answer costs the host an error and a restart, but no record.

use std::sync::Arc;
use std::time::Duration;

use crate::guest::{FAILS_ON_EXCLAMATION, Guest};
use bytes::Bytes;
use catena_host::{Bounds, Error, Limits, Mode, Outcome, POISON, Sandbox, Supervisor};

const LIMITS: Limits = Limits { call: Duration::from_millis(200), memory: 64 << 20, output: 1 << 20 };

const LINES: &[u8] = b"{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n{\"a\":4}\n";

fn sandbox(guest: &Guest) -> Arc<Sandbox> {
    Arc::new(Sandbox::new(&guest.component(), LIMITS).expect("it is of the world"))
}

fn supervisor(guest: &Guest) -> Supervisor {
    Supervisor::open(sandbox(guest), "{}", Mode::Enrich, Bounds::default()).expect("it opens")
}

/// Asserts that the guest fails on every batch with an error that contains `why`, and that a supervisor accounts for
/// each record.
#[track_caller]
fn assert_fails(process: &'static str, more: &'static str, why: &str) {
    let guest = Guest { process, more };
    let error = sandbox(&guest).open("{}").expect("it opens").process(LINES, None).expect_err("it fails");
    assert!(error.to_string().contains(why), "{error}");
    let outcome = supervisor(&guest).process(&Bytes::from_static(LINES), None).expect("the host goes on");
    assert_eq!((outcome.records, outcome.rejections.len()), (4, 4));
    assert!(outcome.rejections.iter().all(|rejection| rejection.code == POISON && rejection.detail.contains(why)));
    assert!(outcome.splices.is_empty(), "the stream goes out as it came in");
}

#[test]
fn an_endless_loop_is_interrupted_at_the_deadline() {
    assert_fails("(loop $ever (br $ever))", "", "the call took longer than 200ms");
}

#[test]
fn unbounded_recursion_exhausts_the_stack_and_traps() {
    let more = "(func $deeper (param i32) (result i32) (i32.add (call $deeper (local.get 0)) (i32.const 1)))";
    assert_fails("(drop (call $deeper (i32.const 0)))", more, "call stack exhausted");
}

#[test]
fn unbounded_memory_growth_stops_at_the_memory_limit() {
    let bomb = "(loop $more (br_if $more (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0)))) (unreachable)";
    assert_fails(bomb, "", "it asked for more than 67108864 bytes of memory");
}

#[test]
fn an_answer_with_more_records_than_bytes_is_rejected() {
    assert_fails("(i32.store (i32.const 1028) (i32.const 1000))", "", "1000 records in");
}

#[test]
fn a_trap_is_reported_with_its_cause() {
    assert_fails("(unreachable)", "", "unreachable");
    assert_fails("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "", "divide by zero");
    assert_fails("(drop (i32.load (i32.const -4)))", "", "out of bounds");
}

/// Instructions that add two splices without text to the outcome: six numbers.
macro_rules! splices {
    ($a:literal..$b:literal, $c:literal..$d:literal) => {
        concat!(
            "(i32.store (i32.const 1040) (i32.const 2048)) (i32.store (i32.const 1044) (i32.const 6))",
            "(i32.store (i32.const 2048) (i32.const ",
            $a,
            ")) (i32.store (i32.const 2052) (i32.const ",
            $b,
            "))",
            "(i32.store (i32.const 2060) (i32.const ",
            $c,
            ")) (i32.store (i32.const 2064) (i32.const ",
            $d,
            "))",
        )
    };
}

#[test]
fn edits_that_do_not_fit_their_text_are_rejected() {
    let numbers = "(i32.store (i32.const 1040) (i32.const 2048)) (i32.store (i32.const 1044) (i32.const 4))";
    assert_fails(numbers, "", "the edits do not fit their text");
    let text = "(i32.store (i32.const 1040) (i32.const 2048)) (i32.store (i32.const 1044) (i32.const 3))
        (i32.store (i32.const 2056) (i32.const 5))";
    assert_fails(text, "", "the edits do not fit their text");
}

#[test]
fn splices_outside_the_batch_or_out_of_order_are_rejected() {
    assert_fails(splices!(0..1, 5..1000), "", "splice 1 is at 5..1000 of");
    assert_fails(splices!(3..2, 5..6), "", "splice 0 is at 3..2 of");
    assert_fails(splices!(0..3, 2..4), "", "splice 1 at 2..4 begins before the one before it ends");
    assert_fails(splices!(4..5, 1..2), "", "splice 1 at 1..2 begins before the one before it ends");
}

#[test]
fn inconsistent_counts_are_rejected() {
    assert_fails("(i32.store (i32.const 1036) (i32.const 1000))", "", "1000 were dropped");
}

#[test]
fn millions_of_findings_exceed_the_output_limit() {
    let findings = "(i32.store (i32.const 1056) (i32.const 65536)) (i32.store (i32.const 1060) (i32.const 13000))";
    assert_fails(findings, "", "fuel");
    let beyond = "(i32.store (i32.const 1056) (i32.const 65536)) (i32.store (i32.const 1060) (i32.const 90000000))";
    assert_fails(beyond, "", "the component failed");
}

#[test]
fn components_with_imports_or_another_world_are_not_loaded() {
    let imports = wat::parse_str(r#"(component (import "wasi:cli/environment@0.2.0" (instance)))"#).expect("is WAT");
    let other = wat::parse_str("(component)").expect("is WAT");
    let core = wat::parse_str("(module)").expect("is WAT");
    for component in [&*imports, &*other, &*core, b"\0asm", b"nonsense"] {
        let error = Sandbox::new(component, LIMITS).map(|_| ()).expect_err("it does not get in");
        assert!(matches!(error, Error::Component(_)), "{error}");
        assert!(error.to_string().starts_with("the component cannot be loaded: "), "{error}");
    }
}

fn codes(outcome: &Outcome) -> Vec<(u32, u32, &str)> {
    outcome.rejections.iter().map(|rejection| (rejection.start, rejection.end, &*rejection.code)).collect()
}

/// The number of records in the state of the instance.
fn remembered(supervisor: &mut Supervisor) -> u32 {
    let checkpoint = supervisor.checkpoint().expect("is saved");
    u32::from_le_bytes(checkpoint[..].try_into().expect("is a number"))
}

#[test]
fn poison_records_are_isolated_and_all_others_are_processed() {
    let lines: Vec<_> =
        (0..1_000).map(|at| if at == 700 || at == 3 { "{!}".into() } else { format!("{{\"a\":{at}}}") }).collect();
    let batch = Bytes::from(lines.join("\n") + "\n");
    let mut supervisor = supervisor(&FAILS_ON_EXCLAMATION);
    let before = Bytes::from_static(LINES);
    supervisor.process(&before, None).expect("is processed");
    let outcome = supervisor.process(&batch, None).expect("the host goes on");
    assert_eq!(outcome.records, 1_000);
    let place = |line: usize| lines[..line].iter().map(|line| line.len() as u32 + 1).sum::<u32>();
    let expected = [3, 700].map(|line| (place(line), place(line) + 3, POISON));
    assert_eq!(codes(&outcome), expected);
    assert_eq!(remembered(&mut supervisor), 1_002, "998 of them and the four before");
    assert_eq!(supervisor.health().poison, 2);
    assert_eq!(supervisor.health().state_lost, 0);
}

#[test]
fn state_survives_restarts_with_and_without_a_checkpoint() {
    let mut supervisor = supervisor(&FAILS_ON_EXCLAMATION);
    let batch = Bytes::from_static(LINES);
    for round in 1..=5 {
        supervisor.process(&batch, None).expect("is processed");
        if round == 3 {
            supervisor.checkpoint().expect("is saved");
        }
        supervisor.restart().expect("starts again");
    }
    assert_eq!(remembered(&mut supervisor), 20);
}

/// Regression: all state was lost if the batches since the last checkpoint could not be replayed.
#[test]
fn checkpointed_state_survives_a_failed_replay() {
    // A new instance traps on an X; one that has processed a batch accepts it.
    let process = "(if (i32.and (i32.eq (i32.load8_u (local.get $at)) (i32.const 0x58)) (i32.eqz (global.get $calls)))
        (then (unreachable)))
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))";
    let mut supervisor = supervisor(&Guest { process, more: "(global $calls (mut i32) (i32.const 0))" });
    supervisor.process(&Bytes::from_static(LINES), None).expect("is processed");
    supervisor.checkpoint().expect("is saved");
    supervisor.process(&Bytes::from_static(b"X\n"), None).expect("is processed");
    supervisor.restart().expect("starts again");
    assert_eq!(supervisor.health().state_lost, 1);
    assert_eq!(remembered(&mut supervisor), 4);
}

#[test]
fn the_replay_buffer_is_bounded() {
    let bounds = Bounds { replay: 1_000, ..Bounds::default() };
    let mut supervisor =
        Supervisor::open(sandbox(&FAILS_ON_EXCLAMATION), "{}", Mode::Enrich, bounds).expect("it opens");
    let batch = Bytes::from(LINES.to_vec());
    for _ in 0..100 {
        supervisor.process(&batch, None).expect("is processed");
        // The replay buffer shares the memory of the batch: each copy is only a reference.
        assert!(supervisor.replayable() < 1_000, "{}", supervisor.replayable());
    }
    assert_eq!(remembered(&mut supervisor), 400);
}

#[test]
fn an_instance_with_too_much_memory_is_replaced() {
    // A batch of 5 MiB takes as much memory, and memory does not shrink.
    let bounds = Bounds { recycle: 4 << 20, ..Bounds::default() };
    let mut supervisor =
        Supervisor::open(sandbox(&FAILS_ON_EXCLAMATION), "{}", Mode::Enrich, bounds).expect("it opens");
    supervisor.process(&Bytes::from(vec![b'\n'; 5 << 20]), None).expect("is processed");
    assert_eq!(supervisor.health().recycled, 1);
    assert!(supervisor.memory() < 4 << 20, "{}", supervisor.memory());
    assert_eq!(remembered(&mut supervisor), 5 << 20);
}

#[test]
fn a_guest_that_always_traps_is_not_restarted_for_every_record() {
    let guest = Guest { process: "(unreachable)", more: "" };
    let mut supervisor = supervisor(&guest);
    let outcome = supervisor.process(&Bytes::from("{}\n".repeat(10_000)), None).expect("the host goes on");
    assert_eq!((outcome.records, outcome.rejections.len()), (10_000, 10_000));
    assert!(supervisor.health().restarts < 200, "{}", supervisor.health().restarts);
}
