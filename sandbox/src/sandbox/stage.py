"""All that the three services share while the sandbox runs."""

from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from sandbox.faults import FaultBoard
from sandbox.script import Script
from sandbox.settings import Settings
from sandbox.speech.espeak import Espeak
from sandbox.speech.pool import EarPool
from sandbox.traffic import Traffic


@dataclass(frozen=True)
class Stage:
    """Settings, voice and ears, the faults in force, the script and the traffic so far."""

    settings: Settings
    ears: EarPool
    voice: Espeak = field(default_factory=Espeak)
    faults: FaultBoard = field(default_factory=FaultBoard)
    script: Script = field(default_factory=Script)
    traffic: Traffic = field(default_factory=Traffic)


def stage_of(connection: HTTPConnection) -> Stage:
    stage = connection.app.state.stage
    assert isinstance(stage, Stage)
    return stage
