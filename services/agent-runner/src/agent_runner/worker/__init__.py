"""One worker process: one warm Pipecat pipeline for one job. Only this package and `preload` import Pipecat."""
