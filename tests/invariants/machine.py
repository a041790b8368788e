"""One machine over everything: what may happen to a CA happens in any order, and what clients see is held to the model."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from store.errors import OcspeedError
from tests.invariants.machine_late import LateSigner
from tests.invariants.machine_watch import HOUR, PATIENCE, Watched
from tests.invariants.model import KEY_COMPROMISE
from tests.responder.conftest import wait_until
from tests.signer.works import DAY

__all__ = ["Machine"]

MOST = 16  # certificates that live at once
LIVES = (2 * HOUR, 20 * HOUR, 2 * DAY, 9 * DAY)
REASONS = (0, 1, 3, 4, 5, 9)

which = st.integers(0, 1 << 16)
reasons = st.sampled_from(REASONS)
ages = st.sampled_from((0, 0, 1, HOUR, 5 * DAY))


class Machine(Watched):
    """Its steps."""

    # The CA

    @precondition(lambda self: len(self._living()) < MOST)
    @rule(life=st.sampled_from(LIVES))
    def issue(self, life: int) -> None:
        self._issue(self.town.new_serial(), life)

    @precondition(lambda self: self.town.signer.runs and len(self._living()) < MOST)
    @rule(life=st.sampled_from(LIVES), issued=st.booleans())
    def precertificate(self, life: int, issued: bool) -> None:
        """And its certificate, or none ever."""
        serial, not_after = self.town.new_serial(), self.town.now + life
        self.model.issued(serial, not_after)
        self.town.present(serial, not_after, poisoned=True)
        if issued:
            self.town.present(serial, not_after, poisoned=False)

    @rule(one=which, reason=reasons, age=ages)
    def revoke(self, one: int, reason: int, age: int) -> None:
        self._revoke(self._choose(one, revoked=False), reason, age)

    @rule(one=which, reason=reasons, age=ages)
    def revoke_again(self, one: int, reason: int, age: int) -> None:
        self._revoke(self._choose(one, revoked=True), reason, age)

    @rule(one=which, reason=reasons)
    def revoke_several(self, one: int, reason: int) -> None:
        chosen = {*self._choose(one, revoked=False), *self._choose(one // 3, revoked=False), *self._choose(one // 5, revoked=True)}  # fmt: skip
        self._revoke(sorted(chosen), reason, 0)

    # Time

    @rule(seconds=st.sampled_from((1, 2, 61, HOUR, 5 * HOUR, 12 * HOUR)))
    def wait(self, seconds: int) -> None:
        self._pass(seconds)

    @rule(beyond=st.sampled_from((1, 61, 5 * HOUR)))
    def expire(self, beyond: int) -> None:
        """The certificate that ends first."""
        ends = [one.not_after for one in self.model.certificates.values() if one.not_after >= self.town.now]
        if ends:
            self._pass(min(ends) - self.town.now + beyond)

    @rule(seconds=st.sampled_from((0, 0, 2, -2, 4, -4, 600, -HOUR, 2 * DAY)))
    def skew_signer(self, seconds: int) -> None:
        self.town.signer.wrong = seconds
        self.town.pass_time(1)

    @rule(seconds=st.sampled_from((0, 0, 2, -2, -30, 600, -HOUR, 2 * DAY)))
    def skew_responder(self, seconds: int) -> None:
        self.town.responder_wrong = seconds
        self.town.pass_time(1)

    # Signers

    @rule(offset=st.sampled_from((-2, 0, 2)))
    def batch(self, offset: int) -> None:
        self.town.sign_all(offset)
        self._signed()

    @precondition(lambda self: self._may_sign())
    @rule(calls=st.integers(0, 60))
    def kill_signer(self, calls: int) -> None:
        self.town.signer.doom(calls)

    @rule()
    def stop_signer(self) -> None:
        self.town.signer.stop()

    @rule()
    def start_signer(self) -> None:
        self.town.signer.start()

    @precondition(lambda self: self._may_sign() and self.town.stores.up and len(self._late) < 2)
    @rule(offset=st.sampled_from((-2, 0, 2)))
    def signer_hangs(self, offset: int) -> None:
        """Another one, after it has read the ledger."""
        try:
            self._late.append(LateSigner(self.town.works, offset))
        except OcspeedError:
            """It cannot work with this store."""

    @precondition(lambda self: self._may_sign() and self.town.stores.up)
    @rule(offset=st.sampled_from((-2, 0, 2)), one=which, reason=reasons)
    def signer_is_overtaken(self, offset: int, one: int, reason: int) -> None:
        """Between its reading and its writing: by a certificate, and by revocations, one of them a graver one."""
        try:
            late = LateSigner(self.town.works, offset)
        except OcspeedError:
            return
        self._issue(self.town.new_serial(), 2 * DAY)
        self._revoke(self._choose(one, revoked=False), reason, 0)
        self._revoke(self._choose(one, revoked=True), KEY_COMPROMISE, 0)
        self._look()
        late.go_on()

    @precondition(lambda self: self._late)
    @rule()
    def signer_goes_on(self) -> None:
        self._late.pop(0).go_on()

    @rule()
    def roll_the_key(self) -> None:
        self.town.roll()
        self.town.pass_time(61)

    @rule()
    def page_again(self) -> None:
        self.town.begin_layout()
        self.town.pass_time(1)

    # Stores

    @precondition(lambda self: self.town.stores.up)
    @rule()
    def kill_store(self) -> None:
        self.town.stores.kill()
        self._cut_off()
        self.town.pass_time(1)

    @precondition(lambda self: not self.town.stores.up)
    @rule()
    def start_store(self) -> None:
        self.town.stores.start(dump=False)
        self.town.pass_time(1)

    @precondition(lambda self: self.town.stores.has_dump)
    @rule()
    def put_dump_back(self) -> None:
        self._put_dump_back()

    @precondition(lambda self: self.town.stores.up)
    @rule()
    def dump(self) -> None:
        self.town.stores.take_dump()

    @precondition(lambda self: self.town.stores.up)
    @rule()
    def flush(self) -> None:
        self.town.stores.flush()
        self._cut_off()
        self.town.pass_time(1)

    @precondition(lambda self: self.town.stores.up)
    @rule()
    def part_replica(self) -> None:
        self.town.stores.part()

    @rule()
    def fail_over(self) -> None:
        self._fail_over()

    @precondition(lambda self: self.town.stores.up)
    @rule(one=which, reason=reasons, dumped=st.booleans())
    def lose_a_revocation(self, one: int, reason: int, dumped: bool) -> None:
        """The store does, and perhaps nobody else: it is of before again, whole and with all rights."""
        if dumped:
            self.town.stores.take_dump()
        else:
            self.town.stores.part()
        self._revoke(self._choose(one, revoked=False), reason, 0)
        self._look()
        if dumped:
            self._put_dump_back()
        else:
            self._fail_over()

    # The responder and CRLs

    @rule()
    def restart_responder(self) -> None:
        self.town.start_responder()

    @rule(everything=st.booleans())
    def publish(self, everything: bool) -> None:
        self.town.pass_time(1)
        self.town.signer.rest()
        self.town.publish(everything=everything)

    @rule(calls=st.integers(0, 20))
    def kill_publisher(self, calls: int) -> None:
        self.town.pass_time(1)
        self.town.signer.rest()
        self.town.publish(everything=True, calls=calls)

    @rule()
    def renew_floor(self) -> None:
        """Of what is on it nothing is good any more, whatever the store says (C3)."""
        self.town.renew_floor()
        for serial in self.model.on_crls():
            wait_until(lambda: self.town.ask(serial).status != "good", PATIENCE)  # noqa: B023

    # The ledger

    @rule()
    def back_up(self) -> None:
        self.town.back_up()

    @precondition(lambda self: self.town.has_backup)
    @rule(store_too=st.booleans())
    def restore_ledger(self, store_too: bool) -> None:
        """It is lost, and with it perhaps the store; what was acknowledged since its backup is in CRLs or in both."""
        self._settle()
        if store_too:
            self.town.stores.kill()
            self._cut_off()
            self.town.stores.start(dump=False)
        self.town.restore()
        self.town.record((serial, one.not_after) for serial, one in self.model.certificates.items())
        self.town.signer.start()

    @rule()
    def settle(self) -> None:
        self._settle()
