"""To which day of history a run belongs, once it is settled: that of the last occurrence that it tells of.

Days are those of UTC. Rows for what is yet to come stay live until then.
"""


def day_of(instant: str) -> str:
    """SQL: the day under which a run is kept if it settles at :now, by the last occurrence that it tells of.

    There is a part for each day that this gives, whatever the clock says. What is of a day that is closed is
    kept as long as what happens today, and what is later than all parts is kept in the newest one.
    """
    day = f"CAST({instant} AT TIME ZONE 'UTC' AS date)"
    today = "CAST(CAST(:now AS timestamptz) AT TIME ZONE 'UTC' AS date)"
    first, last = "(SELECT greatest(firstday, openday) FROM history)", "(SELECT lastday FROM history)"
    return f"least(greatest(CASE WHEN {day} < {first} THEN {today} ELSE {day} END, {first}), {last})"
