//! TLS of senders: which receivers to trust, and who we are.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::destination::Destination;

/// The certificates to trust: those in the file of `ca=`, else the system's.
pub fn roots(destination: &Destination) -> Result<Vec<CertificateDer<'static>>, String> {
    if let Some(file) = destination.file("ca") {
        return certificates(&file);
    }
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(format!("the system has no certificates to trust; use ca=FILE{why}"));
    }
    Ok(found.certs)
}

/// Our own certificate and its key, if `cert=` and `key=` name any.
pub fn identity(
    destination: &Destination,
) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, String> {
    let (Some(cert), Some(key)) = (destination.file("cert"), destination.file("key")) else { return Ok(None) };
    Ok(Some((certificates(&cert)?, private_key(&key)?)))
}

/// The settings of a client.
pub fn client(destination: &Destination) -> Result<Arc<ClientConfig>, String> {
    let mut store = RootCertStore::empty();
    for certificate in roots(destination)? {
        // The system's may include some that rustls does not take.
        let _ = store.add(certificate);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?.with_root_certificates(store);
    let config = match identity(destination)? {
        Some((certificates, key)) => {
            builder.with_client_auth_cert(certificates, key).map_err(|error| format!("cert= and key=: {error}"))?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// The certificates in a PEM file.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match all {
        Ok(all) if all.is_empty() => Err(format!("{}: there is no certificate in it", file.display())),
        Ok(all) => Ok(all),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

/// The private key in a PEM file.
pub fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// A secret: the text of a file, without white space around it.
pub fn secret(destination: &Destination, option: &str) -> Result<Option<String>, String> {
    let Some(file) = destination.file(option) else { return Ok(None) };
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    match text.trim() {
        "" => Err(format!("{}: is empty", file.display())),
        secret => Ok(Some(secret.to_owned())),
    }
}
