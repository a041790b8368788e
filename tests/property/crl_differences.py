"""Where our reader of CRLs and cryptography's differ: what the profile leaves out, and what ours does not look at."""

from functools import partial

from _fastpath.crl_reader import Crl
from tests.property.crl_readers import (
    AKI,
    IDP,
    NUMBER,
    Tree,
    has_early_generalized_time,
    has_long_number,
    has_other_criticality,
    has_other_distribution_point,
    has_other_entry_extensions,
    has_other_extension,
    has_other_key_identifier,
    has_other_serial,
    has_other_signature,
    lacks,
    see_by_cryptography,
    seen_by_us,
)
from tests.property.der_tree import Node, read_tree
from tests.property.differences import Refusal, Table, WeRead, WeRefuse, read_by_cryptography, read_by_us

ALGORITHM = "300a06082a8648ce3d040302"
NAME = "300d310b3009060355040613025553"
TIMES = "170d3236313132313130303030305a" + "170d3236313132383130303030305a"


def value(tag: str, *contents: str) -> str:
    """Hex of one value."""
    return Node(bytes.fromhex(tag), bytes.fromhex("".join(contents))).encode().hex()


def extension(oid: bytes, octets: str, critical: str = "") -> str:
    return value("30", value("06", oid.hex()), critical, value("04", octets))


def entry(serial: str = "020105", when: str = "170d3233313131343232313332305a", more: str = "") -> str:
    return value("30", serial, when, more)


KEY = extension(AKI, "30048002abcd")
SERIES = extension(NUMBER, "020101")
URL = value("a0", value("a0", value("86", b"http://c.example/1.crl".hex())))
POINT = extension(IDP, value("30", URL), "0101ff")
USUAL = (KEY, SERIES, POINT)


def crl(
    version: str = "020101",
    name: str = NAME,
    times: str = TIMES,
    revoked: str = value("30", entry()),
    extensions: tuple[str, ...] = USUAL,
    signature: str = "030300ffff",
    algorithm: str = ALGORITHM,
) -> str:
    """Hex of a CertificateList of these parts."""
    tbs = value("30", version, algorithm, name, times, revoked, value("a0", value("30", *extensions)))
    return value("30", tbs, algorithm, signature)


def with_point(content: str) -> str:
    return crl(extensions=(KEY, SERIES, extension(IDP, value("30", content), "0101ff")))


def with_entry(more: str) -> str:
    return crl(revoked=value("30", entry(more=more)))


DIFFERENCES = Table(
    we_read={
        "name-content": WeRead(
            "C-02: the issuer is compared with the CA's subject octet by octet, not read",
            "TBSCertList::issuer|AttributeTypeValue::|AttributeValue::",
            crl(name="30023000"),
        ),
        "algorithm-content": WeRead(
            "C-03: the AlgorithmIdentifier is compared with the one of A-01, not read",
            "TBSCertList::signature|AlgorithmIdentifier::|::signature_algorithm",
            crl(algorithm="3000"),
        ),
        "url-not-ascii": WeRead(
            "C-09: a URL is compared with the one it is served at; any other octets just differ",
            "GeneralName::UniformResourceIdentifier",
            with_point(value("a0", value("a0", "8601ff"))),
        ),
    },
    we_refuse={
        "version-1": WeRefuse("C-01: v2", lambda root: not Tree(root).has_version, crl(version="")),
        "no-next-update": WeRefuse(
            "C-05: both dates", lambda root: len(Tree(root).times) < 2, crl(times=TIMES[:30])
        ),
        "early-generalized-time": WeRefuse(
            "C-05: UTCTime through 2049",
            has_early_generalized_time,
            crl(times=TIMES[:30] + value("18", b"20491231235959Z".hex())),
        ),
        "empty-list": WeRefuse(
            "C-13: no entries, no list",
            lambda root: Tree(root).revoked is not None and not Tree(root).entries,
            crl(revoked="3000"),
        ),
        "other-serial": WeRefuse(
            "C-14: a serial is positive and has at most 20 octets",
            has_other_serial,
            crl(revoked=value("30", entry("0201ff"))),
        ),
        "other-entry-extension": WeRefuse(
            "C-15: one reasonCode, not critical and not 0, or nothing",
            has_other_entry_extensions,
            with_entry(value("30", extension(bytes.fromhex("551d18"), "180f32303233313131343232313332305a"))),
        ),
        "other-extension": WeRefuse(
            "C-07: authorityKeyIdentifier, cRLNumber and issuingDistributionPoint, no other",
            has_other_extension,
            crl(extensions=(*USUAL, extension(bytes.fromhex("551d1b"), "020101", "0101ff"))),
        ),
        "other-criticality": WeRefuse(
            "C-07: of the three only the issuingDistributionPoint is critical",
            has_other_criticality,
            crl(extensions=(KEY, extension(NUMBER, "020101", "0101ff"), POINT)),
        ),
        "no-key-identifier": WeRefuse(
            "C-07: authorityKeyIdentifier", partial(lacks, AKI), crl(extensions=(SERIES, POINT))
        ),
        "other-key-identifier": WeRefuse(
            "C-07: keyIdentifier only",
            has_other_key_identifier,
            crl(extensions=(extension(AKI, "3000"), SERIES)),
        ),
        "no-number": WeRefuse("C-07: cRLNumber", partial(lacks, NUMBER), crl(extensions=(KEY, POINT))),
        "long-number": WeRefuse(
            "C-08: a number has at most 20 octets",
            has_long_number,
            crl(extensions=(KEY, extension(NUMBER, "0215" + "01" * 21))),
        ),
        "other-distribution-point": WeRefuse(
            "C-10, C-11: one URL at most, one scope at most, not nothing",
            has_other_distribution_point,
            with_point(URL + "8401ff"),
        ),
        "other-signature": WeRefuse(
            "a signature is one octet or more, all bits used", has_other_signature, crl(signature="030100")
        ),
    },
)


def explain(data: bytes) -> list[str]:
    """The differences that the data shows; where both read, they read the same."""
    ours = read_by_us(Crl, data)
    theirs = read_by_cryptography(see_by_cryptography, data)
    if isinstance(ours, Crl):
        issuer = Tree(read_tree(data)).fields[2]
        assert ours.issuer_name == issuer.encode()
        assert isinstance(theirs, Refusal) or seen_by_us(ours) == theirs
    return DIFFERENCES.explain(data, ours, theirs)
