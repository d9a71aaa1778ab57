//! TLS of `--listen` and `--send`: both sides show certificates, and strangers are refused.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::common::listening::Listening;
use crate::common::{START, certificates, records, run, stderr};
use catena_synthetic::chain;

fn listening(folder: &Path, address: &str) -> Listening {
    let path = |name: &str| folder.join(name).display().to_string();
    let (cert, key, ca) = (path("server.pem"), path("server.key"), path("ca.pem"));
    Listening::start(&[&format!("{address},cert={cert},key={key},client-ca={ca}")], &["--unrecognised=ignore"])
}

/// A connection with TLS, with a certificate or without.
fn connect(folder: &Path, address: &str, with_certificate: bool) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).expect("it is there")).expect("it is valid");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("there are versions").with_root_certificates(roots);
    let config = if with_certificate {
        let chain = vec![CertificateDer::from_pem_file(folder.join("client.pem")).expect("it is there")];
        let key = PrivateKeyDer::from_pem_file(folder.join("client.key")).expect("it is there");
        builder.with_client_auth_cert(chain, key).expect("they belong together")
    } else {
        builder.with_no_client_auth()
    };
    let name = "localhost".try_into().expect("it is a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("it is valid");
    StreamOwned::new(connection, TcpStream::connect(address).expect("it listens"))
}

#[test]
fn only_clients_with_a_certificate_bring_records() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    certificates::write(folder.path());
    // On all interfaces, which takes TLS.
    let listening = listening(folder.path(), "tls://0.0.0.0:0");
    let address = listening.ports[0].replace("0.0.0.0", "127.0.0.1");
    let mut stranger = connect(folder.path(), &address, false);
    let lines = |user: &str, seed| chain(user, START + 60 * seed, seed).join("\n") + "\n";
    let _ = stranger.write_all(lines("stranger", 1).as_bytes()).and_then(|()| stranger.flush());
    let mut plain = TcpStream::connect(&address).expect("it listens");
    plain.write_all(lines("plain", 2).as_bytes()).expect("it is sent");
    let mut client = connect(folder.path(), &address, true);
    client.write_all(lines("client", 3).as_bytes()).and_then(|()| client.flush()).expect("it is taken");
    let found = listening.wait("findings", 2);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|finding| finding.contains("user/client")), "{found:?}");
}

#[test]
fn findings_are_sent_over_tls_from_one_run_to_another() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    certificates::write(folder.path());
    let listening = listening(folder.path(), "https://127.0.0.1:0");
    let port = listening.ports[0].rsplit(':').next().expect("there is a port");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (spool, ca, cert, key) = (path("spool"), path("ca.pem"), path("client.pem"), path("client.key"));
    let to = format!("https://localhost:{port},ca={ca},cert={cert},key={key}");
    let arguments = ["run", "--mode=findings", "--findings=/dev/null", "--spool", &spool, "--send", &to];
    let output = run(arguments, records().join("\n").as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let received = listening.wait("out", 2);
    assert_eq!(received.iter().filter(|line| line.contains("\"class_uid\":2004")).count(), 2);
}
