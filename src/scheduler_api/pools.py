"""The connections of a replica, by what they are for: how many, and what they ask of the server."""

from scheduler_api.database.connections import PoolOptions
from scheduler_api.workers.runner import LANES

#: Where a few jobs fill a part of history, the planner would read all of it to find the runs of any job.
REQUESTS_SETTINGS = {"enable_seqscan": "off"}
#: What works on many rows at once waits no longer for one that somebody holds: the others wait with it. What
#: goes over all jobs and all live rows reads whole tables.
UPKEEP_SETTINGS = {"lock_timeout": "250ms"}
#: What looks up each of many rows does not. It is planned anew each time: all may be late that never was.
ALERTS_SETTINGS = UPKEEP_SETTINGS | REQUESTS_SETTINGS | {"plan_cache_mode": "force_custom_plan"}
#: A small pass costs more to plan than to run. Its statements have one good plan, which is made once, maybe
#: before the tables are filled, and must be good afterwards.
TICKER_SETTINGS = UPKEEP_SETTINGS | REQUESTS_SETTINGS | {"plan_cache_mode": "force_generic_plan"}
#: A process that stops in the midst of a claim holds up those of all others: not for long.
DELIVERY_SETTINGS = TICKER_SETTINGS | {"idle_in_transaction_session_timeout": "5s"}

#: The ticker's own connections. Requests cannot starve it.
TICKER_POOL = PoolOptions(LANES, overflow=0, timeout=5.0, settings=TICKER_SETTINGS)
#: One ends pauses, one looks for what is broken.
UPKEEP_POOL = PoolOptions(2, overflow=0, timeout=5.0, settings=UPKEEP_SETTINGS)
#: One listens, one tells.
EVENTS_POOL = PoolOptions(2, overflow=0, timeout=5.0)
#: One sends, one looks for what does not happen.
ALERTS_POOL = PoolOptions(2, overflow=0, timeout=5.0, settings=ALERTS_SETTINGS)
#: One claims, one settles, one looks after leases, one is for POST /jobs/run.
DELIVERY_POOL = PoolOptions(4, overflow=0, timeout=5.0, settings=DELIVERY_SETTINGS)

#: How many connections a replica has beside those for requests.
OWN = sum(
    pool.kept + pool.overflow for pool in (TICKER_POOL, UPKEEP_POOL, EVENTS_POOL, ALERTS_POOL, DELIVERY_POOL)
)
