-- Spans for which all conditions hold, by the step in which they start and by labels.
SELECT intDiv(toUnixTimestamp64Nano(start)-{from_ns:Int64},{step_ns:Int64}) AS step, LABELS AS labels, count(), sum(duration), min(duration), max(duration), QUANTILES
FROM spans WHERE H(NS({from_ns:Int64}),NS({to_ns:Int64})) AND SPAN_CONDITIONS GROUP BY step, labels ORDER BY labels, step LIMIT {rows:UInt64}
