-- Values of some spans with their types and how many spans have them. VALUES_OF_SPAN: an array of (text, type).
-- Under the type 255 all these spans.
SELECT z.1 AS v, z.2 AS t, count() AS spans_with FROM (SELECT arrayJoin(arrayPushFront(arrayDistinct(VALUES_OF_SPAN),('',toUInt8(255)))) AS z
 FROM spans PREWHERE SAMPLE WHERE SPAN_WINDOW AND SPAN_CONDITIONS)
WHERE t=255 OR (length(v)<=1024 AND VALUE_CONDITIONS) GROUP BY z ORDER BY t=255 DESC, BEGINS DESC, spans_with DESC, v LIMIT {limit:UInt64}
