"""Checks everything that Greenroom needs, and gives the fix of each problem."""
