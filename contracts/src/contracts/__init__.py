"""What crosses a boundary in Greenroom: events, commands, HTTP bodies and the rule of the bill."""
