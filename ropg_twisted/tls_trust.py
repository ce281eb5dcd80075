"""Whose certificates are believed."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL.crypto import FILETYPE_ASN1
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS


def tls_policy(ca_pem: bytes | None) -> IPolicyForHTTPS:
    """The policy of a browser, trusting the certificates in ``ca_pem`` instead of the system's.

    Host names are verified by service-identity. Raises :exc:`ValueError` if there is no
    certificate in it.
    """
    if ca_pem is None:
        return BrowserLikePolicyForHTTPS()
    authorities = [
        Certificate.load(certificate.public_bytes(Encoding.DER), FILETYPE_ASN1)
        for certificate in load_pem_x509_certificates(ca_pem)
    ]
    return BrowserLikePolicyForHTTPS(trustRootFromCertificates(authorities))
