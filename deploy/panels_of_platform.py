"""The dashboards about the platform: nodes, money, the bus, and the trace of one session."""

from typing import Final

from panel import ACROSS, MAX_BOTS, Dashboard, Panel, highest, increase, increases, per_minute, quantiles

JAEGER: Final = {"type": "jaeger", "uid": "jaeger"}

FLEET: Final = Dashboard(
    "greenroom-fleet",
    "Fleet",
    "Who leads, which nodes are there, how full and how busy they are.",
    (
        Panel(
            "Leading schedulers",
            "How many schedulers lead? One does; without one no start is placed, no call is taken over and none ends.",
            {"leading": "sum(scheduler_leading)"},
            below=1,
            kind="stat",
        ),
        Panel(
            "Nodes",
            "How many agent-runners answer? Without one every start is rejected.",
            {"nodes": "count(agent_slots_free) or vector(0)"},
            below=1,
            kind="stat",
        ),
        Panel(
            "LiveKit",
            "Does LiveKit answer the leading scheduler? 1: yes.",
            {"up": "max(scheduler_livekit_up)"},
            below=1,
            kind="stat",
        ),
        Panel(
            "Calls and free slots",
            "How full is the fleet? When no slot is free, starts wait and are then rejected: add nodes or raise "
            "NODE_SLOTS.",
            {"calls": 'sum(agent_workers{state="busy"})', "free slots": "sum(agent_slots_free)"},
            below=1,
        ),
        Panel(
            "Warm workers",
            "Does each node hold idle workers ready? Without one a start takes 10 to 25 ms longer, under load more.",
            {"{{instance}}": 'sum by (instance) (agent_workers{state="warm"})'},
            below=1,
        ),
        Panel(
            "Load",
            "How busy is each node's CPU? From MAX_LOAD (0.7) on it gets no further calls.",
            highest("agent_load"),
            unit="percentunit",
            above=0.7,
        ),
        Panel(
            "Open sessions by state",
            "What are the sessions doing? Many that are queued or starting mean that capacity or nodes are missing. "
            f"MAX_BOTS ({MAX_BOTS}) bounds them.",
            {"{{state}}": "sum by (state) (scheduler_sessions)"},
            above=MAX_BOTS,
            stacked=True,
        ),
        Panel(
            "Prejoined rooms",
            "How many rooms with an agent in them wait for a start? PREJOIN_POOL_SIZE many, MAX_BOTS at most.",
            {"waiting": "sum(scheduler_prejoined_rooms)"},
            above=MAX_BOTS,
        ),
        Panel(
            "Nodes missing and lost",
            "Do nodes disappear? The calls of a lost node are taken over by others.",
            {
                "missing": "sum(scheduler_nodes_missing)",
                "lost in 5 min": increase("scheduler_nodes_lost_total", "5m"),
            },
            above=1,
        ),
        Panel(
            "Renewal of a node's entry, 99 %",
            "Do nodes report in time? One that is silent for 4 s may count as lost; above 3 s it is too busy.",
            quantiles(0.99, "agent_renewal_gap_seconds", "instance"),
            unit="s",
            above=3,
        ),
        Panel(
            "Memory of each part",
            "Does a part grow? The services need 60 to 200 MB each; a node's workers are not in this figure.",
            highest("process_resident_memory_bytes"),
            unit="bytes",
            above=1e9,
        ),
        Panel(
            "CPU of each part",
            "Which part is busy? Each is one process on one core at most; a node's workers are not in this figure.",
            highest("rate(process_cpu_seconds_total[$__rate_interval])"),
            unit="percentunit",
            above=0.8,
        ),
    ),
)

MONEY: Final = Dashboard(
    "greenroom-money",
    "Money",
    "What is billed, and what is not billed yet.",
    (
        Panel(
            "Unbilled sessions",
            "How many sessions have ended without a bill? Each should have one within seconds.",
            {"unbilled": "max(billing_unbilled_sessions)", "stuck": "max(billing_stuck_sessions)"},
            above=1,
        ),
        Panel(
            "Oldest unbilled session",
            "For how long has a session waited for its bill? Its messages leave the log after SESSIONS_MAX_AGE_H.",
            {"age": "max(billing_oldest_unbilled_seconds)"},
            unit="s",
            above=300,
        ),
        Panel(
            "Minutes billed an hour",
            f"How much is billed? MAX_BOTS ({MAX_BOTS}) calls without a pause make {60 * MAX_BOTS:,}.",
            {"minutes": per_minute("billing_minutes_total", per_s=3600)},
            above=60 * MAX_BOTS,
        ),
        Panel(
            "Settlements by outcome",
            "How do billed sessions end? `failed` and `no_show` cost nothing unless minutes were served.",
            {"{{outcome}}": per_minute("billing_settlements_total", "outcome", per_s=3600)},
            above=60 * MAX_BOTS,
            stacked=True,
        ),
        Panel(
            "Bills that need a look",
            "Did billing and the scheduler disagree, or did the ledger refuse a bill? All four should stay at 0.",
            {
                "differs": increase("billing_differences_total", "1h"),
                "cut to the log's clock": increase("billing_cut_total", "1h"),
                "conflict": increase("billing_conflicts_total", "1h"),
                "dead letter": increase("billing_unbillable_total", "1h"),
            },
            above=1,
        ),
        Panel(
            "Corrections after the end",
            "How many entries did late reports of nodes make?",
            {"entries in 1 h": increase("billing_adjustments_total", "1h")},
            above=10,
        ),
        Panel(
            "Messages that billing has to read",
            "Does billing keep up with the log?",
            {"behind": "max(scheduler_billing_behind_messages)"},
            above=1000,
        ),
        Panel(
            "Messages that billing never saw",
            "Did the log delete messages before billing read them? Follow docs/runbooks/lost-log.md.",
            {
                "deleted unread": "max(scheduler_billing_gone_messages)",
                "gaps": increase("billing_log_gap_messages_total", "1h"),
            },
            above=1,
        ),
        Panel(
            "Stores that were away",
            "Which store did billing not reach?",
            increases("billing_unavailable_total", "store", above_0=True),
            above=1,
        ),
    ),
)

BUS: Final = Dashboard(
    "greenroom-bus",
    "Bus",
    "NATS as Greenroom sees it: how full, how fast, whose clock.",
    (
        Panel(
            "Share of its bound that each stream holds",
            "Does a stream fill up? SESSIONS may be full: it deletes settled messages.",
            highest("scheduler_stream_used_ratio", "stream"),
            unit="percentunit",
            above=0.8,
        ),
        Panel(
            "Share of the log that is still needed",
            "How much room do unbilled and running sessions leave? At 100 % starts are refused.",
            {"needed": "max(scheduler_log_needed_ratio)"},
            unit="percentunit",
            above=0.7,
        ),
        Panel(
            "Bytes of each stream",
            "What takes the disk?",
            highest("scheduler_stream_bytes", "stream"),
            unit="bytes",
            above=2e9,
            stacked=True,
        ),
        Panel(
            "Time to store an event, 99 %",
            "How fast does JetStream acknowledge? Above 0.1 s its disk is slow or its cluster disagrees.",
            quantiles(0.99, "bus_publish_seconds", "instance"),
            unit="s",
            above=0.1,
        ),
        Panel(
            "Time of a command, 95 %",
            "How fast do parts answer each other? `end` includes the agent's goodbye.",
            quantiles(0.95, "bus_command_seconds", "command"),
            unit="s",
            above=5,
        ),
        Panel(
            "Failed commands",
            "Which commands end with an error?",
            {"{{command}} {{outcome}}": per_minute("bus_command_seconds_count", "command, outcome", '{outcome!="ok"}')},
            above=1,
        ),
        Panel(
            "Consumers of each stream",
            "Does a stream run out of consumers? nats-server allows 1,000.",
            highest("scheduler_stream_consumers", "stream"),
            above=700,
        ),
        Panel(
            "Publishes that were not stored",
            "Does nats-server answer and store nothing? Its disk is full.",
            increases("bus_not_stored_total", "stream", above_0=True),
            above=1,
        ),
        Panel(
            "Clock of the bus against a scheduler's",
            "How far do the clocks differ? The bus stamps the log, from which bills are made: keep both hosts on NTP.",
            {
                "{{instance}}": "max by (instance) (abs(scheduler_bus_clock_ahead_seconds))",
                "steps in 10 min": increase("scheduler_clock_steps_total", "10m"),
            },
            unit="s",
            above=2,
        ),
    ),
)

SESSION: Final = Dashboard(
    "greenroom-session",
    "One session",
    "The trace of one session, from the POST to the bill. Metrics have no session ids: a label per session would grow "
    "without a bound.",
    variables=(
        {"name": "session", "type": "textbox", "label": "Session id", "query": "", "description": "session_..."},
        {"name": "trace", "type": "textbox", "label": "Trace id", "query": "", "description": "chosen from the table"},
        {
            "name": "console",
            "type": "textbox",
            "label": "Console",
            "query": "http://localhost:8000/console",
            "description": "the console as your browser reaches it",
        },
        {
            "name": "jaeger",
            "type": "textbox",
            "label": "Jaeger",
            "query": "http://localhost:16686",
            "description": "Jaeger as your browser reaches it",
        },
    ),
    links=(
        {
            "title": "Timeline, transcript and bill",
            "type": "link",
            "icon": "external link",
            "url": "${console}/sessions/${session}",
            "targetBlank": True,
        },
        {
            "title": "In Jaeger",
            "type": "link",
            "icon": "external link",
            "url": "${jaeger}/trace/${trace}",
            "targetBlank": True,
        },
    ),
    extra=(
        {
            "type": "table",
            "title": "Traces of the session",
            "description": "Which traces hold the session? One does; LiveKit's webhooks begin traces of their own. "
            "A click on the trace id shows it below.",
            "datasource": JAEGER,
            "gridPos": {"x": 0, "y": 0, "w": ACROSS, "h": 6},
            "targets": [
                {
                    "refId": "A",
                    "datasource": JAEGER,
                    "queryType": "search",
                    "service": "scheduler",
                    "tags": "session.id=$session",
                    "limit": 20,
                }
            ],
            "fieldConfig": {
                "defaults": {},
                "overrides": [
                    {
                        "matcher": {"id": "byName", "options": "Trace ID"},
                        "properties": [
                            {
                                "id": "links",
                                "value": [
                                    {
                                        "title": "Show the trace",
                                        "url": "/d/greenroom-session?var-session=${session}"
                                        "&var-trace=${__value.raw}&${__url_time_range}",
                                    }
                                ],
                            }
                        ],
                    }
                ],
            },
        },
        {
            "type": "traces",
            "title": "Trace",
            "description": "Where did the time go, part by part? Spans of the models carry gen_ai.* attributes: "
            "provider, model, tokens, finish reason.",
            "datasource": JAEGER,
            "gridPos": {"x": 0, "y": 6, "w": ACROSS, "h": 24},
            "targets": [{"refId": "A", "datasource": JAEGER, "query": "$trace"}],
        },
    ),
)
