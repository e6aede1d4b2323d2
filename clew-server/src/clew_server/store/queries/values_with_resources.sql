-- The same of an attribute of the span, else of its resource. VALUES_OF_SPAN: an array of (text, type); OF_RESOURCE: an array of texts.
SELECT z.1 AS v, z.2, count() AS spans_with FROM
 (SELECT arrayJoin(arrayDistinct(if(is_own,own,arrayMap(x->(x,toUInt8(0)),texts)))) AS z FROM
  (SELECT res_key, VALUES_OF_SPAN AS own, HAS_KEY AS is_own FROM spans PREWHERE SAMPLE WHERE SPAN_WINDOW AND SPAN_CONDITIONS) AS some
  LEFT JOIN (SELECT res_key, any(OF_RESOURCE) AS texts FROM resources GROUP BY res_key) AS of_resources USING (res_key))
WHERE length(z.1)<=1024 AND VALUE_CONDITIONS GROUP BY z ORDER BY BEGINS DESC, spans_with DESC, v LIMIT {limit:UInt64}
