"""The certificates that HTTPS clients of this package trust."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL.crypto import FILETYPE_ASN1
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS


def tls_policy(ca_pem: bytes | None) -> IPolicyForHTTPS:
    """Return a policy that verifies certificates and host names, as browsers do.

    ``ca_pem``: PEM certificates to trust instead of the system's. Raises :exc:`ValueError` if it
    contains none.
    """
    if ca_pem is None:
        return BrowserLikePolicyForHTTPS()
    authorities = [
        Certificate.load(certificate.public_bytes(Encoding.DER), FILETYPE_ASN1)
        for certificate in load_pem_x509_certificates(ca_pem)
    ]
    return BrowserLikePolicyForHTTPS(trustRootFromCertificates(authorities))
