"""What the administration is sent, checked as strictly as the file is."""

from typing import Annotated

from pydantic import Field

from ems.settings.base import Table
from ems.settings.ieee2030_5 import ControlBaseTable, EnterServiceTable, EventTable
from ems.settings.ieee2030_5.controls import Description, Lfdi, Mrid, ProgramName
from ems.settings.ieee2030_5.devices import Category, Pin
from ems.settings.tables import Name

Rate = Annotated[int, Field(ge=1, le=86_400)]


class NewDevice(Table):
    """A device to register."""

    name: Name
    """As operators call it."""
    lfdi: Lfdi
    """Of its certificate."""
    pin: Pin | None = None
    """Registration PIN with its check digit."""
    category: list[Category] = Field(default=["virtual_or_mixed_der"])
    """What it is."""
    aggregator: str | None = None
    """Name or LFDI of the device that manages it."""
    groups: list[str] = Field(default=[])
    """Names of groups or programs."""
    enabled: bool = True
    """False: its own requests are refused."""
    poll_rate_s: Rate | None = None
    """How often it is asked to poll; default: the server's [s]."""
    post_rate_s: Rate | None = None
    """How often it is asked to post readings; default: the server's [s]."""


class DeviceChange(Table):
    """What is to change of a device; what is left out stays. Its name is what it goes by."""

    lfdi: Lfdi | None = None
    pin: Pin | None = None
    category: list[Category] | None = None
    aggregator: str | None = None
    groups: list[str] | None = None
    enabled: bool | None = None
    poll_rate_s: Rate | None = None
    post_rate_s: Rate | None = None


class NewProgram(Table):
    """A program to make."""

    name: ProgramName
    description: Description = ""
    primacy: int = Field(default=10, ge=1, le=254)
    mrid: Mrid | None = None


class ProgramChange(Table):
    """What is to change of a program; what is left out stays."""

    description: Description | None = None
    primacy: int | None = Field(default=None, ge=1, le=254)


class Default(Table):
    """What holds in a program while no control does: the whole; what is left out goes."""

    base: ControlBaseTable
    description: Description = ""
    set_grad_w_pct_per_s: float | None = Field(default=None, ge=0, le=655.35)
    set_soft_grad_w_pct_per_s: float | None = Field(default=None, ge=0, le=655.35)
    enter_service: EnterServiceTable | None = None


class NewControl(EventTable):
    """A control to publish; without start and start_in_s it starts at once."""


class Cancellation(Table):
    """How a control ends."""

    randomly: bool = False
    """Each device ends it within its randomisation."""


class GroupChange(Table):
    """What is to change of a group; what is left out stays."""

    programs: list[str] | None = Field(default=None, min_length=1)
    description: Description | None = None


class RatesChange(Table):
    """How often devices shall ask and report [s]."""

    poll_s: Rate | None = None
    post_s: Rate | None = None


class SetPoint(Table):
    """A value for a control point; null: it is not asked any more."""

    value: float | bool | None
    duration_s: int = Field(default=86_400, gt=0, le=2**31 - 1)
    """How long the device's points hold from now on [s]."""
