"""The DRAM channel: one transfer after the other, in an order that was fixed before."""

from __future__ import annotations

import simpy

from accelsim.machine.board import Behaviour, Board
from accelsim.machine.ledger import Ledger


class Memory:
    """A unit that goes through rounds of transfers.

    Round r waits until visit r has released its operands, loads those of the next visit (of the
    next but one, for a scratchpad that is double buffered), and stores outputs. Partial sums that
    come back from DRAM follow the store that makes room for them.
    """

    def __init__(self, board: Board, ledger: Ledger) -> None:
        self.board = board
        self.ledger = ledger
        self.turn = -max(board.depth["a"], board.depth["b"])
        self.stored = 0
        self.loads_left: dict[int, int] = {}

    def run(self) -> Behaviour:
        """Load and store until all is stored."""
        board = self.board
        while self.stored < board.end:
            if 0 <= self.turn < board.end:
                yield from self.fetch_again(self.turn)
                yield from self.wait_for_release(self.turn)
            for key in ("a", "b"):
                yield from self.load(key, self.turn + board.depth[key])
            while self.stored <= self.turn and self._stores_now():
                yield from self.store(self.stored)
                yield from self.load("c", self.stored + board.depth["c"])
                self.stored += 1
            self.turn += 1

    def _stores_now(self) -> bool:
        """Say whether the oldest outputs are stored in this round, rather than in a later one.

        They are complete a drain after the end of their visit. Where visits are shorter than that,
        the loads of further rounds go first, if those rounds end before the drain does, unless the
        pass `stores_in_turn`. But a visit
        with flagged outputs releases nothing before there is room for them, and one that takes
        partial sums back does not begin before that.
        """
        board, oldest = self.board, self.board.visit(self.stored)
        if board.work.stores_in_turn:
            return True
        if self.turn + 1 >= board.end or oldest.flagged or board.visit(self.turn + 1).flagged:
            return True
        takers = range(self.stored, self.turn + 1)
        if any(self.loads("c", number + board.depth["c"]) for number in takers):
            return True
        passed = 0
        for number in range(self.stored + 1, self.turn + 2):
            passed += board.visit(number).busy_cycles
            if passed >= oldest.drain_cycles:
                return True
        return False

    def transfer(self, size_bytes: int, what: str, number: int) -> Behaviour:
        """Occupy the channel."""
        start = self.board.watch.now
        yield self.board.sleep(self.board.hardware.transfer_cycles(size_bytes), what, number)
        self.board.watch.note("dram", start, f"{what} {self.board.work.name} {number}")

    def loads(self, key: str, number: int) -> int:
        """Return the bytes that a visit fetches for a scratchpad, if there is such a visit."""
        return self.board.visit(number).loads[key] if 0 <= number < self.board.end else 0

    def load(self, key: str, number: int) -> Behaviour:
        """Fetch what a visit needs of an operand, or of partial sums, if anything."""
        board, size_bytes = self.board, self.loads(key, number)
        if size_bytes:
            yield from self.transfer(size_bytes, f"load {key} of", number)
            arrival = board.sleep(board.hardware.dram_latency_cycles, "arrive", number)
            arrival.callbacks.append(self.arrive)

    def arrive(self, arrival: simpy.Event) -> None:
        """Tell the array when all that a visit loads is there."""
        number = int(arrival.value or 0)
        left = self.loads_left.pop(number, self.board.visit(number).transfers) - 1
        if left:
            self.loads_left[number] = left
        else:
            self.board.watch.change("tiles ahead", 1)
            self.board.tell("ready", number)

    def store(self, number: int) -> Behaviour:
        """Store what a visit leaves, when it is complete and what was flagged of it is redone."""
        board, visit, since = self.board, self.board.visit(number), self.board.watch.now
        yield from board.wait("memory", "complete", number)
        if visit.flagged:
            board.watch.blocked("memory", max(since, self.ledger.forget(number)))
        if visit.store_bytes:
            yield from self.transfer(visit.store_bytes, "store", number)
        board.watch.change("tiles in c", -1)
        board.tell("left", number)

    def wait_for_release(self, number: int) -> Behaviour:
        """Wait until nothing needs a visit's operands any more."""
        since = self.board.watch.now
        yield from self.board.wait("memory", "released", number)
        if self.board.visit(number).flagged:
            self.board.watch.blocked("memory", max(since, self.ledger.computed_at(number)))

    def fetch_again(self, number: int) -> Behaviour:
        """Fetch what redoing a visit's flagged outputs needs of earlier tiles over the terms."""
        board = self.board
        for index, part in enumerate(board.visit(number).parts):
            if part.refetch_bytes:
                yield from board.wait("memory", f"flagged {index}", number)
                yield from self.transfer(part.refetch_bytes, "fetch again for", number)
                arrival = board.env.timeout(board.hardware.dram_latency_cycles, (index, number))
                arrival.callbacks.append(self.arrive_again)

    def arrive_again(self, arrival: simpy.Event) -> None:
        """Tell the recompute unit that operands are there again."""
        index, number = arrival.value or (0, 0)
        self.board.tell(f"fetched {index}", number)
