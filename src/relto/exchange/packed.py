"""Packed parts: what a page for a thin link holds, deflated before it is sealed.

A packed part is a zero byte, then raw DEFLATE (RFC 1951) with a preset dictionary. A part that is not packed is a
MessagePack array, which never begins with zero; it stays as it is where packing would not make it smaller. Each part is
packed by itself: were releases packed together, the size of a page would tell whoever carries it how alike two of them
are, and who can put a text of his own into one could guess at another.

The dictionary is part of the format (docs/spec/exchange.md, section 3): the words that every header, record and
detection repeats. Nobody's packer is prescribed, so the same part may be packed into other bytes elsewhere.
"""

from __future__ import annotations

import zlib

from relto.errors import MalformedError, TooLargeError

PACKED = b"\0"
DICTIONARY = (
    b'{"v":1,"by":"","to":"","up_to_n":,"chain":"{"v":1,"by":"","to":"","batch":"","first_n":1,"count":1,"root":"'
    b'"payloadType":"application/vnd.relto.withdrawal+json""payloadType":"application/vnd.relto.batch+json",'
    b'"signatures":[{"keyid":"","sig":""},{"keyid":"","sig":""}]}relto.release/'
    b'"type":"LineString""type":"Polygon""cancelled":"warning":"text":"urgency":"distress":"nature":"vessel":{"name":"'
    b'"mmsi":"call_sign":"persons":"position":"area":"from":"until":"sensor":"sar""sensor":"viirs""length_m":'
    b'"heading_deg":"rf":{"band":"X","frequency_mhz":"pulse":{"prf_hz":"width_us":"provider":"licence":"exercise":false'
    b'{"type":"Feature","id":"","geometry":{"type":"Point","coordinates":[1]},"properties":{"sensor":"rf","observed":"'
    b'{"type": "Feature", "id": "", "geometry": {"type": "Point", "coordinates": [1]}, "properties": {"sensor": "rf", '
    b'"observed": "2026-01-01T00:00:00Z", "confidence": 0.5, "ellipse": {"semi_major_m": 2500, "semi_minor_m": 900, '
    b'"orientation_deg": 35, "confidence_pct": 95}, "remarks": ""}}'
    b'"observed":"2026-01-01T00:00:00Z","confidence":0.5,"ellipse":{"semi_major_m":2500,"semi_minor_m":900,'
    b'"orientation_deg":35,"confidence_pct":95},"remarks":""}}'
    b'"verdict":"WITHDRAWN""verdict":"FULL","view":"full","reasons":["AS_HELD"],'
    b'{"v":1,"by":"","to":"","n":1,"item":"","version":1,"verdict":"SANITISED","view":"detail","reasons":["'
    b'"],"agreements":[{"id":"","version":1,"sha256":""}],"rules":["/1/"],"rendition":"","policy":"","time_ms":17'
    b'"view":"notice""view":"summary""view":"nothing""kind":"statement.withdrawal"'
    b'"media_type":"application/vnd.relto.withdrawal""kind":"cyber.bundle""kind":"cyber.vulnerability"'
    b'"kind":"maritime.warning""kind":"maritime.distress""rule":"consent""rule":"list","categories":[{"tag":"REL TO",'
    b'"type":"permissive","values":["NOFORN","restrictive""tlp":"CLEAR""tlp":"GREEN""tlp":"AMBER+STRICT""tlp":"AMBER"'
    b'{"v":1,"id":"","version":1,"kind":"maritime.detection","origin":"","observed_ms":17,"until_ms":17,"place":'
    b'{"south_e7":,"west_e7":,"north_e7":,"east_e7":},"subjects":[],"label":{"handling":{"markings":[{"policy":"",'
    b'"level":"OFFICIAL","text":"OFFICIAL"}],"categories":[],"tlp":"","licences":[]},"originators":[""],"portions":[],'
    b'"foreign":""},"sources":[],"media_type":"application/geo+json","size":,"sha256":"","release":{"by":"","to":"",'
    b'"edition":1,"view":"full","duties":{"precision_m":0,"delay_s":0,"retention_s":null,"onward":{"rule":"none",'
    b'"to":[]},"purposes":[]},"agreements":[{"id":"","version":1,"sha256":""}],"rules":["/1/"],"time_ms":17}}'
)


def pack(part: bytes) -> bytes:
    """The part packed, or as it is where that is not longer. The same part gives the same bytes on the same node."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
    packed = PACKED + packer.compress(part) + packer.flush()
    return packed if len(packed) < len(part) else part


def unpack(part: bytes, limit_bytes: int) -> bytes:
    """The part as it was before it was packed; never holds more than the limit, whatever the bytes would swell to.

    Raises:
        TooLargeError: it is over the limit. MalformedError: damaged, cut off, or with something behind it.
    """
    if not part.startswith(PACKED):
        if len(part) > limit_bytes:
            raise _too_large(limit_bytes)
        return part
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS, DICTIONARY)
    try:
        content = unpacker.decompress(part[1:], limit_bytes + 1)
    except zlib.error as error:
        raise MalformedError(f"does not unpack: {error}.", field="page", remedy="Ask again.") from None
    if len(content) > limit_bytes:
        raise _too_large(limit_bytes)
    if not unpacker.eof or unpacker.unused_data:
        raise MalformedError("breaks off or goes on behind its end.", field="page", remedy="Ask again.")
    return content


def _too_large(limit_bytes: int) -> TooLargeError:
    return TooLargeError(f"a part unpacks to over {limit_bytes} bytes.", field="page", remedy="Send less.")
