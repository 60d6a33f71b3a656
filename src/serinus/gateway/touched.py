"""Which entities have been seen: where traffic is sticky, an entity is the unit, not its requests.

An entity has one role for the whole of a rollout. If it were counted at each of its requests, a single one that always
fails would speak against its role without end, and an identical canary would be rolled back for it.
"""

BITS = 22
_PLACES = 1 << BITS
_POINTS = 2.0**53


class Touched:
    """The entities of one rollout, as bits; two that share a bit are taken for one, and so never count twice."""

    __slots__ = ("_bits",)

    def __init__(self) -> None:
        self._bits = bytearray(_PLACES >> 3)

    def first(self, point: float) -> bool:
        """Say whether the entity at a sticky point has not been seen yet, and note it.

        The point's lowest bits are its place; they say nothing of its role, which the highest decide.
        """
        place = int(point * _POINTS) & (_PLACES - 1)
        byte, bit = place >> 3, 1 << (place & 7)
        if self._bits[byte] & bit:
            return False
        self._bits[byte] |= bit
        return True
