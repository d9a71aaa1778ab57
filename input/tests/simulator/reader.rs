//! The code under test, used as a run uses it: follow, save, crash and resume.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use catena_input::framing::Batch;
use catena_input::{
    Arguments, Consumer, Follow, Follower, InputEvent, Inputs, Known, Named, Next, Notice, Own, Plan, Saved, Session,
    World, plan, read,
};

use super::disk::Disk;

/// Length of the longest record, in bytes. No schedule writes a longer one.
const MAX_RECORD: usize = 1 << 20;

/// A run over a folder, or files by name. Only the output that was saved survives a crash.
pub struct Reader {
    disk: Disk,
    paths: Vec<PathBuf>,
    chunk: usize,
    max_open: usize,
    /// Everything the run has written.
    pub output: Output,
    /// The durable state: the inputs as JSON, and how many output records count.
    saved: (Vec<u8>, usize),
    /// The rest of it: what is known of inputs by name, as every run saves it when it starts.
    named: Vec<Named>,
    running: Option<Running>,
}

struct Running {
    follower: Follower,
    events: mpsc::Receiver<InputEvent>,
    session: Session,
}

/// The output records, in order, and the notices.
#[derive(Default)]
pub struct Output {
    pub records: Vec<String>,
    pub notices: Vec<String>,
}

impl Output {
    /// Adds an event to the trace, except for bytes.
    fn note(&mut self, disk: &Disk, event: &InputEvent) {
        let what = match event {
            InputEvent::Bytes(..) => return,
            InputEvent::Begin(id, planned) => {
                let (input, inode) = (planned.input.name(), planned.inode.map(|inode| inode.inode));
                format!("{id} begins: {input}, inode {inode:?}, from {}", planned.position.offset)
            }
            other => format!("{other:?}"),
        };
        self.notices.push(format!("{:>7.1} s  {what}", disk.time().as_secs_f64() - 100.0));
    }
}

impl Consumer for Output {
    type Error = ();

    fn batch(&mut self, _input: &Arc<str>, batch: Batch) -> Result<(), ()> {
        let text = String::from_utf8_lossy(&batch.original).into_owned();
        self.records.extend(text.lines().filter(|line| !line.is_empty()).map(str::to_owned));
        Ok(())
    }

    fn notice(&mut self, _notice: Notice) {}
}

impl Reader {
    pub fn new(disk: Disk, paths: Vec<PathBuf>, chunk: usize, max_open: usize) -> Self {
        let (output, saved) = (Output::default(), (b"[]".to_vec(), 0));
        Self { disk, paths, chunk, max_open, output, saved, named: Vec::new(), running: None }
    }

    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }

    fn saved_inputs(&self) -> Vec<Saved> {
        serde_json::from_slice(&self.saved.0).expect("the state is what was saved")
    }

    /// How many bytes of a file, decompressed, have been read and saved.
    pub fn durable(&self, path: &Path, inode: u64) -> u64 {
        let saved = self.saved_inputs();
        let of_inode = saved.iter().filter(|saved| saved.inode.inode == inode && saved.path == path);
        // The last entry is the current content of the inode.
        of_inode.map(|saved| saved.position.offset).next_back().unwrap_or_default()
    }

    /// Whether a record is in the output that survives a crash.
    pub fn is_saved(&self, record: &str) -> bool {
        self.output.records[..self.saved.1].iter().rev().any(|saved| saved == record)
    }

    /// Plans a run from the durable state. Returns what it reads and what it knows.
    fn plan(&mut self, follows: bool) -> (World, Plan, Known) {
        let world = self.disk.world();
        let inputs = Inputs::find(&*world.files, &self.arguments(&world));
        let mut plan = plan(inputs.list, self.saved_inputs(), &Own::default(), follows, &world);
        let known = plan.known(&world);
        self.output.notices.append(&mut plan.warnings);
        (world, plan, known)
    }

    fn arguments(&mut self, world: &World) -> Arguments {
        let arguments = Arguments::with_rotations(self.paths.clone(), &self.named, world);
        self.named = arguments.named().to_vec();
        arguments
    }

    /// Starts a run that follows, from the durable state.
    pub fn start(&mut self) {
        let (world, plan, known) = self.plan(true);
        let what = Follow {
            arguments: self.arguments(&world),
            inputs: plan.inputs,
            known: plan.known,
            own: Own::default(),
            chunk: self.chunk,
        };
        let (sender, events) = mpsc::channel();
        let send = move |event| sender.send(event).map_err(|_| catena_input::Closed);
        let follower = Follower::new(what, world.clone(), self.max_open, send);
        let session = Session::new(world, true, MAX_RECORD, Some(known));
        self.running = Some(Running { follower, events, session });
    }

    /// Lets the run do at most `max_rounds` rounds, as many as it would do in a tenth of a second.
    pub fn step(&mut self, max_rounds: usize) {
        let Some(running) = &mut self.running else { return };
        for _ in 0..max_rounds {
            let found = running.follower.round().expect("the receiver exists");
            for event in running.events.try_iter() {
                self.output.note(&self.disk, &event);
                running.session.take(event, &mut self.output).expect("the output takes everything");
            }
            if !found {
                running.session.flush(&mut self.output).expect("the output takes everything");
                break;
            }
        }
        running.session.tick(&mut self.output).expect("the output takes everything");
    }

    pub fn save(&mut self) {
        let Some(running) = &mut self.running else { return };
        running.session.forget_old();
        let inputs: Vec<_> = running.session.saved().collect();
        self.saved = (serde_json::to_vec(&inputs).expect("a state is JSON"), self.output.records.len());
    }

    /// Ends the run as SIGTERM does.
    pub fn stop(&mut self) {
        self.save();
        self.running = None;
    }

    /// Ends the run as SIGKILL does: output that was not saved is discarded, as the next run would do.
    pub fn crash(&mut self) {
        self.running = None;
        self.output.records.truncate(self.saved.1);
    }

    /// A run without `--follow`: reads everything that exists, then ends. Calls `meanwhile` after the scan, before any
    /// file is opened.
    pub fn run_once(&mut self, meanwhile: impl FnOnce()) {
        let (world, plan, known) = self.plan(false);
        meanwhile();
        let mut session = Session::new(world.clone(), false, MAX_RECORD, Some(known));
        let stop = Arc::new(AtomicBool::new(false));
        let mut events = read(plan.inputs, self.chunk, 1, true, &world, &stop);
        loop {
            match events.next(Duration::from_secs(60)) {
                Next::Event(event) => session.take(event, &mut self.output).expect("the output takes everything"),
                Next::End => break,
                Next::Pause => panic!("reading files does not pause"),
            }
        }
        session.stop(&mut self.output).expect("the output takes everything");
        let inputs: Vec<_> = session.saved().collect();
        self.saved = (serde_json::to_vec(&inputs).expect("a state is JSON"), self.output.records.len());
    }
}
