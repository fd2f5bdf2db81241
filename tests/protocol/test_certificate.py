import json
from base64 import b64encode
from pathlib import Path

import pytest

from oauthkit.errors import ConfigurationError
from oauthkit.protocol.certificate import certificate_chain, certificate_thumbprint

MTLS = json.loads((Path(__file__).parents[1] / "vectors" / "rfc8705.json").read_text())
TEXT = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


def test_the_published_thumbprint_of_a_certificate_is_made_again() -> None:
    """MT-06."""
    example = MTLS["thumbprint"]

    made = certificate_thumbprint("leading words\n" + TEXT.format(example["certificate"]))

    assert made == example["x5t#S256"]


def test_a_chain_is_one_text_for_each_certificate_in_order() -> None:
    first, second = b64encode(b"first" * 20).decode(), b64encode(b"second" * 20).decode()
    wrapped = f"{first[:64]}\r\n{first[64:]}"

    assert certificate_chain(TEXT.format(wrapped) + TEXT.format(second)) == [first, second]


@pytest.mark.parametrize(
    "text", ["", "MIIB", "-----BEGIN CERTIFICATE-----\nMIIB", TEXT.format("§"), TEXT.format("")]
)
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="a certificate is a text in PEM form"):
        certificate_thumbprint(text)
