"""Checks everything that Greenroom needs, and says how to put right what is wrong."""
