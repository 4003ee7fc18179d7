"""Who the caller is, and when the caller can hear the agent."""

from agent_runner.domain.audience import (
    Active,
    Arrived,
    Audience,
    CallerPresent,
    Connected,
    Disconnected,
    Effect,
    Event,
    Left,
    Published,
    Speak,
    Subscribed,
    step,
)
from hypothesis import given
from hypothesis import strategies as st

Story = list[tuple[Event, list[str]]]

IDENTITIES = st.sampled_from(["caller", "guest", "egress"])
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from([Connected(), Subscribed(), Disconnected()]),
    st.builds(Active, IDENTITIES),
    st.builds(Arrived, IDENTITIES, st.booleans()),
    st.builds(Published, IDENTITIES),
    st.builds(Left, IDENTITIES),
)
STORIES = st.lists(st.tuples(EVENTS, st.lists(IDENTITIES, unique=True)))


def play(story: Story, *, caller: str = "caller", is_ahead: bool = False) -> tuple[Audience, list[Effect]]:
    audience, done = Audience(caller, is_ahead=is_ahead), list[Effect]()
    for event, others in story:
        audience, effects = step(audience, event, others)
        done += effects
    return audience, done


def test_a_caller_who_was_there_first_is_spoken_to_at_the_subscription() -> None:
    _, effects = play([(Connected(), ["caller"]), (Arrived("caller", True), ["caller"]), (Subscribed(), ["caller"])])
    assert effects == [CallerPresent(True), Speak(0)]


def test_a_late_caller_is_spoken_to_shortly_after_the_subscription() -> None:
    _, effects = play([(Connected(), []), (Active("caller"), ["caller"]), (Subscribed(), ["caller"])])
    assert effects == [CallerPresent(True), Speak(0.05)]


def test_a_lone_callers_subscription_proves_that_media_is_up() -> None:
    _, effects = play([(Connected(), []), (Subscribed(), ["caller"])])
    assert effects == [CallerPresent(True), Speak(0.3), Speak(0.05)]


def test_another_subscriber_is_not_spoken_to_and_the_caller_is_once_present() -> None:
    audience, effects = play([(Connected(), ["egress"]), (Subscribed(), ["egress"])])
    assert effects == []
    assert step(audience, Published("caller"), ["egress", "caller"])[1] == (CallerPresent(True), Speak(0.3))


def test_in_a_prejoined_room_a_subscription_is_the_callers_before_livekit_reports_the_caller() -> None:
    assert play([(Connected(), []), (Subscribed(), [])], is_ahead=True)[1] == [Speak(0.05)]
    assert play([(Connected(), []), (Subscribed(), [])])[1] == []


def test_without_an_identity_the_first_participant_is_the_caller() -> None:
    audience, _ = play([(Connected(), ["guest", "egress"]), (Arrived("egress", True), ["guest", "egress"])], caller="")
    assert audience == Audience("guest", was_first=True)


@given(STORIES, st.sampled_from(["caller", ""]), st.booleans())
def test_the_callers_presence_alternates_and_nobody_else_changes_it(story: Story, caller: str, is_ahead: bool) -> None:
    audience, effects = play(story, caller=caller, is_ahead=is_ahead)
    seen = [effect.in_room for effect in effects if isinstance(effect, CallerPresent)]
    assert seen == [at % 2 == 0 for at in range(len(seen))]
    assert audience.in_room == bool(len(seen) % 2)


@given(STORIES, st.booleans())
def test_the_agent_speaks_only_after_a_subscription(story: Story, is_ahead: bool) -> None:
    before = story[: next((at for at, (event, _) in enumerate(story) if event == Subscribed()), len(story))]
    assert not [effect for effect in play(before, is_ahead=is_ahead)[1] if isinstance(effect, Speak)]
