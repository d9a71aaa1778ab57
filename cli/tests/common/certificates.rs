//! Certificates for tests of TLS.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// Writes `ca.pem`, and `server.pem`, `client.pem` and their keys, signed by it, for localhost.
pub fn write(folder: &Path) {
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("it is written");
    let key = KeyPair::generate().expect("there is a key");
    let mut params = CertificateParams::new(Vec::new()).expect("the names are valid");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write("ca.pem", params.self_signed(&key).expect("it is signed").pem());
    let issuer = Issuer::new(params, key);
    for (name, usage) in
        [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
    {
        let key = KeyPair::generate().expect("there is a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("the names are valid");
        params.extended_key_usages = vec![usage];
        write(&format!("{name}.pem"), params.signed_by(&key, &issuer).expect("it is signed").pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}
