from __future__ import annotations

import ssl
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.transport.edge.certificate import describe
from tests.transport.edge.certificates import Authority


def der(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())


def test_subject_and_issuer_are_read(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "Firmen-CA Köln")
    certificate, _ = authority.issue("dock.example.com")
    assert describe(der(certificate)).startswith('"dock.example.com", issued by "Firmen-CA Köln" (SHA-256 ')
    assert describe(der(authority.certificate)).startswith('"Firmen-CA Köln", issued by itself')


def test_a_certificate_that_is_cut_short_anywhere_still_has_a_fingerprint(tmp_path: Path) -> None:
    whole = der(Authority(tmp_path).certificate)
    for end in range(len(whole)):
        assert "SHA-256" in describe(whole[:end])


@given(st.binary(max_size=300))
def test_any_bytes_are_described_on_one_line(data: bytes) -> None:
    assert "SHA-256" in describe(data) and "\n" not in describe(data)
