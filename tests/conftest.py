"""What holds for every test: Hypothesis measures no time, because a busy machine would fail a right property."""

from chassis.cancellation import mend_wait_for
from hypothesis import settings

settings.register_profile("greenroom", deadline=None)
settings.load_profile("greenroom")

mend_wait_for()  # as `lifecycle.run` does: the tests use nats-py in their own process
