-- How many traces match, between which starts and lengths they lie, and whether of some it is not known by themselves if they failed.
-- Ids are grouped as numbers, which costs the engine less than texts of the same bytes.
WITH reinterpretAsFixedString(id) AS trace_id, min(traces.start) AS s, greatest(0,toUnixTimestamp64Nano(max(end))-toUnixTimestamp64Nano(s)) AS d, sum(spans) AS n, sum(errors) AS e,
 groupUniqArrayArray(services) AS of_services, min(first) AS f
SELECT count(), min(start_ns), max(start_ns), min(length_ns), max(length_ns), max(o=1)
FROM (SELECT toUnixTimestamp64Nano(s) AS start_ns, d AS length_ns, max(outcome) AS o FROM (SELECT * EXCEPT trace_id, reinterpretAsUInt128(trace_id) AS id FROM traces WHERE TRACE_SETS) AS traces GROUP BY id HAVING TRACE_CONDITIONS)
