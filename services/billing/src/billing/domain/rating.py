"""Rating: the price of served time."""

from dataclasses import dataclass

from contracts import metering


@dataclass(frozen=True)
class Tariff:
    """The price of a session's time. A settled session keeps its tariff.

    Attributes:
        credits_per_minute: The price of a begun minute.
        rule: Number of the metering rule, as in `contracts.metering`.
    """

    credits_per_minute: int = 1
    rule: int = metering.RULE


@dataclass(frozen=True)
class Charge:
    """An amount of service and its price, all integers; an adjustment may be negative.

    Attributes:
        billable_ms: Served time in ms.
        seconds: Whole seconds of it.
        minutes: Begun minutes of those.
        credits: Their price.
    """

    billable_ms: int
    seconds: int
    minutes: int
    credits: int

    def __add__(self, other: "Charge") -> "Charge":
        return Charge(
            self.billable_ms + other.billable_ms,
            self.seconds + other.seconds,
            self.minutes + other.minutes,
            self.credits + other.credits,
        )

    def __sub__(self, other: "Charge") -> "Charge":
        return Charge(
            self.billable_ms - other.billable_ms,
            self.seconds - other.seconds,
            self.minutes - other.minutes,
            self.credits - other.credits,
        )


NOTHING = Charge(0, 0, 0, 0)


def rate(billable_ms: int, tariff: Tariff) -> Charge:
    """Price served time by its begun minutes: 0 ms is free, 1,000 ms is one minute, 61,000 ms is two."""
    minutes = metering.minutes(billable_ms)
    return Charge(billable_ms, metering.seconds(billable_ms), minutes, minutes * tariff.credits_per_minute)
