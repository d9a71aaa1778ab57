//! Against real programs: nats-server, rsyslog, syslog-ng and logrotate. `scripts/integration` installs them and runs these tests.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::following::{Following, PATIENCE};
use crate::common::runs::append;
use crate::common::{START, file};
use catena_synthetic::{Random, chain};

/// A server, ended when it is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, arguments: &[&str]) -> Server {
    let mut command = Command::new(program);
    if let Ok(libraries) = std::env::var("SYSLOG_NG_LIBRARIES") {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    let child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Server(child.unwrap_or_else(|error| panic!("{program}: {error}; run scripts/integration")))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("there is a port").port()
}

fn wait_for_port(port: u16) {
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < PATIENCE, "nothing listens on {port}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A run that follows a log and sends to a destination.
struct Sending {
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    run: Option<Following>,
    chains: u64,
}

impl Sending {
    fn new(destination: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        file(folder.path(), "logs/in.ndjson", "");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let arguments = vec![
            "--mode=findings".to_owned(),
            format!("--state={}", path("state")),
            "--save-every=50ms".to_owned(),
            format!("--findings={}", path("findings")),
            format!("--send={destination},name=to"),
            path("logs"),
        ];
        let mut sending = Self { folder, arguments, run: None, chains: 0 };
        sending.restart();
        sending
    }

    /// Kills the run, if it runs, and starts it again.
    fn restart(&mut self) {
        self.run = None;
        self.run = Some(Following::start(&self.arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    }

    /// Appends a chain, of which come two findings.
    fn more(&mut self) {
        let lines = chain(&format!("user-{}", self.chains), START + 60 * self.chains, self.chains).join("\n") + "\n";
        append(&self.folder.path().join("logs/in.ndjson"), lines);
        self.chains += 1;
    }

    fn expected(&self) -> BTreeSet<String> {
        let began = Instant::now();
        loop {
            let text = fs::read_to_string(self.folder.path().join("findings")).unwrap_or_default();
            let ids: BTreeSet<_> = text.lines().map(id).collect();
            if ids.len() as u64 == 2 * self.chains {
                return ids;
            }
            assert!(began.elapsed() < PATIENCE, "{} findings of {} chains", ids.len(), self.chains);
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The id of a finding at the end of a line.
fn id(line: &str) -> String {
    let finding: Value =
        serde_json::from_str(&line[line.find('{').expect("there is a finding")..]).expect("it is JSON");
    finding["finding_info"]["uid"].as_str().expect("it has an id").to_owned()
}

#[test]
#[ignore = "takes nats-server; see scripts/integration"]
fn nats_has_each_finding_once_although_both_sides_are_killed() {
    let store = tempfile::tempdir().expect("a folder can be made");
    let port = free_port();
    let (port_text, store_text) = (port.to_string(), store.path().display().to_string());
    let serve = || {
        let server = start("nats-server", &["-a", "127.0.0.1", "-p", &port_text, "-js", "-sd", &store_text]);
        wait_for_port(port);
        server
    };
    let mut server = serve();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("there is a runtime");
    let address = format!("nats://127.0.0.1:{port}");
    runtime.block_on(async {
        let context = async_nats::jetstream::new(async_nats::connect(&address).await.expect("it connects"));
        let subjects = vec!["catena.>".to_owned()];
        let stream =
            async_nats::jetstream::stream::Config { name: "FINDINGS".to_owned(), subjects, ..Default::default() };
        context.create_stream(stream).await.expect("the stream is made");
    });
    let mut sending = Sending::new(&format!("{address}/catena.findings"));
    let mut random = Random::new(8);
    for _ in 0..100 {
        sending.more();
        thread::sleep(Duration::from_millis(random.below(100)));
        match random.below(3) {
            0 => {
                drop(server);
                server = serve();
            }
            1 => sending.restart(),
            _ => {}
        }
    }
    let expected = sending.expected();
    let began = Instant::now();
    loop {
        let ids = runtime.block_on(async {
            let context = async_nats::jetstream::new(async_nats::connect(&address).await.expect("it connects"));
            let mut stream = context.get_stream("FINDINGS").await.expect("it is there");
            let last = stream.info().await.expect("it answers").state.last_sequence;
            let mut ids = Vec::new();
            for number in 1..=last {
                let message = stream.get_raw_message(number).await.expect("it is there");
                ids.push(id(std::str::from_utf8(&message.payload).expect("it is text")));
            }
            ids
        });
        let unique: BTreeSet<_> = ids.iter().cloned().collect();
        if unique == expected {
            assert_eq!(ids.len(), unique.len(), "the stream tells duplicates");
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{} of {}", unique.len(), expected.len());
        thread::sleep(Duration::from_millis(200));
    }
}

/// Sends to a syslog server that is restarted, and waits until its file has all findings.
fn syslog(mut serve: impl FnMut() -> Server, port: u16, scheme: &str, options: &str, written: &Path) {
    let mut server = Some(serve());
    wait_for_port(port);
    let mut sending = Sending::new(&format!("syslog+{scheme}://localhost:{port}{options}"));
    for number in 0..60 {
        sending.more();
        thread::sleep(Duration::from_millis(30));
        if number % 10 == 9 {
            // In order: what it has read and not written would be lost with a kill, and is not ours any more.
            if let Some(mut old) = server.take() {
                let told = Command::new("kill").arg(old.0.id().to_string()).status().expect("kill runs");
                assert!(told.success());
                old.0.wait().expect("it ends");
            }
            sending.more();
            thread::sleep(Duration::from_millis(100));
            server = Some(serve());
            wait_for_port(port);
        }
        if number % 7 == 6 {
            sending.restart();
        }
    }
    let expected = sending.expected();
    let began = Instant::now();
    loop {
        let text = fs::read_to_string(written).unwrap_or_default();
        let ids: BTreeSet<_> = text.lines().filter(|line| line.ends_with('}')).map(id).collect();
        if ids == expected {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{} of {}", ids.len(), expected.len());
        thread::sleep(Duration::from_millis(100));
    }
}

/// A certificate for localhost, signed by itself, and its key.
fn certificate(folder: &Path) -> (String, String) {
    let path = |name: &str| folder.join(name).display().to_string();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &cert])
        .stderr(Stdio::null())
        .status()
        .expect("openssl runs");
    assert!(made.success());
    (cert, key)
}

#[test]
#[ignore = "takes rsyslogd; see scripts/integration"]
fn rsyslog_has_each_finding_although_it_is_restarted() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let port = free_port();
    let config = format!(
        "global(workDirectory=\"{}\" maxMessageSize=\"128k\")\nmodule(load=\"imtcp\")\n\
         template(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")\n\
         input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\")\n*.* action(type=\"omfile\" file=\"{}\" template=\"raw\")\n",
        folder.path().display(),
        path("written")
    );
    let config = file(folder.path(), "rsyslog.conf", config).display().to_string();
    let (pid, written) = (path("pid"), folder.path().join("written"));
    let serve = || start("rsyslogd", &["-n", "-f", &config, "-i", &pid]);
    syslog(serve, port, "tcp", "", &written);
}

#[test]
#[ignore = "takes syslog-ng; see scripts/integration"]
fn syslog_ng_has_each_finding_over_tls_although_it_is_restarted() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) = certificate(folder.path());
    let port = free_port();
    let config = format!(
        "@version: 3.38\noptions {{ log-msg-size(131072); }};\n\
         source s {{ syslog(ip(127.0.0.1) port({port}) transport(\"tls\") \
         tls(key-file(\"{key}\") cert-file(\"{cert}\") peer-verify(optional-untrusted))); }};\n\
         destination d {{ file(\"{}\" template(\"$MSG\\n\")); }};\nlog {{ source(s); destination(d); }};\n",
        path("written")
    );
    let config = file(folder.path(), "syslog-ng.conf", config).display().to_string();
    let [persist, pid, control] = ["persist", "pid", "control"].map(path);
    let program = std::env::var("SYSLOG_NG").unwrap_or_else(|_| "syslog-ng".to_owned());
    let arguments = ["-F", "-f", &config, "-R", &persist, "-p", &pid, "-c", &control, "--no-caps"];
    let more = std::env::var("SYSLOG_NG_MODULES").map(|modules| format!("--module-path={modules}"));
    let arguments: Vec<&str> = arguments.into_iter().chain(more.as_deref().ok()).collect();
    let serve = || start(&program, &arguments);
    syslog(serve, port, "tls", &format!(",ca={cert}"), &folder.path().join("written"));
}

/// The recipe in `packaging/`, with other paths and the run of this test.
#[test]
#[ignore = "takes logrotate; see scripts/integration"]
fn the_logrotate_recipe_neither_loses_nor_repeats_a_finding() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let log = file(folder.path(), "logs/in.ndjson", "");
    fs::create_dir(folder.path().join("out")).expect("a folder can be made");
    let (state, findings, logs) = (path("state"), path("out/findings.ndjson"), path("logs"));
    let arguments = ["--mode=findings", "--state", &state, "--save-every=50ms", "--findings", &findings, &logs];
    let mut run = Following::start(&arguments);
    let recipe = include_str!("../../packaging/catena.logrotate");
    let told = "systemctl kill --signal=HUP --kill-whom=main catena.service";
    assert!(recipe.contains("/var/lib/catena/") && recipe.contains(told));
    let mut random = Random::new(4);
    for number in 0..60 {
        append(&log, chain(&format!("user-{number}"), START + 60 * number, number).join("\n") + "\n");
        thread::sleep(Duration::from_millis(50 + random.below(150)));
        if random.below(3) == 0 {
            drop(run);
            run = Following::start(&arguments);
            thread::sleep(Duration::from_millis(random.below(300)));
        }
        if random.below(2) == 0 {
            let recipe = recipe.replace("/var/lib/catena/", &path("out/"));
            // A signal before the run listens for it would end it.
            let ready = folder.path().join("state/run.state").exists();
            let signal = if ready { format!("kill -HUP {}", run.0.id()) } else { "true".to_owned() };
            let recipe = file(folder.path(), "recipe", recipe.replace(told, &signal).replace("rotate 14", "rotate 99"));
            let done = Command::new("logrotate").args(["-f", "-s", &path("status")]).arg(recipe).output();
            let done = done.expect("logrotate runs; see scripts/integration");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
    }
    let began = Instant::now();
    loop {
        let mut ids = Vec::new();
        let mut compressed = 0;
        for entry in fs::read_dir(folder.path().join("out")).expect("it can be listed").flatten() {
            let bytes = fs::read(entry.path()).unwrap_or_default();
            let mut text = String::new();
            if entry.path().extension().is_some_and(|ending| ending == "gz") {
                compressed += 1;
                flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut text).expect("it is gzip");
            } else {
                text = String::from_utf8(bytes).expect("it is text");
            }
            ids.extend(text.lines().map(id));
        }
        let unique: BTreeSet<_> = ids.iter().collect();
        if unique.len() == 120 {
            assert_eq!(ids.len(), 120, "each is written once");
            assert!(compressed > 5, "{compressed}");
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{} of 120", unique.len());
        thread::sleep(Duration::from_millis(100));
    }
}
