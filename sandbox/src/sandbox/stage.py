"""The shared state of the three services."""

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
    """Settings, voice and recognisers, the active faults, the script and the recorded traffic."""

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
