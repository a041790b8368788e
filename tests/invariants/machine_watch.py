"""A town and its model: what is looked at after each step, and how everything is put right again.

After each step the signer does what it can do at that moment; where it then says that it is well, and the responder is
connected, no second may pass before each acknowledged revocation is answered (A1).
"""

import time
from collections.abc import Iterable
from pathlib import Path

from hypothesis.stateful import RuleBasedStateMachine, invariant

from store.model import load_certificate
from tests.invariants.machine_late import LateSigner
from tests.invariants.machine_town import SHARDS, Town
from tests.invariants.model import Crl, Model
from tests.responder.conftest import wait_until
from tests.signer import crl_model
from tests.signer.works import DAY

__all__ = ["HOUR", "PATIENCE", "Watched"]

HOUR = 3600
PATIENCE = 30.0  # seconds for what takes milliseconds
ROUNDS = 200  # of settling
AHEAD = 3  # seconds: more than another signer's clock is ahead


class Watched(RuleBasedStateMachine):
    """A town of its own for each example. `origin` is a directory with the files of a CA, `directory` takes the towns."""

    origin: Path
    directory: Path
    examples = 0
    moment = 0.2  # seconds for a responder to connect to what it must not connect to

    def __init__(self) -> None:
        super().__init__()
        Watched.examples += 1
        self.town = Town(self.origin, self.directory / f"t{Watched.examples}").__enter__()
        self.model = Model()
        self._ca_key = load_certificate(self.origin / "ca.pem").public_key()
        self._late: list[LateSigner] = []
        self._files: dict[str, bytes] = {}
        self._numbers: dict[str, int] = {}  # of CRLs that were fetched
        self._furthest = 0  # latest time by which anything may have been signed
        self._issue(self.town.new_serial(), 2 * DAY)
        self._issue(self.town.new_serial(), 9 * DAY)

    def teardown(self) -> None:
        try:
            self._settle()
            self._outlive()
        finally:
            for late in self._late:
                late.end()
            self.town.__exit__(None, None, None)

    # After each step

    @invariant()
    def nothing_wrong_is_answered(self) -> None:
        self._look()

    def _look(self) -> None:
        town = self.town
        town.signer.rest()
        if self._may_sign():
            self._signed()
        if town.stores.up and town.well() and self._is_connected():
            self.model.all_is_answered()
        self._look_at_crls()
        self._ask_all()

    def _ask_all(self) -> None:
        town = self.town
        now = town.responder_clock.now()
        for serial in list(self.model.certificates):
            said = town.ask(serial)
            self._check(self.model.answered(serial, said, now, max(now, town.now, self._signers_time())))

    def _look_at_crls(self) -> None:
        """What is published, and what is served of it."""
        for index in range(SHARDS):
            path, data = self.town.crl(index)
            if data is not None and data != self._files.get(path):
                self._files[path] = data
                read = crl_model.read(data, self._ca_key)
                entries: Crl = read.entries
                members = self._members(index)
                self._check(self.model.published(path, read.number, read.this_update, entries, members))
                self._fetch(path)

    def _fetch(self, path: str) -> bytes | None:
        data = self.town.fetch(path)
        if data is not None:
            read = crl_model.read(data, self._ca_key)
            assert read.number >= self._numbers.get(path, 0), f"D9: {path} went back to {read.number}"
            assert self.town.responder_clock.now() < read.next_update, f"B1: {path} is served past its end"
            self._numbers[path] = read.number
        return data

    # Settling

    def _settle(self) -> None:
        """Everything is put right, time passes, and then all say the same (A5)."""
        town = self.town
        self._put_right()
        for _ in range(ROUNDS):
            town.signer.rest()
            if town.signer.runs and town.well() and self._is_connected():
                break
            town.pass_time(3)
            time.sleep(0.005)
        else:
            raise AssertionError(f"it does not recover: {town.signer.troubles()}")
        self.model.all_is_answered()
        self._ask_all()
        living = self._living()
        for serial in living:
            self._check(self.model.lacks(serial, town.ask(serial)))
            found, wanted = town.recorded(serial), self.model.certificates[serial].revocation
            assert found == wanted, f"A5: the ledger has {serial.hex()} as {found}, not {wanted}"
        self._settle_crls()

    def _put_right(self) -> None:
        town = self.town
        wrong = town.signer.wrong
        town.signer.wrong = town.responder_wrong = 0
        if not town.stores.up:
            town.stores.start(dump=False)
        town.signer.start()
        self._pass(max(AHEAD, self._furthest + AHEAD - town.now, 122 if wrong else 0))
        if "ahead of what was last signed" in (town.signer.steady.doubt or ""):  # it was away for days
            town.confirm_clock()

    def _outlive(self) -> None:
        """A CRL past the end of the revoked certificate that ends first, which it is on, and one after that (D3)."""
        ends = [self.model.certificates[serial].not_after for serial in self.model.on_crls()]
        self._pass(max(1, min(ends, default=0) - self.town.now + 1))
        self._publish_all()
        self._publish_all()

    def _publish_all(self) -> None:
        self.town.pass_time(1)
        self.town.signer.rest()
        refused = self.town.publish(everything=True)
        assert not refused, f"U-04: {refused}"
        self._look_at_crls()

    def _settle_crls(self) -> None:
        self._publish_all()
        for index in range(SHARDS):
            path, data = self.town.crl(index)
            assert data is not None and self._fetch(path) == data, f"A5: {path} is not served as it is"

    # What else there is to do

    def _issue(self, serial: bytes, life: int) -> None:
        not_after = self.town.now + life
        self.model.issued(serial, not_after)
        self.town.issue(serial, not_after)

    def _revoke(self, serials: list[bytes], reason: int, age: int) -> None:
        if not serials:
            return
        time = self.town.recorded_now() - age
        self.town.revoke(serials, time, reason)
        for serial in serials:
            recorded = self.town.recorded(serial)
            assert recorded is not None, f"A1: {serial.hex()} was revoked and is not"
            self._check(self.model.revoked(serial, (time, reason), recorded))

    def _put_dump_back(self) -> None:
        if self.town.stores.up:
            self.town.stores.kill()
            self._cut_off()
        self.model.store_went_back()
        self.town.stores.start(dump=True)
        self._ask_before_the_signer()

    def _fail_over(self) -> None:
        if self.town.stores.parted:
            self.model.store_went_back()
        self.town.stores.fail_over()
        self._ask_before_the_signer()

    def _ask_before_the_signer(self) -> None:
        """Looks at this primary: a responder that took it for the one of before would have connected by then."""
        self._is_connected(self.moment)
        self._ask_all()
        self.town.pass_time(1)

    def _pass(self, seconds: int) -> None:
        """In steps in which a signer has something to do."""
        while seconds > 0:
            step = min(seconds, 4 * HOUR)
            self.town.pass_time(step)
            self.town.signer.rest()
            seconds -= step

    def _choose(self, one: int, *, revoked: bool) -> list[bytes]:
        """One that lives, if there is any."""
        some = [serial for serial in self._living() if (self.model.certificates[serial].revocation is not None) == revoked]  # fmt: skip
        return [some[one % len(some)]] if some else []

    def _living(self) -> list[bytes]:
        now = self.town.now
        return [serial for serial, one in self.model.certificates.items() if one.not_after >= now]

    def _members(self, index: int) -> set[bytes]:
        """Of a shard."""
        return {serial for serial in self.model.certificates if crl_model.shard_of(serial, SHARDS) == index}

    def _may_sign(self) -> bool:
        return self.town.signer.runs and self.town.signer.steady.doubt is None

    def _signed(self) -> None:
        """By the time of the signer's machine."""
        self._furthest = max(self._furthest, self._signers_time())

    def _signers_time(self) -> int:
        return self.town.now + self.town.signer.wrong

    def _is_connected(self, patience: float = 1.0) -> bool:
        """Whether the responder asks the store: what the store was told before is answered from now on.

        The connection tells of changes in the order in which the store answers (architecture, The request path). Where
        the signer says that all is well it needs a moment at most, unless it is for a primary that is to be reconciled.
        """
        deadline = time.monotonic() + patience
        while (status := self.town.ask(self.town.new_serial()).status) == "tryLater":
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        assert status == "unauthorized", f"A3: {status} for a serial that nobody issued"
        return True

    def _cut_off(self) -> None:
        """Wait until the responder knows that what it was connected to is gone."""
        wait_until(lambda: self.town.ask(self.town.new_serial()).status == "tryLater", PATIENCE)

    def _check(self, words: Iterable[str]) -> None:
        found = list(words)
        assert not found, "; ".join(found)
