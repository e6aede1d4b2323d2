-- The same of the values of attributes. Of each value a set of numbers of traces, so that a trace counts once, also under two names of a key.
SELECT 'span', NEWEST_NAME AS key, v, groupBitmapMerge(traces) AS traces_with, groupBitmapMerge(failed), groupBitmapMerge(selected) FROM
 (SELECT k, v, groupBitmapState(number) AS traces, groupBitmapStateIf(number,has_failed) AS failed, groupBitmapStateIf(number,is_selected) AS selected FROM
  (SELECT number, has_failed, is_selected, attrs.keys AS ks, attrs.values AS vs, attr_types AS ts FROM spans
   INNER JOIN (SELECT *, toUInt32(rowNumberInAllBlocks()) AS number FROM (MEMBERS)) AS members USING (trace_id)
   WHERE SPAN_WINDOW AND start!=FRAGMENT AND SPANS_OF_MEMBERS)
  ARRAY JOIN ks AS k, vs AS v, ts AS t WHERE t IN CATEGORIES AND KEY_CONDITION GROUP BY k, v)
GROUP BY key, v ORDER BY traces_with DESC, v LIMIT {limit:UInt64} BY key LIMIT {rows:UInt64}
