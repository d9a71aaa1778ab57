"""Certificates, accounts and credentials for servers that let nobody in without them, made with openssl alone."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
import time
from pathlib import Path

# Types of keys (nats-io/nkeys, "Encoding").
OPERATOR, ACCOUNT, USER, SEED = 14 << 3, 0, 20 << 3, 18 << 3

# All that the processes of a fleet publish and listen to, for docs/cluster.md.
PUBLISH = ["$JS.API.>", "catena.>"]
SUBSCRIBE = ["_INBOX.>", "catena.nudge.>"]


def openssl(*arguments: object) -> bytes:
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True).stdout


def certificates(folder: Path) -> None:
    """ca.pem, and server and client with .pem and .key."""
    name = ["-subj", "/CN=catena test"]
    openssl("req", "-x509", "-newkey", "ed25519", "-nodes", "-days", 2, *name, "-keyout", folder / "ca.key", "-out", folder / "ca.pem")
    for who, use in (("server", "serverAuth"), ("client", "clientAuth")):
        extensions = folder / f"{who}.ext"
        extensions.write_text(f"subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage={use}\n")
        request = folder / f"{who}.csr"
        openssl("req", "-newkey", "ed25519", "-nodes", "-subj", f"/CN={who}", "-keyout", folder / f"{who}.key", "-out", request)
        signed = ["-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial", "-extfile", extensions]
        openssl("x509", "-req", "-in", request, "-days", 2, *signed, "-out", folder / f"{who}.pem")


def crc16(data: bytes) -> int:
    """CRC-16/XMODEM, by which keys are checked."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def encoded(data: bytes) -> str:
    return base64.b32encode(data + crc16(data).to_bytes(2, "little")).decode().rstrip("=")


class Key:
    """A key that signs."""

    def __init__(self, kind: int, folder: Path) -> None:
        self.file = Path(tempfile.mkstemp(dir=folder, suffix=".key")[1])
        openssl("genpkey", "-algorithm", "ed25519", "-out", self.file)
        private = openssl("pkey", "-in", self.file, "-outform", "DER")[-32:]
        public = openssl("pkey", "-in", self.file, "-pubout", "-outform", "DER")[-32:]
        self.public = encoded(bytes([kind]) + public)
        self.seed = encoded(bytes([SEED | kind >> 5, (kind & 31) << 3]) + private)

    def sign(self, name: str, subject: str, claims: dict[str, object]) -> str:
        """A token about a subject."""
        body = {"jti": name, "iat": int(time.time()), "iss": self.public, "name": name, "sub": subject, "nats": {"version": 2, **claims}}
        part = lambda value: base64.urlsafe_b64encode(value).decode().rstrip("=")  # noqa: E731
        text = ".".join(part(json.dumps(one).encode()) for one in ({"typ": "JWT", "alg": "ed25519-nkey"}, body))
        with tempfile.NamedTemporaryFile() as file:
            file.write(text.encode())
            file.flush()
            signature = openssl("pkeyutl", "-sign", "-inkey", self.file, "-rawin", "-in", file.name)
        return f"{text}.{part(signature)}"


class Accounts:
    """An operator with the accounts `fleet`, `other` and that of the system, each with a user's credentials in NAME.creds."""

    def __init__(self, folder: Path) -> None:
        operator = Key(OPERATOR, folder)
        accounts = {}
        anything = {limit: -1 for limit in ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams", "consumer")}
        for name in ("fleet", "other", "system"):
            account, user = Key(ACCOUNT, folder), Key(USER, folder)
            limits = anything if name != "system" else {limit: anything[limit] for limit in ("subs", "data", "payload", "imports", "exports", "conn", "leaf")}
            accounts[name] = (account.public, operator.sign(name, account.public, {"type": "account", "limits": {**limits, "wildcards": True}}))
            may = {"pub": {"allow": PUBLISH}, "sub": {"allow": SUBSCRIBE}, "subs": -1, "data": -1, "payload": -1}
            token = account.sign(name, user.public, {"type": "user", **may})
            (folder / f"{name}.creds").write_text(
                f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
                f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
            )
        preloaded = "\n".join(f"  {public}: {token}" for public, token in accounts.values())
        self.settings = (
            f"operator: {operator.sign('operator', operator.public, {'type': 'operator'})}\nsystem_account: {accounts['system'][0]}\n"
            f"resolver: MEMORY\nresolver_preload: {{\n{preloaded}\n}}\n"
            f'tls {{ cert_file: "{folder}/server.pem", key_file: "{folder}/server.key", ca_file: "{folder}/ca.pem", verify: true }}\n'
        )
