-- How many traces match. Ids are grouped as numbers, which costs the engine less than texts of the same bytes.
WITH reinterpretAsFixedString(id) AS trace_id, min(traces.start) AS s, greatest(0,toUnixTimestamp64Nano(max(end))-toUnixTimestamp64Nano(s)) AS d, sum(spans) AS n, sum(errors) AS e,
 groupUniqArrayArray(services) AS of_services, min(first) AS f
SELECT count() FROM (SELECT 1 FROM (SELECT * EXCEPT trace_id, reinterpretAsUInt128(trace_id) AS id FROM traces WHERE TRACE_SETS) AS traces GROUP BY id HAVING TRACE_CONDITIONS)
