"""The caller of a session: joins the room, speaks and listens."""
