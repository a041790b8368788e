"""The archive: each CRL under its number, never another in its place."""

from dataclasses import replace

import obstore
import pytest

from signer.crl.archive import ArchiveConflict, archive
from signer.crl.build import build_shard
from store.objects import UNSHARDED, ObjectStore, archive_path, crl_path, read_object
from tests.signer.crl_authority import NOW, crl_fields, make_authority

CA = make_authority()
PATH = crl_path("r1", 2, 7)


def crl(number: int, this_update: int = NOW) -> bytes:
    return build_shard(CA, replace(crl_fields(number), this_update=this_update), [])


def crls(objects: ObjectStore) -> list[str]:
    return [one["path"] for one in obstore.list(objects).collect() if one["path"].endswith(".crl")]


def test_paths() -> None:
    assert archive_path(PATH, 41) == "archive/r1/2-7/41.crl"
    assert {archive_path(crl_path("r1", series, 0), 1) for series in UNSHARDED} == {
        "archive/r1/full/1.crl",
        "archive/r1/ca/1.crl",
    }


def test_every_number_is_kept(objects: ObjectStore) -> None:
    kept = {number: crl(number) for number in (1, 2, 3)}
    for number, data in kept.items():
        archive(objects, PATH, number, data)
    for number, data in kept.items():
        found = read_object(objects, f"archive/r1/2-7/{number}.crl")
        assert found is not None
        assert found.data == data


@pytest.mark.conformance("C-08")
def test_another_one_of_the_same_number_is_an_alarm(objects: ObjectStore) -> None:
    first = crl(5)
    archive(objects, PATH, 5, first)
    archive(objects, PATH, 5, first)  # the same is there already
    with pytest.raises(ArchiveConflict, match=r"archive/r1/2-7/5\.crl: another CRL with this number"):
        archive(objects, PATH, 5, crl(5, NOW + 1))
    found = read_object(objects, archive_path(PATH, 5))
    assert found is not None
    assert found.data == first
    assert crls(objects) == ["archive/r1/2-7/5.crl"]
