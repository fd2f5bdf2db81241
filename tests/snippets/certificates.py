"""Certificates of the internet that lives on this machine."""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY: Final = dt.timedelta(days=1)


@attrs.frozen(kw_only=True)
class Certificates:
    """Files that a server, and a client with a certificate of its own, read.

    Attributes:
        authority: The certificate that has signed all others.
        server: The certificate for every host, and its key.
        client: A client's certificate.
        client_key: Its key.
    """

    authority: Path
    server: Path
    client: Path
    client_key: Path

    @classmethod
    def made(cls, directory: Path, hosts: Iterable[str]) -> Self:
        """Make them for these hosts."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("the snippets' own authority")
        authority = (
            _certificate(name, key.public_key(), issuer=name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)  # noqa: FBT003
            .sign(key, hashes.SHA256())
        )
        files = cls(
            authority=directory / "authority.pem",
            server=directory / "server.pem",
            client=directory / "client.pem",
            client_key=directory / "client-key.pem",
        )
        files.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
        names = [x509.DNSName(host) for host in hosts]
        certificate, private = _signed("the server", names, authority, key)
        files.server.write_bytes(certificate + private)
        certificate, private = _signed("reporter", [], authority, key)
        files.client.write_bytes(certificate)
        files.client_key.write_bytes(private)
        return files


def _signed(
    name: str,
    hosts: list[x509.DNSName],
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = (
        _certificate(_name(name), key.public_key(), issuer=authority.subject)
        .add_extension(identifier, critical=False)
        .add_extension(_usage(signs_certificates=False), critical=True)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    return (
        builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _certificate(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, *, issuer: x509.Name
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
