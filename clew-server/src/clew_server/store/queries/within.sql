-- Operations inside some traces: in how many of them, spans, failed ones, durations, spans a trace, start after the parent's.
-- A span that came in two requests counts once.
SELECT lower(hex(service)), lower(hex(name)), count(), sum(n), sum(f),
 quantilesExactArray(0.5,0.95)(durations), quantilesExact(0.5,0.95)(n), quantilesExactArrayIf(0.5,0.95)(delays, notEmpty(delays))
FROM (SELECT trace_id, service, name, count() AS n, countIf(status=2) AS f, groupArray(duration) AS durations,
  groupArrayIf(toUInt64(greatest(0,toUnixTimestamp64Nano(start)-toUnixTimestamp64Nano(parent_start))), parent_start!=NS(0)) AS delays
 FROM (SELECT DISTINCT trace_id, span_id, parent_id, service, name, kind, start, duration, status FROM spans WHERE CONDITIONS) AS one
 LEFT ANY JOIN (SELECT trace_id, span_id AS parent_id, start AS parent_start FROM spans WHERE CONDITIONS) AS above USING (trace_id, parent_id)
 GROUP BY trace_id, service, name)
GROUP BY service, name
