"""One worker process: a warm Pipecat pipeline, used for one job. Only this package and `preload` import Pipecat."""
