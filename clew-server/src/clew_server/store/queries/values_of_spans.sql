-- Values of some spans with their types and how many spans have them. VALUES_OF_SPAN: an array of (text, type).
SELECT z.1 AS v, z.2 AS t, count() AS spans_with FROM (SELECT arrayJoin(arrayDistinct(VALUES_OF_SPAN)) AS z
 FROM spans PREWHERE SAMPLE WHERE SPAN_WINDOW AND SPAN_CONDITIONS)
WHERE length(v)<=1024 AND VALUE_CONDITIONS GROUP BY z ORDER BY BEGINS DESC, spans_with DESC, v LIMIT {limit:UInt64}
