"""To which part of history a run belongs: that of the day of its occurrence, once it is settled.

Days are those of UTC. Rows for what is yet to come stay live until then.
"""


def day_of(instant: str) -> str:
    """SQL: the day under which a run of an occurrence, a column or parameter, is kept if it settles at :now.

    There is a part for each day that this gives, whatever the clock says: what is older than all parts is
    kept as long as what happens today, and what is later than all parts is kept in the newest one.
    """
    day = f"CAST({instant} AT TIME ZONE 'UTC' AS date)"
    today = "CAST(CAST(:now AS timestamptz) AT TIME ZONE 'UTC' AS date)"
    first, last = "(SELECT firstday FROM history)", "(SELECT lastday FROM history)"
    return f"least(greatest(CASE WHEN {day} < {first} THEN {today} ELSE {day} END, {first}), {last})"
