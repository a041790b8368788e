"""Templates: what all responses of one signer share, and its form in the ledger and the store.

A template is checked when it is made, also when it is made from stored bytes, and never changed afterwards.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memset

from _fastpath.der cimport (
    DER_BAD_VALUE,
    DER_OK,
    EXPLICIT_0,
    EXPLICIT_2,
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    Cursor,
    at_end,
    cursor_over,
    der_error,
    octets_of,
    put_bytes,
    put_header,
    read_expected,
    read_unsigned,
    read_whole,
)

from _fastpath.der import encode, encode_unsigned
from _fastpath.errors import RecordDamaged, UnknownFormat

cdef enum:
    FORMAT = 1
    KEY_HASH_SIZE = 20
    MAX_VALIDITY = 0x7FFFFFFF
    SMALLEST_RSA = 256  # octets of a raw signature
    LARGEST_RSA = 1024

# The AlgorithmIdentifiers of conformance A-01, with the octets of a raw ECDSA signature.
cdef dict ECDSA_ALGORITHMS = {
    bytes.fromhex("300a06082a8648ce3d040302"): 64,
    bytes.fromhex("300a06082a8648ce3d040303"): 96,
    bytes.fromhex("300a06082a8648ce3d040304"): 132,
}
# Of a private CA (RFC 8410): the signature is sent as the key makes it.
cdef dict ED25519_ALGORITHMS = {bytes.fromhex("300506032b6570"): 64}
cdef frozenset RSA_ALGORITHMS = frozenset(
    bytes.fromhex(f"300d06092a864886f70d0101{last}0500") for last in ("0b", "0c", "0d")
)


cdef struct TemplateView:
    int64_t format_number
    Cursor algorithm  # with tag and length
    int64_t signature_size
    Cursor key_hash
    int64_t validity
    Cursor certificate  # empty for none


cdef int read_count(Cursor* fields, int64_t* value) noexcept nogil:
    """An INTEGER from 0 to 2^31 - 1."""
    cdef Cursor content, octets
    cdef Py_ssize_t index
    cdef int status = read_expected(fields, INTEGER, &content)
    if status == DER_OK:
        status = read_unsigned(&content, &octets)
    if status == DER_OK and content.left > 4:
        status = DER_BAD_VALUE
    if status != DER_OK:
        return status
    value[0] = 0
    for index in range(octets.left):
        value[0] = value[0] << 8 | octets.pos[index]
    return DER_OK


cdef int read_template(Cursor* fields, TemplateView* view) noexcept nogil:
    """What follows the format number in a template of format 1."""
    cdef int status = read_whole(fields, SEQUENCE, &view.algorithm)
    if status == DER_OK:
        status = read_count(fields, &view.signature_size)
    if status == DER_OK:
        status = read_expected(fields, OCTET_STRING, &view.key_hash)
    if status == DER_OK:
        status = read_count(fields, &view.validity)
    if status == DER_OK and fields.left > 0:
        status = read_expected(fields, EXPLICIT_0, &view.certificate)
        if status == DER_OK and view.certificate.left == 0:
            status = DER_BAD_VALUE
    return status if status != DER_OK else at_end(fields)


cdef bytes encode_count(int64_t value):
    return encode_unsigned(value.to_bytes(4, "big").lstrip(b"\0") or b"\0")


cdef bint is_one_sequence(bytes data) noexcept:
    cdef Cursor cursor, content
    cursor_over(&cursor, <const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    return read_expected(&cursor, SEQUENCE, &content) == DER_OK and cursor.left == 0


cdef bint is_supported(bytes algorithm):
    return algorithm in ECDSA_ALGORITHMS or algorithm in RSA_ALGORITHMS or algorithm in ED25519_ALGORITHMS


cdef void check_template(
    bytes algorithm, Py_ssize_t signature_size, bytes key_hash, bytes certificates, int64_t validity
) except *:
    """Raise ValueError for what no template can hold."""
    if not is_supported(algorithm):
        raise ValueError(f"{algorithm.hex()} is not the AlgorithmIdentifier of a signature made here")
    exact = ECDSA_ALGORITHMS.get(algorithm) or ED25519_ALGORITHMS.get(algorithm)
    smallest = exact or SMALLEST_RSA
    largest = exact or LARGEST_RSA
    if not smallest <= signature_size <= largest:
        raise ValueError(f"a raw signature has {smallest} to {largest} octets here, not {signature_size}")
    if PyBytes_GET_SIZE(key_hash) != KEY_HASH_SIZE:
        raise ValueError(f"a responder key hash has {KEY_HASH_SIZE} octets")
    if certificates and not is_one_sequence(certificates):
        raise ValueError("the responder certificate is not one DER certificate")
    if not 0 < validity <= MAX_VALIDITY:
        raise ValueError(f"a validity of {validity} s is outside 1 to {MAX_VALIDITY}")


@cython.final
cdef class Template:
    """What all responses of one signer share; checked when made, never changed."""

    def __cinit__(
        self,
        *,
        bytes signature_algorithm not None,
        Py_ssize_t signature_size,
        bytes responder_key_hash not None,
        bytes certificates not None,
        int64_t validity,
    ):
        check_template(signature_algorithm, signature_size, responder_key_hash, certificates, validity)
        self.signature_algorithm = signature_algorithm
        self.signature_size = signature_size
        self.is_ecdsa = signature_algorithm in ECDSA_ALGORITHMS
        self.responder_key_hash = responder_key_hash
        self.certificates = certificates
        self.validity = validity
        # R-29: without a certificate the field is left out, never an empty sequence.
        self.certs = encode(EXPLICIT_0, encode(SEQUENCE, certificates)) if certificates else b""
        keep_octets(self)

    def encode(self):
        """SEQUENCE { format, algorithm, signature size, key hash, validity, [0] certificate OPTIONAL }."""
        return encode(
            SEQUENCE,
            encode_count(FORMAT)
            + self.signature_algorithm
            + encode_count(self.signature_size)
            + encode(OCTET_STRING, self.responder_key_hash)
            + encode_count(self.validity)
            + (encode(EXPLICIT_0, self.certificates) if self.certificates else b""),
        )

    @staticmethod
    def decode(bytes data not None):
        """Raises RecordDamaged, or UnknownFormat for a format or an algorithm of another release."""
        cdef Cursor cursor, fields
        cdef TemplateView view
        cdef int status
        memset(&view, 0, sizeof(view))
        cursor_over(&cursor, <const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        status = read_expected(&cursor, SEQUENCE, &fields)
        if status == DER_OK:
            status = at_end(&cursor)
        if status == DER_OK:
            status = read_count(&fields, &view.format_number)
        if status == DER_OK and view.format_number != FORMAT:
            raise UnknownFormat(f"template of format {view.format_number}")
        if status == DER_OK:
            status = read_template(&fields, &view)
        if status != DER_OK:
            raise RecordDamaged(str(der_error(status, "template")))
        return template_of(&view)


cdef void keep_octets(Template template) noexcept:
    """Point the writers at the octets of the template's own bytes objects."""
    cdef uint8_t* out = put_header(template.responder_id, EXPLICIT_2, KEY_HASH_SIZE + 2)
    out = put_header(out, OCTET_STRING, KEY_HASH_SIZE)
    put_bytes(out, <const uint8_t*>PyBytes_AS_STRING(template.responder_key_hash), KEY_HASH_SIZE)
    template.algorithm = <const uint8_t*>PyBytes_AS_STRING(template.signature_algorithm)
    template.algorithm_size = PyBytes_GET_SIZE(template.signature_algorithm)
    template.certs_octets = <const uint8_t*>PyBytes_AS_STRING(template.certs)
    template.certs_size = PyBytes_GET_SIZE(template.certs)


cdef Template template_of(const TemplateView* view):
    cdef bytes algorithm = octets_of(&view.algorithm)
    if not is_supported(algorithm):
        raise UnknownFormat(f"template for signature algorithm {algorithm.hex()}")
    try:
        return Template(
            signature_algorithm=algorithm,
            signature_size=view.signature_size,
            responder_key_hash=octets_of(&view.key_hash),
            certificates=octets_of(&view.certificate),
            validity=view.validity,
        )
    except ValueError as error:
        raise RecordDamaged(f"template: {error}") from error
