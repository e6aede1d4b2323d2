-- Traces that match: whether each holds a failed span, whether that is not known by itself, how many traces it stands for, and whether it lies in the selected box. Not asked by itself: other statements contain it.
-- Ids are grouped as numbers, which costs the engine less than texts of the same bytes.
WITH reinterpretAsFixedString(id) AS trace_id, min(traces.start) AS s, greatest(0,toUnixTimestamp64Nano(max(end))-toUnixTimestamp64Nano(s)) AS d, sum(spans) AS n, sum(errors) AS e,
 groupUniqArrayArray(services) AS of_services, min(first) AS f
SELECT trace_id, toUnixTimestamp64Nano(s) AS start_ns, toInt64(d) AS length_ns, HAS_FAILED AS has_failed, max(traces.outcome)=1 AS is_unknown, STANDS_FOR(max(traces.kept)) AS weight,
 IS_SELECTED AS is_selected
FROM (SELECT * EXCEPT trace_id, reinterpretAsUInt128(trace_id) AS id FROM traces WHERE TRACE_SETS) AS traces GROUP BY id HAVING TRACE_CONDITIONS
