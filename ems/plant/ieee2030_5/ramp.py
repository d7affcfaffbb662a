"""A value that goes to where it is ordered at a given speed."""


class Ramp:
    """An order on its way. None: no order."""

    def __init__(self) -> None:
        self._target_kw: float | None = None
        self._rate_kw_per_s: float | None = None
        self._value_kw: float | None = None

    def go(self, rate_kw_per_s: float | None, target_kw: float | None) -> None:
        """Take a new order.

        Args:
            rate_kw_per_s: how fast; None: at once [kW/s].
            target_kw: where to; None: the order is let go [kW].
        """
        self._rate_kw_per_s = rate_kw_per_s
        self._target_kw = target_kw

    def arrive(self, within_s: float, target_kw: float, present_kw: float) -> None:
        """Take a new order that is reached from where the last one stands.

        Not from the power of the moment: where that happens to be at the target, nothing would move
        the order itself there.

        Args:
            within_s: how long it may take, above 0 [s].
            target_kw: where to [kW].
            present_kw: where it begins if there is no order [kW].
        """
        if self._value_kw is None:
            self._value_kw = present_kw
        self.go(abs(target_kw - self._value_kw) / within_s, target_kw)

    def second(self, present_kw: float, let_go_kw: float) -> float | None:
        """The order one second later.

        Args:
            present_kw: where an order begins that there was none before [kW].
            let_go_kw: where one is forgotten that has been let go [kW].
        """
        target = self._target_kw
        if self._rate_kw_per_s is None or (self._value_kw is None and target is None):
            self._value_kw = target
            return target
        start = present_kw if self._value_kw is None else self._value_kw
        towards = let_go_kw if target is None else target
        step = max(-self._rate_kw_per_s, min(self._rate_kw_per_s, towards - start))
        value = start + step
        self._value_kw = None if target is None and value == let_go_kw else value
        return self._value_kw
