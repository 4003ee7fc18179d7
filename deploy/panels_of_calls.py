"""The dashboards about calls: how they start, how fast they answer, what fails in them."""

from typing import Final

from panel import (
    BUDGET_S,
    MAX_BOTS,
    Dashboard,
    Panel,
    highest,
    increase,
    increases,
    median_and_tail,
    per_minute,
    quantiles,
)

STARTS: Final = Dashboard(
    "greenroom-starts",
    "Starts",
    "How fast calls start, where the time goes, and which starts fail.",
    (
        Panel(
            "Failed starts",
            "Which share of the starts of the last ten minutes never got an agent?",
            {"failed": "greenroom:start_failures:ratio10m"},
            unit="percentunit",
            above=0.01,
            kind="stat",
        ),
        Panel(
            "Request to agent in the room",
            "How long until an agent is in the room? A warm start takes about 0.13 s, a forked one 0.15 s.",
            median_and_tail("scheduler_requested_to_ready_seconds"),
            unit="s",
            above=1,
        ),
        Panel(
            "Request to assignment",
            "How long does placement take? Seconds mean that starts wait in the queue for a slot or a node.",
            median_and_tail("scheduler_requested_to_assigned_seconds"),
            unit="s",
            above=0.5,
        ),
        Panel(
            "POST until the answer begins",
            "How long does the gateway take to accept a start? It creates the LiveKit room, then publishes "
            "the request to JetStream.",
            median_and_tail("http_request_seconds", '{route="/orchestrator/session/start"}'),
            unit="s",
            above=0.5,
        ),
        Panel(
            "End of each stage, 95 %",
            "Which stage of a start is slow? Each line is when the stage ended, counted from the assignment.",
            quantiles(0.95, "agent_stage_seconds", "stage"),
            unit="s",
            above=1,
        ),
        Panel(
            "Starts a minute by path",
            "Do starts find warm workers? `fork` means that the pool was empty: raise PREWARM_POOL_SIZE or set "
            "WARM_FLOORS.",
            {"{{path}}": per_minute("agent_starts_total", "path")},
            above=MAX_BOTS,
            stacked=True,
        ),
        Panel(
            "Rejections by reason",
            "Why did starts get no agent? docs/troubleshooting.md has a fix for each reason.",
            increases("scheduler_rejections_total", "reason", above_0=True),
            above=1,
        ),
        Panel(
            "Refusals of nodes by reason",
            "Why do nodes refuse jobs? The scheduler then asks another node.",
            increases("agent_refusals_total", "code", above_0=True),
            above=1,
        ),
        Panel(
            "Requests that wait for their agent",
            "How many open requests wait with `wait` or a stream? START_WAITS_MAX (1000) bounds them for each gateway.",
            highest("gateway_waiting_starts"),
            above=800,
        ),
    ),
)

_TOTAL: Final = '{stage="total"}'
_STAGES: Final = ("endpointing", "stt", "llm", "sentence", "tts", "transport")

TURNS: Final = Dashboard(
    "greenroom-turns",
    "Turns",
    "How long callers wait for an answer, and which stage is to blame.",
    (
        Panel(
            "End of speech to first audio",
            f"How long does a caller wait for an answer? The budget is TURN_BUDGET_MS ({1000 * BUDGET_S:,.0f} ms).",
            median_and_tail("agent_turn_seconds", _TOTAL),
            unit="s",
            above=BUDGET_S,
        ),
        Panel(
            "Turns over the budget",
            "Which share of the answers comes too late?",
            {
                "over": "sum(rate(agent_turns_over_budget_total[$__rate_interval])) / "
                f"sum(rate(agent_turn_seconds_count{_TOTAL}[$__rate_interval]))"
            },
            unit="percentunit",
            above=0.05,
        ),
        Panel(
            "The stage to blame",
            "Which stage broke the budget? docs/observability.md says what shortens it.",
            {"{{stage}}": per_minute("agent_turns_over_budget_total", "stage")},
            above=1,
            stacked=True,
        ),
        Panel(
            "Mean of each stage",
            "Where does the time of an answer go? The stages add up to the wait.",
            {
                stage: f'sum(rate(agent_turn_seconds_sum{{stage="{stage}"}}[$__rate_interval])) / '
                f'sum(rate(agent_turn_seconds_count{{stage="{stage}"}}[$__rate_interval]))'
                for stage in _STAGES
            },
            unit="s",
            above=BUDGET_S,
            stacked=True,
        ),
        Panel(
            "Each stage, 95 %",
            "Which stage has a long tail? Its share of the budget: endpointing 360 ms, stt 180, llm 300, sentence 120, "
            "tts 180, transport 60.",
            quantiles(0.95, "agent_turn_seconds", "stage", '{stage!~"total|turn"}'),
            unit="s",
            above=0.36,
        ),
        Panel(
            "Answers a minute",
            "How much is spoken? The other panels mean little while this one is near 0; "
            f"MAX_BOTS ({MAX_BOTS}) calls make about {6 * MAX_BOTS}.",
            {"answers": per_minute("agent_turn_seconds_count", match=_TOTAL)},
            above=6 * MAX_BOTS,
        ),
    ),
)

FAULTS: Final = Dashboard(
    "greenroom-faults",
    "Faults",
    "What fails: providers, workers, nodes, reports, requests.",
    (
        Panel(
            "Providers that failed",
            "Which provider became unusable in a call, and how many answers failed in calls that went on? The caller "
            "heard an apology.",
            {
                **increases("agent_provider_failures_total", "provider"),
                "an answer": increase("agent_answers_failed_total", "5m"),
            },
            above=1,
        ),
        Panel(
            "Served time with a provider's fault",
            "Which share of the served time was the agent deaf or mute? It is not billed.",
            {
                "faulty": "sum(rate(agent_fault_seconds_total[$__rate_interval])) / "
                "sum(rate(agent_served_seconds_total[$__rate_interval]))"
            },
            unit="percentunit",
            above=0.01,
        ),
        Panel(
            "Ends of jobs by cause",
            "Why do jobs end? `crashed`, `stalled`, `failed` and `join_failed` are faults; the README of the "
            "agent-runner explains each.",
            {"{{cause}}": per_minute("agent_stops_total", "cause")},
            above=60,
            stacked=True,
        ),
        Panel(
            "Take-overs and retries",
            "How many calls lost their agent and got another?",
            increases("scheduler_placements_total", "kind", '{kind!="first"}'),
            above=1,
        ),
        Panel(
            "Silence of a take-over",
            "How long until the next agent is in the room?",
            median_and_tail("scheduler_takeover_seconds"),
            unit="s",
            above=2.5,
        ),
        Panel(
            "Idle workers that crashed",
            "Do workers die before they get a job? Read worker.failed in the agent-runner's log.",
            increases("agent_idle_deaths_total", "instance"),
            above=1,
        ),
        Panel(
            "Events that wait for NATS, and dropped ones",
            "Do reports of nodes reach the log? Dropped events are missing in transcripts and timelines.",
            {
                "waiting {{instance}}": "max by (instance) (agent_outbox_events)",
                "dropped in 5 min": increase("agent_outbox_dropped_total", "5m"),
            },
            above=100,
        ),
        Panel(
            "Failed requests",
            "Which share of the requests does a service answer with 5xx?",
            {
                "{{instance}}": "sum by (instance) "
                '(rate(http_request_seconds_count{status=~"5.."}[$__rate_interval])) / '
                "sum by (instance) (rate(http_request_seconds_count[$__rate_interval]))"
            },
            unit="percentunit",
            above=0.01,
        ),
        Panel(
            "Unreadable records",
            "Does a stream hold what this version cannot read? Each record is in the stream DEAD, with the reason.",
            increases("bus_unreadable_records_total", "stream", within="1h", above_0=True),
            above=1,
        ),
    ),
)
