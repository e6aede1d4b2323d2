-- Some of the nearest summaries there are between two times, from its end or its beginning: how many, the start of the first, of the last, and
-- of the NTH trace of them (0 where there are fewer traces).
WITH arraySort(groupArray(toUnixTimestamp64Nano(s))) AS starts
SELECT sum(n), starts[NEAREST], starts[FURTHEST], starts[NTH] FROM (SELECT min(start) AS s, count() AS n FROM
 (SELECT trace_id, start FROM traces WHERE start>=NS({from_ns:Int64}) AND start<NS({to_ns:Int64}) ORDER BY start DIRECTION LIMIT {limit:UInt64}) GROUP BY trace_id)
