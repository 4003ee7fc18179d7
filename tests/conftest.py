"""What holds for every test: Hypothesis measures no time, because a busy machine would fail a right property."""

from hypothesis import settings

settings.register_profile("greenroom", deadline=None)
settings.load_profile("greenroom")
