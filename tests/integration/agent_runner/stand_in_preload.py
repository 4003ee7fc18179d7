"""What the forkserver of the tests imports: no Pipecat, and the stand-in worker."""

from tests.integration.agent_runner import stand_in_worker as stand_in_worker
