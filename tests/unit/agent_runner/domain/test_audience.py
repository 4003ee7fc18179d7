"""Who the caller is, and when the caller can hear the agent."""

from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.audience import Audience, AudienceEffect, AudienceStep, CallerHears, CallerPresent

Event = Callable[[Audience, Sequence[str]], AudienceStep]
Story = list[tuple[Event, list[str]]]

CONNECTED: Event = Audience.connected
SUBSCRIBED: Event = Audience.subscribed
RECORDED: Event = lambda audience, others: audience.subscribed(others, is_recorded=True)  # noqa: E731


def active(identity: str) -> Event:
    return lambda audience, others: audience.active(identity, others)


def arrived(identity: str, *, is_active: bool = True) -> Event:
    return lambda audience, others: audience.arrived(identity, others, is_active=is_active)


def published(identity: str) -> Event:
    return lambda audience, others: audience.published(identity, others)


def left(identity: str) -> Event:
    return lambda audience, _others: audience.left(identity)


IDENTITIES = st.sampled_from(["caller", "guest", "egress"])
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from([CONNECTED, SUBSCRIBED, RECORDED, lambda audience, _others: audience.disconnected()]),
    st.builds(active, IDENTITIES),
    st.builds(arrived, IDENTITIES, is_active=st.booleans()),
    st.builds(published, IDENTITIES),
    st.builds(left, IDENTITIES),
)
STORIES = st.lists(st.tuples(EVENTS, st.lists(IDENTITIES, unique=True)))


def play(story: Story, *, caller: str = "caller", is_ahead: bool = False) -> tuple[Audience, list[AudienceEffect]]:
    audience, done = Audience(caller, is_ahead=is_ahead), list[AudienceEffect]()
    for event, others in story:
        audience, effects = event(audience, others)
        done += effects
    return audience, done


def test_a_caller_who_was_there_first_is_spoken_to_at_the_subscription() -> None:
    _, effects = play([(CONNECTED, ["caller"]), (arrived("caller"), ["caller"]), (SUBSCRIBED, ["caller"])])
    assert effects == [CallerPresent(True), CallerHears(0)]


def test_a_late_caller_is_spoken_to_shortly_after_the_subscription() -> None:
    _, effects = play([(CONNECTED, []), (active("caller"), ["caller"]), (SUBSCRIBED, ["caller"])])
    assert effects == [CallerPresent(True), CallerHears(0.05)]


def test_a_lone_callers_subscription_proves_that_media_is_up() -> None:
    _, effects = play([(CONNECTED, []), (SUBSCRIBED, ["caller"])])
    assert effects == [CallerPresent(True), CallerHears(0.3), CallerHears(0.05)]


def test_another_subscriber_is_not_spoken_to_and_the_caller_is_once_present() -> None:
    audience, effects = play([(CONNECTED, ["egress"]), (SUBSCRIBED, ["egress"])])
    assert effects == []
    assert audience.published("caller", ["egress", "caller"])[1] == (CallerPresent(True), CallerHears(0.3))


def test_in_a_prejoined_room_a_subscription_is_the_callers_before_livekit_reports_the_caller() -> None:
    assert play([(CONNECTED, []), (SUBSCRIBED, [])], is_ahead=True)[1] == [CallerHears(0.05)]
    assert play([(CONNECTED, []), (SUBSCRIBED, [])])[1] == []


def test_a_recorders_subscription_is_not_the_callers() -> None:
    waiting, _ = play([(CONNECTED, []), (RECORDED, [])], is_ahead=True)
    assert waiting.arrived("caller", ["caller"], is_active=False)[1] == ()
    for is_ahead in (False, True):
        ahead: Story = [(CONNECTED, []), (RECORDED, []), (arrived("caller", is_active=False), ["caller"])]
        assert play(ahead, is_ahead=is_ahead)[1] == []
        _, effects = play([*ahead, (active("caller"), ["caller"])], is_ahead=is_ahead)
        assert effects == [CallerPresent(True), CallerHears(0.3)]


def test_the_subscription_of_one_who_left_is_no_proof_of_the_next_callers_media() -> None:
    silent: Story = [(arrived("caller", is_active=False), ["caller"])]
    for first in ("guest", "caller"):
        left_first: Story = [(CONNECTED, [first]), (SUBSCRIBED, [first]), (left(first), [])]
        before = play(left_first)[1]
        assert play(left_first + silent)[1] == before
        _, effects = play([*left_first, *silent, (active("caller"), ["caller"])])
        assert effects == [*before, CallerPresent(True), CallerHears(0.3)]


def test_a_subscription_before_livekit_reports_the_caller_proves_the_callers_media() -> None:
    silent: Story = [(SUBSCRIBED, []), (arrived("caller", is_active=False), ["caller"])]
    assert play([(CONNECTED, []), *silent])[1] == [CallerPresent(True), CallerHears(0.3)]


def test_without_an_identity_the_first_participant_is_the_caller() -> None:
    audience, _ = play([(CONNECTED, ["guest", "egress"]), (arrived("egress"), ["guest", "egress"])], caller="")
    assert audience == Audience("guest", was_first=True)


@given(STORIES, st.sampled_from(["caller", ""]), st.booleans())
def test_the_callers_presence_alternates_and_nobody_else_changes_it(story: Story, caller: str, is_ahead: bool) -> None:
    audience, effects = play(story, caller=caller, is_ahead=is_ahead)
    seen = [effect.in_room for effect in effects if isinstance(effect, CallerPresent)]
    assert seen == [at % 2 == 0 for at in range(len(seen))]
    assert audience.in_room == bool(len(seen) % 2)


@given(STORIES, st.booleans())
def test_the_agent_speaks_only_after_a_subscription(story: Story, is_ahead: bool) -> None:
    before = story[: next((at for at, (event, _) in enumerate(story) if event in (SUBSCRIBED, RECORDED)), len(story))]
    assert not [effect for effect in play(before, is_ahead=is_ahead)[1] if isinstance(effect, CallerHears)]
