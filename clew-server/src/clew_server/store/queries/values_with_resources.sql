-- The same of an attribute of the span, else of its resource. VALUES_OF_SPAN, OF_RESOURCE: arrays of (text, type).
SELECT v, t, sum(n) AS spans_with FROM
 (SELECT z.1 AS v, z.2 AS t, count() AS n FROM (SELECT arrayJoin(arrayPushFront(arrayDistinct(VALUES_OF_SPAN),('',toUInt8(255)))) AS z
   FROM spans PREWHERE SAMPLE WHERE SPAN_WINDOW AND SPAN_CONDITIONS) GROUP BY z
  UNION ALL
  SELECT one.1, one.2, sum(n) FROM
   (SELECT res_key, count() AS n FROM spans PREWHERE SAMPLE WHERE SPAN_WINDOW AND SPAN_CONDITIONS AND NOT HAS_KEY GROUP BY res_key) AS without
   INNER JOIN (SELECT res_key, arrayJoin(arrayDistinct(any(OF_RESOURCE))) AS one FROM resources GROUP BY res_key) AS of_resources USING (res_key)
  GROUP BY one)
WHERE t=255 OR (length(v)<=1024 AND VALUE_CONDITIONS) GROUP BY v, t ORDER BY t=255 DESC, BEGINS DESC, spans_with DESC, v LIMIT {limit:UInt64}
