"""The certificate on disk: made, kept, renewed, mended, and the user's own left alone."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from dockpal_agent.probe import fingerprint
from dockpal_agent.transport.direct import certificates, issuing
from dockpal_agent.transport.direct.certificates import Certificate, CertificateError
from dockpal_agent.transport.direct.renewal import Renewal, server_context
from tests.transport.direct.client import trusting

DAY = 86400.0


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "certs"


def openssl(*arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=True, timeout=30).stdout


def put_by_user(directory: Path, *, days: int = 365) -> None:
    """A pair of the user's, as many instructions on the web make it."""
    directory.mkdir(exist_ok=True)
    files = ["-keyout", str(directory / "agent.key"), "-out", str(directory / "agent.crt")]
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=mine", "-days", str(days), *files)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def presented(context: ssl.SSLContext) -> bytes:
    """The certificate (DER) that a client is shown in a handshake."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting().wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    shown = client.getpeercert(binary_form=True)
    assert shown is not None
    return shown


def test_its_fingerprint_reads_everywhere_as_openssl_prints_it(directory: Path) -> None:
    certificate = Certificate.load_or_create(directory, names=["host-1"])
    said = openssl("x509", "-in", str(directory / "agent.crt"), "-noout", "-fingerprint", "-sha256").strip()

    assert said.partition("=")[2] == certificate.printed == fingerprint(directory)


def test_a_missing_certificate_is_made_for_p_256_and_a_year(directory: Path) -> None:
    certificate = Certificate.load_or_create(directory, names=["host-1", "192.0.2.7", "2001:db8::7"])
    text = openssl("x509", "-in", str(directory / "agent.crt"), "-noout", "-text")
    assert "ASN1 OID: prime256v1" in text
    assert "Signature Algorithm: ecdsa-with-SHA256" in text
    assert "CN = host-1" in text
    assert "CA:FALSE" in text
    assert "TLS Web Server Authentication" in text
    names = "DNS:host-1, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7, DNS:localhost, "
    assert names + "IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1" in text
    assert certificate.ours
    assert abs(certificate.expires - time.time() - 365 * DAY) < 3600


def test_the_names_are_those_of_this_host(directory: Path) -> None:
    names = issuing.host_names()
    assert names[:4] == [socket.gethostname(), "localhost", "127.0.0.1", "::1"]
    Certificate.load_or_create(directory)
    text = openssl("x509", "-in", str(directory / "agent.crt"), "-noout", "-text")
    for name in names[4:]:
        if ":" not in name:
            assert f"IP Address:{name}" in text


@pytest.mark.parametrize("name", ["a b", "evil\nkeyUsage = x", "x" * 300, "", "-", "a,IP:1.2.3.4"])
def test_a_name_that_cannot_be_one_is_left_out(directory: Path, name: str) -> None:
    Certificate.load_or_create(directory, names=[name])
    text = openssl("x509", "-in", str(directory / "agent.crt"), "-noout", "-text")
    assert "CN = dockpal-agent" in text
    assert "DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1" in text
    assert "1.2.3.4" not in text


def test_a_name_too_long_for_a_subject_is_still_an_alternative_name(directory: Path) -> None:
    name = "a" * 60 + ".example.com"
    Certificate.load_or_create(directory, names=[name])
    text = openssl("x509", "-in", str(directory / "agent.crt"), "-noout", "-text")
    assert "CN = dockpal-agent" in text
    assert f"DNS:{name}" in text


def test_the_key_and_the_directory_are_private(directory: Path) -> None:
    Certificate.load_or_create(directory)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "agent.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("by_user", [False, True])
def test_fingerprint_and_end_are_those_that_openssl_prints(directory: Path, by_user: bool) -> None:
    if by_user:
        put_by_user(directory)
    certificate = Certificate.load_or_create(directory)
    found = openssl("x509", "-in", str(directory / "agent.crt"), "-noout", "-fingerprint", "-sha256", "-enddate")
    fingerprint, end = (line.partition("=")[2] for line in found.splitlines())
    assert certificate.fingerprint == fingerprint.replace(":", "").lower()
    moment = datetime.strptime(end, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=timezone.utc)
    assert certificate.expires == moment.timestamp()


def test_a_certificate_of_the_next_century_is_read(directory: Path) -> None:
    put_by_user(directory, days=40000)
    assert Certificate.load(directory).expires > time.time() + 39999 * DAY


def test_it_is_what_a_client_is_shown(directory: Path) -> None:
    certificate = Certificate.load_or_create(directory)
    shown = presented(server_context(certificate))
    assert ssl.DER_cert_to_PEM_cert(shown).split() == (directory / "agent.crt").read_text().split()


def test_nothing_below_tls_1_2_is_spoken_whatever_the_machine_allows(directory: Path) -> None:
    assert server_context(Certificate.load_or_create(directory)).minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_good_certificate_is_kept_and_nothing_is_written(directory: Path) -> None:
    made = Certificate.load_or_create(directory)
    before = contents(directory)
    assert Certificate.load_or_create(directory) == made
    assert Certificate.load(directory) == made
    assert contents(directory) == before


def test_ours_is_renewed_thirty_days_ahead_and_not_before(directory: Path) -> None:
    made = Certificate.load_or_create(directory)
    assert Certificate.load_or_create(directory, now=made.expires - 31 * DAY) == made
    for ahead in (29 * DAY, -400 * DAY):
        renewed = Certificate.load_or_create(directory, now=made.expires - ahead)
        assert renewed.fingerprint != made.fingerprint
        assert renewed.ours


def test_a_renewal_keeps_the_key(directory: Path) -> None:
    made = Certificate.load_or_create(directory)
    key = (directory / "agent.key").read_bytes()
    Certificate.load_or_create(directory, now=made.expires)
    assert (directory / "agent.key").read_bytes() == key


@pytest.mark.parametrize("days", [365, 1])
def test_a_certificate_of_the_user_is_used_and_never_written_over(
    directory: Path, days: int, caplog: pytest.LogCaptureFixture
) -> None:
    Certificate.load_or_create(directory)
    put_by_user(directory, days=days)
    before = contents(directory)
    certificate = Certificate.load_or_create(directory, now=time.time() + 20 * DAY)
    assert not certificate.ours
    assert contents(directory) == before
    assert ("not ours to renew" in caplog.text) == (days == 1)


def test_a_chain_of_the_user_is_presented_whole_and_its_first_certificate_counts(directory: Path) -> None:
    put_by_user(directory)
    alone = Certificate.load(directory)
    path = directory / "agent.crt"
    path.write_text("a comment\n" + path.read_text() + path.read_text())
    assert Certificate.load(directory).fingerprint == alone.fingerprint


@pytest.mark.parametrize("damage", ["agent.crt", "agent.key", "both", "no key", "empty"])
def test_ours_is_made_anew_when_it_is_broken_and_what_could_not_be_read_is_set_aside(
    directory: Path, damage: str
) -> None:
    made = Certificate.load_or_create(directory)
    for name in ("agent.crt", "agent.key"):
        if damage in (name, "both"):
            (directory / name).write_text("-----BEGIN NONSENSE-----")
    if damage == "no key":
        (directory / "agent.key").unlink()
    if damage == "empty":
        (directory / "agent.crt").write_text("")
    certificate = Certificate.load_or_create(directory)
    assert certificate.ours
    assert certificate.fingerprint != made.fingerprint
    for name in ("agent.crt", "agent.key"):
        if damage in (name, "both"):
            assert (directory / f"{name}.unusable").read_text() == "-----BEGIN NONSENSE-----"


def test_a_key_of_the_user_beside_our_certificate_is_kept_and_gets_a_certificate(directory: Path) -> None:
    Certificate.load_or_create(directory)
    (directory / "agent.key").write_text(issuing.new_key())
    key = (directory / "agent.key").read_bytes()
    assert Certificate.load_or_create(directory).ours
    assert (directory / "agent.key").read_bytes() == key


@pytest.mark.parametrize("problem", ["no key", "another key", "encrypted key", "not a certificate", "DER"])
def test_what_the_user_put_there_and_cannot_be_used_is_said_and_left_as_it_is(directory: Path, problem: str) -> None:
    put_by_user(directory)
    certificate, key = directory / "agent.crt", directory / "agent.key"
    if problem == "no key":
        key.unlink()
    elif problem == "another key":
        key.write_text(issuing.new_key())
    elif problem == "encrypted key":
        openssl("rsa", "-in", str(key), "-aes128", "-passout", "pass:secret", "-out", str(key))
    elif problem == "DER":
        certificate.write_bytes(ssl.PEM_cert_to_DER_cert(certificate.read_text()))
    else:
        certificate.write_text("nonsense")
    before = contents(directory)
    with pytest.raises(CertificateError, match=r"agent\.crt"):
        Certificate.load_or_create(directory)
    assert contents(directory) == before


def test_loading_what_is_not_there_says_so(directory: Path) -> None:
    with pytest.raises(CertificateError, match=r"agent\.crt cannot be read: No such file"):
        Certificate.load(directory)


def test_a_missing_openssl_is_said(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(directory))
    with pytest.raises(CertificateError, match="the program openssl is missing; install it"):
        Certificate.load_or_create(directory)


def test_an_openssl_that_hangs_is_ended_and_leaves_no_process(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = directory.parent / "bin"
    fake.mkdir()
    (fake / "openssl").write_text(f"#!/bin/sh\necho $$ > {fake}/pid\nexec sleep 60\n")
    (fake / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
    monkeypatch.setattr(issuing, "WITHIN", 0.5)
    with pytest.raises(CertificateError, match="timed out"):
        Certificate.load_or_create(directory)
    assert not Path(f"/proc/{(fake / 'pid').read_text().strip()}").exists()


def test_the_words_of_openssl_reach_the_user(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = directory.parent / "bin"
    fake.mkdir()
    (fake / "openssl").write_text("#!/bin/sh\necho 'no randomness here' >&2\nexit 1\n")
    (fake / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
    with pytest.raises(CertificateError, match="no randomness here"):
        Certificate.load_or_create(directory)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(3))
@pytest.mark.parametrize("renewal", [False, True], ids=["first", "renewal"])
def test_a_kill_at_any_write_leaves_a_pair_that_fits_or_can_be_made(
    directory: Path, monkeypatch: pytest.MonkeyPatch, write: int, after: bool, renewal: bool
) -> None:
    made = Certificate.load_or_create(directory) if renewal else None
    writes = 0

    def killing(name: str) -> None:
        real = getattr(certificates, name)

        def replaced(*arguments: object, **options: object) -> None:
            nonlocal writes
            writes += 1
            if writes - 1 == write and not after:
                raise Killed
            real(*arguments, **options)
            if writes - 1 == write:
                raise Killed

        monkeypatch.setattr(certificates, name, replaced)

    killing("write_atomic")
    killing("write_json")
    try:
        Certificate.load_or_create(directory, now=made.expires if made else None)
    except Killed:
        assert writes == write + 1
    monkeypatch.undo()

    if made is not None:
        assert Certificate.load(directory).ours
    assert Certificate.load_or_create(directory).ours


def test_a_disk_that_is_full_is_said(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(certificates, "write_atomic", full)
    with pytest.raises(CertificateError, match="No space left on device; DOCKPAL_TLS_CERT_DIR"):
        Certificate.load_or_create(directory)


# -- while serving --


def test_a_look_renews_ours_and_open_connections_are_not_touched(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewal = Renewal(Certificate.load_or_create(directory))
    before, context = renewal.certificate, renewal.context
    renewal.look()
    assert renewal.context is context
    monkeypatch.setattr(certificates, "RENEW_AHEAD", 366 * DAY)
    renewal.look()
    assert renewal.certificate.fingerprint != before.fingerprint
    assert presented(renewal.context) != presented(context)  # the old context still serves its connections


def test_a_look_takes_up_what_the_user_puts_there(directory: Path) -> None:
    renewal = Renewal(Certificate.load_or_create(directory))
    put_by_user(directory)
    renewal.look()
    assert not renewal.certificate.ours
    assert presented(renewal.context) == ssl.PEM_cert_to_DER_cert((directory / "agent.crt").read_text())


def test_what_cannot_be_used_leaves_the_certificate_in_use_and_is_said_once(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    renewal = Renewal(Certificate.load_or_create(directory))
    shown = presented(renewal.context)
    put_by_user(directory)
    (directory / "agent.key").unlink()
    renewal.look()
    renewal.look()
    assert presented(renewal.context) == shown
    assert caplog.text.count("the one in use stays") == 1


def test_the_watch_looks_again_and_again_and_can_be_stopped(directory: Path) -> None:
    renewal = Renewal(Certificate.load_or_create(directory), every=0.01)
    put_by_user(directory)
    renewal.start()
    deadline = time.monotonic() + 10
    while renewal.certificate.ours:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    renewal.stop()
