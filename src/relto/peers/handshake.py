"""What a failed TLS handshake means for the operator: one table from OpenSSL's causes to a reason and a remedy."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from relto.errors import (
    ExpiredError,
    MalformedError,
    OurError,
    PeerError,
    ReltoError,
    SignatureError,
    UnknownPartyError,
)

_Cause = tuple[type[ReltoError], str, str]

_UNKNOWN_ISSUER: _Cause = (
    UnknownPartyError,
    "{who} presents a certificate that no pinned partner's issuing certificate signed.",
    "If it is a partner, take its newest card; compare the words over the telephone.",
)
_VERIFICATIONS: Mapping[int, _Cause] = {
    # numbers of X509_V_ERR_* in OpenSSL's x509_vfy.h; Python has no names for them
    **dict.fromkeys((2, 18, 19, 20, 21, 24, 27), _UNKNOWN_ISSUER),
    7: (SignatureError, "{who} presents a certificate with a broken signature.", "Tell the partner."),
    9: (
        SignatureError,
        "{who} presents a certificate that is not valid yet.",
        "Compare the clocks of both nodes.",
    ),
    10: (
        ExpiredError,
        "{who} presents a certificate that is over.",
        "Ask the partner to renew it; compare the clocks of both nodes.",
    ),
    26: (
        SignatureError,
        "{who} presents a certificate made for another purpose.",
        "Ask the partner to use the certificate that its keyring made.",
    ),
    47: (
        SignatureError,
        "{who} presents a certificate in a name that its issuer may not give.",
        "Tell the partner, by another way than this connection.",
    ),
}
_REASONS: Mapping[str, _Cause] = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": (
        UnknownPartyError,
        "{who} presents no certificate.",
        "Nothing to do, unless a partner complains: then it has to call with its node's certificate.",
    ),
    **dict.fromkeys(
        ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"),
        (
            MalformedError,
            "{who} does not speak TLS 1.3.",
            "Check the address and the port; ask the partner whether something stands in between.",
        ),
    ),
    # also what is left of a client that gave up within the handshake: its last word is no record of that connection
    "WRONG_VERSION_NUMBER": (
        MalformedError,
        "{who} does not go on with TLS 1.3: another protocol, or a line that broke within the handshake.",
        "Check the address and the port, and the line; ask the partner whether something stands in between.",
    ),
    "HTTP_REQUEST": (MalformedError, "{who} speaks HTTP without TLS.", "Check the address: it begins with https."),
    "TLSV1_ALERT_UNKNOWN_CA": (
        OurError,
        "{who} refuses our certificate: it does not know our issuing certificate.",
        "Send that partner our newest card; compare the words over the telephone.",
    ),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": (
        OurError,
        "{who} refuses our certificate: it is over.",
        "Renew it from the keyring; compare the clocks of both nodes.",
    ),
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": (
        OurError,
        "{who} wants a certificate and got none from us.",
        "Let the client use the keyring's TLS files.",
    ),
    **dict.fromkeys(
        (
            "SSLV3_ALERT_BAD_CERTIFICATE",
            "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
            "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
            "SSLV3_ALERT_CERTIFICATE_REVOKED",
            "TLSV1_ALERT_DECRYPT_ERROR",
        ),
        (
            OurError,
            "{who} refuses our certificate.",
            "Compare the clocks of both nodes; ask the partner what its log says.",
        ),
    ),
}


def refuses_us(error: ssl.SSLError) -> bool:
    """Whether it is the other side's word that it does not take our certificate; that comes after the handshake."""
    return _REASONS.get(error.reason or "", (PeerError,))[0] is OurError


def explain_tls(error: ssl.SSLError, who: str) -> ReltoError:
    """Return what a failed handshake means for the operator.

    An ``OurError`` if the other side refuses us, a ``PeerError`` if we refuse the other side.

    Args:
        error: as the ``ssl`` module raised it.
        who: the other side, as the subject of a sentence: a party's id, or "A client".
    """
    if isinstance(error.__cause__, PeerError):
        return error.__cause__
    if isinstance(error, ssl.SSLCertVerificationError):
        unknown: _Cause = (
            SignatureError,
            f"{{who}} presents a certificate that does not verify: {error.verify_message}.",
            "Ask the partner to use the certificate that its keyring made.",
        )
        kind, reason, remedy = _VERIFICATIONS.get(error.verify_code, unknown)
    else:
        unknown = (
            MalformedError,
            f"{{who}} breaks off the TLS handshake: {error}.",
            "Ask the partner what its log says.",
        )
        kind, reason, remedy = _REASONS.get(error.reason or "", unknown)
    return kind(reason.replace("{who}", who), field="TLS", remedy=remedy)
