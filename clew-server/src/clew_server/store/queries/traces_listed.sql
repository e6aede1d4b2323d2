-- Traces as they are listed. TRACE_SETS: conditions on trace_id, which may keep more traces than are meant and must keep all rows of those;
-- TRACE_CONDITIONS: what is known of whole traces only.
SELECT LISTED
FROM traces WHERE TRACE_SETS
GROUP BY trace_id HAVING TRACE_CONDITIONS
ORDER BY ORDER_OF_TRACES LIMIT {limit:UInt64}
