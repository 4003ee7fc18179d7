"""A caller: the other side of a session, which joins the room, speaks and hears."""
