-- Ids of traces in an order that all of them decide. The same conditions; of each trace only what they and the order need is computed.
WITH min(traces.start) AS s, greatest(0,toUnixTimestamp64Nano(max(end))-toUnixTimestamp64Nano(s)) AS d, sum(spans) AS n, sum(errors) AS e,
 groupUniqArrayArray(services) AS of_services, min(first) AS f
SELECT lower(hex(trace_id)) FROM traces WHERE TRACE_SETS
GROUP BY trace_id HAVING TRACE_CONDITIONS
ORDER BY ORDER_OF_TRACES LIMIT {limit:UInt64}
