"""One outside thing each: they translate, they decide nothing."""
