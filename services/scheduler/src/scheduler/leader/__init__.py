"""The long-lived objects of the process that leads: they ask the domain what to do, and do it."""
