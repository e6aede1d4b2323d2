-- How many traces match, and between which starts and lengths they lie.
WITH min(traces.start) AS s, greatest(0,toUnixTimestamp64Nano(max(end))-toUnixTimestamp64Nano(s)) AS d, sum(spans) AS n, sum(errors) AS e,
 groupUniqArrayArray(services) AS of_services, min(first) AS f
SELECT count(), min(start_ns), max(start_ns), min(length_ns), max(length_ns)
FROM (SELECT toUnixTimestamp64Nano(s) AS start_ns, d AS length_ns FROM traces WHERE TRACE_SETS GROUP BY trace_id HAVING TRACE_CONDITIONS)
