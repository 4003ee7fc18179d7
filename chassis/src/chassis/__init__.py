"""The runtime that Greenroom's services share; it knows no business word."""
